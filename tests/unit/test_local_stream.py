"""A host's output: the log has every byte, the display whole lines."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Optional

from hypothesis import given, settings
from hypothesis import strategies as st

from hvdsm.backends.base import NOTE, OUTPUT, PHASE, WARNING, Event
from hvdsm.backends.display import Display
from hvdsm.backends.local.stream import MAX_LINE, READ, HostStream
from hvdsm.model import JobOutcome, RankFailure


def through(data: bytes, log: Path, is_launcher: bool = True, step: int = 7, alone: Optional[str] = None) -> list:
    read, write = os.pipe()
    stream = HostStream(read, str(log), is_launcher, alone)
    shown = []
    for start in range(0, len(data), step):
        os.write(write, data[start : start + step])
        shown.append(stream.read())
    assert stream.read() is None
    os.close(write)
    shown.append(stream.read())
    assert stream.ended
    stream.close()
    return [piece for piece in shown if piece]


@settings(max_examples=50)
@given(st.binary(max_size=200), st.integers(1, 50))
def test_launcher_bytes_are_unchanged(tmp_path_factory: object, data: bytes, step: int) -> None:
    log = tmp_path_factory.mktemp("logs") / "algo-1.log"  # type: ignore[attr-defined]
    shown = through(data, log, step=step)
    assert b"".join(shown) == data == log.read_bytes()
    assert all(piece.endswith(b"\n") for piece in shown[:-1])


def test_a_host_that_begins_alone_shows_its_own_lines(tmp_path: Path) -> None:
    data = b"hvdsm: up\n[1,algo-2] x\n[algo-2] plain\n[0,algo-1] other\n[0,algo-22]~ other\n[no tag] y\n"
    for is_launcher in (False, True):
        shown = through(data, tmp_path / f"{is_launcher}.log", is_launcher, alone="algo-2")
        assert b"".join(shown) == b"hvdsm: up\n[1,algo-2] x\n[algo-2] plain\n[no tag] y\n"


def test_worker_rank_lines_are_left_to_the_launcher(tmp_path: Path) -> None:
    tagged = b"[1,algo-2] x\n[algo-2] plain\n[server,algo-2] role\n[1,algo-2]~ part\n"
    data = b"hvdsm: up\n" + tagged + b"  [0,algo-1] indented\n[no tag] y\n\n[1,algo-2] last"
    assert b"".join(through(data, tmp_path / "w.log", is_launcher=False)) == b"hvdsm: up\n  [0,algo-1] indented\n[no tag] y\n\n"
    assert (tmp_path / "w.log").read_bytes() == data


def test_a_line_without_end_is_shown_in_pieces(tmp_path: Path) -> None:
    data = b"x" * (MAX_LINE + READ)
    shown = through(data, tmp_path / "w.log", step=1 << 16)
    assert len(shown) >= 2 and b"".join(shown) == data


class Binary(io.TextIOWrapper):
    """A text stream with a buffer, as standard output is."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def written(self) -> bytes:
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue()


def test_display_names_workers_and_keeps_bytes() -> None:
    stream = Binary()
    display = Display(stream)
    display.show(Event(PHASE, "hosts up (2 of 2)", seconds=0.125))
    display.show(Event(NOTE, "said"))
    display.show(Event(WARNING, "beware"))
    display.show(Event(OUTPUT, data=b"[0,algo-1] \xff\xfe\n", host="algo-1"))
    display.show(Event(OUTPUT, data=b"a\nb", host="algo-2"))
    assert stream.written() == (
        b"hvdsm: hosts up (2 of 2) after 0.12 s\nhvdsm: said\nhvdsm: warning: beware\n[0,algo-1] \xff\xfe\nalgo-2: a\nalgo-2: b\n"
    )


def test_display_colours_only_when_told() -> None:
    stream = Binary()
    Display(stream, colour=True).show(Event(OUTPUT, data=b"[0,algo-1] x\nhvdsm: y\n", host="algo-1"))
    assert stream.written() == b"\x1b[36m[0,algo-1]\x1b[0m x\n\x1b[1mhvdsm: y\x1b[0m\n"


def test_display_to_a_stream_of_text() -> None:
    stream = io.StringIO()
    Display(stream).show(Event(OUTPUT, data=b"caf\xc3\xa9 \xff\n", host="algo-1"))
    assert stream.getvalue() == "café �\n"


def failed() -> JobOutcome:
    failure = RankFailure(
        "exception", "bad batch", 1, host="algo-2", rank=1, local_rank=0, exception="ValueError", traceback="Traceback:\n  here\n"
    )
    return JobOutcome("job", "Failed", 1, failure=failure, seconds=2.0)


def test_failure_is_shown_with_rank_host_traceback_and_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "algo-2.log"
    log.parent.mkdir()
    log.write_text("here\n")
    for colour in (False, True):
        stream = Binary()
        Display(stream, colour=colour).summary(failed(), str(tmp_path))
        text = stream.written().decode()
        # A box on a terminal may break a long path.
        for part in ("rank 1 (algo-2, local rank 0): ValueError: bad batch", "here", "whole log: ", "exit code 1"):
            assert part in text, (colour, part)
        assert colour == ("\x1b" in text)


def test_success_says_ranks_and_model() -> None:
    stream = Binary()
    outcome = JobOutcome(
        "job", "Completed", 0, world_size=4, ranks_per_host={"algo-1": 2, "algo-2": 2}, model_dir="/out/job/model"
    )
    Display(stream).summary(outcome, "/out/job")
    assert "4 ranks (algo-1: 2, algo-2: 2)" in stream.written().decode()
    assert "/out/job/model" in stream.written().decode()


def test_a_reader_that_has_gone_ends_the_display_only() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    display = Display(Gone())
    display.say("a")
    display.say("b")
