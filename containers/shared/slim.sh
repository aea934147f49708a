#!/usr/bin/env bash
# Takes out of installed Python packages what training does not need: slim.sh PACKAGE...
# Headers and static libraries, a quarter of torch and TensorFlow, and the packages' own tests. KEEP_HEADERS=1 leaves all as it is.
set -euo pipefail

if [ "${KEEP_HEADERS:-0}" = 1 ]; then
  exit 0
fi
cd "$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
for package in "$@"; do
  # One that is there for another device only is passed over.
  if [ -d "${package}" ]; then
    rm -rf "${package}/include" "${package}/share/cmake"
    find "${package}" -type f -name '*.a' -delete
    find "${package}" -type d -name tests -prune -exec rm -rf {} +
  fi
done
