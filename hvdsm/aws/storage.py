"""Objects in S3: single ones and whole folders, both ways, and the account's own bucket."""

from __future__ import annotations

from hvdsm.aws.counts import Transferred
from hvdsm.aws.objects import Object, default_bucket, find_object, list_objects, put_bytes, read_bytes, split_uri
from hvdsm.aws.places import keyed, targets, tree_files
from hvdsm.aws.transfers import download, download_files, upload_file, upload_files, upload_tree

__all__ = [
    "Object", "Transferred", "default_bucket", "download", "download_files", "find_object", "keyed", "list_objects", "put_bytes",
    "read_bytes", "split_uri", "targets", "tree_files", "upload_file", "upload_files", "upload_tree",
]  # fmt: skip
