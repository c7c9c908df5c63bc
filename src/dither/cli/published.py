"""The table of published scores beside ours."""

from typing import TYPE_CHECKING, Any

from dither.cli.tables import new_table, open_console, standard
from dither.stats.formats import interval_text, number, signed

if TYPE_CHECKING:
    from dither.bench.experiments.beside import Beside
    from dither.bench.experiments.reproduction import Reproduction
    from dither.stats import Analysis


def print_published(experiment: "Reproduction", analysis: "Analysis", model: str) -> None:
    """Below our tables: what the paper says, its figures beside ours, and where the two differ."""
    from dither.bench.experiments.beside import beside

    console = open_console()
    for published in experiment.figures_for(model):
        console.print()
        rows = beside(published, analysis)
        if not rows:
            console.print(f"Published of {published.label}: no figure for these tasks.", highlight=False)
            continue
        other = "" if published.is_of(model) else " (ANOTHER MODEL: compare the differences at most)"
        heading = f"Published beside ours: {published.label} there, {model} here{other}"
        console.print(heading, style="italic", highlight=False, markup=False)
        console.print(_table(rows))
        console.print(f"Source: {published.source}", highlight=False, markup=False)
    console.print()
    for text in notes(experiment):
        console.print(text, style="dim", highlight=False, markup=False)


def notes(experiment: "Reproduction") -> list[str]:
    """What a reader of the two must know, a line each."""
    lines = [f"{experiment.paper} says: {experiment.claim}."] if experiment.claim else []
    lines += [experiment.missing] if experiment.missing else []
    lines += [f"Differs: {text}" for text in experiment.differs]
    return [*lines, "Published figures are no test of ours: models, recipes and data differ."]


def published_json(experiment: "Reproduction", analysis: "Analysis", model: str) -> dict[str, Any]:
    """The same for programs."""
    from dither.bench.experiments.beside import beside

    return {
        "experiment": experiment.name,
        "notes": notes(experiment),
        "published": [
            {
                "model": published.model,
                "ours": model,
                "same_model": published.is_of(model),
                "source": published.source,
                "rows": [_plain(row) for row in beside(published, analysis)],
            }
            for published in experiment.figures_for(model)
        ],
    }


def _plain(row: "Beside") -> Any:
    return standard({**vars(row), "published_difference": row.published_difference})


def _table(rows: "list[Beside]") -> Any:
    headings = ("task", "method", "published", "difference", "ours", "difference", "interval")
    table = new_table(None, headings)
    for row in rows:
        table.add_row(
            row.task,
            row.method,
            _arrow(row.published_plain, row.published_score),
            number(row.published_difference, "+.1f"),
            _arrow(row.plain, row.score),
            signed(row.difference),
            interval_text(row.interval),
        )
    return table


def _arrow(plain: float, score: float) -> str:
    return f"{number(plain, '.1f')} → {number(score, '.1f')}"
