"""GPUs are divided equally, or not at all."""

from __future__ import annotations

from typing import Dict, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdsm.emulator.gpus import divide_gpus, usable_gpus

EIGHT = tuple("01234567")


@pytest.mark.parametrize(
    ("indices", "hosts", "shares"),
    [
        (EIGHT, 1, (EIGHT,)),
        (EIGHT, 2, (tuple("0123"), tuple("4567"))),
        (tuple("012"), 2, (("0",), ("1",))),
        (("0",), 2, ((), ())),
        ((), 3, ((), (), ())),
        (("GPU-a", "GPU-b"), 2, (("GPU-a",), ("GPU-b",))),
    ],
)
def test_shares(indices: Tuple[str, ...], hosts: int, shares: Tuple[Tuple[str, ...], ...]) -> None:
    assert divide_gpus(indices, hosts) == shares


@given(st.integers(0, 32), st.integers(1, 32))
def test_no_gpu_is_given_twice_and_all_hosts_are_equal(count: int, hosts: int) -> None:
    shares = divide_gpus([str(number) for number in range(count)], hosts)
    given_out = [gpu for share in shares for gpu in share]
    assert len(shares) == hosts
    assert len(set(given_out)) == len(given_out)
    assert {len(share) for share in shares} == {count // hosts}


@pytest.mark.parametrize(
    ("environ", "usable"),
    [
        ({}, ("0", "1", "2", "10")),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
        ({"CUDA_VISIBLE_DEVICES": "2, 0"}, ("2", "0")),
        ({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, ("1",)),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937"}, ("GPU-8932f937",)),
    ],
)
def test_which_gpus_count(environ: Dict[str, str], usable: Tuple[str, ...]) -> None:
    devices = ["null", "nvidia10", "nvidia2", "nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"]
    assert usable_gpus(devices, environ) == usable


def test_no_gpu_on_the_machine() -> None:
    assert usable_gpus(["null", "zero"], {"CUDA_VISIBLE_DEVICES": "0"}) == ()
