"""The command line: thin, over :mod:`hvdsm.api`; each command is imported when it is called."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import List, Optional


def main(argv: Optional[List[str]] = None) -> int:
    """Run a command line and give its exit code.

    Args:
        argv: words after the program's name; those of this process by default.
    """
    words = sys.argv[1:] if argv is None else argv
    if words[:2] == ["doctor", "container"] and _is_bare():
        from hvdsm.container.doctor import main as doctor

        return doctor(words[2:], os.environ, sys.stdout.write)
    if sys.version_info < (3, 10):
        print("hvdsm: the command line needs Python 3.10 or later; hvdsm-train and hvdsm.training_env() do not", file=sys.stderr)
        return 78
    import click

    from hvdsm.cli.app import app
    from hvdsm.errors import HvdsmError

    try:
        result = app.main(words, prog_name="hvdsm", standalone_mode=False)
    except HvdsmError as error:
        print(f"hvdsm: error: {error}", file=sys.stderr)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("hvdsm: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; what Python still holds for it cannot be written.
        sys.stdout = None
        return 141
    return result if isinstance(result, int) else 0


def _is_bare() -> bool:
    """Whether this is an image with the container program alone: an older Python, or hvdsm without what it depends on."""
    return sys.version_info < (3, 10) or find_spec("click") is None
