#!/usr/bin/env python3
"""Make the network's stack, wait for it, and print its subnets and security groups; ``hvdsm vpc deploy`` with a table and a plan.

python vpc/create_stack.py [NAME] [--zones N] [--region REGION] [--recreate]
"""

from __future__ import annotations

import argparse
import sys

from hvdsm.errors import HvdsmError
from hvdsm.vpc import create_vpn_infra


def main() -> int:
    """Make the stack."""
    parser = argparse.ArgumentParser(description="Make the stack of a network for training jobs, and wait for it.")
    parser.add_argument("name", nargs="?", default="hvdvpcstack", help="of the stack; hvdvpcstack by default")
    parser.add_argument("--zones", type=int, choices=(1, 2, 3), default=2, help="Availability Zones; 2 by default")
    parser.add_argument("--region", help="AWS region")
    parser.add_argument("--profile", help="profile of the AWS configuration")
    parser.add_argument("--recreate", action="store_true", help="delete a stack that failed when it was made, and make it again")
    parser.add_argument("--timeout", type=float, default=1800.0, metavar="SECONDS", help="1800 by default")
    given = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        subnets, security_groups = create_vpn_infra(
            given.name,
            zones=given.zones,
            region=given.region,
            profile=given.profile,
            recreate=given.recreate,
            timeout=given.timeout,
            say=say,
        )
    except HvdsmError as error:
        say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    print(f"Subnets: {subnets}")
    print(f"Security Groups: {security_groups}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
