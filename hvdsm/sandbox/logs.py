"""The operations of CloudWatch Logs on a :class:`LogStore`, with the pages, tokens and limits of the service.

Source: the Amazon CloudWatch Logs API reference.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from hvdsm.sandbox.logstore import MAX_EVENT, OVERHEAD, Event, Group, LogStore, Stream
from hvdsm.sandbox.patterns import compile_pattern
from hvdsm.sandbox.tokens import decoded, encoded, invalid, limit_of, read_token, token_of
from hvdsm.sandbox.wire import ServiceError

Body = Mapping[str, Any]
MAX_EVENTS = 10_000
MAX_BYTES = 1 << 20
STREAMS_PAGE = 50
# What FilterLogEvents looks through in one request; a page may have less that matches, or nothing.
SCANNED = 10_000


class LogService:
    """CloudWatch Logs of one region.

    Attributes:
        empty_pages: whether every other page of GetLogEvents and FilterLogEvents is empty although more follows, as it may be.
    """

    def __init__(self, store: LogStore, region: str, account: str) -> None:
        self.store = store
        self.empty_pages = False
        self._arn = f"arn:aws:logs:{region}:{account}:log-group"
        self.operations: Dict[str, Callable[[Body], Optional[Dict[str, Any]]]] = {
            "CreateLogGroup": self.create_log_group,
            "CreateLogStream": self.create_log_stream,
            "DeleteLogGroup": self.delete_log_group,
            "DeleteLogStream": self.delete_log_stream,
            "DescribeLogGroups": self.describe_log_groups,
            "DescribeLogStreams": self.describe_log_streams,
            "FilterLogEvents": self.filter_log_events,
            "GetLogEvents": self.get_log_events,
            "PutLogEvents": self.put_log_events,
        }

    def handle(self, operation: str, body: Body) -> Optional[Dict[str, Any]]:
        """Carry an operation out.

        Raises:
            ServiceError: the service refuses it, or the sandbox does not know it.
        """
        known = self.operations.get(operation)
        if known is None:
            raise ServiceError("UnknownOperationException", f"The sandbox has no {operation} of CloudWatch Logs")
        with self.store.lock:
            return known(body)

    def create_log_group(self, body: Body) -> None:
        """CreateLogGroup."""
        name = self._named(body, "logGroupName")
        if name in self.store.groups:
            raise ServiceError("ResourceAlreadyExistsException", "The specified log group already exists")
        self.store.group(name).tags.update(body.get("tags") or {})

    def create_log_stream(self, body: Body) -> None:
        """CreateLogStream."""
        group, name = self._group(body), self._named(body, "logStreamName")
        if name in group.streams:
            raise ServiceError("ResourceAlreadyExistsException", "The specified log stream already exists")
        self.store.stream(group.name, name)

    def delete_log_group(self, body: Body) -> None:
        """DeleteLogGroup."""
        del self.store.groups[self._group(body).name]

    def delete_log_stream(self, body: Body) -> None:
        """DeleteLogStream."""
        group = self._group(body)
        self.store.drop_stream(group.name, self._stream(group, body).name)

    def describe_log_groups(self, body: Body) -> Dict[str, Any]:
        """DescribeLogGroups."""
        prefix, pattern = body.get("logGroupNamePrefix") or "", body.get("logGroupNamePattern") or ""
        names = sorted(name for name in self.store.groups if name.startswith(prefix) and pattern in name)
        page, token = self._names_page(names, body, names)
        groups = [self.store.groups[name] for name in page]
        return _with_token([self._group_entry(group) for group in groups], "logGroups", token)

    def _group_entry(self, group: Group) -> Dict[str, Any]:
        kept = {} if group.retention is None else {"retentionInDays": group.retention}
        return {
            **kept,
            "logGroupName": group.name,
            "creationTime": group.created,
            "metricFilterCount": 0,
            "arn": f"{self._arn}:{group.name}:*",
            "logGroupArn": f"{self._arn}:{group.name}",
            "logGroupClass": "STANDARD",
            "storedBytes": sum(stream.size for stream in group.streams.values()),
        }

    def describe_log_streams(self, body: Body) -> Dict[str, Any]:
        """DescribeLogStreams: pages of at most 50."""
        group = self._group(body)
        order, prefix = body.get("orderBy") or "LogStreamName", body.get("logStreamNamePrefix") or ""
        if order not in ("LogStreamName", "LastEventTime"):
            raise invalid(f"orderBy {order}")
        if order == "LastEventTime" and prefix:
            raise ServiceError("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
        names = [name for name in group.names if name.startswith(prefix)]
        if order == "LastEventTime":
            names.sort(key=lambda name: (_last_time(group.streams[name]), name))
        if body.get("descending"):
            names.reverse()
        page, token = self._names_page(names, body, group.names)
        return _with_token([self._stream_entry(group, name) for name in page], "logStreams", token)

    def _stream_entry(self, group: Group, name: str) -> Dict[str, Any]:
        stream = group.streams[name]
        entry: Dict[str, Any] = {
            "logStreamName": name,
            "creationTime": stream.created,
            "arn": f"{self._arn}:{group.name}:log-stream:{name}",
            "storedBytes": 0,
        }
        if stream.events:
            times = [event.timestamp for event in (stream.events[0], stream.events[-1])]
            entry.update(
                firstEventTimestamp=times[0],
                lastEventTimestamp=times[1],
                lastIngestionTime=stream.events[-1].ingested,
                uploadSequenceToken=str(len(stream.events)),
            )
        return entry

    def _names_page(self, names: Sequence[str], body: Body, all_names: Sequence[str]) -> Tuple[Sequence[str], Optional[str]]:
        """A page of names behind the one that the token names; what has come or gone meanwhile moves nothing."""
        limit = limit_of(body, STREAMS_PAGE)
        begin = 0
        if body.get("nextToken"):
            last = decoded(body["nextToken"])
            if not isinstance(last, str) or (last not in all_names and last not in names):
                raise invalid("nextToken")
            begin = list(names).index(last) + 1 if last in names else 0
        page = names[begin : begin + limit]
        more = begin + limit < len(names)
        return page, encoded(page[-1]) if more else None

    def get_log_events(self, body: Body) -> Dict[str, Any]:
        """GetLogEvents: at most 10,000 events or 1 MB; at the end of a stream the token that was sent comes back."""
        group = self._group(body)
        stream = self._stream(group, body)
        limit = limit_of(body, MAX_EVENTS)
        forward, place, count = bool(body.get("startFromHead")), 0, 0
        if body.get("nextToken"):
            forward, place, count = read_token(str(body["nextToken"]), stream)
        elif not forward:
            place = len(stream.events)
        begin, end = body.get("startTime"), body.get("endTime")
        total = len(stream.events)
        more = place < total if forward else place > 0
        if self.empty_pages and more and count % 2 == 0:
            ends = [token_of(way, place, count + 1, stream) for way in "fb"]
            return {"events": [], "nextForwardToken": ends[0], "nextBackwardToken": ends[1]}
        found: List[Event] = []
        size, at = 0, place
        while (at < total if forward else at > 0) and len(found) < limit:
            event = stream.events[at if forward else at - 1]
            if (begin is None or event.timestamp >= begin) and (end is None or event.timestamp < end):
                size += len(event.message.encode("utf-8", "surrogatepass")) + OVERHEAD
                if size > MAX_BYTES and found:
                    break
                found.append(event)
            at += 1 if forward else -1
        if not forward:
            found.reverse()
        low, high = (place, at) if forward else (at, place)
        same = count if at == place else 0
        return {
            "events": [{"timestamp": e.timestamp, "message": e.message, "ingestionTime": e.ingested} for e in found],
            "nextForwardToken": token_of("f", high, same if forward else 0, stream),
            "nextBackwardToken": token_of("b", low, 0 if forward else same, stream),
        }

    def filter_log_events(self, body: Body) -> Dict[str, Any]:
        """FilterLogEvents: events of several streams in the order of their times."""
        group = self._group(body)
        named, prefix = body.get("logStreamNames"), body.get("logStreamNamePrefix")
        if named and prefix:
            message = "Cannot specify both logStreamNames and logStreamNamePrefix"
            raise ServiceError("InvalidParameterException", message)
        for name in named or ():
            if name not in group.streams:
                raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")
        streams = [group.streams[n] for n in (named or [n for n in group.names if n.startswith(prefix or "")])]
        limit, matches = limit_of(body, MAX_EVENTS), compile_pattern(body.get("filterPattern") or "")
        begin, end = body.get("startTime"), body.get("endTime")
        after, count = (-1, -1), 0
        if body.get("nextToken"):
            value = decoded(body["nextToken"])
            if not isinstance(value, list) or len(value) != 3:
                raise invalid("nextToken")
            after, count = (value[0], value[1]), value[2]
        pending = sorted(
            (event.timestamp, event.number, stream.name, event)
            for stream in streams
            for event in stream.events
            if (event.timestamp, event.number) > after
            and (begin is None or event.timestamp >= begin)
            and (end is None or event.timestamp <= end)
        )
        found: List[Dict[str, Any]] = []
        size = scanned = 0
        if not (self.empty_pages and pending and count % 2 == 0):
            for timestamp, number, name, event in pending[:SCANNED]:
                if matches(event.message):
                    size += len(event.message.encode("utf-8", "surrogatepass")) + OVERHEAD
                    if found and (size > MAX_BYTES or len(found) >= limit):
                        break
                    found.append(_filtered(name, event))
                scanned, after = scanned + 1, (timestamp, number)
        token = encoded([*after, count + 1]) if scanned < len(pending) else None
        return {**_with_token(found, "events", token), "searchedLogStreams": []}

    def put_log_events(self, body: Body) -> Dict[str, Any]:
        """PutLogEvents: events in the order of their times."""
        group = self._group(body)
        stream = self._stream(group, body)
        events = body.get("logEvents") or []
        if not events:
            raise invalid("logEvents")
        times = [event["timestamp"] for event in events]
        if times != sorted(times):
            message = "Log events in a single PutLogEvents request must be in chronological order."
            raise ServiceError("InvalidParameterException", message)
        if any(len(event["message"].encode()) > MAX_EVENT for event in events):
            raise ServiceError("InvalidParameterException", f"Log event too large: more than {MAX_EVENT} bytes")
        self.store.append(group.name, stream.name, [(event["timestamp"], event["message"]) for event in events])
        return {"nextSequenceToken": str(len(stream.events))}

    def _named(self, body: Body, field: str) -> str:
        name = body.get(field)
        if not isinstance(name, str) or not name:
            raise ServiceError("InvalidParameterException", f"1 validation error detected: Value null at '{field}'")
        return name

    def _group(self, body: Body) -> Group:
        name = body.get("logGroupName") or body.get("logGroupIdentifier") or ""
        name = name[len(self._arn) + 1 :] if name.startswith(self._arn + ":") else name
        if not name:
            raise invalid("logGroupName")
        if name not in self.store.groups:
            raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
        return self.store.groups[name]

    def _stream(self, group: Group, body: Body) -> Stream:
        name = self._named(body, "logStreamName")
        if name not in group.streams:
            raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")
        return group.streams[name]


def _filtered(stream: str, event: Event) -> Dict[str, Any]:
    return {
        "logStreamName": stream,
        "timestamp": event.timestamp,
        "message": event.message,
        "ingestionTime": event.ingested,
        "eventId": f"{event.number:056d}",
    }


def _last_time(stream: Stream) -> int:
    return stream.events[-1].timestamp if stream.events else 0


def _with_token(entries: List[Dict[str, Any]], name: str, token: Optional[str]) -> Dict[str, Any]:
    return {name: entries, **({"nextToken": token} if token else {})}
