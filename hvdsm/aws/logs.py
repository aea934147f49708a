"""The log lines of a job's hosts, each exactly once.

SageMaker writes a host's output to the stream ``JOB/algo-N-EPOCH`` of one log group; a job that the service starts again gets
another stream for the same host.  A stream is read from its head by GetLogEvents, whose nextForwardToken is the place in it:
the token is kept with the lines that it stands behind, so that a request may fail, or be made again, without a line lost or
twice.  An empty page is no end; the end, for now, is where the token repeats.
"""

from __future__ import annotations

import heapq
import random
import re
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterable, List, Mapping, Optional, Sequence

from hvdsm.aws.brake import Brake
from hvdsm.aws.failures import MISSING, code_of, is_passing, is_throttling, status_of, translated
from hvdsm.aws.session import Aws
from hvdsm.aws.streams import LogLine, Stream, lines_of, timed

__all__ = ["GROUP", "Follower", "LogLine"]

GROUP = "/aws/sagemaker/TrainingJobs"
THREADS = 8
# Requests per second; CloudWatch allows an account 25 GetLogEvents in most regions, and others read logs, too.
RATE = 20.0
# A quiet stream is looked at this seldom, seconds; and for further streams is looked this seldom.
QUIET = 15.0
SEARCH = 10.0
# With fewer lines and characters than this a page is the last one for now, most likely: the next look will tell.
_SMALL_PAGE = 1000
_SMALL_SIZE = 1 << 18
_MOST_PAGES = 20
_TRIES = 4
# How long a passing failure is put up with while the rest is read, and throttling while following, seconds.
PATIENCE = 60.0
_STREAM = re.compile(r"(?P<host>.+)-(?P<attempt>\d+)")


