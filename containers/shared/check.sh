#!/usr/bin/env bash
# Looks whether an image can run jobs under hvdsm: check.sh [MODULE...]
# Each Dockerfile ends with it; `docker run --rm IMAGE /usr/local/lib/hvdsm/check.sh` looks again.
set -euo pipefail

for program in sshd ssh ssh-keygen mpirun python3 train hvdsm-train; do
  PATH="${PATH}:/usr/sbin" command -v "${program}" >/dev/null || {
    echo "check.sh: ${program} is not on PATH" >&2
    exit 1
  }
done
case "$(train --version)" in
  "hvdsm, version "*) ;;
  *)
    echo "check.sh: the first train on PATH, $(command -v train), is not hvdsm's" >&2
    exit 1
    ;;
esac
keys=$(find /etc/ssh /root /home \( -name 'ssh_host_*_key*' -o -name 'id_*' -o -name authorized_keys \) -type f 2>/dev/null || true)
if [ -n "${keys}" ]; then
  echo "check.sh: the image holds keys: ${keys}" >&2
  exit 1
fi
# Two ranks among it, which are really started: as little as a job needs, and most of what goes wrong.
hvdsm-train --doctor
python3 - "$@" <<'PYTHON'
import importlib
import sys

for name in sys.argv[1:]:
    module = importlib.import_module(name)
    print(f"check.sh: {name} {getattr(module, '__version__', '')}".rstrip())
PYTHON
