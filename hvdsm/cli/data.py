"""``hvdsm data``."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, TextIO, Tuple, TypeVar

import click

from hvdsm.errors import CloudRefused, ConfigError, HvdsmError, UsageError

Value = TypeVar("Value")
Function = TypeVar("Function", bound=Callable[..., Any])
# Seconds between two lines of progress: on a terminal, where a line replaces the last one, and elsewhere.
OFTEN = 0.2
SELDOM = 5.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Copy files and directories to S3, and back.

    What is there already with the same content is not copied again, so that a copy which was broken off goes on when the command
    is given again.

    \b
    Examples:
      hvdsm data upload data/ s3://my-bucket/mnist/
      hvdsm data download s3://my-bucket/jobs/mnist-1/output/model.tar.gz .
    """  # noqa: D301


def _common(function: Function) -> Function:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr."),
        click.option("--force", is_flag=True, help="Copy what is there already, too."),
        click.option("--aws-profile", metavar="NAME", help="Profile of the AWS configuration.  [default: AWS_PROFILE]"),
        click.option("--region", metavar="REGION", help="AWS region.  [default: AWS_REGION, AWS_DEFAULT_REGION, the profile's]"),
    ):
        function = option(function)
    return function


@command.command()
@click.argument("path", metavar="PATH")
@click.argument("uri", metavar="S3-URI")
@click.option("--kms-key", metavar="KEY", help="Encrypt by this KMS key (ID or ARN); everything is copied then.")
@_common
def upload(
    path: str, uri: str, kms_key: Optional[str], region: Optional[str], aws_profile: Optional[str], force: bool, as_json: bool
) -> int:
    """Copy the file PATH to the object S3-URI, or what is in the directory PATH to the folder S3-URI.

    A file goes below an S3-URI that ends with a slash, under its own name.  Links are followed.  A directory with anything that
    cannot be copied (a link to nothing, a socket, a file that may not be read) is refused as a whole.
    """

    def work(progress: Progress) -> Dict[str, Any]:
        from hvdsm.aws import storage
        from hvdsm.aws.session import connect

        bucket, key = storage.split_uri(uri)
        files = _local_files(path, f"s3://{bucket}/{key}")
        aws = connect(region, aws_profile)
        prefix = key if os.path.isdir(path) else storage.split_uri(files[0][1])[1]
        known = None if force or kms_key else _present(aws, f"s3://{bucket}/{prefix}", progress)
        progress.begin(len(files), sum(os.path.getsize(name) for name, _ in files))
        done = storage.upload_files(aws, files, kms=kms_key, progress=progress.add, say=progress.say, known=known)
        return {"path": path, "uri": uri, **_numbers(done)}

    return _run(work, as_json, lambda found: f"{_told(found)} from {path} to {uri}")


def _present(aws: Any, uri: str, progress: Progress) -> Dict[str, Any]:
    """The objects that are there; none for credentials that may write but not list."""
    from hvdsm.aws import storage
    from hvdsm.aws.failures import is_denied

    try:
        return {entry.key: entry for entry in progress.seen(storage.list_objects(aws, uri))}
    except CloudRefused as error:
        if not is_denied(error):
            raise
        progress.say(f"what is there already cannot be seen without s3:ListBucket: everything is copied to {uri}")
        return {}


def _local_files(path: str, uri: str) -> List[Tuple[str, str]]:
    """Each file to copy, and the address of its object."""
    from hvdsm.aws import storage

    if os.path.isdir(path):
        return storage.keyed(path, [name for name, _ in storage.tree_files(path)], uri)
    if not os.path.exists(path):
        raise ConfigError("there is no such file or directory", where=path, remedy="check the path")
    return [(path, uri + os.path.basename(path) if uri.endswith("/") else uri)]


@command.command()
@click.argument("uri", metavar="S3-URI")
@click.argument("target", metavar="[TARGET]", default=".")
@_common
def download(uri: str, target: str, region: Optional[str], aws_profile: Optional[str], force: bool, as_json: bool) -> int:
    """Copy the object S3-URI to the file TARGET, or what is in the folder S3-URI to the directory TARGET.

    An object goes below a TARGET that is a directory, or ends with a slash, under its own name.  Files of the same name are
    replaced unless they have the same content.  A folder with a key that would lead out of TARGET (`..`), or that no file can be
    named like, is refused as a whole.
    """

    def work(progress: Progress) -> Dict[str, Any]:
        from hvdsm.aws import storage
        from hvdsm.aws.session import connect

        bucket, _ = storage.split_uri(uri)
        aws = connect(region, aws_profile)
        wanted, folders = _remote_files(aws, uri, target, progress)
        progress.begin(len(wanted), sum(entry.size for entry, _ in wanted))
        for folder in folders:
            _make(folder)
        done = storage.download_files(aws, bucket, wanted, progress=progress.add, say=progress.say, compare=not force)
        return {"uri": uri, "path": wanted[0][1] if len(wanted) == 1 else target, **_numbers(done), "folders": len(folders)}

    return _run(work, as_json, lambda found: f"{_told(found)} from {uri} to {found['path']}")


