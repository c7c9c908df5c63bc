"""The runs of one task and method, and what was measured of them, as means over the runs."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dither.core.histogram import EDGES, dense
from dither.core.parameter_types import layer_of, parameter_type, parameter_types, type_place
from dither.results import RunResult

Row = dict[str, Any]

EMBEDDINGS, OUTSIDE, POOLER, HEAD = "embeddings", "outside layers", "pooler", "head"


@dataclass(frozen=True, eq=False)
class Arm:
    """The runs of one task and method.

    Args:
        task: its name.
        method: its name.
        runs: one for each seed.
    """

    task: str
    method: str
    runs: tuple[RunResult, ...]

    def measured(self, part: str) -> list[Any]:
        """A part of the measurements, of each run that has it."""
        found = ((run.measurements or {}).get(part) for run in self.runs)
        return [one for one in found if one]

    def records(self) -> list[list[Row]]:
        """Of each run with noise the rows of its record, with their `part`, `type` and `elements`."""
        found = []
        for run in self.runs:
            rows = [row for record in (run.record or {}).values() for row in record.get("tensors", ())]
            types = parameter_types(row["name"] for row in rows)
            found.append([row | _place_of(row, types[row["name"]]) for row in rows])
        return [rows for rows in found if rows]


def _place_of(row: Row, kind: str) -> Row:
    return {"part": part_of(row["name"]), "type": kind, "elements": math.prod(row["shape"])}


def arms_of(results: Sequence[RunResult]) -> tuple[Arm, ...]:
    """The arms of some runs; tasks, and a task's methods, in the order in which they come."""
    found = runs_by_arm(results)
    tasks = dict.fromkeys(task for task, _ in found)
    return tuple(
        Arm(task, method, tuple(runs))
        for each in tasks
        for (task, method), runs in found.items()
        if task == each
    )


def runs_by_arm(results: Sequence[RunResult]) -> dict[tuple[str, str], list[RunResult]]:
    """(task, method) -> its runs, in the order in which they come."""
    found: dict[tuple[str, str], list[RunResult]] = {}
    for result in results:
        found.setdefault((result.spec.task, result.spec.method), []).append(result)
    return found


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are finite; None where there is none.

    Example:
        >>> mean([1.0, None, 3.0, float("nan")]), mean([])
        (2.0, None)
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(known) / len(known) if known else None


@dataclass(frozen=True, eq=False)
class Spread:
    """How some nonnegative values are spread: means over runs of the shares of elements.

    Attributes:
        bins: shares in the bins of `dither.core.histogram`, float64 (62,).
        zeros: share of exact zeros.
        runs: how many runs.
    """

    bins: NDArray[np.float64]
    zeros: float
    runs: int


def spread_of(runs: Sequence[Sequence[Row]]) -> Spread | None:
    """The spread of several rows together, such as those of all types; each run counts alike.

    Args:
        runs: of each run the rows, with `count`, `zeros` and `histogram`, dense or sparse.

    Returns:
        None where no run has elements.
    """
    shares, zeros = [], []
    for rows in runs:
        count = sum(row["count"] for row in rows)
        if count:
            shares.append(sum(_bins(row["histogram"]) for row in rows) / count)
            zeros.append(sum(row["zeros"] for row in rows) / count)
    if not shares:
        return None
    return Spread(np.mean(shares, axis=0), float(np.mean(zeros)), len(shares))


def _bins(histogram: Sequence[Any]) -> NDArray[np.float64]:
    is_dense = len(histogram) == len(EDGES) + 1 and not isinstance(histogram[0], list)
    return np.asarray(histogram, np.float64) if is_dense else dense(list(histogram))


def part_of(name: str) -> str:
    """Where in a model a parameter stands: "embeddings", the number of its layer, "pooler", "head".

    Args:
        name: canonical.

    Example:
        >>> [part_of(name) for name in ("embeddings.LayerNorm.bias", "h.3.ln_1.weight", "ln_f.weight")]
        ['embeddings', '3', 'outside layers']
    """
    layer, kind = layer_of(name), parameter_type(name)
    if layer is not None:
        return str(layer)
    if kind in (POOLER, HEAD):
        return kind
    return EMBEDDINGS if EMBEDDINGS in kind or "embed" in name.lower() else OUTSIDE


def parts_in_order(parts: Iterable[str]) -> list[str]:
    """From the input of a model to its output."""
    last = {OUTSIDE: 1, POOLER: 2, HEAD: 3}
    return sorted(set(parts), key=lambda part: _place(part, last))


def _place(part: str, last: dict[str, int]) -> tuple[int, int]:
    return (1, int(part)) if part.isdecimal() else (2, last[part]) if part in last else (0, 0)


def types_in_order(kinds: Iterable[str]) -> list[str]:
    """By the order of tables; those of a model of which nothing is known come last."""
    return sorted(set(kinds), key=lambda kind: (type_place(kind), kind))


def by_key(rows: Iterable[Row], *names: str) -> Iterator[tuple[tuple[Any, ...], list[Row]]]:
    """Rows that agree in some columns, together."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    yield from found.items()
