"""Where the runs of a ledger were made, and whether that was the same for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dither.results.canonical_json import encode
from dither.results.runs import RunResult


def distinct(results: Iterable[RunResult]) -> list[tuple[dict[str, Any], int]]:
    """Return the different environments with the number of their runs, in order of first appearance."""
    found: dict[str, tuple[dict[str, Any], int]] = {}
    for result in results:
        key = "\n".join(f"{name}={value}" for name, value in sorted(leaves(result.environment)))
        environment, count = found.get(key, (result.environment, 0))
        found[key] = (environment, count + 1)
    return list(found.values())


def differences(results: Iterable[RunResult]) -> list[str]:
    """Return a sentence for each item of the environment that is not the same in all runs.

    The sentence also says in how many groups of the same task and seed it differs: there it is mixed up with
    the difference between methods.
    """
    runs = [(result.spec, dict(leaves(result.environment))) for result in results]
    names = sorted({name for _, items in runs for name in items})
    sentences = []
    for name in names:
        values: dict[str, int] = {}
        groups: dict[tuple[str, int], set[str]] = {}
        for spec, items in runs:
            value = items.get(name, "unknown")
            values[value] = values.get(value, 0) + 1
            groups.setdefault((spec.task, spec.seed), set()).add(value)
        if len(values) > 1:
            mixed = sum(len(group) > 1 for group in groups.values())
            sentences.append(_sentence(name, values, mixed, len(groups)))
    return sentences


def _sentence(name: str, values: Mapping[str, int], mixed: int, groups: int) -> str:
    counts = ", ".join(f"{value} ({n} run{'s' if n > 1 else ''})" for value, n in values.items())
    text = f"The runs differ in {name}: {counts}"
    if mixed:
        text += f"; in {mixed} of {groups} pairings (same task and seed) the methods are not run alike"
    return text + "."


def leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each item of an environment with its value as text, those of a table by `table.item`."""
    for name, item in value.items():
        if isinstance(item, dict):
            yield from leaves(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item if isinstance(item, str) else encode(item)
