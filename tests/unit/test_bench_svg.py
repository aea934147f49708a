"""Scales, ticks, units, colours, and the pictures of the network bench."""

from __future__ import annotations

import itertools
import math
import re
from typing import Callable, List, Tuple
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.bench import axes, colours
from hvdsm.bench.axes import BANDWIDTH, LATENCY, SIZE, Scale, linear_scale, linear_ticks, log_scale, log_ticks
from hvdsm.bench.heatmap import Heatmap, changes, labelled, shortened, speeds
from hvdsm.bench.markup import Markup, element, escaped, number
from hvdsm.bench.plots import Band, Level, Line, Plot

values = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e12)), min_size=1, max_size=30)


def test_text_is_escaped_once_and_markup_is_not() -> None:
    inner = element("b", "a < b & 'c'", title='"x"')
    assert inner == '<b title="&quot;x&quot;">a &lt; b &amp; &#x27;c&#x27;</b>'
    assert element("p", inner, None, "<") == f"<p>{inner}&lt;</p>"
    assert escaped(Markup("<i>")) == "<i>"
    assert escaped("a\x00b\u202ec\ud800d\ne") == "a\ufffdb\ufffdc\ufffdd\ne"


def test_attributes_are_left_out_bare_or_rounded() -> None:
    assert (
        element("rect", x=1.23456, class_="a", stroke_width=None, hidden=True, open=False)
        == '<rect x="1.23" class="a" hidden></rect>'
    )
    assert element("meta", name="viewport", content="x") == '<meta name="viewport" content="x">'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_coordinate_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        number(value)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-0.001, "0"), (1.5, "1.5"), (100.0, "100"), (12.346, "12.35"), (1e6, "1000000")]
)
def test_coordinates_are_short(value: float, text: str) -> None:
    assert number(value) == text


@given(values, st.booleans())
def test_scales_are_monotone_and_stay_in_their_range(given_values: List[float], log: bool) -> None:
    scale = log_scale(given_values, 10, 200) if log else linear_scale(given_values, 10, 200)
    at = [scale.at(value) for value in sorted(given_values)]
    assert at == sorted(at)
    assert all(10 <= place <= 200 for place in at)


def test_a_scale_goes_downwards_too_and_keeps_what_is_outside_at_its_ends() -> None:
    scale = Scale(1, 100, 300, 0, log=True)
    assert [round(scale.at(value)) for value in (0.1, 1, 10, 100, 1e9)] == [300, 300, 150, 0, 0]


def test_values_that_are_nearly_the_same_do_not_fill_a_scale() -> None:
    scale = log_scale([31.0, 31.2, 31.4], 0, 100)
    assert abs(scale.at(31.4) - scale.at(31.0)) < 5


@given(values)
def test_ticks_are_round_inside_and_apart(given_values: List[float]) -> None:
    for scale, ticks in (
        (log_scale(given_values, 0, 270), log_ticks),
        (linear_scale(given_values, 0, 270), linear_ticks),
        (log_scale([max(value, 1) for value in given_values], 0, 500), axes.byte_ticks),
    ):
        found = ticks(scale)
        assert len(found) <= 9
        assert all(scale.low * 0.999999 <= tick <= scale.high * 1.000001 for tick in found)
        places = [scale.at(tick) for tick in found]
        assert all(b - a > 12 for a, b in itertools.pairwise(places))


def test_ticks_of_sizes_are_powers_of_two() -> None:
    ticks = SIZE.ticks(SIZE.scale([8, 4 << 20], 0, 500))
    assert [axes.size_text(tick) for tick in ticks] == ["32 B", "1 KiB", "32 KiB", "1 MiB"]
    assert [axes.size_text(tick) for tick in SIZE.ticks(SIZE.scale([1024], 0, 500))] == ["1 KiB"]


