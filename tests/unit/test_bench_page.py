"""The page of the network bench: what it says, and that it says it safely; how it looks is seen in tests/browser."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any, Dict, List, Optional, Tuple

import pytest
from bench_page_samples import document, sample
from hypothesis import given, settings
from hypothesis import strategies as st

from hvdsm.bench.page import render, shaping_text, verdict_lines
from hvdsm.bench.pictures import SHOWN, pair_map, pair_plot
from hvdsm.bench.record import Bench, HostShape, Shaping, from_json, to_json
from hvdsm.bench.series import BANDWIDTH, LATENCY, ordered, telling_size

VOID = ("meta", "br", "col")


class Reader(HTMLParser):
    """Reads a page: whether each element is closed, the texts, attributes and identifiers."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: List[str] = []
        self.attributes: List[Tuple[str, str, Optional[str]]] = []
        self.texts: List[Tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def text(self, *tags: str) -> str:
        return " ".join(data for tag, data in self.texts if not tags or tag in tags)


def of_verdict(page: str) -> str:
    found = re.search(r'<section class="verdict[^>]*>(.*?)</section>', page, re.DOTALL)
    assert found
    return re.sub(r"<[^>]+>", " ", found.group(1))


def test_the_slow_host_is_named_before_all_else() -> None:
    page = render(sample(4, slow=("algo-3",)))
    assert "algo-3 is slow" in of_verdict(page)
    assert page.index('<section class="verdict') < page.index("<figure")
    assert '<section class="verdict slow"' in page


def test_every_finding_is_a_sentence_of_the_verdict() -> None:
    lines = verdict_lines(sample(6, slow=("algo-2",), slow_pair=("algo-4", "algo-5")))
    assert len(lines) == 2 and lines[0].startswith("algo-2") and "algo-4 and algo-5" in lines[1]
    assert all(line.endswith(".") for line in lines)


def test_without_findings_the_range_of_all_pairs_is_said() -> None:
    lines = verdict_lines(sample(4, latency=30))
    assert lines[0] == "No host and no pair stands out."
    assert re.search(r"all 6 pairs, latency is [\d.]+ µs to [\d.]+ µs \(8 B\) and bandwidth is [\d.]+ \w+/s to", lines[1])


def test_two_hosts_are_compared_with_nothing() -> None:
    assert "one pair" in verdict_lines(sample(2))[0]


def test_usual_is_what_no_finding_names() -> None:
    """One slow host of four is in half of all pairs: a median of all would be of no pair that there is."""
    plot = pair_plot(sample(4, slow=("algo-3",)), SHOWN["latency"])
    assert plot is not None
    middle = next(line for line in plot.lines if line.style == "median")
    assert middle.name == "median of the 3 other pairs" and middle.points[0][1] < 40
    slow = [line for line in plot.lines if line.style == "slowly"]
    assert {line.name for line in slow} == {f"algo-{a} \u2013 algo-{b}" for a, b in ((1, 3), (2, 3), (3, 4))}
    assert {line.legend for line in plot.lines if line.style == "slowly"} == {"pairs of algo-3"}
    assert [level.value for level in plot.levels] == [20_000.0]


def test_the_best_and_the_worst_pair_have_curves_of_their_own() -> None:
    bench = sample(5)
    for shown in SHOWN.values():
        plot = pair_plot(bench, shown)
        assert plot is not None
        pairs = ordered(bench.pairs, shown.measure)
        best, worst = (next(line for line in plot.lines if line.style == style) for style in ("best", "worst"))
        assert pairs[0].a in best.name and pairs[-1].b in worst.name
        index = 0 if shown.measure is LATENCY else -1
        assert (best.points[index][1] < worst.points[index][1]) == (shown.measure is LATENCY)


def test_bandwidths_far_apart_have_a_logarithmic_axis() -> None:
    near, far = (pair_plot(sample(4, slow=slow), SHOWN["bandwidth"]) for slow in ((), ("algo-3",)))
    assert near is not None and far is not None
    assert not near.y.log and far.y.log


def test_what_only_some_pairs_have_is_not_what_all_are_compared_by() -> None:
    values = document(4, slow=("algo-3",))
    for pair in values["pairs"]:
        if "algo-3" in (pair["a"], pair["b"]):
            pair["points"][-1]["bandwidth_mb_s"] = None
    bench = from_json(values)
    assert telling_size(bench.pairs, BANDWIDTH) == 1048576
    shown = pair_map(bench, SHOWN["bandwidth"])
    assert shown is not None and len(shown.values) == 6


def without(name: str) -> Bench:
    values = document(3)
    for pair in values["pairs"]:
        for point in pair["points"]:
            point[name] = None
    return from_json(values)


@pytest.mark.parametrize(
    ("bench", "words", "absent"),
    [
        (without("bandwidth_mb_s"), "Latency by message size", "Bandwidth by message size"),
        (without("latency_us"), "Bandwidth by message size", "Latency by message size"),
        (sample(3, engines=()), "Latency by message size", "Bus bandwidth of an all-reduce"),
        (dataclasses.replace(sample(3), pairs=()), "Nothing was measured between hosts.", "Every pair of hosts"),
        (dataclasses.replace(sample(3), mpi=None, not_measured=()), "No host", "What was not measured"),
        (sample(1), "Network of one host", "Every pair of hosts"),
    ],
)
def test_what_was_not_measured_leaves_no_empty_picture(bench: Bench, words: str, absent: str) -> None:
    text = Reader(render(bench)).text()
    assert words in text and absent not in text


def test_engines_and_reasons_are_listed() -> None:
    text = Reader(render(sample(4, engines=("mpi", "torch")))).text()
    assert "torch.distributed gloo" in text and "horovod is not installed on algo-2" in text


def test_a_network_that_was_slowed_on_purpose_says_so() -> None:
    bench = sample(4, slow=("algo-3",))
    assert shaping_text(bench) == "slowed on purpose; algo-3: 20 ms each way, 100 Mbit/s"
    both = dataclasses.replace(bench, shaping=Shaping(5.0, 0.0, {"algo-3": HostShape(20.0, 0.0)}))
    assert shaping_text(both) == (
        "slowed on purpose; every host: 5 ms each way, no limit of rate; algo-3: 20 ms each way, no limit of rate more"
    )
    plot = pair_plot(both, SHOWN["latency"])
    assert plot is not None and [level.value for level in plot.levels] == [5000.0, 25_000.0]
    assert shaping_text(sample(4)) == "as it is"


def test_the_page_can_load_nothing_and_runs_only_its_own_script() -> None:
    page = render(sample(4))
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert found
    policy = found.group(1).replace("&#x27;", "'")
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert inside
        digest = base64.b64encode(hashlib.sha256(inside.group(1).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    reader = Reader(page)
    assert not [one for one in reader.attributes if one[1] in ("src", "href", "action", "style") or one[1].startswith("on")]
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_identifiers_are_unique_and_what_refers_to_them_finds_them() -> None:
    reader = Reader(render(sample(4, slow=("algo-3",), engines=("mpi", "torch"))))
    names = [value for _, name, value in reader.attributes if name == "id"]
    assert len(names) == len(set(names))
    referred = [value for _, name, value in reader.attributes if name in ("aria-labelledby", "aria-describedby", "data-from")]
    assert len(referred) == 13 and set(referred) <= set(names)


def test_the_data_are_in_the_page_as_they_are() -> None:
    bench = sample(3, label="</script><!-- & \u2028")
    found = re.search(r'<script type="application/json" id="data-network-json">(.*?)</script>', render(bench), re.DOTALL)
    assert found and not set("<>&") & set(found.group(1))
    assert json.loads(found.group(1)) == json.loads(json.dumps(to_json(bench)))


names = st.text(max_size=12)


@settings(max_examples=40, deadline=None)
@given(names, names, names, st.sampled_from([1, 2, 6]))
def test_any_text_is_shown_as_text(label: str, host: str, engine: str, count: int) -> None:
    values = document(count + 1, names=[f"{host}{index}" for index in range(count + 1)], label=label, sizes=(8,))
    values["allreduce"][0]["engine"] = engine
    values["not_measured"][0]["why"] = label
    page = render(from_json(values))
    page.encode("utf-8")
    reader = Reader(page)
    if label.isprintable():
        assert f"horovod: {label}" in [data for tag, data in reader.texts if tag == "li"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_numbers_make_a_page(data: st.DataObject) -> None:
    amount = st.one_of(st.just(0), st.floats(0, 2.0**63, allow_nan=False))

    def point(size: int) -> Dict[str, Any]:
        times = {"median": data.draw(amount), "min": data.draw(amount), "p95": data.draw(amount), "samples": 3}
        rates = {"median": data.draw(amount), "max": data.draw(amount), "samples": 3}
        return {
            "bytes": size,
            "latency_us": data.draw(st.sampled_from([None, times])),
            "bandwidth_mb_s": data.draw(st.sampled_from([None, rates])),
        }

    values = document(3, sizes=(8,))
    for pair in values["pairs"]:
        pair["points"] = [point(data.draw(st.integers(1, 1 << 62))) for _ in range(data.draw(st.integers(0, 3)))]
    page = render(from_json(values))
    assert not re.search(r'="-?(nan|inf)', page)
    Reader(page)


def test_the_same_run_is_the_same_page() -> None:
    assert render(sample(4, slow=("algo-3",))) == render(sample(4, slow=("algo-3",)))
