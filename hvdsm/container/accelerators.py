"""GPUs and EFA of this host: whether what is there can be used."""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from typing import List, Mapping, Optional, Tuple

from hvdsm.container.diagnosis import Check, good, note, warning
from hvdsm.container.inquiries import Run
from hvdsm.container.vitals import text_of

# Amazon's installer of EFA puts its programs there; they need not be on PATH.
_EFA_BIN = "/opt/amazon/efa/bin"
_EFA_GUIDE = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-start.html"


@dataclass(frozen=True)
class AcceleratorFacts:
    """What is there of GPUs and EFA.

    Attributes:
        devices: ``nvidia0`` and so on in ``/dev``.
        listed: lines of ``nvidia-smi --list-gpus``; None where there is no such program, or it fails.
        said: what it said when it failed.
        visible: CUDA_VISIBLE_DEVICES, None where it is not set.
        torch_cuda: the CUDA version of the torch that is installed; empty for a CPU build; None where there is no torch.
        efa: EFA devices.
        fi_info: what ``fi_info -p efa`` says; None where there is no such program.
        nccl_plugin: whether NCCL's plugin for EFA is there.
    """

    devices: Tuple[str, ...] = ()
    listed: Optional[Tuple[str, ...]] = None
    said: str = ""
    visible: Optional[str] = None
    torch_cuda: Optional[str] = None
    efa: Tuple[str, ...] = ()
    fi_info: Optional[str] = None
    nccl_plugin: bool = False


def accelerators_here(environ: Mapping[str, str], run: Run, root: str = "/") -> AcceleratorFacts:
    """The facts; programs are asked only where there is a device."""
    path = f"{environ.get('PATH', '')}:{_EFA_BIN}"
    names = _entries(os.path.join(root, "dev"))
    devices = tuple(sorted(name for name in names if re.fullmatch(r"nvidia\d+", name)))
    # The devices of EFA are called efa_0, or rdmap0s31 by newer systems; its driver tells them from others' adapters.
    adapters = os.path.join(root, "sys/class/infiniband")
    efa = tuple(
        name for name in sorted(_entries(adapters)) if _driver(os.path.join(adapters, name)) == "efa" or name[:3] == "efa"
    )
    smi, fabric = shutil.which("nvidia-smi", path=path), shutil.which("fi_info", path=path)
    ran = run([smi, "--list-gpus"], environ, 20.0) if smi else None
    listed = tuple(line for line in ran.text.splitlines() if line.startswith("GPU ")) if ran is not None and ran.ok else None
    asked = run([fabric, "-p", "efa", "-t", "FI_EP_RDM"], environ, 20.0) if fabric and efa else None
    plugins = [*glob.glob("/opt/amazon/*/lib*/libnccl-net*.so"), *glob.glob("/opt/aws-ofi-nccl/lib/libnccl-net*.so")]
    return AcceleratorFacts(
        devices,
        listed,
        ran.last if ran is not None and not ran.ok else "",
        environ.get("CUDA_VISIBLE_DEVICES"),
        _torch_cuda(),
        efa,
        asked.text if asked is not None else None,
        bool(plugins),
    )


def accelerators(facts: AcceleratorFacts) -> List[Check]:
    """Whether GPUs and EFA can be used; a host without either is all right."""
    return [_gpu(facts), _efa(facts)]


def _gpu(facts: AcceleratorFacts) -> Check:
    name = "gpu"
    told = {"devices": list(facts.devices), "gpus": list(facts.listed or ()), "torch_cuda": facts.torch_cuda}
    if not facts.devices and not facts.listed:
        built = f"; this image's torch is built for CUDA {facts.torch_cuda}" if facts.torch_cuda else ""
        what = f"no NVIDIA GPU: ranks run on the processors, without NCCL{built}"
        return note(name, what, "", **told)
    if facts.listed is None:
        why = f"nvidia-smi: {facts.said}" if facts.said else "nvidia-smi is not there"
        what = f"{_counted(len(facts.devices), 'GPU')}, but the driver does not answer: {why}"
        return warning(name, what, "nvidia-smi; in a container: --gpus all, and the NVIDIA Container Toolkit", **told)
    kinds = sorted({re.sub(r"^GPU \d+: | \(UUID.*$", "", line) for line in facts.listed})
    what = f"{_counted(len(facts.listed), 'GPU')} ({', '.join(kinds)})"
    if facts.visible is not None:
        what += f", CUDA_VISIBLE_DEVICES={facts.visible}"
        told["visible"] = facts.visible
    if facts.torch_cuda == "":
        help_ = "install a build of torch for CUDA: pip install torch --index-url https://download.pytorch.org/whl/cu121"
        return warning(name, f"{what}; torch is a build for processors and does not use them", help_, **told)
    return good(name, what, **told)


def _efa(facts: AcceleratorFacts) -> Check:
    name, told = "efa", {"devices": list(facts.efa), "nccl_plugin": facts.nccl_plugin}
    if not facts.efa:
        return note(name, "no EFA device: hosts speak TCP", "", **told)
    count = _counted(len(facts.efa), "device")
    if not facts.fi_info or "provider: efa" not in facts.fi_info:
        why = "libfabric does not see them" if facts.fi_info is not None else "libfabric of Amazon's installer is not there"
        what = f"{count}, but {why}: hosts speak TCP"
        return warning(name, what, f"install EFA's software: {_EFA_GUIDE}", **told)
    if facts.listed and not facts.nccl_plugin:
        return warning(name, f"{count}; NCCL's plugin for it is not there: GPUs speak TCP", "install aws-ofi-nccl", **told)
    return good(name, f"{count}, libfabric sees it", **told)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _entries(path: str) -> List[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _driver(adapter: str) -> str:
    return os.path.basename(os.path.realpath(os.path.join(adapter, "device", "driver")))


def _torch_cuda() -> Optional[str]:
    """The CUDA version of the installed torch, read in its source: an import takes seconds."""
    spec = PathFinder.find_spec("torch", sys.path)
    if spec is None or not spec.submodule_search_locations:
        return None
    text = text_of(os.path.join(next(iter(spec.submodule_search_locations)), "version.py"))
    match = re.search(r"^cuda\b[^=]*= *(?:'([^']*)'|None)", text, re.MULTILINE)
    return (match.group(1) or "") if match else None
