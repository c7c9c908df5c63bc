"""How sensitivities are spread, and how they moved while training: a line for each method."""

from collections.abc import Iterator, Sequence

from dither.core.histogram import EDGES, log_quantile
from dither.report import sensitivity_lines
from dither.report.arms import Arm, Row, Spread, by_key, mean, spread_of, types_in_order
from dither.report.content import Column, Figure, Table
from dither.report.style import slug, spec

WHOLE = "whole model"
METHOD, TYPE, RUNS = Column("method", "method"), Column("type", "type"), Column("runs", "runs", "d")
SHARES = (
    Column("low", "from", ".2e"),
    Column("high", "to", ".2e"),
    Column("share", "share of elements", ".5f"),
    Column("zeros", "share of zeros", ".4f"),
    RUNS,
)
PHASE = (
    Column("phase", "phase", "d"),
    Column("first", "first step", "d"),
    Column("last", "last step", "d"),
    Column("progress", "% of training", ".1f"),
)
QUANTILES = {"low": 0.1, "median": 0.5, "high": 0.9}


def distributions(arms: Sequence[Arm], methods: Sequence[str], source: str, what: str) -> Iterator[Figure]:
    """The shares of elements per bin: of the whole model, and of each type.

    Args:
        arms: of one task.
        methods: all of the page, in their order.
        source: the part of the measurements that has histograms, "sensitivity" or "average".
        what: what was measured, for titles.
    """
    spreads = {(arm.method, WHOLE): spread_of(_runs(arm, source)) for arm in arms}
    if not (whole := _in_rows(spreads)):
        return
    task = arms[0].task
    title = f"Distribution of {what}: {task}"
    table = Table(slug("distribution", task), title, (METHOD, *SHARES), tuple(whole))
    yield Figure(table, spec(sensitivity_lines.lines(whole, methods, what), height=260), _medians(spreads))
    types = types_in_order(row["type"] for arm in arms for rows in _runs(arm, source) for row in rows)
    of_types = [
        row
        for kind in types
        for row in _in_rows({(arm.method, kind): spread_of(_runs(arm, source, kind)) for arm in arms})
    ]
    table = Table(
        slug("distribution-types", task), f"{title}, by type", (TYPE, METHOD, *SHARES), tuple(of_types)
    )
    summary = f"The same for each of {len(types)} types of parameters, a panel each."
    yield Figure(
        table,
        sensitivity_lines.panels(sensitivity_lines.lines(of_types, methods, what), types),
        summary,
        wide=True,
    )


def movements(arms: Sequence[Arm], methods: Sequence[str]) -> Iterator[Figure]:
    """The quantiles of |w·g| in each phase of training, and the mean of each type.

    Args:
        arms: of one task.
        methods: all of the page, in their order.
    """
    rows = [row for arm in arms for row in _phases(arm)]
    if not rows:
        return
    task = arms[0].task
    quantiles = (
        Column("low", "10 %", ".3e"), Column("median", "median", ".3e"), Column("high", "90 %", ".3e"),
        Column("zeros", "share of zeros", ".4f"), RUNS,
    )  # fmt: skip
    title = f"Sensitivity while training: {task}"
    table = Table(slug("movement", task), title, (METHOD, *PHASE, *quantiles), tuple(rows))
    yield Figure(table, spec(sensitivity_lines.quantiles(rows, methods), height=260), _course(rows))
    of_types = [row for arm in arms for row in _phase_means(arm)]
    types = types_in_order(row["type"] for row in of_types)
    columns = (TYPE, METHOD, *PHASE, Column("mean", "mean |w·g|", ".3e"), RUNS)
    table = Table(
        slug("movement-types", task), f"Mean sensitivity while training: {task}, by type", columns,
        tuple(of_types),
    )  # fmt: skip
    summary = f"The mean of |w·g| in each phase, for each of {len(types)} types of parameters, a panel each."
    yield Figure(
        table,
        sensitivity_lines.panels(sensitivity_lines.means(of_types, methods), types, own_y=True),
        summary,
        wide=True,
    )


def _runs(arm: Arm, source: str, kind: str | None = None) -> list[list[Row]]:
    """Of each run the rows of all types, or of one."""
    runs = [found.get("types", []) for found in arm.measured(source)]
    return [[row for row in rows if kind in (None, row["type"])] for rows in runs]


def _in_rows(spreads: dict[tuple[str, str], Spread | None]) -> list[Row]:
    """A row for each bin, from the first to one behind the last in which any has elements."""
    known = {key: spread for key, spread in spreads.items() if spread is not None}
    used = [place for spread in known.values() for place in spread.bins.nonzero()[0].tolist()]
    if not used:
        return []
    edges = [None, *EDGES.tolist(), None]
    return [
        {
            "method": method,
            "type": kind,
            "low": edges[place],
            "high": edges[place + 1],
            "share": float(spread.bins[place]),
            "zeros": spread.zeros,
            "runs": spread.runs,
        }
        for (method, kind), spread in known.items()
        for place in range(min(used), min(max(used) + 2, len(edges) - 1))
    ]


def _medians(spreads: dict[tuple[str, str], Spread | None]) -> str:
    told = [
        f"{method} {log_quantile(spread.bins, 0.5):.1e}, {spread.zeros:.0%} zeros"
        for (method, _), spread in spreads.items()
        if spread is not None and spread.bins.any()
    ]
    return f"Medians of what is above 0: {'; '.join(told)}."


def _course(rows: Sequence[Row]) -> str:
    told = []
    for (method,), own in by_key(rows, "method"):
        known = [row["median"] for row in own if row["median"] is not None]
        if known:
            told.append(f"{method} from {known[0]:.1e} to {known[-1]:.1e}")
    return f"Medians of |w·g| above 0, from the first phase of training to the last: {'; '.join(told)}."


def _phases(arm: Arm) -> Iterator[Row]:
    for place, rows in _by_phase(arm):
        spread = spread_of([row["types"] for row in rows])
        if spread is None:
            continue
        quantiles: Row = {
            name: log_quantile(spread.bins, part) if spread.bins.any() else None
            for name, part in QUANTILES.items()
        }
        yield {"method": arm.method, **place, **quantiles, "zeros": spread.zeros, "runs": spread.runs}


def _phase_means(arm: Arm) -> Iterator[Row]:
    for place, rows in _by_phase(arm):
        for kind in types_in_order(row["type"] for phase in rows for row in phase["types"]):
            means = [_weighted([row for row in phase["types"] if row["type"] == kind]) for phase in rows]
            yield {
                "method": arm.method, "type": kind, **place, "mean": mean(means), "runs": len(means)
            }  # fmt: skip


def _by_phase(arm: Arm) -> list[tuple[Row, list[Row]]]:
    """Each phase: its number and steps, and what each run found in it."""
    found: dict[tuple[int, int], list[Row]] = {}
    for trace in arm.measured("trace"):
        for row in trace:
            found.setdefault((row["first"], row["last"]), []).append(row)
    total = max((last for _, last in found), default=0)
    return [
        (
            {"phase": number, "first": first, "last": last, "progress": 50 * (first - 1 + last) / total},
            rows,
        )
        for number, ((first, last), rows) in enumerate(sorted(found.items()), start=1)
    ]


def _weighted(rows: Sequence[Row]) -> float | None:
    count = sum(row["count"] for row in rows)
    return sum(row["mean"] * row["count"] for row in rows) / count if count else None
