"""Functional doses of all methods before and after matching, and against the noise of real runs.

python -m benchmarks.dose MODEL ROWS.jsonl.gz --columns sentence1 sentence2 [--steps 100]

With --steps it also trains with a learning rate of nearly 0, so that nothing but the noise moves the weights,
and compares what a whole run's noise does with what the dose says it will: with the gradients of training
mode, dropout and all, and of evaluation mode.
"""

import argparse
import gzip
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import dither
from dither.core.hidden_states import HiddenStates
from dither.dose import DoseMeter, FunctionalDose
from dither.methods.plain import Plain

Batch = dict[str, torch.Tensor]


def load(folder: str, labels: int) -> tuple[Any, Any]:
    """A model with a seeded head, and its tokenizer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, logging

    logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=labels, dtype=torch.float32, local_files_only=True
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def batches(tokenizer: Any, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> Iterator[Batch]:
    """Rows in batches of 16."""
    for at in range(0, len(rows), 16):
        part = rows[at : at + 16]
        texts = [[row[column] for row in part] for column in columns]
        inputs = tokenizer(*texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        yield {**inputs, "labels": torch.tensor([row["label"] for row in part])}


def run_dose(
    model: nn.Module, states: HiddenStates, train: Sequence[Batch], method: Any, steps: int
) -> float:
    """d of what a whole run of PATS adds, at a learning rate of nearly 0; the model keeps its mode."""
    start = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-12)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / steps)
    handle = dither.attach(method, optimizer, model, total_steps=steps)
    for step in range(steps):
        optimizer.zero_grad()
        model(**train[step % len(train)]).loss.backward()
        optimizer.step()
        schedule.step()
    handle.detach()
    found = states.displacement()
    model.load_state_dict(start)
    return found


def row(name: str, *doses: FunctionalDose | None) -> str:
    """A line of the table."""
    cells = [f"{one.noise_lambda:>6} {one.d:.4f} {one.energy:.5f}" if one else "" for one in doses]
    return f"{name:20}" + "   ".join(f"{cell:22}" for cell in cells)


def print_doses(meter: DoseMeter, reference: Any) -> None:
    """At λ = 0.15, at the reference's d, and at the energy of PATS at its matched λ."""
    print(f"{'method':20}" + "   ".join(f"{title:22}" for title in ("λ d energy", "equal d", "equal energy")))
    goal, pats = meter.dose(reference), None
    print(row("noisytune", goal))
    for name, info in dither.available_methods().items():
        if info.kind is Plain or name == "noisytune":
            continue
        method = dither.create_method(name)
        plain = meter.dose(method)
        matched = meter.match(method, reference)
        pats = matched.dose if name == "pats" else pats
        equal = meter.match_energy(method, pats).dose if name.startswith("pats-") and pats else None
        print(row(name, plain, matched.dose, equal), f"  {len(matched.tried)} tries")


def print_runs(
    model: nn.Module, states: HiddenStates, meter: DoseMeter, train: list[Batch], steps: int
) -> None:
    """What whole runs add, beside what the dose says."""
    print(f"{'method':20}  dose   run in train mode   run in eval mode")
    for name in ("pats", "pats-blind"):
        method = dither.create_method(name)
        found = []
        for training in (True, False):
            model.train(training)
            found.append(run_dose(model, states, train, method, steps))
        print(f"{name:20}{meter.dose(method).d:.4f}   {found[0]:.4f}              {found[1]:.4f}", flush=True)


def main() -> None:
    """Print the tables of one model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dose", description=__doc__)
    parser.add_argument("model", help="folder of the model")
    parser.add_argument("rows", type=Path, help="train split, .jsonl.gz, with numbers in the column label")
    parser.add_argument("--columns", nargs="+", default=["sentence"])
    parser.add_argument("--labels", type=int, default=1, help="outputs of the head; 1 is regression")
    parser.add_argument("--steps", type=int, default=0)
    options = parser.parse_args()
    with gzip.open(options.rows, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][: 256 + 16 * options.steps]
    for one in rows:
        one["label"] = float(one["label"]) if options.labels == 1 else int(one["label"])
    model, tokenizer = load(options.model, options.labels)
    found = list(batches(tokenizer, rows, options.columns))
    clock = time.process_time()
    meter = DoseMeter(model, found[:8], sensitivity_batches=found[8:16])
    meter.match(dither.PATS(), dither.NoisyTune())
    print(f"one match: {time.process_time() - clock:.1f} s of processor time")
    print_doses(meter, dither.NoisyTune())
    if options.steps:
        states = HiddenStates(model, found[:8])
        print_runs(model, states, meter, found[16:], options.steps)


if __name__ == "__main__":
    main()
