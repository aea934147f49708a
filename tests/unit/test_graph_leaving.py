"""How GraphStorm's processes end: at once, after all exit handlers, unless something else is still to happen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEGIN = """
import atexit, sys, threading
from hvdsm.graphjob.running import leave_well
class Slow:
    def __del__(self):
        print("taken apart")
kept = Slow()
atexit.register(print, "handler")
sys.stdout.write("text ")
"""


def said(text: str) -> str:
    command = [sys.executable, "-c", BEGIN + text + "\nleave_well()\nprint('stays')"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout


def test_it_ends_after_its_exit_handlers_and_takes_nothing_apart() -> None:
    assert said("") == "text handler\n"


@pytest.mark.parametrize(
    "text", ["sys.modules['mpi4py.MPI'] = sys", "threading.Thread(target=threading.Event().wait, args=(1,)).start()"]
)
def test_what_is_to_happen_at_the_end_happens(text: str) -> None:
    assert said(text) == "text stays\nhandler\ntaken apart\n"
