"""``python -m hvdsm.sandbox``: a sandbox that serves until it is interrupted."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
from typing import Any, List, Optional

from hvdsm.errors import HvdsmError
from hvdsm.sandbox import EMULATED, INSTANT, Sandbox
from hvdsm.sandbox.environment import without_foreign


def main(arguments: Optional[List[str]] = None) -> int:
    """Serve until SIGINT or SIGTERM; standard output has the variables for clients, in the form of a shell."""
    parser = argparse.ArgumentParser(prog="python -m hvdsm.sandbox", description="A SageMaker service on this machine.")
    parser.add_argument("--port", type=int, default=0, help="TCP port on loopback (default: any free one)")
    parser.add_argument("--directory", default="hvdsm-out", help="where jobs leave their results (default: %(default)s)")
    parser.add_argument("--region", default="us-east-1", help="AWS region (default: %(default)s)")
    parser.add_argument(
        "--runner", choices=(EMULATED, INSTANT), default=EMULATED, help="run jobs on emulated hosts, or only play them"
    )
    given = parser.parse_args(arguments)
    ended = threading.Event()

    def end(*_: Any) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)

    def say(text: str) -> None:
        print(f"sandbox: {text}", file=sys.stderr, flush=True)

    base = without_foreign(os.environ)
    foreign = sorted(set(os.environ) - set(base))
    for name in foreign:
        # What moto is made of would read the profile that it names.
        del os.environ[name]
    try:
        started = Sandbox.start(runner=given.runner, directory=given.directory, region=given.region, port=given.port, say=say)
    except (HvdsmError, OSError) as error:
        say(str(error))
        return error.exit_code if isinstance(error, HvdsmError) else 1
    with started as sandbox:
        told = {name: value for name, value in sandbox.client_environment(base).items() if base.get(name) != value}
        for name in foreign:
            print(f"unset {name}")
        # The address is the last line: who reads it has read all of them.
        for name, value in sorted({**told, **sandbox.environ()}.items(), key=lambda item: item[0] == "AWS_ENDPOINT_URL"):
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        say(f"serving at {sandbox.url} until interrupted")
        ended.wait()
        say("ending all jobs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