def _make(directory: str) -> None:
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise ConfigError(error.strerror or str(error), where=directory, remedy="choose another TARGET") from None


def _remote_files(aws: Any, uri: str, target: str, progress: Progress) -> Tuple[List[Tuple[Any, str]], List[str]]:
    """Each object to copy and its file, and the folders that are objects themselves."""
    from hvdsm.aws import storage

    bucket, key = storage.split_uri(uri)
    single = storage.find_object(aws, uri)
    if single is not None:
        name = key.rsplit("/", 1)[-1]
        if os.path.isdir(target) or target.endswith("/"):
            return storage.targets([single], key[: len(key) - len(name)], target)
        return [(single, target)], []
    folder = key if not key or key.endswith("/") else key + "/"
    found = list(progress.seen(storage.list_objects(aws, f"s3://{bucket}/{folder}")))
    if not found:
        raise ConfigError(
            "there is no object of this name, and none in a folder of this name",
            where=uri,
            remedy=f"check the name: aws s3 ls s3://{bucket}/{key.rsplit('/', 1)[0] + '/' if '/' in key else ''}",
        )
    if os.path.exists(target) and not os.path.isdir(target):
        raise UsageError(f"is a file, but {uri} is a folder of {len(found)} objects", where=target, remedy="name a directory")
    return storage.targets(found, folder, target)


def _run(work: Callable[[Progress], Dict[str, Any]], as_json: bool, line: Callable[[Dict[str, Any]], str]) -> int:
    progress = Progress(sys.stderr)
    begun = time.monotonic()
    try:
        try:
            found = work(progress)
        except KeyboardInterrupt:
            progress.say("what has been copied until now stays; the same command goes on from there")
            raise
        finally:
            progress.end()
    except HvdsmError as error:
        if as_json:
            click.echo(json.dumps({"error": str(error), "exit_code": error.exit_code}, indent=2))
        raise
    found["seconds"] = round(time.monotonic() - begun, 3)
    click.echo(json.dumps(found, indent=2) if as_json else line(found))
    return 0


def _numbers(done: Any) -> Dict[str, int]:
    return {"files": done.files, "bytes": done.size, "present": done.present, "present_bytes": done.present_size}


def _told(found: Dict[str, Any]) -> str:
    text = f"{_count(found['files'], 'file')}, {found['bytes']:,} bytes"
    if found["present"]:
        text += f" (and {_count(found['present'], 'file')}, {found['present_bytes']:,} bytes, there already)"
    if found.get("folders"):
        text += f" (and {_count(found['folders'], 'empty folder')})"
    return text


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


class Progress:
    """Shows how far a copy has come: one line that changes on a terminal, a line now and then elsewhere.

    Args:
        stream: where to.
        clock: gives seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._files = self._total = self._done = 0
        self._begun = self._shown = clock()
        self._open = False

    def begin(self, files: int, size: int) -> None:
        """Say how much there is to copy."""
        self._files, self._total, self._done = files, size, 0
        self._begun = self._shown = self._clock()

    def add(self, count: int) -> None:
        """Count bytes, negative ones where they have to go again."""
        self._done += count
        if not self._is_due():
            return
        part = 100 * self._done // self._total if self._total else 100
        rate = self._done / max(self._shown - self._begun, 1e-6)
        self._show(f"{part} % of {_count(self._files, 'file')}, {self._done:,} of {self._total:,} bytes, {rate / 1e6:.1f} MB/s")

    def seen(self, entries: Iterable[Value]) -> Iterator[Value]:
        """Pass objects on while they are listed."""
        for number, entry in enumerate(entries, 1):
            if self._is_due():
                self._show(f"looking at what is there: {_count(number, 'object')}")
            yield entry

    def _is_due(self) -> bool:
        now = self._clock()
        if now - self._shown < (OFTEN if self._terminal else SELDOM):
            return False
        self._shown = now
        return True

    def _show(self, text: str) -> None:
        self._stream.write(f"\r\x1b[Khvdsm: {text}" if self._terminal else f"hvdsm: {text}\n")
        self._stream.flush()
        self._open = self._terminal

    def say(self, text: str) -> None:
        """Write a line."""
        self.end()
        self._stream.write(f"hvdsm: {text}\n")
        self._stream.flush()

    def end(self) -> None:
        """Take the changing line away."""
        if self._open:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._open = False
