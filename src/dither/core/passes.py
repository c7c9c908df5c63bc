"""Passes through a model that leave no trace: for measuring it as it is."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for the length of a block, then everything as it was.

    Dropout and the like are off, autocast is off, compiled code runs as plain torch. Afterwards the training
    mode of each module, the buffers and the global random state of torch are what they were; so two blocks
    one after the other draw the same numbers, should a model draw any in evaluation.

    Example:
        >>> net = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout())
        >>> with undisturbed(net):
        ...     _ = net(torch.ones(3, 2))
        >>> net[1].training, net[0].num_batches_tracked.item()
        (True, 0)
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, None if buffer is None else buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
    ]
    places = _devices(model)
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(
            torch.random.fork_rng([place.index for place in places if place.type == "cuda"], enabled=True)
        )
        for kind in {place.type for place in places} - {"meta"}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        if _is_compiled(model):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        model.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            with torch.no_grad():
                for module, name, buffer, kept in buffers:
                    module._buffers[name] = buffer
                    if buffer is not None and kept is not None and not torch.equal(buffer, kept):
                        buffer.copy_(kept)


def on_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """The inputs with their tensors on a device.

    Example:
        >>> on_device({"input_ids": torch.zeros(1, 2), "return_dict": True}, torch.device("cpu")).keys()
        dict_keys(['input_ids', 'return_dict'])
    """
    return {key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()}


def device_of(model: nn.Module) -> torch.device:
    """Where a model takes its inputs: the device of its first parameter."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _devices(model: nn.Module) -> list[torch.device]:
    return list(dict.fromkeys(parameter.device for parameter in model.parameters()))


def _is_compiled(model: nn.Module) -> bool:
    """Whether torch.compile is at work somewhere: its code does not see hooks that come later."""
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )
