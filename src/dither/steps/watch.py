"""Whether the noise stays in the weights and the gradients are those of the step, seen on a small sample.

Optimizers that keep a copy of the weights of their own take noise back, in the step that follows or between
two steps; others write into `.grad`, so that afterwards it is not the gradient that the step used. Of a few
tensors some hundred elements are looked at: in the first steps, and now and then later. Sums stay on the
device; where reading them would make the host wait they are read when somebody asks.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dither.core.memory import is_plainly_ordinary
from dither.core.sharding import is_sharded, local
from dither.methods.targets import Target

Gradients = Mapping[int, Tensor | None]

_TENSORS, _ELEMENTS = 8, 512
_FIRST, _PERIOD = 32, 64  # steps that are watched: the first ones, and two in each period
_TAKEN, _CERTAIN = 0.05, 6.0  # share of a step's noise; standard errors
_OTHER = 0.01  # relative: how far gradients may be off, rounding to half precision is less
_NOTHING = 1e-5
_MOVED = 0.1  # relative: weights that were loaded or drawn anew, and not rounded to another dtype


@dataclass(frozen=True)
class Finding:
    """What the sample shows so far.

    Attributes:
        taken: share of a step's noise that is gone after the next step, or that something between two steps
            takes where it changes the weights at all; 0 where that is not certain.
        other: how far gradients after a step are from those before it, relative.
        moved: how far the weights were moved between attach and the first step, relative.
    """

    taken: float = 0.0
    other: float = 0.0
    moved: float = 0.0


class Watch:
    """The sample of some tensors on one device."""

    def __init__(self, rows: Sequence[Target]) -> None:
        self._parameters = [row.named.parameter for row in _sampled(rows)]
        self._device = self._parameters[0].device if self._parameters else None
        self._sums: Tensor | None = None
        self._counts = torch.zeros(0)
        self._before: Tensor | None = None  # gradients before the step
        self._stepped: Tensor | None = None  # weights after the step
        self._left: tuple[Tensor, Tensor] | None = None  # weights and noise of the step before
        self._seen = 0
        self._age = 0  # steps since attach, or since a state was loaded
        self._attached: Tensor | None = None

    def looks(self) -> bool:
        """Whether the step that begins, or has begun, is watched."""
        is_time = self._age < _FIRST or self._age % _PERIOD < 2
        return is_time and bool(self._parameters) and all(map(_is_plain, self._parameters))

    @torch.no_grad()
    def attach(self) -> None:
        """Remember the weights whose std is taken now."""
        self._attached = self._weights() if self._parameters else None

    @torch.no_grad()
    def before_step(self, gradients: Gradients, *, first: bool) -> None:
        """Look at the gradients that a step will use, and at what became of the weights since.

        Args:
            gradients: of the parameters, by their ids.
            first: no step was counted so far.
        """
        attached, self._attached = self._attached, None
        if self._device != self._parameters[0].device:  # the model was moved
            self._device, self._counts, self._sums, attached = (
                self._parameters[0].device,
                torch.zeros(0),
                None,
                None,
            )
            self.skip()
        if attached is not None and first:
            now = self._weights()
            rows = self._by_tensor([(now - attached).square(), now.square(), attached.square()])
            moved = torch.stack([rows[0], torch.maximum(rows[1], rows[2])])
            self._add(moved, at=6)
        if self._left is not None and self._before is None:  # else this is the step's closure
            weights, noise = self._left
            moved = self._weights() - weights
            nn, nd, dd = self._by_tensor([noise.square(), noise * moved, moved.square()])
            event = (nn > 0.0) & (dd > 0.0)
            self._add(torch.stack([nn, -nd, dd, self._counts]) * event, at=8)
        self._before = self._gradients(gradients)

    @torch.no_grad()
    def after_step(self, gradients: Gradients, *, rescaled: bool) -> None:
        """Compare with what was there before: the noise of the last step, and the gradients.

        Args:
            gradients: as for `before_step`.
            rescaled: the step divides the gradients by a loss scale, which changes nothing but their size.
        """
        after, self._stepped = self._gradients(gradients), self._weights()
        before = after if self._before is None else self._before
        noise, moved = torch.zeros_like(after), torch.zeros_like(after)
        if self._left is not None:
            weights, noise = self._left
            moved = self._stepped - weights
        pairs = [(after, after), (after, noise), (after, moved), (noise, noise)]
        pairs += [(noise, moved), (moved, moved), (before, before), (before, after)]
        gg, gn, gd, nn, nd, dd, bb, bg = self._by_tensor([one * other for one, other in pairs])
        # What follows from the gradient is the optimizer's answer to the loss: only the rest counts.
        scale = torch.where(gg > 0.0, 1.0 / gg, 0.0)
        noise_rows = [nn - gn * gn * scale, -(nd - gn * gd * scale), dd - gd * gd * scale, self._counts]
        self._add(torch.stack(noise_rows) * (nn > 0.0), at=0)
        off = bb - bg * bg * scale if rescaled else bb - 2.0 * bg + gg
        off = torch.where(off > _NOTHING * bb, off, 0.0)  # squares of what float32 loses
        self._add(torch.stack([off, bb]), at=4)
        self._before = self._left = None

    @torch.no_grad()
    def after_noise(self) -> None:
        """Remember what the noise left."""
        if self._stepped is not None:
            left = self._weights()
            self._left = left, left - self._stepped
            self._stepped = None

    def skip(self) -> None:
        """Forget the step before: the next one follows none."""
        self._before = self._stepped = self._left = None

    def restart(self) -> None:
        """Weights and state are others from now on: look closely once more."""
        self._age = 0
        self.skip()

    def count(self) -> None:
        """A step is over."""
        self._age += 1

    def finding(self) -> Finding:
        """What was found so far; this waits for the device."""
        if self._sums is None:
            return Finding()
        sums = self._sums.sum(1).tolist()
        return Finding(
            taken=max(_share(*sums[:4]), _share(*sums[8:])),
            other=_relative(sums[4], sums[5], _OTHER),
            moved=_relative(sums[6], sums[7], _MOVED),
        )

    def is_due(self) -> bool:
        """Whether it is time to read: after 1, 2, 4, 8, ... watched steps."""
        self._seen += 1
        return self._seen & (self._seen - 1) == 0

    def _add(self, rows: Tensor, *, at: int) -> None:
        if self._sums is None:
            self._sums = torch.zeros(12, rows.shape[1], device=rows.device)
        self._sums[at : at + len(rows)] += torch.where(torch.isfinite(rows).all(0, keepdim=True), rows, 0.0)

    def _weights(self) -> Tensor:
        return _flat([_elements(one) for one in self._parameters])

    def _gradients(self, gradients: Gradients) -> Tensor:
        return _flat(list(self._each_gradient(gradients)))

    def _each_gradient(self, gradients: Gradients) -> Iterator[Tensor]:
        for parameter in self._parameters:
            held = gradients.get(id(parameter))
            is_like = held is not None and not held.is_sparse and is_sharded(held) == is_sharded(parameter)
            mine = local(held) if held is not None and is_like else None
            if mine is None or mine.shape != local(parameter).shape or not is_plainly_ordinary(mine):
                mine = torch.zeros_like(local(parameter))
            yield _elements(mine)

    def _by_tensor(self, products: Sequence[Tensor]) -> Tensor:
        """Sums of each product over the elements of each tensor."""
        lengths = [min(local(one).numel(), _ELEMENTS) for one in self._parameters]
        device = products[0].device
        if self._counts.numel() != len(lengths):
            self._counts = torch.tensor(lengths, dtype=torch.float32).to(device, non_blocking=True)
        parts = torch.stack(list(products)).split(lengths, dim=1)
        return torch.stack([part.sum(1) for part in parts], dim=1)


def _sampled(rows: Sequence[Target]) -> list[Target]:
    """A few tensors, evenly over the model, all on one device and in ordinary memory."""
    fit = [row for row in rows if row.named.parameter.requires_grad and _is_plain(row.named.parameter)]
    devices = [row.named.parameter.device for row in fit]
    fit = [row for row in fit if row.named.parameter.device == max(devices, key=devices.count)]
    count = min(_TENSORS, len(fit))
    return [fit[place * len(fit) // count] for place in range(count)]


def _is_plain(parameter: Tensor) -> bool:
    mine = local(parameter).detach()
    return mine.numel() > 0 and is_plainly_ordinary(mine)


def _elements(tensor: Tensor) -> Tensor:
    mine = local(tensor).detach()
    stride = max(1, mine.numel() // _ELEMENTS)
    return mine.reshape(-1)[::stride][:_ELEMENTS]


def _flat(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts).to(torch.float32)


def _share(noise: float, taken: float, spread: float, count: float) -> float:
    """The share of noise that was taken; 0 where chance may have made it, or it is small."""
    if noise <= 0.0 or count <= 0.0:
        return 0.0
    share, error = taken / noise, math.sqrt(max(spread, 0.0) / count / noise)
    return min(share, 1.0) if share > max(_TAKEN, _CERTAIN * error) else 0.0


def _relative(part: float, whole: float, least: float) -> float:
    share = math.sqrt(max(part, 0.0) / whole) if whole > 0.0 else 0.0
    return share if share > least else 0.0
