"""The last hidden states of a model on some inputs, and how far they moved since they were read.

Read are the states that a head would get: the output of the backbone, or of a model without a head; of
encoder-decoders the decoder's. Padding is left out, and in decoders the first real token of each row: it sees
nothing but itself, and its state is often far from all others.
"""

import contextlib
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dither.core.names import unwrapped
from dither.core.passes import device_of, on_device, undisturbed

_LABELS = ("labels", "label", "label_ids", "start_positions", "end_positions", "next_sentence_label")
_DECODER_INPUTS = ("decoder_input_ids", "decoder_inputs_embeds")
_NO_SPREAD = 1e-10
"""Below this share of their mean square, the spread of states is rounding."""
_SAME = 1e-5
"""Below this share of the largest one, a change of states is rounding."""


class Read(NamedTuple):
    """States of one call of the backbone: (rows, tokens, width), and which tokens count."""

    states: Tensor
    counted: Tensor


class HiddenStates:
    """The last hidden states of a model, kept to be compared with those it gives later.

    Args:
        model: any torch module whose output, or whose backbone's, has `last_hidden_state` or
            `hidden_states`, as those of transformers have; it is left as it is.
        batches: inputs by name; labels may be there and are not used, but by encoder-decoders that make
            their decoder's inputs of them. Tokens count where `attention_mask` is not 0; all without one.

    Attributes:
        rows: how many inputs.
        tokens: how many tokens count.
        first_left_out: whether the first real token of each row does not count: in decoders.
        spread: mean ‖h − h̄‖² over the tokens that count.

    Raises:
        ValueError: no batch, a model without hidden states, or states that are not finite or all alike.

    Example:
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.table = nn.Embedding(3, 2, _weight=torch.eye(3, 2))
        ...     def forward(self, input_ids):
        ...         return {"last_hidden_state": self.table(input_ids)}
        >>> net = Net()
        >>> states = HiddenStates(net, [{"input_ids": torch.tensor([[0, 1, 2]])}])
        >>> states.displacement()
        0.0
        >>> with torch.no_grad():
        ...     _ = net.table.weight.mul_(1.5)
        >>> round(states.displacement(), 3)
        0.612
    """

    def __init__(self, model: nn.Module, batches: Sequence[Mapping[str, Any]]) -> None:
        if not batches:
            raise ValueError("hidden states are read on batches, and there is none; give one at least")
        self._reader = _Reader(model)
        self._batches = [on_device(batch, device_of(model)) for batch in batches]
        self.first_left_out = False
        with undisturbed(self._reader.model), torch.no_grad():
            reads = list(self._reads())
        with undisturbed(self._reader.model), torch.no_grad():
            self.first_left_out = self._reader.is_decoder or self._is_causal()
        self._kept = [read.states[self._counted(read)] for read in reads]
        self.rows = sum(len(read.states) for read in reads)
        self.tokens = sum(len(values) for values in self._kept)
        self.spread = _spread(self._kept, self.tokens, self.rows)

    def displacement(self) -> float:
        """How far the states moved since, relative to their spread: sqrt(mean ‖h′ − h‖² / mean ‖h − h̄‖²).

        Compared in float64; not finite where the states are not.
        """
        moved = 0.0
        with undisturbed(self._reader.model), torch.no_grad():
            for kept, read in zip(self._kept, self._reads(), strict=True):
                moved += float((read.states[self._counted(read)].double() - kept.double()).square_().sum())
        return math.sqrt(moved / self.tokens / self.spread)

    def _reads(self) -> Iterator[Read]:
        for batch in self._batches:
            yield from self._reader.read(batch)

    def _counted(self, read: Read) -> Tensor:
        return read.counted & (read.counted.cumsum(1) > 1) if self.first_left_out else read.counted

    def _is_causal(self) -> bool:
        """Whether states depend on what comes before and not on what comes after, by trying it on a row."""
        row = _longest_row(self._batches[0])
        if row is None:
            return self._reader.says_causal
        inputs, real = row
        ids = inputs["input_ids"]
        still, *moved = (
            self._reader.read(inputs | {"input_ids": changed})[0].states[0]
            for changed in (ids, _with_another(ids, int(real[-1])), _with_another(ids, int(real[0])))
        )
        if len(still) != ids.shape[1]:  # a prompt is put before the tokens
            return self._reader.says_causal
        backward, forward = (
            float((states - still)[others].abs().max())
            for states, others in zip(moved, (real[:-1], real[1:]), strict=True)
        )
        return backward <= _SAME * float(still.abs().max()) < forward


def _longest_row(batch: Mapping[str, Any]) -> tuple[dict[str, Any], Tensor] | None:
    """The row with the most real tokens, and where these stand; None where there are no two in a row."""
    ids, mask = batch.get("input_ids"), batch.get("attention_mask")
    if not isinstance(ids, Tensor) or ids.dim() != 2 or ids.is_floating_point():
        return None
    if not isinstance(mask, Tensor) or mask.shape != ids.shape:
        mask = torch.ones_like(ids)
    at = int((mask != 0).sum(1).argmax())
    real = mask[at].nonzero().flatten()
    if len(real) < 2:
        return None
    row = {
        key: value[at : at + 1] if isinstance(value, Tensor) and value.shape[:1] == ids.shape[:1] else value
        for key, value in batch.items()
    }
    return row, real


def _with_another(ids: Tensor, at: int) -> Tensor:
    """Token ids with another one at a place."""
    changed = ids.clone()
    changed[0, at] += -1 if int(ids[0, at]) > 0 else 1
    return changed