def test_ticks_of_a_linear_axis_begin_at_zero() -> None:
    assert [axes.rate_text(tick) for tick in BANDWIDTH.ticks(BANDWIDTH.scale([1150.0], 0, 500))] == [
        "0", "200 MB/s", "400 MB/s", "600 MB/s", "800 MB/s", "1 GB/s", "1.2 GB/s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        (axes.time_text, 31.24, "31.2 µs"),
        (axes.time_text, 999.7, "1 ms"),
        (axes.time_text, 5030.0, "5.03 ms"),
        (axes.time_text, 20_033.0, "20 ms"),
        (axes.time_text, 1_200_000.0, "1.2 s"),
        (axes.time_text, 0.85, "0.85 µs"),
        (axes.time_text, 0.0, "0"),
        (axes.rate_text, 117.6, "118 MB/s"),
        (axes.rate_text, 1250.0, "1.25 GB/s"),
        (axes.rate_text, 0.012, "12 kB/s"),
        (axes.gigabyte_text, 0.892, "892 MB/s"),
        (axes.size_text, 8, "8 B"),
        (axes.size_text, 1500, "1.46 KiB"),
        (axes.size_text, 65536, "64 KiB"),
        (axes.size_text, 4 << 20, "4 MiB"),
        (axes.ratio_text, 0.2149, "0.21x"),
        (axes.ratio_text, 4.83, "4.8x"),
        (axes.ratio_text, 646.2, "646x"),
    ],
)
def test_numbers_have_fitting_units(text: Callable[[float], str], value: float, words: str) -> None:
    assert text(value) == words


@given(st.floats(1e-9, 1e15))
def test_no_number_is_in_powers_of_ten(value: float) -> None:
    for text in (axes.time_text, axes.rate_text, axes.size_text, axes.ratio_text):
        assert "e" not in text(value).split()[0]


def test_cells_share_a_unit_in_which_the_least_is_not_below_one() -> None:
    assert axes.common_unit([31.0, 20_000.0], axes.TIME_UNITS) == (1.0, "µs")
    assert axes.common_unit([5000.0, 20_000.0], axes.TIME_UNITS) == (1e3, "ms")
    assert axes.common_unit([31.0, 500_000.0], axes.TIME_UNITS) == (1e3, "ms")
    assert axes.common_unit([0.2, 0.4], axes.RATE_UNITS) == (1e-3, "kB/s")


def test_slow_is_darker_step_by_step_and_text_can_be_read_on_every_colour() -> None:
    parts = [index / 50 for index in range(51)]
    sequential = [colours.sequential(part) for part in parts]
    contrast = [colours.contrast(colour, "#000000") for colour in sequential]
    assert contrast == sorted(contrast, reverse=True) and len(set(contrast)) == 51
    for colour in [*sequential, *(colours.diverging(part) for part in parts)]:
        assert colours.contrast(colour, colours.text_on(colour)) >= 4.5


def test_a_shade_does_not_make_a_mountain_of_noise() -> None:
    shade = speeds([30.0, 31.0, 32.0], low_is_good=True)
    assert shade.high / shade.low == pytest.approx(2.0)
    assert speeds([30.0, 20_000.0], low_is_good=True).of(20_000.0) == colours.sequential(1.0)
    assert speeds([10.0, 1000.0], low_is_good=False).of(10.0) == colours.sequential(1.0)


def test_ratios_of_one_are_pale_whichever_way_is_better() -> None:
    for low_is_good in (True, False):
        shade = changes([0.5, 1.0, 3.0], low_is_good=low_is_good)
        assert shade.of(1.0) == colours.diverging(0.5)
    assert changes([0.1], low_is_good=True).of(0.1) == colours.diverging(0.0)
    assert changes([0.1], low_is_good=False).of(0.1) == colours.diverging(1.0)
    ended = changes([0.0005, 1.0], low_is_good=True)
    assert ended.open_ended and ended.low == pytest.approx(0.1) and ended.of(0.0005) == ended.of(0.1)


def coordinates(picture: str) -> List[float]:
    """All numbers of places in a picture."""
    found: List[float] = []
    for node in ElementTree.fromstring(picture).iter():
        for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"):
            if name in node.attrib:
                found.append(float(node.attrib[name]))
        found += [float(part) for part in re.findall(r"-?[\d.]+", node.attrib.get("d", ""))]
    return found


