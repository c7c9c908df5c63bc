"""The kernels of a training step: moving average, exact sum and noise in one pass, and the means."""

import triton
import triton.language as tl

from dither.core.kernels.device.access import addresses, drawn, item, start, tile_of
from dither.core.kernels.device.draws import unit_draws
from dither.core.kernels.device.exact_sums import (
    HIGHEST_WINDOW,
    INFINITE,
    accumulate,
    add_limbs,
    magnitude,
    quad_sums,
    whole,
)
from dither.core.kernels.device.noise_pass import add_change, no_change, store_change, written
from dither.core.kernels.device.rounding import is_zero, narrowed, widened
from dither.core.kernels.device.table import INDEX, KEY
from dither.core.statistics import TOTAL_LIMBS

_LIMBS = tl.constexpr(TOTAL_LIMBS)
_WORD = tl.constexpr(0xFFFFFFFF)
_POINT = tl.constexpr(64 + 149)  # the scale of three limbs at the bottom: units of 2^-149, two limbs down


@triton.jit
def step_pass(
    table: tl.tensor,
    items: tl.tensor,
    changes: tl.tensor,
    totals: tl.tensor,
    actives: tl.tensor,
    step_at: tl.tensor,
    means: tl.tensor,
    scales: tl.tensor,
    skipped_at: tl.tensor,
    beta: tl.tensor,
    rest: tl.tensor,
    gamma: tl.tensor,
    DTYPE: tl.constexpr,
    GRADIENT: tl.constexpr,
    AVERAGE: tl.constexpr,
    STOCHASTIC: tl.constexpr,
    SKIPPABLE: tl.constexpr,
    MAGNITUDE: tl.constexpr,
    IDLE: tl.constexpr,
    GAMMA: tl.constexpr,
    STRIDED: tl.constexpr,
    ALIGNED: tl.constexpr,
    PLACED: tl.constexpr,
    WIDE: tl.constexpr,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
) -> None:
    """The step of an item: see `reference.sensitivity_step_`.

    Weights and averages of a tile whose gradients are all zero are neither read nor written, unless the rule
    is idle: there the step says nothing.

    Args:
        changes: float64 (items, 4), a row for each item.
        totals, actives: int64 (k, limbs) and (k,), added to.
        step_at, means, scales, skipped_at: the scalars of the step, read here.
        beta, rest, gamma: float32; rest is 1 − beta.
        GAMMA: 1 or 2 where gamma is that, else 0.
    """
    row, begin, count, tiles, number = item(table, items, ALIGNED, TILE, TILES)
    index, key = tl.load(row + INDEX), tl.load(row + KEY)
    step, mean, scale = tl.load(step_at).to(tl.uint32), tl.load(means + index), tl.load(scales + index)
    noisy, tiles = _plan(mean, scale, tiles, skipped_at, SKIPPABLE)
    weights, gradients = start(row, 0, DTYPE, ALIGNED), start(row, 1, GRADIENT, ALIGNED)
    averages = start(row, 2, AVERAGE, ALIGNED)
    limbs = totals + index * _LIMBS
    upper, low = tl.zeros([TILE // 4], tl.int32), tl.full([], HIGHEST_WINDOW, tl.int32)
    lower, found = upper, upper
    changed, energy, requested = no_change(TILE)
    for tile in range(tiles):
        first, position, valid = tile_of(begin, tile, count, ALIGNED, TILE)
        gradient_at = addresses(gradients, row, position, 1, STRIDED, WIDE)
        gradient = widened(tl.load(gradient_at, mask=valid, other=0.0))
        busy = tl.max((gradient != 0).to(tl.int32), axis=0) > 0
        if IDLE | busy:
            weight_at = addresses(weights, row, position, 0, STRIDED, WIDE)
            weight = tl.load(weight_at, mask=valid, other=0.0)
            average_at = addresses(averages, row, position, 2, STRIDED, WIDE)
            average = widened(tl.load(average_at, mask=valid, other=0.0))
            active, average = _updated(widened(weight), gradient, average, beta, rest, MAGNITUDE)
            kept = narrowed(average, AVERAGE)
            tl.store(average_at, kept, mask=valid)
            average = widened(kept)
            counted = active & (magnitude(average) < INFINITE)
            upper, lower, low = accumulate(limbs, upper, lower, low, average, counted)
            found += quad_sums(counted.to(tl.int32))
            if noisy:
                where = drawn(row, first, position, PLACED, WIDE)
                share = _weights(average, active, mean, gamma, GAMMA, IDLE)
                added = unit_draws(key, where, step, False, PLACED, TILE // 4) * scale * share
                added = tl.where(is_zero(weight), 0.0, added)
                stored, moved = written(weight, added, key, where, step, DTYPE, STOCHASTIC, PLACED, TILE)
                tl.store(weight_at, stored, mask=valid)
                changed, energy, requested = add_change(changed, energy, requested, moved, added)
    add_limbs(limbs, whole(upper, lower), low)
    tl.atomic_add(actives + index, tl.sum(found, axis=0).to(tl.int64), sem="relaxed")
    elements = tl.minimum(begin + tiles * TILE, count) - tl.maximum(begin, 0)
    store_change(changes + 4 * number, tl.where(noisy, elements, 0), changed, energy, requested)


@triton.jit
def _plan(
    mean: tl.tensor, scale: tl.tensor, tiles: tl.tensor, skipped_at: tl.tensor, SKIPPABLE: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """Whether there is noise, and how many tiles to go through: none where the step is skipped."""
    noisy = (scale > 0) & (mean > 0)
    if SKIPPABLE:
        happens = tl.load(skipped_at) == 0
        noisy = noisy & happens
        tiles = tl.where(happens, tiles, 0)
    return noisy, tiles


@triton.jit
def _updated(
    weight: tl.tensor,
    gradient: tl.tensor,
    average: tl.tensor,
    beta: tl.tensor,
    rest: tl.tensor,
    MAGNITUDE: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Which elements are active, and the moving average with what this step says about them."""
    observed = tl.where(gradient == 0, 0.0, tl.abs(weight * gradient))
    active = observed != 0
    if MAGNITUDE:
        observed = tl.where(active, tl.abs(weight), 0.0)
    blended = tl.where(average == 0, observed, average * beta + observed * rest)
    return active, tl.where(observed == 0, average, blended)


@triton.jit
def _weights(
    average: tl.tensor,
    active: tl.tensor,
    mean: tl.tensor,
    gamma: tl.tensor,
    GAMMA: tl.constexpr,
    IDLE: tl.constexpr,
) -> tl.tensor:
    """r = max(0, 1 − e / m)^γ on the active elements, 0 elsewhere; everywhere where the rule is idle."""
    share = 1.0 - tl.div_rn(average, tl.zeros_like(average) + mean)
    positive = share > 0
    share = tl.where(positive, share, 1.0)  # 1 instead of what is replaced below
    if GAMMA == 2:
        share = share * share
    if GAMMA == 0:
        share = tl.exp(tl.log(share.to(tl.float64)) * gamma).to(tl.float32)
    if not IDLE:
        positive = positive & active
    return tl.where(positive, share, 0.0)


@triton.jit
def means_pass(totals: tl.tensor, actives: tl.tensor, means: tl.tensor, results: tl.tensor) -> None:
    """fl32(fl64(Σ e) / n) of a tensor; its mean as it was where nothing was active."""
    tensor = tl.program_id(0)
    limbs = totals + tensor.to(tl.int64) * _LIMBS
    carry = tl.full([], 0, tl.int64)
    for at in tl.static_range(_LIMBS):
        carry = (tl.load(limbs + at) + carry) >> 32
    sign = tl.where(carry < 0, -1, 1).to(tl.int64)  # limbs of either sign make a number of one
    carry = tl.full([], 0, tl.int64)
    value = tl.full([], 0.0, tl.float64)
    middle, low, below = carry, carry, carry
    for at in tl.static_range(_LIMBS):
        number = tl.load(limbs + at) * sign + carry
        carry = number >> 32
        high = number & _WORD
        value = tl.where(high != 0, _rounded(high, middle, low, below, 32 * at - _POINT), value)
        below = tl.where(low != 0, 1, below)
        low = middle
        middle = high
    active = tl.load(actives + tensor)
    mean = (value * sign.to(tl.float64) / tl.maximum(active, 1).to(tl.float64)).to(tl.float32)
    tl.store(results + tensor, tl.where(active > 0, mean, tl.load(means + tensor)))


@triton.jit
def _rounded(
    high: tl.tensor, middle: tl.tensor, low: tl.tensor, below: tl.tensor, EXPONENT: tl.constexpr
) -> tl.tensor:
    """The float64 nearest to (high · 2^64 + middle · 2^32 + low + something below) · 2^EXPONENT.

    Three digits in [0, 2^32), the highest not 0. The first sum's error is exact, so only the last one rounds;
    whether there is something below matters to it in ties alone, and a half says as much.
    """
    large = high.to(tl.float64) * 18446744073709551616.0
    small = middle.to(tl.float64) * 4294967296.0
    near = large + small
    error = small - (near - large)
    exact = near + (error + (low.to(tl.float64) + 0.5 * below.to(tl.float64)))
    bits = tl.full([], 1023 + EXPONENT, tl.int64) << 52
    return exact * bits.to(tl.float64, bitcast=True)
