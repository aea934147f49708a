"""Brings the source from S3: by boto3 if it can be imported, else by the aws command, else by signed requests of our own."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import time
from typing import Any, Callable, List, Mapping, Optional, Protocol, Sequence, Tuple

from hvdsm.compose.mask import mask_text
from hvdsm.container.objects import ATTEMPTS, Missing, Progress, SignedStore, endpoint_of, refused, unreachable
from hvdsm.container.signed import NO_CREDENTIALS, region_of
from hvdsm.errors import ConfigError

Say = Callable[[str], None]
# Seconds between two lines of progress, and until the first.
PATIENCE = 2.0
_REMEDY = "check the address, the region, and that the job's execution role may read it"


class Unusable(Exception):
    """This way to S3 does not work here; another may."""


class Store(Protocol):
    """A way to read S3."""

    title: str

    def get(self, bucket: str, key: str, path: str, progress: Progress) -> None:
        """Write an object to a file; Missing when there is none."""

    def keys(self, bucket: str, prefix: str) -> List[str]:
        """All keys that begin so."""


class BotoStore:
    """S3 by boto3."""

    title = "boto3"

    def __init__(self, environ: Mapping[str, str], region: Optional[str], attempts: int = ATTEMPTS) -> None:
        try:
            boto3 = importlib.import_module("boto3")
            config = importlib.import_module("botocore.config").Config
            errors = importlib.import_module("botocore.exceptions")
            transfer_errors = importlib.import_module("boto3.exceptions")
            # A broken installation fails in many ways, and S3 can be had without it.
        except Exception as error:
            raise Unusable(f"boto3 cannot be imported ({error!r})") from None
        self._answers, self._errors = errors.ClientError, (errors.BotoCoreError, transfer_errors.Boto3Error)
        self._anonymous = (errors.NoCredentialsError, errors.PartialCredentialsError, errors.CredentialRetrievalError)
        endpoint = endpoint_of(environ)
        style = {"addressing_style": "path" if endpoint else "auto"}
        try:
            session = boto3.session.Session(
                aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID") or None,
                aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY") or None,
                aws_session_token=environ.get("AWS_SESSION_TOKEN") or None,
            )
            self._client = session.client(
                "s3",
                region_name=region_of(environ, region) or session.region_name or "us-east-1",
                endpoint_url=endpoint,
                config=config(retries={"mode": "standard", "max_attempts": attempts}, s3=style),
            )
        except self._errors as error:
            raise ConfigError(str(error), where="boto3", remedy=_REMEDY) from None

    def get(self, bucket: str, key: str, path: str, progress: Progress) -> None:
        """Write an object to a file; Missing when there is none."""
        done = 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            progress(done, None)

        try:
            self._client.download_file(bucket, key, path, Callback=count)
        except self._answers as error:
            if _code(error) in ("404", "NoSuchKey"):
                raise Missing(key) from None
            raise self._failed(error, f"s3://{bucket}/{key}") from None
        except self._errors as error:
            raise self._failed(error, f"s3://{bucket}/{key}") from None

    def keys(self, bucket: str, prefix: str) -> List[str]:
        """All keys that begin so."""
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        except (self._answers, *self._errors) as error:
            raise self._failed(error, f"s3://{bucket}/{prefix}") from None

    def _failed(self, error: Any, where: str) -> ConfigError:
        said = mask_text(str(error))
        if isinstance(error, self._anonymous):
            return ConfigError(f"there are no AWS credentials: {said}", where=where, remedy=NO_CREDENTIALS)
        # boto3's own errors around an answer have its name in their text only.
        code = _code(error) or ("AccessDenied" if re.search(r"AccessDenied|\(403\)", said) else "")
        return refused(where, code, said) if code else unreachable(where, said)


def _code(error: Any) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


class CommandStore:
    """S3 by the aws command."""

    def __init__(self, environ: Mapping[str, str], region: Optional[str], say: Say) -> None:
        program = shutil.which("aws", path=environ.get("PATH"))
        if program is None:
            raise Unusable("there is no aws command on PATH")
        self.title = "the aws command"
        self._program = program
        self._say = say
        self._environ = dict(environ)
        found = region_of(environ, region)
        if found:
            # Version 1 of the command reads this one only.
            self._environ["AWS_DEFAULT_REGION"] = found
        endpoint = endpoint_of(environ)
        self._options = ["--endpoint-url", endpoint] if endpoint else []

    def get(self, bucket: str, key: str, path: str, progress: Progress) -> None:
        """Write an object to a file; Missing when there is none."""
        self._run(["s3", "cp", f"s3://{bucket}/{key}", path, "--only-show-errors"], f"s3://{bucket}/{key}")
        progress(os.path.getsize(path), None)

    def keys(self, bucket: str, prefix: str) -> List[str]:
        """All keys that begin so."""
        words = ["s3api", "list-objects-v2", "--bucket", bucket, "--prefix", prefix, "--query", "Contents[].Key"]
        found = json.loads(self._run([*words, "--output", "json"], f"s3://{bucket}/{prefix}") or "null")
        return [str(key) for key in found or ()]

    def _run(self, words: Sequence[str], where: str) -> str:
        return run_aws(self._program, [*words, *self._options], self._environ, where, self._say)


def run_aws(program: str, words: Sequence[str], environ: Mapping[str, str], where: str, say: Say) -> str:
    """What the aws command answers.

    Raises:
        Unusable: it cannot run here.
        Missing: it says that there is no such object.
        ConfigError: it fails in another way.
    """
    started, pause = time.monotonic(), PATIENCE
    try:
        process = subprocess.Popen(
            [program, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environ)
        )
    except OSError as error:
        raise Unusable(f"{program}: {error.strerror}") from None
    while True:
        try:
            out, err = process.communicate(timeout=pause)
            break
        except subprocess.TimeoutExpired:
            say(f"{where}: the aws command is at work for {time.monotonic() - started:.0f} s")
            pause = 5 * PATIENCE
        except BaseException:
            process.kill()
            process.communicate()
            raise
    text = err.decode("utf-8", "replace").strip()
    # 126 and 127: a stand-in of a shell or of a version manager, without the program itself.
    if process.returncode in (126, 127):
        raise Unusable(f"{program}: {text.splitlines()[0] if text else 'does not run'}")
    if process.returncode:
        if re.search(r"\(404\)|NoSuchKey", text):
            raise Missing(where)
        raise ConfigError(mask_text(text) or f"aws ended with {process.returncode}", where=where, remedy=_REMEDY)
    return out.decode("utf-8", "replace")


def ways(environ: Mapping[str, str], region: Optional[str], say: Say) -> Mapping[str, Callable[[], Store]]:
    """All ways to S3 by the names that ``HVDSM_S3_CLIENT`` knows them by, the best first."""
    return {
        "boto3": lambda: BotoStore(environ, region),
        "aws": lambda: CommandStore(environ, region, say),
        "request": lambda: SignedStore(environ, region, say),
    }


def download(uri: str, target: str, environ: Mapping[str, str], say: Say, region: Optional[str] = None) -> str:
    """Bring an object, or all objects below a prefix, of S3.

    Args:
        uri: ``s3://bucket/key``; a key that is none, or ends in a slash, is a prefix.
        target: where the object is written; for a prefix, the directory that is made for its objects.
        environ: the container's environment; ``HVDSM_S3_CLIENT`` (``boto3``, ``aws``, ``request``) allows one way only.
        say: told of progress and of what is tried.
        region: of the bucket, where the variables do not say it.

    Returns:
        By what it was brought.

    Raises:
        ConfigError: S3 refuses, cannot be reached, or there is nothing.
    """
    bucket, key = split_uri(uri)
    only = environ.get("HVDSM_S3_CLIENT")
    reasons = []
    for name, make in ways(environ, region, say).items():
        if only in (None, "", name):
            started = time.monotonic()
            try:
                store = make()
                say(f"fetching {uri} by {store.title}")
                size = _download(store, bucket, key, target, say)
            except Unusable as error:
                reasons.append(str(error))
                continue
            say(f"{uri} fetched by {store.title} ({size / 1e6:.1f} MB in {time.monotonic() - started:.1f} s)")
            return store.title
    raise ConfigError(
        f"there is no way to S3: {'; '.join(reasons) or 'no such client'}",
        where=f"HVDSM_S3_CLIENT={only}",
        remedy="unset HVDSM_S3_CLIENT, or set it to boto3, aws or request",
    )


def split_uri(uri: str) -> Tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``.

    Raises:
        ConfigError: one of them is missing.
    """
    bucket, _, key = uri[len("s3://") :].partition("/")
    if not bucket or not key:
        raise ConfigError("needs a bucket and a key", where=uri, remedy="give s3://BUCKET/PATH/source.tar.gz")
    return bucket, key


