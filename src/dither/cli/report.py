"""`dither report`: one page of what a folder of runs tells."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dither.core.extras import require

if TYPE_CHECKING:
    from dither.bench.compare import Comparison
    from dither.report.content import Finding, Page, Section
    from dither.report.repeat import Provenance
    from dither.results import Experiment, RunResult

SUMMARY = "write one page of what a folder of runs tells"
DESCRIPTION = """\
Write one HTML page of what a folder of runs tells: the verdict first, in words and in one picture, then
curves, seeds, languages, learning curves, runs, what the noise did inside the model, and everything that is
needed to repeat it. DIR is the --out of compare, sweep, sensitivity or reproduce.

The page is one file: it needs no network and no server, can be sent and printed, and has a table behind each
picture. Reading it is a look at the results, which the folder remembers. Before all planned runs are there it
says how many are missing and shows no effects; --peek shows them, which counts as a look of its own."""
EPILOG = """\
examples:
  dither report runs/glue
  dither report runs/glue --output glue.html --figures
  dither report runs/glue --data-dir ./data      with the texts of the examples that flip most often
"""
INTERRUPTED = "what was not yet written is as it was"
FILE = "report.html"
SHOWN_NAMES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("folder", metavar="DIR", help="the output folder of the runs")
    parser.add_argument("--output", metavar="FILE", help=f"the page (default: DIR/{FILE})")
    parser.add_argument(
        "--data-dir", metavar="DIR", help="local data of the runs, to show the texts of examples that flip"
    )
    parser.add_argument(
        "--hub", action="store_true", help="take the texts of tasks of the Hugging Face Hub from there"
    )
    parser.add_argument(
        "--figures",
        action="store_true",
        help="also write every picture as SVG and PNG, and its numbers, into a folder beside the page",
    )
    parser.add_argument(
        "--peek",
        action="store_true",
        help="show effects before all planned runs are there; a look that spends a part of the error rate",
    )


def run(args: argparse.Namespace) -> int:
    """Write the page, say where it is."""
    require("report", args.parser.prog)
    from dither.bench.plans.plan import check_data_dir
    from dither.report.files import check_figures, check_place, write_figures, write_page

    target = Path(args.folder) / FILE if args.output is None else Path(args.output)
    pictures = target.with_name(f"{target.stem}-figures")
    if args.output is not None or target.parent.is_dir():  # else the folder's ledger is what is missing
        check_place(target)  # before anything is looked at
    if args.figures:
        check_figures(pictures)
    check_data_dir(args.data_dir)
    page = compose(args.folder, peek=args.peek, data_dir=args.data_dir, hub=args.hub)
    size = write_page(page, target)
    print(f"{target} ({size / 1e6:.1f} MB)")
    for finding in page.findings:
        print(f"  {finding.label}: {finding.text}")
    if args.figures:
        print(f"{pictures}: {len(write_figures(page, pictures))} pictures, each as SVG and PNG")
    return 0


def compose(folder: str, *, peek: bool = False, data_dir: str | None = None, hub: bool = False) -> "Page":
    """The page of a folder of runs.

    Args:
        folder: the `--out` of the command that made them.
        peek: show effects although runs are missing.
        data_dir: folder of local data, for the texts of examples.
        hub: take those of tasks of the Hub from there.

    Raises:
        LedgerError: there is no ledger, it cannot be read, or a peek cannot be recorded.
        ValueError: the folder has no plain runs to compare with.
    """
    from dither.bench.compare import failures, look
    from dither.report.atlas import atlas
    from dither.report.content import Finding, Page, with_unique_ids
    from dither.report.doses import doses
    from dither.report.findings import findings
    from dither.report.learning import learning
    from dither.report.repeat import repeat
    from dither.report.runs import runs
    from dither.results import dose_rows
    from dither.stats.formats import run_counts

    comparison = look(folder, peek=peek)
    failed = failures(comparison.results)  # the runs' own section lists them all
    plan, results = comparison.experiment, comparison.results
    assert plan is not None, "a comparison from `look` has its experiment"
    methods, tasks = comparison.analysis.methods, comparison.analysis.tasks
    planned = len(tasks) * len(plan.methods) * len(plan.seeds)
    shown = comparison.visible
    analysis = comparison.analysis if shown else None
    provenance = _provenance(folder, comparison)
    sections = [
        *(_effects(comparison) if shown else ()),
        *(_flips(folder, results, data_dir, hub=hub) if shown else ()),
        doses(dose_rows(plan)),
        learning(results, tasks, methods),
        atlas(results, methods=methods),
        _analyses(results, plan.kind, effects=shown),
        runs(results, tasks, methods, scores=shown),
        repeat(provenance, results, analysis),
    ]
    return Page(
        title=f"{_names(methods[1:] or methods, 'methods')} on {_names(tasks, 'tasks')}",
        about=f"{plan.kind} with the model {plan.model}: {'at most ' * plan.until_resolved}"
        f"{run_counts(tasks, list(plan.methods), plan.seeds)}",
        findings=(
            *(findings(analysis) if analysis else (_hidden(len(results), planned, plan),)),
            *(Finding("", "control", text) for text in comparison.controls if shown),
            *(Finding("", "to know", text) for text in comparison.warnings if text not in failed),
        ),
        sections=with_unique_ids(section for section in sections if section is not None),
        command=provenance.command,
    )


def _effects(comparison: "Comparison") -> "Iterator[Section | None]":
    """What shows scores and differences."""
    from dither.bench.plans.settings import STRENGTH
    from dither.bench.sweeps.curves import curves as points_of
    from dither.bench.sweeps.curves import told_apart
    from dither.bench.sweeps.references import beside_references
    from dither.report.curves import curves
    from dither.report.languages import languages
    from dither.report.seeds import seeds
    from dither.report.verdicts import verdicts

    analysis, plan = comparison.analysis, comparison.experiment
    assert plan is not None, "see `compose`"
    yield verdicts(analysis, comparison.scores)
    if settings := told_apart(plan):
        zero = STRENGTH in settings
        both = (False, True) if len(analysis.tasks) > 1 else (True,)
        points = [
            point.to_json()
            for by_task in both
            for point in points_of(analysis, plan, settings, zero=zero, by_task=by_task)
        ]
        beside = {
            name: [point.to_json() for point in others]
            for name, others in beside_references(comparison).items()
        }
        yield curves(points, settings, f"By {', '.join(settings)}", zero=zero, beside=beside)
    yield seeds(analysis, comparison.scores)
    yield languages(comparison.results, analysis.tasks, analysis.methods)


def _names(names: "Sequence[str]", what: str) -> str:
    """A few names, else how many there are."""
    return ", ".join(names) if len(names) <= SHOWN_NAMES else f"{len(names)} {what}"


def _flips(
    folder: str, results: "Sequence[RunResult]", data_dir: str | None, *, hub: bool
) -> "Iterator[Section | None]":
    """The examples that flip, which tell of effects, too."""
    from dither.bench.flips import find_flips
    from dither.report.flips import flips

    found = find_flips(folder, results=results, data_dir=data_dir, hub=hub).to_json()
    yield flips(found["examples"], found["summaries"], found["reasons"])


def _analyses(results: "Sequence[RunResult]", kind: str, *, effects: bool) -> "Section | None":
    """The tables of measured runs."""
    from dither.bench.sensitivity import KIND, analyses_of
    from dither.report.analyses import analyses

    if kind != KIND:
        return None
    found = analyses_of(results)
    return analyses(found.norms, found.concentrations, found.correlations if effects else ())


def _hidden(there: int, planned: int, plan: "Experiment") -> "Finding":
    """What stands in place of a verdict while runs are missing."""
    from dither.bench.looks import due_looks
    from dither.report.content import Finding

    first = f"the first test, at {due_looks(plan)[0]} complete seeds" if plan.until_resolved else "all are"
    at_most = "at most " if plan.until_resolved else ""
    return Finding(
        "incomplete",
        "incomplete",
        f"{there} of {at_most}{planned} planned runs are there. Effects are hidden until {first}: looking "
        "earlier and deciding by what one sees causes false alarms. The command “dither report” with --peek "
        "shows those of the complete seeds, and counts as a look.",
    )


def _provenance(folder: str, comparison: "Comparison") -> "Provenance":
    """What the folder knows beside its runs: commands, looks, how settings were chosen."""
    from dither.bench.sweeps.trials import read_selection
    from dither.report.repeat import Provenance
    from dither.results import Ledger

    plan = comparison.experiment
    assert plan is not None, "see `compose`"
    evaluations = {result.spec.task: list(result.metrics) for result in comparison.results}
    with Ledger.read(folder) as ledger:
        starts, looks, extensions = ledger.starts, ledger.looks, ledger.extensions
    search = Path(folder) / "search"
    tuned = [read_selection(search).sentence] if search.is_dir() else []
    recipes = {
        name: recipe for name in plan.tasks if (recipe := _recipe(plan, name, evaluations.get(name, [])))
    }
    return Provenance(plan, recipes=recipes, starts=starts, looks=looks, extensions=extensions, tuned=tuned)


def _recipe(plan: "Experiment", name: str, evaluations: "Sequence[str]") -> "dict[str, Any]":
    """All training settings of a task's runs, where its definition is at hand; else nothing."""
    from dither.bench.data.examples import find_task

    task = find_task(name, plan.tasks[name], evaluations).task
    # Settings of a newer version are shown like the others.
    return {**asdict(task.recipe), **plan.train_settings} if task else {}