class _Reader:
    """Runs a model and listens to what gives its last hidden states."""

    def __init__(self, model: nn.Module) -> None:
        while isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module  # replicas compute nothing that one of them does not
        self.model = model
        inner = unwrapped(model)
        config = getattr(inner, "config", None)
        self.is_decoder = bool(getattr(config, "is_encoder_decoder", False)) and hasattr(inner, "get_decoder")
        self._padding = getattr(config, "pad_token_id", None)
        self._backbone = _backbone(inner.get_decoder() if self.is_decoder else inner)  # type: ignore[operator]
        self._parameters = inspect.signature(inner.forward).parameters
        self._options: dict[str, Any] = {"use_cache": False} if "use_cache" in self._parameters else {}
        takes_any = any(one.kind is one.VAR_KEYWORD for one in self._parameters.values())
        if self._backbone is inner and (
            "output_hidden_states" in self._parameters or (takes_any and config is not None)
        ):
            self._options["output_hidden_states"] = True

    @property
    def says_causal(self) -> bool:
        """Whether the model calls an attention of its own causal."""
        return any(getattr(module, "is_causal", False) is True for module in self._backbone.modules())

    def read(self, batch: Mapping[str, Any]) -> list[Read]:
        """The states of each call of the backbone."""
        inputs = {key: value for key, value in batch.items() if not self._drops(key, batch)}
        calls: list[tuple[dict[str, Any], Any]] = []
        names = inspect.signature(self._backbone.forward)

        def listen(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            calls.append((names.bind_partial(*args, **kwargs).arguments, output))

        with contextlib.ExitStack() as stack:
            listener = self._backbone.register_forward_hook(listen, with_kwargs=True)
            stack.callback(listener.remove)
            self.model(**inputs, **self._options)
        kind = type(unwrapped(self.model)).__name__
        if not calls:
            raise ValueError(f"{kind} never calls its {type(self._backbone).__name__}, so no states are seen")
        return [self._read(taken, output, batch, kind) for taken, output in calls]

    def _drops(self, key: str, batch: Mapping[str, Any]) -> bool:
        """Labels are not passed on, unless they are needed."""
        if key not in _LABELS or (self.is_decoder and not any(name in batch for name in _DECODER_INPUTS)):
            return False
        parameter = self._parameters.get(key)
        return parameter is None or parameter.default is not parameter.empty

    def _read(self, taken: Mapping[str, Any], output: Any, batch: Mapping[str, Any], kind: str) -> Read:
        states = _last_state(output)
        if states is None:
            raise ValueError(
                f"{kind} gives no hidden states: its output has neither last_hidden_state nor hidden_states; "
                "let its forward return an object or a dict with last_hidden_state, of shape "
                "(rows, tokens, width)"
            )
        if states.dim() == 2:
            states = states.unsqueeze(1)
        if states.dim() != 3:
            raise ValueError(
                f"the last hidden states of {kind} have the shape {tuple(states.shape)}; "
                "they must be (rows, tokens, width)"
            )
        return Read(states, self._counted(taken, states, batch, kind))

    def _counted(
        self, taken: Mapping[str, Any], states: Tensor, batch: Mapping[str, Any], kind: str
    ) -> Tensor:
        """Which tokens count: (rows, tokens), bool."""
        size = states.shape[:2]
        mask, ids = taken.get("attention_mask"), taken.get("input_ids")
        if self.is_decoder:
            if mask is None and isinstance(ids, Tensor) and ids.shape == size and self._padding is not None:
                mask = ids != self._padding
                mask[:, 0] = True  # where the decoder starts, with padding as some do
        elif not isinstance(mask, Tensor) or mask.dim() != 2:
            mask = batch.get("attention_mask")
        if not isinstance(mask, Tensor):
            return torch.ones(size, dtype=torch.bool, device=states.device)
        if taken.get("past_key_values") is not None and mask.dim() == 2:
            mask = mask[:, -size[1] :]  # a prefix stands in the mask alone
        if mask.shape != size:
            raise ValueError(
                f"attention_mask has the shape {tuple(mask.shape)} and the last hidden states of {kind} "
                f"{tuple(states.shape)}, so it is unknown which tokens count"
            )
        return mask.to(states.device) != 0


def _backbone(module: nn.Module) -> nn.Module:
    prefix = getattr(module, "base_model_prefix", "")
    inside = getattr(module, prefix, None) if prefix else None
    return inside if isinstance(inside, nn.Module) else module


def _last_state(output: Any) -> Tensor | None:
    for name in ("last_hidden_state", "hidden_states"):
        value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(value, tuple | list) and value:
            value = value[-1]
        if isinstance(value, Tensor):
            return value
    return None


def _spread(kept: Sequence[Tensor], tokens: int, rows: int) -> float:
    """mean ‖h − h̄‖² over all tokens, in float64."""
    if tokens < 2:
        raise ValueError(
            f"{tokens} tokens count in {rows} rows, so their states have no spread to compare with; "
            "give more rows"
        )
    center = sum(values.double().sum(0) for values in kept) / tokens
    around = sum(float((values.double() - center).square_().sum()) for values in kept) / tokens
    size = sum(float(values.double().square().sum()) for values in kept) / tokens
    if not math.isfinite(size):
        raise ValueError("the last hidden states hold NaN or infinite values before any noise")
    if around <= _NO_SPREAD * size:
        raise ValueError(
            f"the last hidden states of all {tokens} tokens of {rows} rows are alike, so there is no "
            "spread to compare a movement with; give other rows, or weights that tell tokens apart"
        )
    return around
