"""``python -m hvdsm.container``: the same as ``hvdsm-train``."""

import sys

from hvdsm.container.train import main

if __name__ == "__main__":
    sys.exit(main())
