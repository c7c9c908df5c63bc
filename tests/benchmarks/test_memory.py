"""Peak memory is that of the work: temporaries that are freed again count, what was there before does not."""

from __future__ import annotations

import sys

import pytest
import torch
from benchmarks.memory import available, in_fresh_process, peak

MIB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is lowered through /proc")


@linux
@pytest.mark.parametrize("mebibytes", [8, 64])
def test_freed_temporaries_count(mebibytes: int) -> None:
    def work() -> None:
        first = torch.ones(mebibytes * MIB // 4)
        _ = first * 2

    assert peak(work, "cpu") == pytest.approx(2 * mebibytes * MIB, abs=2 * MIB)


@linux
def test_an_earlier_peak_does_not_count() -> None:
    torch.ones(128 * MIB // 4).sum()
    held = torch.ones(32 * MIB // 4)
    assert peak(lambda: held.add_(1), "cpu") < 2 * MIB


@linux
def test_the_snippet_needs_its_largest_tensor_again() -> None:
    arguments = {"model": "LoRA", "dtype": "float32", "device": "cpu"}
    found = in_fresh_process("benchmarks.noise", arguments | {"candidate": "snippet as pasted"})
    assert isinstance(found, int), found
    assert 0 <= found < 4 * MIB


def test_a_process_that_fails_says_why() -> None:
    found = in_fresh_process("benchmarks.noise", {"model": "no such model", "dtype": "float32"})
    assert isinstance(found, str)
    assert "candidate" in found


def test_there_is_memory_left() -> None:
    assert 2**20 < available() < 2**50
