"""The helper process of a probe: tries what a cluster needs and tells what failed."""

from __future__ import annotations

import os
import socket
import sys

from hvdsm.emulator import control, filesystem, network
from hvdsm.emulator.namespaces import STEP_HOST, STEP_NETWORK, Step, StepFailed, enter_namespaces, prepare_mounts


def main() -> None:
    """Entry point: ``1`` or ``0`` for whether a user namespace is needed; answers on standard output, a socket."""
    out = socket.socket(fileno=os.dup(1))
    try:
        enter_namespaces(unprivileged=sys.argv[1] == "1")
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        prepare_mounts()
        with Step(STEP_NETWORK):
            network.make_middle(bridge=True)
        with Step(STEP_HOST):
            filesystem.move_machine_aside()
        control.send(out, {"ok": True})
    except StepFailed as failure:
        control.send(out, failure.message)
    os._exit(0)
