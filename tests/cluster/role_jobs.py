"""A parameter server in miniature, as a plan: what the tests of roles run on emulated hosts."""

from __future__ import annotations

from typing import Any, Dict, List

HOSTS = ("algo-1", "algo-2")
# Listens, knows whom it has served, and says so when it is told to end.
SERVER = """
import os, signal, socket, sys, threading
served = []
def end(*_):
    print("told to end after serving", len(served), flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("serving on", sys.argv[1], os.environ["MY_ROLE"], flush=True)
def serve(peer):
    served.append(peer)
    with peer:
        for line in peer.makefile("rb"):
            peer.sendall(line.upper())
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"""
# Asks every server of the job, so that none may be missing.
ASK = """
import os, socket
def ask(text):
    answers = []
    for address in os.environ["SERVERS"].split(","):
        with socket.create_connection((address, int(os.environ["SERVER_PORT"])), timeout=20) as peer:
            peer.sendall(text.encode() + b"\\n")
            answers.append(peer.makefile().readline().strip())
    return answers
"""
SCRIPT = ASK + "print('rank', os.environ['RANK'], 'heard', *ask('yes'), os.environ['MY_ROLE'], flush=True)\n"
WAITING = (
    ASK
    + """
import time
from mpi4py import MPI
ask("yes")
MPI.COMM_WORLD.Barrier()
print("all here", flush=True)
time.sleep(300)
"""
)


def server(**more: Any) -> Dict[str, Any]:
    """The role of a server on each host."""
    return {
        "name": "server",
        "command": ["{python}", "-c", SERVER, "{port:server}"],
        "ready": {"port": "{port:server}"},
        "environment": {"MY_ROLE": "server"},
        **more,
    }


def plan(*roles: Dict[str, Any], **more: Any) -> Dict[str, Any]:
    """A plan with servers, and steps that say where they run."""
    return {
        "environment": {"SERVERS": "{addresses}", "SERVER_PORT": "{port:server}", "MY_ROLE": "worker"},
        "prepare": say("prepared"),
        "roles": list(roles) or [server()],
        "finish": say("finished"),
        **more,
    }


def say(text: str, then: str = "") -> Dict[str, Any]:
    """A step that says something on each host, and may do more."""
    return {"command": ["/bin/sh", "-c", f"echo {text} {{host}}; {then}"]}


def only_on(host: str, command: str, otherwise: str = "true") -> str:
    """Shell words that do something on one host."""
    return f'if [ "$SM_CURRENT_HOST" = {host} ]; then {command}; else {otherwise}; fi'


def lines_with(log: str, *texts: str) -> List[int]:
    """Numbers of the first lines that hold texts; fails where one is missing."""
    lines = log.splitlines()
    found = []
    for text in texts:
        numbers = [number for number, line in enumerate(lines) if text in line]
        assert numbers, f"{text!r} is not in:\n{log}"
        found.append(numbers[0])
    return found