class Follower:
    """Reads the lines of a job's hosts as they come; safe to use from several threads.

    A failed call loses nothing: what had been read before the failure comes with the next call, or by :meth:`collected`.

    Args:
        aws: the session.
        job_name: TrainingJobName.
        hosts: names of the hosts that are wanted; all by default.
        since: seconds since the epoch; earlier lines are left out.
        interval: seconds between two looks at a stream that has news.
        rate: most requests per second.
        settle: seconds without news after which a stream is taken to be complete, once the job has ended.
        clock: gives seconds.
        wait: waits so many seconds.
        jitter: a random number from 0 to 1.
        group: the group of logs; that of training jobs by default.
    """

    def __init__(
        self,
        aws: Aws,
        job_name: str,
        *,
        hosts: Optional[Iterable[str]] = None,
        since: Optional[float] = None,
        interval: float = 1.0,
        rate: float = RATE,
        settle: float = 0.3,
        clock: Callable[[], float] = time.monotonic,
        wait: Optional[Callable[[float], Any]] = None,
        jitter: Callable[[], float] = random.random,
        group: str = GROUP,
    ) -> None:
        self._aws = aws
        self._group = group
        self._job = job_name
        self._hosts = None if hosts is None else frozenset(hosts)
        self._since = since
        self._interval = interval
        self._settle = settle
        self._clock = clock
        self._wait = wait or threading.Event().wait
        self._jitter = jitter
        self._brake = Brake(rate, clock, self._wait)
        self._turn = threading.Lock()
        self._found: Dict[str, Stream] = {}
        self._search_due = float("-inf")
        self._search_pause = interval
        self._searched: Optional[float] = None
        self._failing: Optional[float] = None

    def poll(self) -> List[LogLine]:
        """The lines that are new, in the order of their times; those of one stream in the order of the stream.

        It takes about ``interval`` at most: with very many streams the ones that wait longest are looked at first.

        Raises:
            CloudUnavailable: AWS cannot be reached, or has throttled for a minute; calling again goes on where this call ended.
            CloudRefused: AWS does not let these credentials read the logs.
        """
        with self._turn:
            errors: List[BaseException] = []
            if self._clock() >= self._search_due:
                self._attempt(self._search, errors)
            now = self._clock()
            due = sorted((s for s in self._found.values() if s.due <= now), key=lambda s: s.due)
            most = max(THREADS, int(self._brake.limit * max(self._interval, 0.1)))
            errors += self._read_all(due[:most], to_end=False)
            self._judge(errors, patient=False)
            return self.collected()

    def flush(self) -> List[LogLine]:
        """All lines that there are; for a job that has ended.

        Every stream is read to its end until it has had no news for ``settle`` seconds, streams that appear late included.

        Raises:
            CloudUnavailable: AWS cannot be reached, or throttles, for a minute.
            CloudRefused: AWS does not let these credentials read the logs.
        """
        with self._turn:
            begun = self._clock()
            while True:
                errors: List[BaseException] = []
                self._attempt(self._search, errors)
                errors += self._read_all(self._unsettled(begun), to_end=True)
                self._judge(errors, patient=True)
                late = [self._settled_at(stream, begun) for stream in self._unsettled(begun)]
                if self._searched is None or self._searched < begun + self._settle:
                    late.append(begun + self._settle)
                if errors:
                    self._wait(max(0.1, self._jitter()))
                elif late:
                    self._wait(max(0.0, min(late) - self._clock()))
                else:
                    return self.collected()

    def collected(self) -> List[LogLine]:
        """What has been read and not been returned yet; asks AWS nothing."""
        batches = []
        for stream in list(self._found.values()):
            with stream.lock:
                lines, stream.lines = stream.lines, []
            if lines:
                batches.append(timed(lines))
        return [line for _, _, line in heapq.merge(*batches, key=lambda entry: entry[:2])]

    def _settled_at(self, stream: Stream, begun: float) -> float:
        """From when on a stream that ends there is complete."""
        return max(begun, begun if stream.news is None else stream.news) + self._settle

    def _unsettled(self, begun: float) -> List[Stream]:
        return [s for s in self._found.values() if s.end is None or s.end < self._settled_at(s, begun)]

    def _judge(self, errors: Sequence[BaseException], *, patient: bool) -> None:
        """Raise what is no passing trouble, or has not passed for too long."""
        if not errors:
            self._failing = None
            return
        for error in errors:
            if not is_passing(error):
                raise error
        now = self._clock()
        if self._failing is None:
            self._failing = now
        gone = [error for error in errors if not is_throttling(error)]
        if (gone and not patient) or now - self._failing >= PATIENCE:
            raise (gone or errors)[0]

    def _attempt(self, work: Callable[[], None], errors: List[BaseException]) -> bool:
        """Do something; False, and its error kept, when it fails."""
        try:
            with translated("read the logs", f"job {self._job} in {self._aws.region}"):
                work()
        except Exception as error:
            errors.append(error)
            return False
        return True

    def _read_all(self, streams: Sequence[Stream], *, to_end: bool) -> List[BaseException]:
        """Read streams, several at a time; the first failure ends it for those that have not begun."""
        errors: List[BaseException] = []
        left: Deque[Stream] = deque(streams)

        def work() -> None:
            while not errors:
                try:
                    stream = left.popleft()
                except IndexError:
                    return
                self._attempt(lambda: self._read(stream, to_end), errors)  # noqa: B023

        threads = [
            threading.Thread(target=work, name="hvdsm-log-reader", daemon=True) for _ in range(min(THREADS, len(streams)) - 1)
        ]
        for thread in threads:
            thread.start()
        work()
        for thread in threads:
            thread.join()
        return errors

    def _search(self) -> None:
        """Find the job's streams, all pages of them."""
        began = self._clock()
        asked: Dict[str, Any] = {"logGroupName": self._group, "logStreamNamePrefix": f"{self._job}/", "limit": 50}
        known = len(self._found)
        while True:
            try:
                page = self._ask("describe_log_streams", asked)
            except Exception as error:
                if code_of(error) not in MISSING:
                    raise
                break
            for entry in page.get("logStreams") or ():
                self._add(str(entry["logStreamName"]))
            # A page without streams but with a token is not the last one.
            if not page.get("nextToken"):
                break
            asked["nextToken"] = page["nextToken"]
        news = len(self._found) > known or not self._found
        self._search_pause = self._interval if news else min(SEARCH, max(0.1, self._search_pause) * 2)
        self._search_due = self._clock() + self._search_pause
        self._searched = began

    def _add(self, name: str) -> None:
        if name in self._found:
            return
        rest = name[len(self._job) + 1 :]
        parts = _STREAM.fullmatch(rest)
        host, attempt = (parts["host"], int(parts["attempt"])) if parts else (rest, 0)
        if self._hosts is None or host in self._hosts:
            self._found[name] = Stream(name, host, attempt)

    def _read(self, stream: Stream, to_end: bool) -> None:
        """Read a stream to its end, or as far as there is much to read."""
        with stream.lock:
            news = 0
            for _ in range(1 << 30 if to_end else _MOST_PAGES):
                began = self._clock()
                page = self._page(stream)
                if page is None:
                    stream.end = began
                    break
                events, token = page.get("events") or (), page.get("nextForwardToken")
                repeated = token is None or token == stream.token
                news += self._accept(stream, events, token)
                if events:
                    stream.news = began
                if repeated:
                    stream.end = began
                    break
                if _is_small(events):
                    break
            stream.pause = self._interval if news else min(QUIET, max(self._interval, stream.pause * 1.5))
            stream.due = self._clock() + stream.pause

    def _page(self, stream: Stream) -> Optional[Mapping[str, Any]]:
        """The next page; None when there is no such stream (any more)."""
        asked: Dict[str, Any] = {"logGroupName": self._group, "logStreamName": stream.name, "startFromHead": True}
        if self._since is not None:
            asked["startTime"] = int(self._since * 1000)
        if stream.token is not None:
            asked["nextToken"] = stream.token
        try:
            return self._ask("get_log_events", asked)
        except Exception as error:
            if code_of(error) in MISSING:
                return None
            if code_of(error) != "InvalidParameterException" or stream.token is None:
                raise
            # A token is good for 24 hours: begin again, and pass over what has been read.
            stream.token, stream.skip, stream.consumed = None, stream.consumed, 0
            del asked["nextToken"]
            return self._ask("get_log_events", asked)

    def _accept(self, stream: Stream, events: Sequence[Mapping[str, Any]], token: Optional[str]) -> int:
        """Keep a page's lines together with the place behind them."""
        fresh = events[stream.skip :] if stream.skip else events
        stream.skip = max(0, stream.skip - len(events))
        made = [line for event in fresh for line in lines_of(stream, event)]
        stream.lines += made
        stream.consumed += len(events)
        if token is not None:
            stream.token = token
        return len(made)

    def _ask(self, operation: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """One request, and a few more where it fails in a passing way."""
        for attempt in range(_TRIES):
            self._brake.take()
            try:
                answer: Mapping[str, Any] = getattr(self._aws.client("logs", attempts=1, read_timeout=20.0), operation)(**asked)
                return answer
            except Exception as error:
                if is_throttling(error):
                    self._brake.slower()
                # No answer at all costs a timeout each time.
                tries = _TRIES if status_of(error) else 2
                if attempt + 1 >= tries or not is_passing(error):
                    raise
                self._wait(self._jitter() * 0.2 * 2**attempt)
        raise AssertionError("unreachable")


def _is_small(events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a page has lines, but so few that there are hardly any behind them; a page may have 10,000, or 1 MB."""
    return 0 < len(events) < _SMALL_PAGE and sum(len(str(event.get("message") or "")) for event in events) < _SMALL_SIZE