def _download(store: Store, bucket: str, key: str, target: str, say: Say) -> int:
    """The number of bytes."""
    if not key.endswith("/"):
        try:
            return _get(store, bucket, key, target, say)
        except Missing:
            pass
    prefix = key.rstrip("/") + "/"
    try:
        keys = [found for found in store.keys(bucket, prefix) if not found.endswith("/")]
        reason = "and none below it"
    except (Missing, ConfigError) as error:
        keys = []
        reason = f"and what is below it cannot be listed: {error.what if isinstance(error, ConfigError) else error}"
    if not keys:
        raise ConfigError(
            f"there is no such object, {reason}",
            where=f"s3://{bucket}/{key}",
            remedy="check the address; the object must be there before the job starts",
        )
    size = 0
    for found in keys:
        path = os.path.join(target, safe_name(found[len(prefix) :], f"s3://{bucket}/{found}"))
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            size += _get(store, bucket, found, path, say)
        except Missing:
            raise ConfigError("it was removed meanwhile", where=f"s3://{bucket}/{found}") from None
        except OSError as error:
            raise ConfigError(error.strerror or str(error), where=path) from None
    return size


def _get(store: Store, bucket: str, key: str, path: str, say: Say) -> int:
    last = started = time.monotonic()

    def progress(done: int, total: Optional[int]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PATIENCE:
            last = now
            of = f" of {total / 1e6:.1f}" if total else ""
            say(f"s3://{bucket}/{key}: {done / 1e6:.1f}{of} MB after {now - started:.0f} s")

    store.get(bucket, key, path, progress)
    return os.path.getsize(path)


def safe_name(name: str, where: str) -> str:
    """A key's name below its prefix, if it stays there.

    Raises:
        ConfigError: it would lie elsewhere.
    """
    if not name or any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise ConfigError("this key cannot be a file's path inside the source", where=where, remedy="rename the object")
    return name
