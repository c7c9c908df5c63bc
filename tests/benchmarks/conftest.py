"""Makes `benchmarks` importable, and results to try the page on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


PAGE = {"page_bytes": 2**20, "pictures": 32, "marks": 3356}


def timed(*rounds: float, **more: Any) -> dict[str, Any]:
    """A candidate as the suite stores it."""
    from benchmarks.timing import summary

    return summary(list(rounds)) | more


@pytest.fixture
def document() -> dict[str, Any]:
    """Results of every part: a million elements, round numbers."""
    noise = {
        "dither.noisytune_": timed(1e-3, 1e-3, 2e-3, peak_bytes=2**20),
        "snippet as pasted": timed(1e-2, 2e-2, 1e-2, peak_bytes=3 * 2**30),
        "reference": {"omitted": "takes minutes"},
        "copy_": timed(5e-4, 5e-4, 5e-4),
    }
    pats = {
        "AdamW": timed(0.01, 0.01, 0.02),
        "AdamW + PATS": timed(0.015, 0.016, 0.032, state_bytes_per_parameter=4.0),
        "AdamW + PATS, bfloat16 average": timed(0.02, 0.02, 0.04, state_bytes_per_parameter=2.0),
    }
    startup = {"import torch": timed(1.0, 1.1), "import torch, dither, first noise": timed(1.25, 1.35)}
    scaling = {"moments + perturb_": timed(1e-3), "copy_": timed(5e-4)}
    perturb = {
        "cp -r, sync": timed(2.0, 2.0, 4.0),
        "dither perturb": timed(5.0, 5.0, 8.0, peak_bytes=240_000_000),
        "dither perturb, hashing left out": timed(3.0, 3.0, 4.0, peak_bytes=240_000_000),
    }
    report = {
        "dither report": timed(12.0, 14.0, 21.0, peak_bytes=2**29),
        "first picture on the screen": timed(0.5, 0.25, 0.25),
    }
    million = {"dtype": "float32", "elements": 1_000_000, "tensors": 2}
    cases = {
        "noise": {"model": "BERT-base", **million, "candidates": noise},
        "pats": {"model": "MiniLM", "what": "optimizer step", **million, "candidates": pats},
        "startup": {"model": "a fresh process", "candidates": startup},
        "scaling": {"model": "1e6", **million, "candidates": scaling},
        "perturb": {"model": "sharded checkpoint, bfloat16", "bytes": 8_000_000_000, "candidates": perturb},
        "report": {"model": "3,015 runs", **PAGE, "candidates": report},
    }
    run = {"measured": "2030-01-02T03:04:05+00:00", "commit": "abc", "threads": 1, "backend": "native (X)"}
    sections = [{"part": part, "device": "cpu", "run": dict(run), "cases": [cases[part]]} for part in cases]
    machine = {"cpu": "Some CPU", "cores": 2, "memory_gib": 23.5, "torch_instruction_set": "AVX2"}
    return {"format": 1, "machine": machine, "sections": sections}
