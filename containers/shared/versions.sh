#!/usr/bin/env bash
# Prints constraints for pip that keep packages as they are installed: versions.sh PACKAGE...
set -euo pipefail

python3 - "$@" <<'PYTHON'
import sys
from importlib.metadata import version

for name in sys.argv[1:]:
    # Without the local part: `2.3.0+cu121` is on no index, and 2.3.0 allows it.
    print(f"{name}=={version(name).split('+')[0]}")
PYTHON
