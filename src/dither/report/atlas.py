"""The sensitivity atlas: where in a model sensitivity lies, how it moved, and where noise was added."""

from collections import Counter
from collections.abc import Iterator, Sequence

from dither.report.arms import Arm, arms_of
from dither.report.content import Figure, Section
from dither.report.noise_received import noise_received
from dither.report.sensitivity_curves import distributions, movements
from dither.report.sensitivity_maps import noise_maps, sensitivity_maps
from dither.report.style import PLAIN
from dither.results import RunResult

ARMS = 6
"""Of how many arms a page has figures; those of a task stand together."""

MEASURED, KEPT = "sensitivity", "average"
WHAT = {MEASURED: "|w·g| at the end", KEPT: "PATS's average of |w·g|"}

SENSITIVITY = (
    "The sensitivity of a weight is |w·g|: to first order, what the loss would change by if the weight "
    "were set to zero. "
)
TEXT = {
    MEASURED: SENSITIVITY
    + (
        "At the end of each run it was averaged over batches of the train split, without dropout, the "
        "same rows for every method and seed. While training it was counted at a few steps of each of "
        "eight phases, after the optimizer's step and before any noise of that step, into bins a third of"
        " a decade wide."
    ),
    KEPT: SENSITIVITY
    + (
        "PATS keeps a moving average of it for each weight that may get noise, over the steps at which "
        "the weight had a gradient; here it is as it was at the end of training. The command “dither "
        "sensitivity” measures every method alike, and follows sensitivities over training."
    ),
}
NOISE = (
    "The noise of a tensor is the root mean square of the change that it made; over many steps, the root "
    "of the sum of their squares. It stands beside the standard deviation of the tensor's weights before "
    "it, so that tensors of any size compare."
)
READING = (
    "Numbers are means over the runs of a task and method; where a run diverged, over the others. Where a"
    " cell of a map has several tensors, its Gini coefficient is the mean of theirs, by elements. "
    "Quantiles are those of the weights with |w·g| > 0, over all runs together, to a third of a decade at"
    " worst. A weight whose input was in no batch has |w·g| = 0; the tables have the share of such zeros."
)


def atlas(results: Sequence[RunResult], *, methods: Sequence[str] | None = None) -> Section | None:
    """The atlas of some runs.

    Args:
        results: of any tasks and methods; those that were not measured are left out.
        methods: all of the page, in their order, which gives each its colour; None for those of the runs.

    Returns:
        The section; None where no run has measurements of sensitivity, nor a record of noise.
    """
    source = MEASURED if any(MEASURED in (run.measurements or {}) for run in results) else KEPT
    arms = [arm for arm in arms_of(results) if arm.measured(source) or arm.records()]
    shown = first_arms(arms)
    figures = tuple(_figures(shown, methods or _methods(results), source))
    if not figures:
        return None
    is_measured = any(arm.measured(source) for arm in shown)
    has_noise = any(figure.table.id.startswith("noise") for figure in figures)
    return Section(
        id="atlas",
        title="Sensitivity atlas",
        text=(*([TEXT[source]] if is_measured else []), *([NOISE] if has_noise else [])),
        figures=figures,
        notes=(*([READING] if is_measured else []), *_notes(arms, shown, source)),
    )


def _methods(results: Sequence[RunResult]) -> list[str]:
    found = dict.fromkeys(result.spec.method for result in results)
    return sorted(found, key=lambda name: name != PLAIN)


def first_arms(arms: Sequence[Arm]) -> list[Arm]:
    """The arms of the first tasks, whole tasks as far as they go; of too many, variations of each method."""
    if not arms:
        return []
    first = _taken_in_turn([arm for arm in arms if arm.task == arms[0].task])
    for task in list(dict.fromkeys(arm.task for arm in arms))[1:]:
        own = [arm for arm in arms if arm.task == task]
        if len(first) + len(own) > ARMS:
            break
        first += own
    return first


def _taken_in_turn(arms: Sequence[Arm]) -> list[Arm]:
    """So many as there are figures of, taken from one method after the other, in their order."""
    places: Counter[str] = Counter()
    turns = {}
    for arm in arms:
        method = arm.method.partition("@")[0]
        turns[arm] = places[method]
        places[method] += 1
    chosen = set(sorted(arms, key=turns.__getitem__)[:ARMS])
    return [arm for arm in arms if arm in chosen]


def _figures(arms: Sequence[Arm], methods: Sequence[str], source: str) -> Iterator[Figure]:
    for task in dict.fromkeys(arm.task for arm in arms):
        own = [arm for arm in arms if arm.task == task]
        yield from sensitivity_maps(own, source, WHAT[source])
        lines = [*distributions(own, methods, source, WHAT[source]), *movements(own, methods)]
        yield from sorted(lines, key=lambda figure: figure.wide)  # two narrow ones share a row
        yield from noise_maps(own)
        if (found := noise_received(own, methods)) is not None:
            yield found


def _notes(arms: Sequence[Arm], shown: Sequence[Arm], source: str) -> Iterator[str]:
    if source == KEPT:
        dtypes = {found["dtype"] for arm in shown for found in arm.measured(KEPT)} - {"float32"}
        if dtypes:
            yield f"The averages were kept in {', '.join(sorted(dtypes))}."
        if others := [arm.method for arm in shown if _averages_magnitudes(arm)]:
            yield f"{', '.join(dict.fromkeys(others))}: the control averages |w| instead of |w·g|."
    nonfinite = sum(found["whole"]["nonfinite"] > 0 for arm in shown for found in arm.measured(source))
    if nonfinite:
        yield f"In {nonfinite} of the runs some sensitivities were not finite; see their failures."
    if left := [f"{arm.task}, {arm.method}" for arm in arms if arm not in shown]:
        yield (
            f"Figures are here for {len(shown)} of {len(arms)} pairs of task and method, those of the first "
            f"tasks. Left out: {'; '.join(left)}. The ledger of this folder has the measurements of all."
        )


def _averages_magnitudes(arm: Arm) -> bool:
    recipes = [(run.record or {}).get("pats", {}).get("recipe", {}) for run in arm.runs]
    return any(recipe.get("measure") == "magnitude" for recipe in recipes)
