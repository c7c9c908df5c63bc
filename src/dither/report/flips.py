"""The part of a page on the examples that flip most often between the methods and plain fine-tuning."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt

from dither.report.content import Column, Figure, Row, Section, Table
from dither.report.style import GAIN, LOSS, arms_on_y, base, slug, spec

_TITLE = "Examples that flip most often"
_TEXT = (
    "An example flips where plain fine-tuning and a method say different things about it under the same "
    "seed. In a mended flip plain was wrong and the method right; in a broken one it is the other way round.",
    "The yardstick is plain fine-tuning against itself: how often examples flip between one seed and the "
    "next. A method that flips no more than that changes no more than another seed does.",
)
_CHANCE = (
    "The lists are the top of many examples, so part of each stands there by chance: an example that is hard "
    "to call flips under any change. What a method does to the whole is in the first table."
)
_SUMMARY = (
    Column("task", "task"),
    Column("method", "method"),
    Column("flips", "flips, % of examples × pairs", ".1f"),
    Column("seeds", "plain against its next seed, %", ".1f"),
    Column("mended", "mended, %", ".1f"),
    Column("broken", "broken, %", ".1f"),
    Column("distance", "mean difference (words; numbers: the label's unit)", ".3f"),
    Column("seed_distance", "plain against its next seed, mean difference", ".3f"),
    Column("examples", "examples", "d"),
    Column("pairs", "pairs of seeds", "d"),
    Column("planned", "planned", "d"),
    Column("failed", "with a failed run", "d"),
)
_EXAMPLE = (
    Column("method", "method"),
    Column("flips", "flips", "d"),
    Column("pairs", "of pairs", "d"),
    Column("mended", "mended", "d"),
    Column("broken", "broken", "d"),
    Column("distance", "mean difference", ".3f"),
    Column("gold", "gold"),
    Column("plain", "plain, mostly"),
    Column("said", "method, mostly"),
)
_PLACE = (Column("evaluation", "split"), Column("row", "row, from 0", "d"))
_BALANCE = (
    Column("arm", "task, method"),
    Column("mended", "mended, % of examples × pairs", ".2f"),
    Column("broken", "broken, % of examples × pairs", ".2f"),
)


def flips(
    rows: Sequence[Mapping[str, Any]], summaries: Sequence[Mapping[str, Any]], reasons: Sequence[str]
) -> Section | None:
    """Build the section; None where nothing was compared, and nothing is to say about that.

    Args:
        rows: examples, the first of each task and method first. JSON values by `task`, `method`,
            `evaluation`, `row` (from 0), `pairs`, `flips`, `mended`, `broken` (counts of pairs, or None),
            `distance` (mean, or None), `gold`, `plain`, `said` (texts or numbers, or None), `texts` (name ->
            text, perhaps none).
        summaries: one for each task and method. JSON values by `task`, `method`, `pairs`, `planned`, `failed`
            (numbers of pairs), `examples` (their number), `compared` (number of examples × pairs), `share`
            and `seed_share` (of these, in [0, 1], or None), `mended` and `broken` (numbers of these, or
            None), `distance` and `seed_distance` (means, or None).
        reasons: a sentence for each thing that is missing.

    Example:
        >>> flips([], [], ["glue/rte: no data at hand"]).notes
        ('glue/rte: no data at hand',)
    """
    if not summaries:
        return Section("flips", _TITLE, notes=tuple(reasons)) if reasons else None
    shares = [_shares(summary) for summary in summaries]
    balance = _balance(shares)
    by_task: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(row)
    tables = [_examples(number, task, found) for number, (task, found) in enumerate(by_task.items(), 1)]
    return Section(
        id="flips",
        title=_TITLE,
        text=_TEXT,
        figures=(balance,) if balance else (),
        tables=(Table("flips", "How often examples flip", _used(_SUMMARY, shares), tuple(shares)), *tables),
        notes=(*([_CHANCE] if tables else []), *reasons),
    )


def _shares(summary: Mapping[str, Any]) -> Row:
    """A row of the first table, in per cent of examples × pairs."""
    compared = max(1, summary["compared"])
    counts = {name: summary[name] for name in ("mended", "broken")}
    kept = ("task", "method", "pairs", "planned", "failed", "examples", "distance", "seed_distance")
    return {
        **{name: summary[name] for name in kept},
        "flips": _percent(summary["share"]),
        "seeds": _percent(summary["seed_share"]),
        **{name: None if count is None else _percent(count / compared) for name, count in counts.items()},
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _used(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[Column, ...]:
    """The columns in which something stands."""
    return tuple(column for column in columns if any(row[column.name] is not None for row in rows))


def _examples(number: int, task: str, found: Sequence[Mapping[str, Any]]) -> Table:
    """The examples of one task, with a column for each of its texts."""
    names = list(dict.fromkeys(name for row in found for name in row["texts"]))
    rows = [
        {column.name: row[column.name] for column in (*_EXAMPLE, *_PLACE)}
        | {f"text_{name}": row["texts"].get(name) for name in names}
        for row in found
    ]
    texts = (Column(f"text_{name}", name) for name in names)
    columns = [*_numeric(_EXAMPLE, rows), *texts, *_PLACE]
    return Table(
        slug("flips", str(number), task), f"{task}: most flips first", _used(columns, rows), tuple(rows)
    )


def _numeric(columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[Column]:
    """The columns, those without a form that hold numbers with one."""
    for column in columns:
        numbers = not column.form and any(isinstance(row[column.name], float) for row in rows)
        yield Column(column.name, column.title, ".3f") if numbers else column


def _balance(shares: Sequence[Row]) -> Figure | None:
    """What is mended beside what is broken; None where gold labels are not known."""
    known = [row for row in shares if row["mended"] is not None]
    if not known:
        return None
    several = len({row["task"] for row in known}) > 1
    rows = [
        {
            "arm": f"{row['task']}, {row['method']}" if several else row["method"],
            "mended": row["mended"],
            "broken": row["broken"],
        }
        for row in known
    ]
    return Figure(
        Table("flips-balance", "Mended and broken by each method", _BALANCE, tuple(rows)),
        _bars(tasks=several),
        f"Bars for {len(rows)} arms: mended examples to the right of zero, broken ones to the left, in per "
        "cent of examples × pairs. A bar longer to the right is a gain.",
    )


def _bars(*, tasks: bool) -> Mapping[str, Any]:
    y, step = arms_on_y(tasks=tasks)
    kinds = alt.Scale(domain=["broken", "mended"], range=[LOSS, GAIN])
    bars = (
        base()
        .transform_fold(["broken", "mended"], as_=["kind", "share"])
        .transform_calculate(signed="datum.kind === 'broken' ? -datum.share : datum.share")
        .mark_bar()
        .encode(
            x=alt.X("signed:Q", title="% of examples × pairs", axis=alt.Axis(labelExpr="abs(datum.value)")),
            y=y,
            color=alt.Color("kind:N", scale=kinds, legend=alt.Legend(title=None, orient="top")),
        )
    )
    return spec(bars, height=step)
