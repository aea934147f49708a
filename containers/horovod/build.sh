#!/usr/bin/env bash
# Compiles Horovod for one framework and installs it into the first Python on PATH: build.sh FRAMEWORK DEVICE VERSION
# FRAMEWORK is pytorch or tensorflow and installed there, as is mpicxx on PATH; DEVICE is cpu or gpu. All images use this one script.
set -euo pipefail

framework=$1
device=$2
version=$3

export HOROVOD_WITH_MPI=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MXNET=1
case "${framework}" in
  pytorch)
    export HOROVOD_WITH_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1
    module=horovod.torch
    # Gigabytes that nothing uses: pip took torch from an index without builds for the CPU.
    cuda=$(python3 -c 'import torch; print(torch.version.cuda or "")')
    if [ "${device}" = cpu ] && [ -n "${cuda}" ]; then
      echo "build.sh: torch came with CUDA ${cuda}: name an index of CPU builds by --build-arg TORCH_INDEX=" >&2
      exit 1
    fi
    ;;
  tensorflow)
    export HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1
    module=horovod.tensorflow
    ;;
  *)
    echo "build.sh: ${framework} is neither pytorch nor tensorflow" >&2
    exit 2
    ;;
esac
if [ "${device}" = gpu ]; then
  # NCCL is linked dynamically, so that it finds the plugin for EFA, and the framework's own NCCL where that is loaded first.
  export HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_NCCL_LINK=SHARED HOROVOD_BUILD_CUDA_CC_LIST="${CUDA_ARCHS:-70,75,80,86,90}"
  # Stubs of the driver: a build has no GPU.
  export LIBRARY_PATH="/usr/local/cuda/lib64/stubs${LIBRARY_PATH:+:${LIBRARY_PATH}}"
fi

scratch=$(mktemp -d)
trap 'rm -rf "${scratch}"' EXIT
# Horovod asks CMake for C++14, the frameworks' headers want C++17; the last -std on a command line counts.
# shellcheck disable=SC2016
printf '#!/bin/sh\nexec g++ "$@" -std=c++17\n' > "${scratch}/c++17"
chmod 0755 "${scratch}/c++17"
export CXX="${scratch}/c++17" CMAKE_POLICY_VERSION_MINIMUM=3.5

# One compiler for each core, as far as the memory reaches: the largest file takes 1.6 GB. Without MAKEFLAGS eight would run.
memory=$(awk '/^MemAvailable:/ { print int($2 / 1600000) }' /proc/meminfo)
jobs=$(nproc)
jobs=$((jobs < memory ? jobs : memory))
MAKEFLAGS="-j$((jobs > 0 ? jobs : 1))"
export MAKEFLAGS

# Stripped, and with libmpi found relative to Horovod's own place: a wheel of 2 MB instead of 36.
# shellcheck disable=SC2016
export LDFLAGS='-s -Wl,-rpath,$ORIGIN/../../../..'
python3 -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir "${scratch}/wheels" "horovod==${version}"
python3 -m pip install --no-cache-dir --no-deps "${scratch}"/wheels/horovod-*.whl

# A build that goes astray can still end well: ask what came out.
python3 - "${module}" "${device}" <<'PYTHON'
import importlib
import sys

module = importlib.import_module(sys.argv[1])
built = {"mpi": module.mpi_built(), "gloo": module.gloo_built(), "nccl": bool(module.nccl_built())}
wanted = {"mpi": True, "gloo": True, "nccl": sys.argv[2] == "gpu"}
if built != wanted:
    sys.exit(f"build.sh: Horovod came out with {built} instead of {wanted}")
PYTHON
