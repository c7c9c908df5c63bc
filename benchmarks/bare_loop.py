"""Plain PyTorch loops of the runs of some seeds: python -m benchmarks.bare_loop TASK SEED... [--set ...]

Prints as JSON the seconds of the loops alone, and the peak memory of the process.
"""

import argparse
import json
import math
import time
from typing import Any

import torch

import dither
from benchmarks.comparison import METHODS
from benchmarks.memory import high_water_mark
from dither.bench.executors.worker import be_quiet
from dither.bench.heads import HEADS
from dither.bench.models.loading import load_model, load_tokenizer
from dither.bench.plans.plan import Plan
from dither.bench.plans.settings import parse_settings
from dither.bench.runs.encoding import Encoded, encode
from dither.bench.runs.request import RunRequest
from dither.methods.registry import recorded_method


def main() -> None:
    """Make the loops, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare_loop")
    parser.add_argument("task")
    parser.add_argument("seeds", nargs="*", type=int)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    options = parser.parse_args()
    be_quiet()
    torch.set_num_threads(1)
    methods, train = parse_settings(options.settings, METHODS)
    plan = Plan.create([options.task], "builtin", methods, options.seeds, train_settings=train)
    total = {"seconds": 0.0, "cpu_seconds": 0.0}
    for request in plan.provisional().requests():
        loop = prepared(request, encode(request))
        wall, cpu = time.perf_counter(), time.process_time()
        loop()
        total["seconds"] += time.perf_counter() - wall
        total["cpu_seconds"] += time.process_time() - cpu
    print(json.dumps({**total, "peak_bytes": high_water_mark()}))


def prepared(request: RunRequest, encoded: Encoded) -> Any:
    """The loop of a run, with everything made that it needs."""
    task, recipe, seed = request.task, request.recipe, request.spec.seed
    torch.manual_seed(seed)
    model = load_model(request.source, task, request.spec.dtype)
    inputs: Any = encoded.features[task.train]
    collate = HEADS[task.head].collator(load_tokenizer(request.source))
    batches = torch.utils.data.DataLoader(inputs, recipe.batch_size, shuffle=True, collate_fn=collate)
    steps = math.ceil(recipe.epochs * len(batches))
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    warmup = math.ceil(recipe.warmup_ratio * steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / max(1, warmup), (steps - step) / max(1, steps - warmup))
    )
    method = recorded_method(request.spec.method, request.spec.method_settings)

    def loop() -> None:
        if isinstance(method, dither.NoisyTune):
            dither.apply_(model, method, seed=seed)
        if isinstance(method, dither.PATS):
            planned = {"total_steps": steps, "schedule": schedule if method.is_normalised else None}
            dither.attach(method, optimizer, model, seed=seed, **planned)
        model.train()
        for _ in range(round(recipe.epochs)):
            for batch in batches:
                model(**batch).loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()

    return loop


if __name__ == "__main__":
    main()
