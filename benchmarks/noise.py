"""NoisyTune on whole models: nanoseconds an element and peak memory of every way to do it."""

import gc
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.candidates import (
    CANDIDATES,
    COPY,
    INJECTION,
    PASTED,
    REFERENCE,
    TIDY,
    UNIFORM,
    WHOLE,
    Subject,
    installed,
)
from benchmarks.memory import available, in_fresh_process
from benchmarks.shaped_model import ShapedModel
from benchmarks.shapes import DECODER, DECODER_LAYERS, elements, largest, shapes_of
from benchmarks.timing import Work, interleaved
from dither.core.kernels import backend_for, reference

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SPARE = 1.5e9  # bytes for the interpreter, torch and whatever else runs


def measure(device: str, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """The cases one after the other: a model's shapes in one dtype, all candidates in turn."""
    models = ("small encoder", "small LoRA") if quick else ("BERT-base", "LoRA", DECODER)
    for model in models:
        for dtype in ("float32",) if quick else DTYPES:
            yield _case(model, dtype, device, quick=quick)


def build(model: str, dtype: str, device: str, candidate: str, layers: int | None = None) -> Work:
    """The work of one candidate, for a process of its own."""
    shaped = ShapedModel(shapes_of(model, layers), DTYPES[dtype], device)
    return CANDIDATES[candidate](Subject(shaped))


def warm_up(dtype: str, device: str, candidate: str, **_: Any) -> dict[str, Any]:
    """The same work on a small model."""
    return {"model": "small encoder", "dtype": dtype, "device": device, "candidate": candidate}


def fitting_layers(dtype: str, space: float) -> int:
    """Layers of the decoder that fit into some bytes with a copy and the snippet's temporaries."""
    size = DTYPES[dtype].itemsize
    for layers in range(DECODER_LAYERS, 0, -1):
        shapes = shapes_of(DECODER, layers)
        if 2 * size * elements(shapes) + 4 * 4 * largest(shapes) + _SPARE <= space:
            return layers
    return 0


def _case(model: str, dtype: str, device: str, *, quick: bool) -> dict[str, Any]:
    case: dict[str, Any] = {"model": model, "dtype": dtype}
    layers = None
    if model == DECODER:
        layers = fitting_layers(dtype, 0.85 * available(device))
        if layers < DECODER_LAYERS:
            case["note"] = f"{layers} of {DECODER_LAYERS} layers: what the free memory holds"
        if not layers:
            return case | {"candidates": {}}
    shapes = shapes_of(model, layers)
    case |= {"elements": elements(shapes), "tensors": len(shapes)}
    names, omitted = _chosen(model, dtype, device)
    timed = _timed(model, dtype, device, layers, names, repeats=3 if quick else 9 if model == "LoRA" else 7)
    for name in [WHOLE] if quick else names:
        if name not in (UNIFORM, COPY) and "error" not in timed[name]:
            arguments = {"model": model, "dtype": dtype, "device": device, "layers": layers}
            timed[name] |= _memory(arguments | {"candidate": name})
    return case | {"candidates": timed | omitted}


def _chosen(model: str, dtype: str, device: str) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The candidates of a case, and why others are left out."""
    reasons = {name: _omission(name, model, dtype, device) for name in CANDIDATES if installed(name)}
    omitted = {name: {"omitted": reason} for name, reason in reasons.items() if reason}
    return [name for name, reason in reasons.items() if not reason], omitted


def _omission(candidate: str, model: str, dtype: str, device: str) -> str:
    """Why a candidate is left out of a case; "" where it is in."""
    if candidate == REFERENCE and backend_for(torch.device(device)) is reference:
        return "the chosen backend is the reference"
    if candidate == REFERENCE and (model == DECODER or (model == "BERT-base" and dtype != "float32")):
        return "takes minutes; see BERT-base in float32"
    if model == DECODER and device == "cpu" and candidate in (TIDY, INJECTION):
        return "takes minutes; see BERT-base"
    if model == DECODER and device == "cpu" and candidate == PASTED and dtype == "float16":
        return "takes minutes; see bfloat16"
    return ""


def _timed(
    model: str, dtype: str, device: str, layers: int | None, names: list[str], *, repeats: int
) -> dict[str, dict[str, Any]]:
    subject = Subject(ShapedModel(shapes_of(model, layers), DTYPES[dtype], device))
    timed = interleaved({name: CANDIDATES[name](subject) for name in names}, repeats, device=device)
    del subject  # the processes that measure memory need the room
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
    return timed


def _memory(arguments: dict[str, Any]) -> dict[str, int | str]:
    found = in_fresh_process("benchmarks.noise", arguments)
    return {"peak_bytes": found} if isinstance(found, int) else {"peak_error": found}