def plot(points: Tuple[Tuple[float, float], ...]) -> Plot:
    band = Band("all pairs", "all", tuple((size, value * 0.9, value * 1.2) for size, value in points))
    return Plot(
        "curve", "Latency", "a curve", SIZE, LATENCY, (Line("median", "median", points),), (band,), (Level("set", 5000.0),)
    )


@given(st.lists(st.tuples(st.integers(1, 1 << 40), st.one_of(st.just(0.0), st.floats(1e-6, 1e12))), max_size=12))
def test_curves_of_any_numbers_stay_in_the_picture(points: List[Tuple[int, float]]) -> None:
    drawn = plot(tuple((float(size), value) for size, value in sorted(points))).drawn()
    _, _, width, height = (float(part) for part in ElementTree.fromstring(drawn).attrib["viewBox"].split())
    assert all(0 <= place <= max(width, height) for place in coordinates(drawn))


def test_a_plot_of_one_size_has_a_dot_and_no_line() -> None:
    drawn = plot(((1024.0, 31.0),)).drawn()
    assert drawn.count("<circle") == 1 and 'class="line median"><path' not in drawn


def test_a_small_plot_to_the_letter(golden: Callable[[str, str], None]) -> None:
    shown = plot(((8.0, 31.0), (1024.0, 34.0), (65536.0, 120.0)))
    golden("bench-plot.svg", shown.drawn().replace("><", ">\n<") + "\n")


def heatmap(hosts: int, marked: Tuple[str, ...] = (), missing: int = 0) -> Heatmap:
    names = tuple(f"algo-{index + 1}" for index in range(hosts))
    pairs = list(itertools.combinations(names, 2))
    found = {frozenset(pair): 30.0 + index for index, pair in enumerate(pairs[missing:])}
    shade = speeds(list(found.values()), low_is_good=True)
    return Heatmap("map", "Latency", "all pairs", names, found, axes.digits, axes.time_text, shade, marked)


@pytest.mark.parametrize("hosts", [2, 3, 16, 17, 64, 130])
def test_a_matrix_has_a_cell_for_each_ordered_pair(hosts: int) -> None:
    drawn = heatmap(hosts).drawn()
    assert drawn.count('class="cell"') == hosts * (hosts - 1)
    assert drawn.count('class="self"') == hosts
    assert ('class="number' in drawn) == (hosts <= 16)
    tree = ElementTree.fromstring(drawn)
    width, height = float(tree.attrib["width"]), float(tree.attrib["height"])
    assert all(-1 <= place <= max(width, height) for place in coordinates(drawn))


def test_pairs_that_were_not_measured_are_empty_cells_that_say_so() -> None:
    drawn = heatmap(4, missing=2).drawn()
    assert drawn.count('class="cell"') == 8 and drawn.count(": not measured") == 4


def test_a_marked_host_has_a_row_a_column_and_both_labels() -> None:
    drawn = heatmap(5, ("algo-3",)).drawn()
    assert drawn.count('class="outline"') == 2
    assert len(re.findall(r'class="host marked"[^>]*>algo-3<', drawn)) == 2


@given(st.integers(2, 200), st.sets(st.integers(0, 199), max_size=20))
def test_labels_of_hosts_have_room(count: int, marks: set[int]) -> None:
    hosts = [str(index) for index in range(count)]
    pitch = max(640 / count, 4.0)
    shown = sorted(labelled(hosts, [str(mark) for mark in sorted(marks) if mark < count], pitch))
    assert shown and all((b - a) * pitch >= 12 for a, b in itertools.pairwise(shown))
    if marks and min(marks) < count:
        assert min(marks) in shown


def test_long_names_keep_their_end() -> None:
    assert shortened("algo-1") == "algo-1"
    assert shortened("a-host-with-a-long-name-17") == "\u2026-long-name-17"
