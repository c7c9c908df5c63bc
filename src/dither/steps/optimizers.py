"""What torch's optimizers do around a step that noise must know: wrappers, skipped steps, gradients."""

import logging
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from dither.core.logical import any_nonzero
from dither.core.sharding import aligned, is_sharded

logger = logging.getLogger("dither")

_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks", "_optimizer_state_dict_pre_hooks")


def base_optimizer(optimizer: Any) -> Optimizer:
    """The torch optimizer inside wrappers such as accelerate's, SAM or Lookahead: what makes the step.

    Raises:
        TypeError: nothing of the kind inside, or it cannot be listened to.
        ValueError: LBFGS, which steps along a line search and has no single gradient; what steps during the
            backward pass.
    """
    inner, seen = optimizer, [optimizer]
    while (held := _inside(inner)) is not None and not any(held is one for one in seen):
        seen.append(inner := held)
    name = type(inner).__name__
    if not isinstance(inner, Optimizer):
        raise TypeError(f"optimizer is a {type(optimizer).__name__}; it must be a torch.optim.Optimizer")
    if callable(getattr(inner, "fused_backward", None)) or isinstance(
        getattr(inner, "optimizer_dict", None), dict
    ):
        raise ValueError(
            f"{name} steps during the backward pass (LOMO, and optimizers by layer such as "
            "optim='galore_adamw_layerwise'): when its step ends no gradient is left, which PATS needs; use "
            "an optimizer that steps after it, or dither.NoisyTune, which works with any"
        )
    if not all(hasattr(inner, hooks) for hooks in _HOOKS):
        raise TypeError(
            f"{name} cannot be listened to: its __init__ does not call that of torch.optim.Optimizer, so it "
            "has no hooks; attach to the optimizer inside, or call super().__init__(params, defaults)"
        )
    if isinstance(inner, torch.optim.LBFGS):
        raise ValueError(
            "LBFGS evaluates many gradients in one step, so no step has one; use another optimizer"
        )
    if callable(getattr(inner, "first_step", None)) and callable(getattr(inner, "second_step", None)):
        logger.warning(
            "PATS hears %s.step() alone: a training that calls first_step() and second_step() gets no noise; "
            "call step(closure), or attach to an optimizer inside that second_step() steps",
            name,
        )
    return inner


def _inside(wrapper: Any) -> Optimizer | None:
    """The one optimizer that a wrapper holds, if it steps the same parameters; torch's own hold theirs."""
    if isinstance(held := getattr(wrapper, "optimizer", None), Optimizer):
        return held
    if type(wrapper).__module__.startswith("torch."):
        return None
    found = [one for one in getattr(wrapper, "__dict__", {}).values() if isinstance(one, Optimizer)]
    if len({id(one) for one in found}) != 1:
        return None
    same = not isinstance(wrapper, Optimizer) or _parameters(found[0]) == _parameters(wrapper)
    return found[0] if same else None


def _parameters(optimizer: Optimizer) -> set[int]:
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


def refuse_overwritten_gradients(optimizer: Optimizer) -> None:
    """Refuse what writes into the gradients: in torch, foreach SGD with Nesterov momentum alone."""
    for number, group in enumerate(optimizer.param_groups):
        # foreach=None means foreach on a GPU
        foreach = group.get("foreach") or (
            group.get("foreach") is None
            and not group.get("fused")
            and any(parameter.is_cuda for parameter in group["params"])
        )
        if isinstance(optimizer, SGD) and group.get("nesterov") and foreach:
            raise ValueError(
                f"parameter group {number} of SGD has nesterov=True with foreach, which overwrites the "
                "gradients that PATS needs after the step; build SGD with foreach=False"
            )


def steps_made(optimizer: Optimizer) -> int:
    """How many steps an optimizer says it has made; 0 for one that does not count."""
    return max((int(state.get("step", 0)) for state in states_of(optimizer)), default=0)


def states_of(optimizer: Optimizer) -> list[dict[str, Any]]:
    """The state of each parameter; some optimizers keep a number of their own beside them."""
    return [state for state in optimizer.state.values() if isinstance(state, dict)]


def skipped_flag(optimizer: Optimizer) -> Tensor | None:
    """What GradScaler left with a fused optimizer: not 0 where gradients were infinite.

    Such an optimizer reads it on the device and runs its hooks even if it did not step.
    """
    found_inf = getattr(optimizer, "found_inf", None)
    if found_inf is None:
        return None
    if is_sharded(found_inf):  # what each process found in its part
        found_inf = found_inf.full_tensor()
    return torch.as_tensor(found_inf).reshape(())


def waits(number: object) -> bool:
    """Whether reading a number would make the host wait for a device."""
    return isinstance(number, Tensor) and number.device.type != "cpu"


def is_dummy_step(optimizer: Optimizer, work: Iterable[tuple[Tensor, Tensor]]) -> bool:
    """Whether nothing was trained: all learning rates and all gradients are zero.

    By such a step torch.distributed.checkpoint makes an optimizer's state before it loads one.

    Args:
        optimizer: that stepped.
        work: parameters and their gradients; those of sharded ones are the same in every process.
    """
    # A learning rate on a GPU is not read, since that would wait; a dummy step has its own 0 on the CPU.
    if any(waits(group["lr"]) or float(group["lr"]) != 0.0 for group in optimizer.param_groups):
        return False
    gradients = [gradient if gradient.is_sparse else aligned(gradient, one) for one, gradient in work]
    return not any(gradient.is_sparse for gradient in gradients) and not any_nonzero(gradients)
