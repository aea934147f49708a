"""``python -m hvdsm``: the same as the command ``hvdsm``."""

import sys

from hvdsm.cli import main

if __name__ == "__main__":
    sys.exit(main())
