"""PATS: a whole optimizer step with it against the bare fused AdamW step, and what it adds to training."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

import dither
from benchmarks.memory import in_fresh_process
from benchmarks.naive_pats import NaivePATS
from benchmarks.shaped_model import ShapedModel, filled, normal_tile
from benchmarks.shapes import elements, shapes_of
from benchmarks.timing import Work, interleaved

BARE, NAIVE = "AdamW", "AdamW + naive PATS"
WITH_PATS, WITH_HALF = "AdamW + PATS", "AdamW + PATS, bfloat16 average"
TOTAL_STEPS = 1_000_000
_BATCH, _LENGTH = 32, 64


@dataclass
class Training:
    """A model, its optimizer, and what one repetition does with them."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    work: Work

    def state_bytes(self) -> int:
        """Bytes of the optimizer's state, that of PATS included."""
        held = (value for state in self.optimizer.state.values() for value in state.values())
        return sum(value.nbytes for value in held if isinstance(value, torch.Tensor))


def measure(device: str, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """Optimizer steps on the shapes of two encoders, then whole fine-tuning steps of MiniLM."""
    for model in ("small encoder",) if quick else ("MiniLM", "BERT-base"):
        yield _optimizer_steps(model, device, quick=quick)
    yield _fine_tuning_steps(device, quick=quick)


def _optimizer_steps(model: str, device: str, *, quick: bool) -> dict[str, Any]:
    shapes, gradients = shapes_of(model), _gradients(model, device)
    case = {"model": model, "what": "optimizer step", "dtype": "float32"}
    names = _supported(BARE, WITH_PATS, WITH_HALF, NAIVE)
    timed = _timed(
        {name: optimizer_step(model, device, name, gradients) for name in names}, device, 3 if quick else 9
    )
    del gradients
    gc.collect()  # the processes that measure memory need the room
    for name in [WITH_PATS] if quick else names:
        if "error" not in timed[name]:
            timed[name] |= _memory(model, device, name)
    return case | {"elements": elements(shapes), "tensors": len(shapes), "candidates": timed}


def _fine_tuning_steps(device: str, *, quick: bool) -> dict[str, Any]:
    made = {
        name: fine_tuning_step(device, name, quick=quick) for name in _supported(BARE, WITH_PATS, WITH_HALF)
    }
    case = {
        "model": "small encoder" if quick else "MiniLM",
        "what": f"fine-tuning step, batch {_BATCH}, length {_LENGTH}",
        "dtype": "float32",
    }
    return case | {"candidates": _timed(made, device, 3 if quick else 15)}


def build(model: str, device: str, candidate: str) -> Work:
    """The optimizer step of one candidate, for a process of its own; its state is there already."""
    made = optimizer_step(model, device, candidate, _gradients(model, device))
    for _ in range(2):  # the first step makes the state, the second one has noise
        made.work()
    return made.work


def warm_up(device: str, candidate: str, **_: Any) -> dict[str, Any]:
    """The same step on a small model."""
    return {"model": "small encoder", "device": device, "candidate": candidate}


def optimizer_step(model: str, device: str, candidate: str, gradients: dict[str, torch.Tensor]) -> Training:
    """A model with gradients that stay, and its optimizer's step."""
    shaped = ShapedModel(shapes_of(model), torch.float32, device)
    for name, parameter in shaped.named_parameters():
        parameter.grad = gradients[name]
    optimizer = _optimizer(shaped, candidate)
    return Training(shaped, optimizer, optimizer.step)


def fine_tuning_step(device: str, candidate: str, *, quick: bool = False) -> Training:
    """Forward, backward and step of a real encoder with MiniLM's sizes on one random batch."""
    from transformers import BertConfig, BertForSequenceClassification

    width, layers, heads = (64, 2, 2) if quick else (384, 6, 12)
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    config = BertConfig(**sizes, intermediate_size=4 * width)
    model = BertForSequenceClassification(config).to(device).train()
    optimizer = _optimizer(model, candidate)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1000, 30_000, (_BATCH, _LENGTH), generator=generator).to(device)
    labels = torch.randint(2, (_BATCH,), generator=generator).to(device)

    def work() -> None:
        model(input_ids=tokens, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return Training(model, optimizer, work)


def _supported(*candidates: str) -> list[str]:
    """Those candidates for which this version of dither has what they need."""
    settings = {field.name for field in fields(dither.PATS)}
    return [name for name in candidates if name != WITH_HALF or "average" in settings]


def _optimizer(model: nn.Module, candidate: str) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    if candidate == NAIVE:
        NaivePATS(optimizer, TOTAL_STEPS)
    elif candidate != BARE:
        settings: dict[str, Any] = {"average": "bfloat16"} if candidate == WITH_HALF else {}
        dither.attach(dither.PATS(seed=0, **settings), optimizer, model, total_steps=TOTAL_STEPS)
    return optimizer


def _gradients(model: str, device: str) -> dict[str, torch.Tensor]:
    """Gradients of the usual size, shared by all candidates: no step writes them."""
    tile = normal_tile(torch.float32, device, spread=1e-3)
    return {name: filled(shape, tile) for name, shape in shapes_of(model).items()}


def _timed(made: dict[str, Training], device: str, repeats: int) -> dict[str, dict[str, Any]]:
    """Times, and the bytes of state a parameter beyond those of the bare optimizer."""
    timed = interleaved({name: training.work for name, training in made.items()}, repeats, device=device)
    parameters = sum(parameter.numel() for parameter in made[BARE].model.parameters())
    for name, training in made.items():
        if "error" not in timed[name] and name != NAIVE:
            held = training.state_bytes() - made[BARE].state_bytes()
            timed[name]["state_bytes_per_parameter"] = round(held / parameters, 3)
    return timed


def _memory(model: str, device: str, candidate: str) -> dict[str, int | str]:
    arguments = {"model": model, "device": device, "candidate": candidate}
    found = in_fresh_process("benchmarks.pats", arguments)
    return {"peak_bytes": found} if isinstance(found, int) else {"peak_error": found}
