"""The tables of each part of the suite."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.candidates import BACKEND, COPY, WHOLE
from benchmarks.comparison import BARE as LOOPS
from benchmarks.fine_tuning import WHOLE as WHOLE_STEP
from benchmarks.pats import BARE
from benchmarks.perturb import COPY as CP
from benchmarks.readings import PASSES, Case, added, limit_share, nanoseconds, ratio, rounds
from benchmarks.tables import NOTHING, count, number, share, size, table, times

_REASONS = {"error": "failed:", "omitted": "not measured:", "peak_error": "memory not measured:"}

Render = Callable[[Case], list[str]]


def _caption(case: Case) -> str:
    words = [str(case[key]) for key in ("model", "what", "dtype") if key in case]
    if "elements" in case and "tensors" in case:
        words.append(f"{count(case['elements'])} elements in {case['tensors']} tensors")
    if "bytes" in case:
        words.append(f"{case['bytes'] / 1e9:.1f} GB")
    note = f" ({case['note']})" if "note" in case else ""
    return f"**{', '.join(words)}**{note}"


def _rows(case: Case, cells: Callable[[str, dict[str, Any]], list[str]]) -> list[list[str]]:
    """A row for each candidate that was measured."""
    return [
        [candidate, *cells(candidate, row)]
        for candidate, row in case.get("candidates", {}).items()
        if "median" in row
    ]


def _reasons(case: Case) -> list[str]:
    """Why a candidate, or its memory, is not in the table."""
    return [
        f"* {candidate}: {sentence} {row[word]}"
        for candidate, row in case.get("candidates", {}).items()
        for word, sentence in _REASONS.items()
        if word in row
    ]


def _spread(row: dict[str, Any], factor: float, digits: int = 3) -> str:
    if "q1" not in row or "q3" not in row:
        return NOTHING
    return f"{number(factor * row['q1'], digits)} … {number(factor * row['q3'], digits)}"


def _each(render: Render) -> Callable[[Sequence[Case]], list[str]]:
    """A table for each case, with what was measured above it."""

    def lines(cases: Sequence[Case]) -> list[str]:
        found: list[str] = []
        for case in cases:
            rows = render(case) if case.get("candidates") else ["Not measured."]
            reasons = _reasons(case)
            found += [
                *([""] if found else []),
                _caption(case),
                "",
                *rows,
                *([""] if reasons else []),
                *reasons,
            ]
        return found or ["Not measured."]

    return lines


def _noise(case: Case) -> list[str]:
    per_element = 1e9 / case["elements"] if "elements" in case else 1.0

    def cells(candidate: str, row: dict[str, Any]) -> list[str]:
        return [
            number(nanoseconds(case, candidate)),
            _spread(row, per_element),
            times(ratio(case, candidate, WHOLE)),
            NOTHING if candidate == COPY else share(limit_share(case, candidate)),
            size(row.get("peak_bytes")),
        ]

    rows = _rows(case, cells)
    if copied := nanoseconds(case, COPY):
        relative = ratio(case, COPY, WHOLE)
        limit = None if relative is None else PASSES * relative
        rows.append(["*memory limit*", number(PASSES * copied), NOTHING, times(limit), "100 %", NOTHING])
    head = ["", "ns per element", "quartiles", "time / dither's", "share of the memory limit", "peak memory"]
    return table(head, rows)


def _pats(case: Case) -> list[str]:
    def cells(candidate: str, row: dict[str, Any]) -> list[str]:
        held = row.get("state_bytes_per_parameter")
        return [
            number(1e3 * row["median"]),
            _spread(row, 1e3),
            times(ratio(case, candidate, BARE)),
            NOTHING if held is None else f"{held:.2f}",
            size(row.get("peak_bytes")),
        ]

    head = ["", "ms", "quartiles", "time / AdamW's", "bytes kept per parameter", "peak memory of a step"]
    return table(head, _rows(case, cells))


def _training(case: Case) -> list[str]:
    """Seconds of the processor for each step, and what batches by length and 16 bits save of them."""

    def cells(candidate: str, row: dict[str, Any]) -> list[str]:
        saved = ratio(case, WHOLE_STEP, candidate)
        tokens = row.get("tokens")
        return [
            number(row["median"] / row.get("steps", 1)),
            _spread(row, 1.0 / row.get("steps", 1)),
            times(saved),
            number(row.get("clock_seconds")),
            NOTHING if tokens is None else f"{tokens:,}",
        ]

    head = ["", "s of processor", "quartiles", "times as fast", "s by the clock", "tokens with padding"]
    return table(head, _rows(case, cells))


def _startup(case: Case) -> list[str]:
    def cells(candidate: str, row: dict[str, Any]) -> list[str]:
        more = added(case, candidate, "import torch")
        return [number(row["median"]), _spread(row, 1.0), NOTHING if more is None else f"{more:+.3f}"]

    head = ["", "s", "quartiles", "s more than `import torch`"]
    return table(head, _rows(case, cells))


def _scaling(cases: Sequence[Case]) -> list[str]:
    """One table: a row for each size."""
    rows = []
    for case in cases:
        seconds = rounds(case, BACKEND)
        median = number(1e6 * statistics.median(seconds)) if seconds else case.get("note", NOTHING)
        per_element = [number(nanoseconds(case, name)) for name in (BACKEND, COPY)]
        rows.append(
            [
                f"{case['elements']:,}" if "elements" in case else NOTHING,
                median,
                *per_element,
                share(limit_share(case, BACKEND)),
            ]
        )
    head = ["elements (float32)", "µs", "ns per element", "a copy's", "share of the memory limit"]
    return table(head, rows)


def _perturb(case: Case) -> list[str]:
    """Whole processes over the bytes of the tensors."""

    def cells(candidate: str, row: dict[str, Any]) -> list[str]:
        speed = None if "bytes" not in case else case["bytes"] / row["median"] / 1e9
        peak = size(row.get("peak_bytes"))
        return [
            number(row["median"]), _spread(row, 1.0), number(speed), times(ratio(case, candidate, CP)), peak
        ]  # fmt: skip

    head = ["", "s", "quartiles", "GB/s", "time / cp's", "peak memory above `import torch`"]
    return table(head, _rows(case, cells))


def _comparison(case: Case) -> list[str]:
    """Wall time of the whole, and the processor time, which other work on the machine moves less."""
    used = {name: row.get("cpu_seconds") for name, row in case["candidates"].items()}

    def cells(candidate: str, row: dict[str, Any]) -> list[str]:
        own, its, part = used[candidate], used.get(LOOPS), row.get("step_share")
        return [
            number(row["median"]),
            times(ratio(case, candidate, LOOPS)),
            number(own),
            times(own / its if own and its else None),
            NOTHING if part is None else share(part),
            size(row.get("peak_bytes")),
        ]

    head = ["", "s", "time / the loops'", "s of processor", "the same / the loops'", "in training steps"]
    return table([*head, "peak memory of the largest process"], _rows(case, cells))


def _precision(case: Case) -> list[str]:
    """Scores in points; a difference whose p is below 0.05 lies within the margin."""
    rows = []
    for task, row in case["candidates"].items():
        if "difference" not in row:
            continue
        means = [number(mean, 4) for mean in row.get("means", [])] or [NOTHING] * 2
        low, high = row["interval"]
        p = number(row["p_equivalence"])
        found = [f"{row['difference']:+.2f}", f"{low:+.2f} … {high:+.2f}"]
        rows.append([task, *means, *(text.replace("-", "−") for text in found), p, row["verdict"]])
    head = [
        "",
        "float32",
        "bf16",
        "difference",
        "95 % interval",
        "p of equivalence, Holm-adjusted",
        "verdict",
    ]
    return table(head, rows)


def _report(case: Case) -> list[str]:
    """Its pages: how long they are made, and how long a browser draws them."""

    def cells(_: str, row: dict[str, Any]) -> list[str]:
        return [number(row["median"]), _spread(row, 1.0), size(row.get("peak_bytes"))]

    rows = table(["", "s", "quartiles", "peak memory"], _rows(case, cells))
    if "page_bytes" not in case:
        return rows
    drawn = f"{case.get('pictures', NOTHING)} pictures with {case.get('marks', 0):,} marks"
    return [*rows, "", f"The page: {size(case['page_bytes'])}, {drawn}."]


PARTS: dict[str, tuple[str, Callable[[Sequence[Case]], list[str]]]] = {
    "noise": ("NoisyTune", _each(_noise)),
    "pats": ("PATS", _each(_pats)),
    "training": ("Training steps in float32 and bf16", _each(_training)),
    "startup": ("Start-up", _each(_startup)),
    "scaling": ("Scaling of `moments` and `perturb_`", _scaling),
    "comparison": ("`dither compare` against the bare training loops of its runs", _each(_comparison)),
    "precision": ("Scores in bf16 and in float32: paired runs", _each(_precision)),
    "perturb": ("`dither perturb` against `cp` and `sync`", _each(_perturb)),
    "report": ("`dither report`: written in a fresh process, opened in Chromium", _each(_report)),
}
"""Title and tables of each part, in the order of the page."""
