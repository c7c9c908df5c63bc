"""Logical tensors: the kernels' work on tensors that are whole or sharded over processes, with one result.

Every process of a mesh has to call these functions with the same tensors in the same order: each works on its
own parts, and what has to be known of the whole is added up once for all tensors together.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dither.core import kernels
from dither.core.noise import Change, Noise, SensitivityOutcome
from dither.core.sharding import Ranks, is_sharded, local, place_of
from dither.core.statistics import SQUARE_LIMBS, TOTAL_LIMBS, Moments, carried, integer, limbs


def moments(tensors: Sequence[Tensor]) -> list[Moments]:
    """Moments of each logical tensor: the same in every process, and however the tensor is sharded.

    Example:
        >>> moments([torch.tensor([1.0, 3.0])])
        [Moments(count=2, mean=2.0, std=1.4142135381698608)]
    """
    return add_up_moments(Ranks(tensors), kernels.moments([local(tensor) for tensor in tensors]))


def add_up_moments(ranks: Ranks, found: Sequence[Moments]) -> list[Moments]:
    """The sums over logical tensors, of those over the parts that lie here.

    Args:
        ranks: of the tensors.
        found: for each of them.
    """
    if not ranks:
        return list(found)
    rows = [[one.count, one.nonfinite, *limbs(one.total), *limbs(one.squares, SQUARE_LIMBS)] for one in found]
    return [
        Moments(row[0], integer(row[2 : 2 + TOTAL_LIMBS]), integer(row[2 + TOTAL_LIMBS :]), row[1])
        for row in ranks.add_up(torch.tensor(rows, dtype=torch.int64)).tolist()
    ]


def perturb_(tensors: Sequence[Tensor], noises: Sequence[Noise]) -> list[Change]:
    """Add each noise to its logical tensor, in place.

    Args:
        tensors: floating-point tensors, whole or sharded.
        noises: one for each.

    Returns:
        What changed in each logical tensor.
    """
    parts, places = [local(tensor) for tensor in tensors], [place_of(tensor) for tensor in tensors]
    changes = kernels.perturb_(parts, noises, places=places)
    # Autograd looks at the version of the DTensor, the kernels wrote into what it holds.
    torch.autograd.graph.increment_version([tensor for tensor in tensors if is_sharded(tensor)])
    if not (ranks := Ranks(tensors)):
        return changes
    rows = [[one.elements, one.changed, one.energy, one.requested] for one in changes]
    return [Change.of(row) for row in ranks.add_up(torch.tensor(rows, dtype=torch.float64)).tolist()]


def add_up_outcome(
    ranks: Ranks, outcome: SensitivityOutcome, rows: Tensor | slice, count: int
) -> SensitivityOutcome:
    """What a training step found and did to all logical tensors, of what it did to the parts that lie here.

    One float64 row for each tensor, with a gradient here or not, so that all processes send as much: limbs of
    the sum, the number of active elements and the four numbers of a `Change`. Whole numbers below 2^53 are
    exact in it, for 2^20 processes.

    Args:
        ranks: of all tensors.
        outcome: of some of them, here.
        rows: which ones.
        count: how many tensors there are in all.

    Returns:
        The outcome of all tensors.
    """
    mine = (carried(outcome.total), outcome.active.unsqueeze(1), outcome.change)
    found = torch.zeros(count, TOTAL_LIMBS + 5, dtype=torch.float64, device=outcome.change.device)
    found[rows] = torch.cat([part.to(torch.float64) for part in mine], dim=1)
    total, active, change = ranks.add_up(found).split([TOTAL_LIMBS, 1, 4], dim=1)
    return SensitivityOutcome(total.to(torch.int64), active.squeeze(1).to(torch.int64), change)


def any_nonzero(tensors: Sequence[Tensor]) -> bool:
    """Whether any element of some logical tensors is not zero; every process gets one answer."""
    if not (ranks := Ranks(tensors)):
        return any(bool(local(tensor).count_nonzero()) for tensor in tensors)
    found = [local(tensor).count_nonzero().to("cpu", torch.int64) for tensor in tensors]
    return bool(ranks.add_up(torch.stack(found).view(-1, 1)).any())
