"""How the time of the two backend calls grows with the number of elements."""

from collections.abc import Iterator
from typing import Any

from benchmarks.candidates import BACKEND, CANDIDATES, COPY, Subject
from benchmarks.memory import available
from benchmarks.shaped_model import ShapedModel
from benchmarks.timing import interleaved, sample

_SLOWEST = 20.0
"""Seconds beyond which a single run is not repeated seven times."""


def measure(device: str, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """One tensor of float32, from a thousand elements to a billion, as memory and time allow."""
    import torch

    seconds = 0.0
    for power in range(3, 6 if quick else 10):
        count = 10**power
        case: dict[str, Any] = {"model": f"1e{power}", "dtype": "float32", "elements": count, "tensors": 1}
        if 10 * seconds > _SLOWEST:
            yield case | {"candidates": {}, "note": f"a run would take about {10 * seconds:.0f} s"}
            return
        if 2 * 4 * count > 0.8 * available(device):
            yield case | {"candidates": {}, "note": "two such tensors do not fit into the free memory"}
            return
        subject = Subject(ShapedModel({"weight": (count,)}, torch.float32, device))
        work = {name: CANDIDATES[name](subject) for name in (BACKEND, COPY)}
        yield case | {"candidates": interleaved(work, 3 if quick else 7, device=device)}
        seconds = sample(work[BACKEND], 1, device)
