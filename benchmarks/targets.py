"""What is to be reached, and what the results say about it."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.candidates import COPY, PASTED, WHOLE
from benchmarks.comparison import BARE as LOOPS
from benchmarks.comparison import COMPARE
from benchmarks.fine_tuning import HALF, HALF_BY_LENGTH, PADDED, STEP
from benchmarks.fine_tuning import WHOLE as WHOLE_STEP
from benchmarks.pats import BARE, WITH_HALF, WITH_PATS
from benchmarks.perturb import COPY as CP
from benchmarks.perturb import PERTURB, UNHASHED
from benchmarks.readings import PASSES, Case, cases, nanoseconds, rounds
from benchmarks.report import FIRST, MANY, REPORT
from benchmarks.shapes import DECODER

Measure = Callable[[Case, Case], list[float]]
"""The values of the rounds, from a case and the case that it is compared with (mostly itself)."""


@dataclass(frozen=True)
class Target:
    """A number that is to be at most a limit, or at least.

    Attributes:
        text: what it is.
        limit: of the number.
        unit: printed behind it.
        part: of the suite.
        wanted: values of the cases that are looked at.
        measure: the number, round by round.
        at_least: whether the limit is a floor.
        beside: values of the case that it is compared with, where that is another one.
        device: the only one that the target is for, or None for every one.
    """

    text: str
    limit: float
    unit: str
    part: str
    wanted: dict[str, str]
    measure: Measure
    at_least: bool = False
    beside: dict[str, str] | None = None
    device: str | None = None

    def readings(self, document: dict[str, Any], device: str) -> Iterator["Reading"]:
        """What was reached in every case in which it was measured."""
        if self.device not in (None, device):
            return
        for case in cases(document, self.part, device, **self.wanted):
            for other in [case] if self.beside is None else cases(document, self.part, device, **self.beside):
                if found := self.measure(case, other):
                    low, high = found[0], found[0]
                    if len(found) > 1:
                        low, _, high = statistics.quantiles(found, n=4, method="inclusive")
                    yield Reading(self, statistics.median(found), low, high)


@dataclass(frozen=True)
class Reading:
    """A target and the number that was reached, with its quartiles over the rounds."""

    target: Target
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Whether it is met, and whether three rounds of four say so."""
        target = self.target
        if not self._meets(self.value):
            return "**no**"
        return "yes" if self._meets(self.low if target.at_least else self.high) else "yes, but not steadily"

    def _meets(self, value: float) -> bool:
        return value >= self.target.limit if self.target.at_least else value <= self.target.limit


def times_of(name: str, base: str, factor: float = 1.0) -> Measure:
    """How many times as long as the base a candidate takes, times a factor."""

    def measure(case: Case, other: Case) -> list[float]:
        pairs = zip(rounds(case, name), rounds(other, base), strict=False)
        return [factor * own / its for own, its in pairs]

    return measure


def more_than(name: str, base: str) -> Measure:
    """Milliseconds by which a candidate takes longer than the base."""

    def measure(case: Case, other: Case) -> list[float]:
        pairs = zip(rounds(case, name), rounds(other, base), strict=False)
        return [1e3 * (own - its) for own, its in pairs]

    return measure


def state_bytes(name: str) -> Measure:
    """Bytes that a candidate keeps for each parameter."""

    def measure(case: Case, _: Case) -> list[float]:
        found = case.get("candidates", {}).get(name, {}).get("state_bytes_per_parameter")
        return [] if found is None else [float(found)]

    return measure


def speed_of(name: str) -> Measure:
    """How many times as many elements a second one case does as the other."""

    def measure(case: Case, other: Case) -> list[float]:
        own, its = nanoseconds(case, name), nanoseconds(other, name)
        return [] if own is None or its is None else [its / own]

    return measure


def seconds(name: str, factor: float = 1.0) -> Measure:
    """What a candidate takes, times a factor."""
    return lambda case, _: [factor * value for value in rounds(case, name)]


def page_megabytes(case: Case, _: Case) -> list[float]:
    """The size of the page that was written, in 10^6 bytes."""
    return [case["page_bytes"] / 1e6] if "page_bytes" in case else []


def peak_megabytes(name: str) -> Measure:
    """What the memory of a candidate rises to, in 10^6 bytes."""

    def measure(case: Case, _: Case) -> list[float]:
        found = case.get("candidates", {}).get(name, {}).get("peak_bytes")
        return [] if found is None else [found / 1e6]

    return measure


