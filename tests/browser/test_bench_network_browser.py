"""From a slowed host to the page that names it: a real run on emulated hosts, its page in Chromium."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from browser_support import Browser
from test_bench_page_browser import FAULTS, text_of

from hvdsm.bench.record import read
from hvdsm.emulator.availability import probe


@pytest.mark.cluster
def test_the_page_of_a_run_with_a_slowed_host_names_it(browser: Browser, tmp_path: Path) -> None:
    availability = probe()
    if not availability.ok:
        pytest.skip(f"emulated hosts: {availability.reason}; {availability.remedy}")
    command = [sys.executable, "-m", "hvdsm", "bench", "network", "--instance-count", "4", "--quick", "--engines", "mpi"]
    command += ["--slow-host", "algo-3:delay-ms=20,mbit=100", "--output", str(tmp_path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (page,) = tmp_path.glob("*/network.html")
    browser.open(page)
    assert text_of(browser, ".verdict").startswith("algo-3 is slow")
    # On a busy machine the measurement may name more; the page marks those that it named.
    named = {finding.hosts[0] for finding in read(str(page.with_name("network.json"))).findings if len(finding.hosts) == 1}
    assert set(browser.run("return [...document.querySelectorAll('text.marked')].map(one => one.textContent)")) == named
    assert browser.run("return document.querySelectorAll('#map-latency rect.cell').length") == 12
    assert browser.run(FAULTS) == [] and browser.console() == [] and browser.requested() == [page.as_uri()]
