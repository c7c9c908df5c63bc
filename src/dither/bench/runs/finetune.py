"""One run that keeps its model and its checkpoints."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from dither.bench.executors.group import follow, run_in_group
from dither.bench.group import Group
from dither.bench.plans.matching import Say, requests_told, resolve, tell_doses
from dither.bench.plans.plan import Plan
from dither.bench.runs.precision import check_precisions
from dither.bench.runs.run import run
from dither.bench.runs.training import require_tensorboard
from dither.results import Ledger, RunResult


def finetune(
    plan: Plan,
    out: str | Path,
    *,
    tensorboard: bool = False,
    progress: bool = False,
    say: Say = lambda text: None,
) -> RunResult | None:
    """Make the one run of a plan in this process and those started with it, or read it where it is finished.

    The model and its tokenizer are saved to `out`, checkpoints lie in `out/checkpoints`, the result in
    `out/ledger.sqlite`. An interrupted run resumes from its newest whole checkpoint. The saved config.json
    bears the mark of NoisyTune under `dither`; `out` can be the model of another run, which then starts from
    its weights as they are and may add noise of its own.

    Args:
        plan: of one task, one method and one seed.
        out: the output folder; of this run, or new.
        tensorboard: write curves to `out/tensorboard`.
        progress: show the Trainer's progress bar.
        say: as in `dither.bench.recording.make_runs`.

    Returns:
        The result; None in all but the first of several processes, which alone keeps the ledger.

    Raises:
        LedgerError: the folder holds another experiment.
        ValueError: this machine does not compute in the run's precision.
        RunError: of several processes, one ended by an error.
    """
    if tensorboard:
        require_tensorboard()
    group = Group.here()
    options: dict[str, Any] = {
        "output_dir": str(out),
        "tensorboard": str(Path(out) / "tensorboard") if tensorboard else None,
        "progress": progress and group.leads,
    }
    if not group.leads:
        follow((replace(request, **options) for request in requests_told(plan, group)), group)
        return None
    if not Ledger.exists(out):
        check_precisions(plan.precisions)
    with Ledger.create_or_resume(out, plan.experiment("finetune")) as ledger:
        plan = resolve(plan, ledger, say=say)
        tell_doses(plan, group)
        (request,) = (replace(request, **options) for request in plan.requests())
        missing = [] if request.spec.id in ledger else [request]
        for result in run_in_group(missing, group) if group.size > 1 else map(run, missing):
            ledger.add(result)
        return ledger.get(request.spec.id)
