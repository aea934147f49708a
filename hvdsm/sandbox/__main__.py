"""``python -m hvdsm.sandbox``: a sandbox that serves until it is interrupted; ``hvdsm sandbox`` has more options."""

from __future__ import annotations

import argparse
import json
import sys
from typing import List, Optional

from hvdsm.errors import HvdsmError
from hvdsm.sandbox import EMULATED, INSTANT
from hvdsm.sandbox.serving import Serving, lead, say, serve


def main(arguments: Optional[List[str]] = None) -> int:
    """Serve until SIGINT or SIGTERM, or lead by lines where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m hvdsm.sandbox", description="A SageMaker service on this machine.")
    parser.add_argument("--port", type=int, default=0, help="TCP port on loopback (default: any free one)")
    parser.add_argument(
        "--output", "--directory", default="hvdsm-out", help="where jobs leave their results (default: %(default)s)"
    )
    parser.add_argument("--region", help="AWS region (default: that of the environment or profile, else us-east-1)")
    parser.add_argument(
        "--runner", choices=(EMULATED, INSTANT), default=EMULATED, help="run jobs on emulated hosts, or only play them"
    )
    parser.add_argument("--led", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    try:
        if given.led is not None:
            return lead(Serving(**json.loads(given.led)))
        return serve(Serving(runner=given.runner, output=given.output, region=given.region, port=given.port))
    except HvdsmError as error:
        say(str(error))
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
