"""Which failure is the cause, and its text."""

from __future__ import annotations

from typing import Callable, List

from hypothesis import given
from hypothesis import strategies as st

from hvdsm.compose.failure import REASON_LENGTH, failure_text, headline, tail
from hvdsm.model import RankFailure

Golden = Callable[[str, str], None]
TRACEBACK = 'Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n    step(batch)\n'
FRAMES = "".join(f'  File "/opt/ml/code/model.py", line {n}, in layer_{n}\n    return inner(x)\n' for n in range(60))


def test_texts(golden: Golden) -> None:
    place = {"host": "algo-2", "rank": 3, "local_rank": 1}
    error = {"kind": "exception", "exit_code": 1, "exception": "ValueError", "message": "bad batch\nsecond line"}
    cases = {
        "short traceback": RankFailure(**error, **place, traceback=TRACEBACK + "ValueError: bad batch\nsecond line\n"),
        "long traceback": RankFailure(
            **error, **place, traceback=TRACEBACK + FRAMES + "ValueError: bad batch\nsecond line\n", output_tail="step 9\n"
        ),
        "exit code": RankFailure("exit", "", 7, **place, output_tail="giving up\n"),
        "out of memory": RankFailure("signal", "", 137, **place, signal=9),
        "crash": RankFailure("signal", "", 139, **place, signal=11, output_tail="about to crash\n"),
        "launch": RankFailure("launch", "mpirun ended with exit code 1 and started no rank", 78, host="algo-1"),
        "host lost": RankFailure("host-lost", "was lost: silent for 15 s", 1, host="algo-2"),
    }
    golden("failure.txt", "".join(f"=== {name}\n{failure_text(failure)}" for name, failure in cases.items()))


text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=3000)


@given(text, st.lists(text, max_size=5), text, st.sampled_from(["exception", "exit", "signal", "launch"]))
def test_the_first_characters_hold_headline_and_end(message: str, frames: List[str], output: str, kind: str) -> None:
    traceback = "\n".join([*frames, "LastLine: the very end"])
    found = RankFailure(kind, message, 1, "algo-2", 3, 1, "LastLine", traceback, 9 if kind == "signal" else None, output)
    reason = failure_text(found)[:REASON_LENGTH]
    head = headline(found)
    assert reason.startswith(head if len(head) <= 397 else head[:397])
    assert reason.rstrip("\n").endswith("LastLine: the very end") or "LastLine: the very end\n" in reason


@given(text, st.integers(8, 500))
def test_a_tail_fits_and_is_the_end(whole: str, length: int) -> None:
    short = tail(whole, length)
    assert len(short) <= length
    assert short == whole or (short.startswith("...") and whole.endswith((short[3:], short[4:])))
