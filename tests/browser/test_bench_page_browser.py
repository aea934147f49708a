"""The pages of ``hvdsm bench network`` as Chromium shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from bench_page_samples import document, sample
from browser_support import Browser

from hvdsm.bench.compare import compare
from hvdsm.bench.page import render
from hvdsm.bench.record import Bench, from_json, to_json

Write = Callable[[str], Path]

RUNS: Dict[str, Dict[str, Any]] = {
    "2 hosts": {"count": 2, "engines": ()},
    "4 hosts, one slow": {"count": 4, "slow": ("algo-3",), "engines": ("mpi", "horovod", "torch")},
    "5 hosts of long names": {"count": 5, "names": [f"a-host-with-a-long-name-{letter}.example" for letter in "abcde"]},
    "16 hosts, one slow pair": {"count": 16, "slow_pair": ("algo-2", "algo-11"), "engines": ("mpi", "torch")},
    "64 hosts, one slow": {"count": 64, "slow": ("algo-17",), "sizes": (8, 1 << 20)},
    "one size": {"count": 3, "sizes": (1024,)},
    "two slow neighbours": {"count": 40, "slow": ("algo-7", "algo-8"), "sizes": (8, 4096)},
}

# Texts of a picture that lie on each other or are cut, as words; and boxes that are empty.
FAULTS = """
const faults = [];
for (const picture of document.querySelectorAll('svg')) {
  const frame = picture.getBoundingClientRect();
  const name = picture.id || 'sample of a legend';
  if (frame.width < 5 || frame.height < 5) faults.push(`${name} is empty`);
  const texts = [...picture.querySelectorAll('text')].map(one => [one.textContent, one.getBoundingClientRect()]);
  for (const [words, box] of texts) {
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
      faults.push(`${name}: "${words}" is cut`);
    if (!(box.width > 0)) faults.push(`${name}: "${words}" has no width`);
  }
  texts.forEach(([words, box], index) => {
    for (const [others, other] of texts.slice(index + 1)) {
      const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
      const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
      // The box of a text has room above and below its letters.
      if (across > 1 && down > 0.3 * Math.min(box.height, other.height, box.width, other.width))
        faults.push(`${name}: "${words}" lies on "${others}"`);
    }
  });
  for (const part of picture.querySelectorAll('circle, path, rect.cell')) {
    const box = part.getBoundingClientRect();
    if (box.right < frame.left - 1 || box.left > frame.right + 1 || box.bottom < frame.top - 1 || box.top > frame.bottom + 1)
      faults.push(`${name}: a ${part.tagName} is outside`);
  }
}
if (document.documentElement.scrollWidth > innerWidth) faults.push('the page is wider than the window');
return faults;
"""

# Texts whose contrast to what is behind them is below WCAG's 4.5, as words with the number.
FAINT = """
const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
const light = rgb => { const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = node => { for (; node; node = node.parentElement) {
    const colour = parse(getComputedStyle(node).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour.slice(0, 3); }
  return [255, 255, 255]; };
const faint = new Set();
const words = 'h1, h2, h3, p, span, strong, dt, dd, li, td, th, summary, caption, figcaption, button, svg text';
for (const node of document.querySelectorAll(words)) {
  if (!node.textContent.trim() || !node.checkVisibility()) continue;
  const style = getComputedStyle(node);
  let back = behind(node);
  if (node.matches('text.number')) back = parse(getComputedStyle(node.previousElementSibling).fill).slice(0, 3);
  const front = parse(node instanceof SVGElement ? style.fill : style.color).slice(0, 3);
  const [one, other] = [light(front), light(back)].sort((a, b) => b - a);
  const contrast = (one + 0.05) / (other + 0.05);
  if (contrast < 4.5) faint.add(`${node.tagName}.${node.getAttribute('class')}: ${contrast.toFixed(2)}`);
}
return [...faint];
"""


def text_of(browser: Browser, selector: str) -> str:
    return str(browser.run("return document.querySelector(arguments[0]).innerText", selector))


@pytest.mark.parametrize("width", [1280, 480])
@pytest.mark.parametrize("run", RUNS)
def test_a_page_is_whole_and_loads_nothing(browser: Browser, written: Write, run: str, width: int) -> None:
    page = written(render(sample(**RUNS[run])))
    browser.open(page, width=width, dark=width == 480)
    assert browser.run(FAULTS) == []
    assert browser.console() == []
    assert browser.requested() == [page.as_uri()]


@pytest.mark.parametrize("run", RUNS)
def test_the_matrix_has_a_filled_cell_for_each_ordered_pair(browser: Browser, written: Write, run: str) -> None:
    bench = sample(**RUNS[run])
    browser.open(written(render(bench)))
    counted = """return [...document.querySelectorAll('svg.heat')].map(map => [...map.querySelectorAll('rect.cell')].filter(
        cell => /^rgb\\(/.test(getComputedStyle(cell).fill) && cell.getBoundingClientRect().width > 3).length)"""
    assert browser.run(counted) == [len(bench.hosts) * (len(bench.hosts) - 1)] * 2


@pytest.mark.parametrize("slow", ["algo-1", "algo-3", "algo-4"])
def test_the_slowed_host_is_named_first_and_its_row_stands_out(browser: Browser, written: Write, slow: str) -> None:
    browser.open(written(render(sample(4, slow=(slow,)))))
    assert text_of(browser, ".verdict").startswith(f"{slow} is slow")
    assert set(browser.run("return [...document.querySelectorAll('text.marked')].map(one => one.textContent)")) == {slow}
    # Dark is slow: the cells of its row and column are darker than all others.
    rows = browser.run(
        """return [...document.querySelectorAll('svg.heat')].map(map => [...map.querySelectorAll('rect.cell')].map(cell => [
        cell.querySelector('title').textContent,
        getComputedStyle(cell).fill.match(/\\d+/g).reduce((sum, part) => sum + Number(part), 0)]))"""
    )
    for cells in rows:
        of_host = [light for title, light in cells if slow in title]
        others = [light for title, light in cells if slow not in title]
        assert len(of_host) == 6 and max(of_host) < min(others)


def test_a_quick_network_has_no_alarm(browser: Browser, written: Write) -> None:
    browser.open(written(render(sample(4))))
    assert "No host and no pair stands out" in text_of(browser, ".verdict")
    assert browser.run("return document.querySelectorAll('.verdict.slow, tr.slow, text.marked').length") == 0


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("run", ["4 hosts, one slow", "16 hosts, one slow pair"])
def test_both_schemes_can_be_read(browser: Browser, written: Write, run: str, dark: bool) -> None:
    browser.open(written(render(sample(**RUNS[run]))), dark=dark)
    back = browser.run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(back) < 150) == dark
    assert browser.run(FAINT) == []


HOSTILE = [
    "<script>window.hit = 1</script>",
    "</script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "</title></text></svg><script>window.hit = 1</script>",
    "\"'><svg onload='window.hit = 1'>",
    "<!--<script>",
    "]]> & \u202egnihton \ud800 \x00",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_names_are_text_and_never_run(browser: Browser, written: Write, text: str) -> None:
    values = document(3, names=[text, "algo-2", "algo-3"], label=text, slow=(text,))
    values["not_measured"] = [{"engine": text, "why": text}]
    values["allreduce"][0]["engine"] = values["allreduce"][0]["detail"] = text
    values["mpi"]["name"] = values["hosts"][0]["kernel"] = text
    bench = from_json(values)
    for page in (render(bench), compare(bench, bench).page()):
        browser.open(written(page))
        assert browser.run("return [window.hit === undefined, document.images.length]") == [True, 0]
        assert browser.console() == [] and len(browser.requested()) == 1
        assert browser.run("return document.querySelectorAll('script:not([type])').length") == 1
        if text.isprintable():
            assert text in browser.run("return document.body.textContent")
        assert browser.run(FAULTS) == []


def test_the_policy_stops_a_script_that_is_not_the_pages_own(browser: Browser, written: Write) -> None:
    page = render(sample(2)).replace("</body>", "<script>window.hit = 1</script><style>h1 { color: red }</style></body>")
    browser.open(written(page))
    assert browser.run("return window.hit === undefined")
    said = " ".join(browser.console())
    assert "script" in said and "style" in said and "Content Security Policy" in said


def test_the_data_of_the_page_are_those_it_was_made_from(browser: Browser, written: Write) -> None:
    bench = sample(4, label="a </script> & a \u2028 'label'")
    browser.open(written(render(bench)))
    found = browser.run("return JSON.parse(document.getElementById('data-network-json').textContent)")
    assert found == json.loads(json.dumps(to_json(bench)))
    assert from_json(found) == bench
    saved = """const made = []; URL.createObjectURL = blob => { made.push(blob.size); return '#'; };
        const button = document.querySelector('button.file'); button.click(); return [made, button.hidden]"""
    sizes, hidden = browser.run(saved)
    assert len(sizes) == 1 and sizes[0] > 1000 and not hidden


def column(browser: Browser, number: int) -> List[str]:
    script = "return [...document.querySelector('table.sorted').tBodies[0].rows].map(row => row.cells[arguments[0]].textContent)"
    found: List[str] = browser.run(script, number)
    return found


def test_a_table_is_sorted_by_the_column_that_is_clicked(browser: Browser, written: Write) -> None:
    browser.open(written(render(sample(12, slow=("algo-10",), engines=(), sizes=(8,)))))
    browser.run("document.querySelectorAll('table.sorted thead button')[0].click()")
    names = column(browser, 0)
    assert names[0].startswith("algo-1 ") and names[-1] == "algo-11 \u2013 algo-12"
    assert names.index("algo-2 \u2013 algo-3") < names.index("algo-10 \u2013 algo-11")
    browser.run("document.querySelectorAll('table.sorted thead button')[1].click()")
    assert "algo-10" not in column(browser, 0)[0] and "algo-10" in column(browser, 0)[-1]
    browser.run("document.querySelectorAll('table.sorted thead button')[1].click()")
    assert "algo-10" in column(browser, 0)[0]
    assert browser.run("return [...document.querySelectorAll('[aria-sort]')].map(one => one.getAttribute('aria-sort'))") == [
        "descending"
    ]


def test_a_cell_that_is_pointed_at_says_its_value(browser: Browser, written: Write) -> None:
    browser.open(written(render(sample(64, slow=("algo-17",), sizes=(8,)))))
    said = browser.run(
        """const cell = [...document.querySelectorAll('#map-latency rect.cell')].find(
            one => one.querySelector('title').textContent.startsWith('algo-17 \u2013 algo-20'));
        cell.dispatchEvent(new PointerEvent('pointerover', {bubbles: true}));
        return cell.closest('figure').querySelector('.readout').textContent"""
    )
    assert said.startswith("algo-17 \u2013 algo-20: 20") and said.endswith("ms")


def test_without_scripts_all_of_it_can_be_read(browser: Browser, written: Write) -> None:
    page = written(render(sample(4, slow=("algo-3",))))
    browser.open(page, scripts=False)
    found = browser.tell("DOMSnapshot.captureSnapshot", computedStyles=[])
    words = " ".join(found["strings"])
    assert "algo-3 is slow" in words and "Table of 6 pairs" in words and "median of the 3 other pairs" in words
    assert "Point at the picture" not in [
        found["strings"][index] for index in found["documents"][0]["layout"]["text"] if index >= 0
    ]
    browser.tell("Emulation.setScriptExecutionDisabled", value=False)


def test_on_paper_folded_tables_are_open_and_the_ground_is_white(browser: Browser, written: Write) -> None:
    browser.open(written(render(sample(16))), dark=True, media="print")
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("return [...document.querySelectorAll('tbody tr')].every(row => row.getBoundingClientRect().height > 5)")


COMPARED: Dict[str, List[Bench]] = {
    "a repaired host": [sample(4, slow=("algo-3",)), sample(4, seed=9, latency=6.5, bandwidth=5500.0, engines=("mpi", "torch"))],
    "more hosts": [sample(4), sample(16, seed=9, label="a label that is " + "very " * 20 + "long")],
    "no host in common": [sample(2), sample(3, names=("x-1", "x-2", "x-3"))],
    "no size in common": [sample(3, sizes=(8, 64)), sample(3, sizes=(16, 128))],
}


@pytest.mark.parametrize("width", [1280, 480])
@pytest.mark.parametrize("case", COMPARED)
def test_a_comparison_is_whole_and_loads_nothing(browser: Browser, written: Write, case: str, width: int) -> None:
    compared = compare(*COMPARED[case])
    page = written(compared.page())
    browser.open(page, width=width, dark=width == 480)
    assert browser.run(FAULTS) == []
    assert browser.run(FAINT) == []
    assert browser.console() == [] and browser.requested() == [page.as_uri()]
    assert text_of(browser, ".verdict").startswith(compared.verdict)
