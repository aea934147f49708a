"""Make train.npz and test.npz (arrays ``data`` and ``labels``) for train.py, and upload them to ``s3://BUCKET/mnist/``.

From MNIST, which is downloaded and compared with its SHA-256 digest; or with ``--digits`` from the 1,797 scanned digits that come
with scikit-learn, which needs no network; or with ``--from`` from what an earlier ``--local`` has kept.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import urllib.request
from typing import Any, Dict, List, Optional, Sequence, Tuple

MNIST_URLS = ("https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",)
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
CHANNELS = ("train", "test")

Arrays = Dict[str, Tuple[Any, Any]]


def main(words: Optional[Sequence[str]] = None) -> Dict[str, str]:
    """Do what the command line says; return the address of each channel's file, on S3 or local."""
    parser = argparse.ArgumentParser(description="Prepare handwritten digits for train.py.", allow_abbrev=False)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--url", action="append", metavar="URL", help="of mnist.npz; repeatable: the first that works is taken")
    source.add_argument("--digits", action="store_true", help="scikit-learn's digits (8 x 8) in place of MNIST (28 x 28)")
    source.add_argument("--from", dest="kept", metavar="DIR", help="the files that --local DIR has kept")
    parser.add_argument("--sha256", default=MNIST_SHA256, metavar="HEX", help="digest of mnist.npz; empty: not compared")
    parser.add_argument("--bucket", help="of S3; default: the one that the SageMaker SDK takes in this account and region")
    parser.add_argument("--prefix", default="mnist", help="of the objects' names in the bucket (%(default)s)")
    parser.add_argument("--local", metavar="DIR", help="write DIR/train/train.npz and DIR/test/test.npz, and upload nothing")
    given = parser.parse_args(words)
    if given.local and given.kept:
        parser.error("--local writes what --from reads: give one of them")
    try:
        if given.local:
            return written(arrays(given), given.local)
        with tempfile.TemporaryDirectory(prefix="mnist-") as scratch:  # gone after the upload
            kept = given.kept or scratch
            files = {channel: os.path.join(kept, channel, f"{channel}.npz") for channel in CHANNELS}
            if not given.kept:
                written(arrays(given), scratch)
            for path in files.values():
                if not os.path.isfile(path):
                    raise SystemExit(f"prepare.py: {path} is not there: make it with prepare.py --local {kept}")
            return uploaded(files, given.bucket or default_bucket(), given.prefix)
    except OSError as error:
        raise SystemExit(f"prepare.py: {error}") from error


def arrays(given: argparse.Namespace) -> Arrays:
    """Images (N x H x W, uint8) and labels (N) of each channel."""
    if given.digits:
        return digits()
    with tempfile.TemporaryDirectory(prefix="mnist-") as scratch:
        return mnist(download(given.url or MNIST_URLS, given.sha256, os.path.join(scratch, "mnist.npz")))


def download(urls: Sequence[str], sha256: str, path: str) -> str:
    """Fetch the file from the first address that answers with the right content."""
    failures: List[str] = []
    for url in urls:
        say(f"downloading {url}")
        digest = hashlib.sha256()
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, open(path, "wb") as file:
                for block in iter(lambda: answer.read(1 << 20), b""):
                    digest.update(block)
                    file.write(block)
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {error}")
            continue
        if not sha256 or digest.hexdigest() == sha256.lower():
            return path
        failures.append(f"{url}: SHA-256 is {digest.hexdigest()}, not {sha256}")
    raise SystemExit(
        "prepare.py: no MNIST:\n  " + "\n  ".join(failures) + "\n  --url names another address (file:// too); --digits needs none"
    )


def mnist(path: str) -> Arrays:
    """The two parts of Keras' mnist.npz."""
    import numpy as np

    with np.load(path) as found:
        missing = {"x_train", "y_train", "x_test", "y_test"} - set(found.files)
        if missing:
            raise SystemExit(f"prepare.py: mnist.npz has no {', '.join(sorted(missing))}; it has {', '.join(found.files)}")
        return {channel: (found[f"x_{channel}"], found[f"y_{channel}"]) for channel in CHANNELS}


def digits() -> Arrays:
    """scikit-learn's digits, a fifth of them for the test: the split that train.py makes without channels."""
    import numpy as np

    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SystemExit("prepare.py: --digits needs scikit-learn: pip install scikit-learn") from error
    found = load_digits()
    order = np.random.RandomState(0).permutation(len(found.target))
    held_out, kept = np.split(order, [-(-len(order) // 5)])
    return {name: (found.images[part].astype(np.uint8), found.target[part]) for name, part in zip(CHANNELS, (kept, held_out))}


def written(found: Arrays, directory: str) -> Dict[str, str]:
    """Write the files, each in a directory of its own, as a channel wants it."""
    import numpy as np

    paths = {}
    for channel, (data, labels) in found.items():
        folder = os.path.join(directory, channel)
        os.makedirs(folder, exist_ok=True)
        paths[channel] = os.path.join(folder, f"{channel}.npz")
        # Under another name first: nobody finds half a file.
        with open(paths[channel] + ".part", "wb") as file:
            np.savez(file, data=data, labels=labels)
        shutil.move(paths[channel] + ".part", paths[channel])
        say(f"{paths[channel]}: {len(labels)} images of {data.shape[1]} x {data.shape[2]}")
    return paths


def uploaded(files: Dict[str, str], bucket: str, prefix: str) -> Dict[str, str]:
    """Upload the files and return their addresses."""
    import boto3
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    addresses = {}
    for channel, path in files.items():
        key = "/".join(filter(None, [prefix.strip("/"), os.path.basename(path)]))
        addresses[channel] = f"s3://{bucket}/{key}"
        try:
            boto3.client("s3").upload_file(path, bucket, key)
        except (BotoCoreError, ClientError, S3UploadFailedError) as error:
            raise SystemExit(f"prepare.py: {path} is not at {addresses[channel]}: {error}") from error
        say(f"{channel}ing data at {addresses[channel]}")
    return addresses


def default_bucket() -> str:
    """The SageMaker SDK's default bucket, made where it is missing."""
    try:
        import sagemaker
    except ImportError as error:
        raise SystemExit("prepare.py: --bucket is needed, since there is no SageMaker SDK to ask; or --local DIR") from error
    if not hasattr(sagemaker, "Session"):
        raise SystemExit("prepare.py: --bucket is needed with the SageMaker SDK 3; or --local DIR")
    return str(sagemaker.Session().default_bucket())


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