_STEP, _MINILM = {"what": "optimizer step"}, {"what": "fine-tuning step, batch 32, length 64"}
_BERT = {"model": "BERT-base", "dtype": "float32"}
_HALF = {"model": "BERT-base", "dtype": "bfloat16"}
_LORA, _DECODER = {"model": "LoRA", "dtype": "float32"}, {"model": DECODER, "dtype": "float32"}
_SHARDED, _SINGLE = {"model": "sharded checkpoint, bfloat16"}, {"model": "one tensor, bfloat16"}
_PAGE = {"model": MANY}
_MRPC = "glue/mrpc, MiniLM"
_FRESH = "import torch, dither, first noise"
# Of a copy's bandwidth: NoisyTune moves three times the weights where a copy moves two.
_LIMIT = times_of(COPY, WHOLE, PASSES)

TARGETS = (
    Target("NoisyTune, BERT-base, float32: times the pasted snippet's speed", 12.0, "×", "noise", _BERT,
           times_of(PASTED, WHOLE), at_least=True, device="cpu"),
    Target("NoisyTune, BERT-base, float32: share of the memory limit", 0.4, "", "noise", _BERT, _LIMIT,
           at_least=True, device="cpu"),
    Target("NoisyTune, BERT-base: elements per second, bfloat16 over float32", 1.0, "×", "noise", _HALF,
           speed_of(WHOLE), at_least=True, beside=_BERT),
    Target("NoisyTune, LoRA, float32: times the pasted snippet's speed", 5.0, "×", "noise", _LORA,
           times_of(PASTED, WHOLE), at_least=True, device="cpu"),
    Target("NoisyTune, 1.5 B parameters, float32: share of the memory limit", 0.7, "", "noise", _DECODER,
           _LIMIT, at_least=True, device="cuda"),
    Target("AdamW step with PATS over the bare one, MiniLM", 2.0, "×", "pats", _STEP | {"model": "MiniLM"},
           times_of(WITH_PATS, BARE)),
    Target("AdamW step with PATS over the bare one, BERT-base", 2.0, "×", "pats",
           _STEP | {"model": "BERT-base"}, times_of(WITH_PATS, BARE)),
    Target("fine-tuning step of MiniLM with PATS over the one without", 1.03, "×", "pats", _MINILM,
           times_of(WITH_PATS, BARE), device="cpu"),
    Target("fine-tuning step of MiniLM with PATS over the one without", 1.02, "×", "pats", _MINILM,
           times_of(WITH_PATS, BARE), device="cuda"),
    Target("bytes kept for each parameter", 4.1, "", "pats", _MINILM, state_bytes(WITH_PATS)),
    Target("the same, bfloat16 average", 2.1, "", "pats", _MINILM, state_bytes(WITH_HALF)),
    Target("step of MiniLM on MRPC, 16 rows padded to 128 tokens, processor: float32's time over bf16's", 2.0,
           "×", "training", {"model": _MRPC, "what": PADDED}, times_of(WHOLE_STEP, HALF), at_least=True),
    Target("the same, batches of MRPC as they come", 2.0, "×", "training", {"model": _MRPC, "what": STEP},
           times_of(WHOLE_STEP, HALF), at_least=True),
    Target("the same, bf16 by length (`--fast`)", 2.0, "×", "training", {"model": _MRPC, "what": STEP},
           times_of(WHOLE_STEP, HALF_BY_LENGTH), at_least=True),
    Target("`import torch, dither` and the first noise over `import torch`", 60.0, "ms", "startup",
           {"model": "a fresh process"}, more_than(_FRESH, "import torch")),
    Target("first noise in a fresh process", 500.0, "ms", "startup", {"model": "inside a fresh process"},
           seconds("first noise", 1e3)),
    Target("`dither compare`, 27 short runs: times the sum of their bare training loops", 1.25, "×",
           "comparison", {"what": "27 runs, 1 process"}, times_of(COMPARE, LOOPS)),
    Target("the same with two processes", 1.25, "×", "comparison", {"what": "27 runs, 2 processes"},
           times_of(COMPARE, LOOPS)),
    Target("`dither perturb`, 8 GB in shards, without hashing: times `cp` and `sync`", 1.5, "×", "perturb",
           _SHARDED, times_of(UNHASHED, CP)),
    Target("`dither perturb`, one tensor of 4 GB, without hashing: times `cp` and `sync`", 1.5, "×",
           "perturb", _SINGLE, times_of(UNHASHED, CP)),
    Target("`dither perturb`, 8 GB in shards: memory above `import torch`", 250.0, "MB", "perturb", _SHARDED,
           peak_megabytes(PERTURB)),
    Target("`dither perturb`, one tensor of 4 GB: memory above `import torch`", 250.0, "MB", "perturb",
           _SINGLE, peak_megabytes(PERTURB)),
    Target("`dither report`, 3,015 runs, 9 tasks, 5 methods", 20.0, "s", "report", _PAGE, seconds(REPORT)),
    Target("the same: size of the page", 6.0, "MB", "report", _PAGE, page_megabytes),
    Target("the same: first picture on the screen", 3.0, "s", "report", _PAGE, seconds(FIRST)),
)  # fmt: skip
"""The limits that the tables are held against."""
