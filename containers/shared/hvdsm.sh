#!/usr/bin/env bash
# Installs hvdsm from its source into the first Python on PATH: hvdsm.sh SOURCE
# Without dependencies: the container program needs the standard library only.
set -euo pipefail

source=$1
python3 -m pip install --no-cache-dir --no-deps --no-build-isolation "${source}"
rm -rf "${source}"
