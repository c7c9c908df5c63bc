"""What training computes in: whether this machine can, and that evaluating is float32 all the same.

With `bf16` and `fp16` autocast computes products of matrices in 16 bits; weights, their gradients, the
optimizer and the noise stay float32. Scores and measurements are those of the float32 weights: evaluation and
|w·g| are computed in float32, so that no two outputs are equal by rounding alone.
"""

import os
import platform
from collections.abc import Iterable
from typing import Any

_LAUNCHED = "ACCELERATE_MIXED_PRECISION"  # set by accelerate's launcher
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "avx_ne_convert")
_ANOTHER = "take another train.precision (default: float32), or leave out --fast, where that set it"


def check_precision(precision: str, device: str) -> None:
    """Refuse a precision that a device does not compute in, or other than the launcher asks for.

    Args:
        precision: of a recipe, one of `dither.bench.tasks.recipe.PRECISIONS`.
        device: "cpu" or "cuda".

    Raises:
        ValueError: it cannot be had here; the message says why.

    Example:
        >>> check_precision("float32", "cpu")
        >>> check_precision("fp16", "cpu")
        Traceback (most recent call last):
        ...
        ValueError: train.precision = 'fp16' scales its loss on a GPU, and there is none here; take ...
    """
    launched = os.environ.get(_LAUNCHED, "no")
    if launched not in ("no", precision):
        raise ValueError(
            f"train.precision is {precision!r} and {_LAUNCHED} (of `accelerate launch`) is {launched!r}, "
            "which would not stand in the run's record; start it with --mixed_precision no, and choose by "
            "--set train.precision=bf16"
        )
    if precision == "fp16" and device == "cpu":
        raise ValueError(
            f"train.precision = 'fp16' scales its loss on a GPU, and there is none here; {_ANOTHER}"
        )
    if precision == "bf16" and (reason := _without_bf16(device)):
        raise ValueError(f"train.precision = 'bf16': {reason}; {_ANOTHER}")


def check_precisions(precisions: Iterable[str]) -> None:
    """Refuse precisions before processes are started for them; a GPU is asked by the process that uses it.

    Args:
        precisions: of the recipes of runs that are made on this machine.

    Raises:
        ValueError: as `check_precision`.
    """
    for precision in dict.fromkeys(precisions):
        if precision == "float32":
            check_precision(precision, "cpu")
            continue
        import torch

        if not torch.cuda.is_available():
            check_precision(precision, "cpu")


def _without_bf16(device: str) -> str:
    """Why a device has no bfloat16 of its own; "" where it has. Emulated, it is slower than float32."""
    import torch

    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return ""
        return f"the GPU, {torch.cuda.get_device_name()}, has no bfloat16 (Ampere and newer ones have)"
    if not torch.backends.mkldnn.is_available():
        return f"torch {torch.__version__} was built without oneDNN, which computes it on CPUs"
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "oneDNN finds no instructions for it on this processor, or ONEDNN_MAX_CPU_ISA forbids them"
    if platform.machine() in ("x86_64", "AMD64") and not any(map(_has, _INSTRUCTIONS)):
        return f"this processor has none of its instructions ({', '.join(_INSTRUCTIONS)})"
    return ""


def _has(instruction: str) -> bool:
    import torch

    return bool(torch.cpu.get_capabilities().get(instruction, False))


def in_float32(trainer: Any) -> None:
    """Let the model of a Trainer compute in float32 from now on, outside of its training.

    Args:
        trainer: after training, or one that does not train.
    """
    accelerator = trainer.accelerator
    if accelerator.mixed_precision == "no":
        return
    if not accelerator._models:  # else the Trainer prepares the model later, and autocast with it
        accelerator.prepare_model(trainer.model, evaluation_mode=True)
    accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
