"""Unit draws: what one element of one tensor gets, wherever and however it is computed.

A draw depends on (recipe version, seed, method, canonical name, row-major index in the whole logical
tensor, step) and on nothing else: not on device, dtype, layout, order of tensors, ranks or shards.

    key     = BLAKE2b-64 of the JSON array [version, seed, method, name]
    counter = (index // 4 low word, index // 4 high word, step, purpose)
    lane    = index mod 4
    u       = (2·(x >> 8) + 1 − 2^24) · 2^−25        exact in float32, in (−1/2, 1/2)
"""

import json
import math
from enum import IntEnum
from hashlib import blake2b
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from dither.core.philox import WORD, Key, philox4x32

RECIPE_VERSION = 1
"""Changes when, and only when, the same seed would give other noise."""

MAX_SEED = 2**64 - 1
MAX_STEP = WORD
_JSON = json.JSONEncoder(separators=(",", ":")).encode
_CHUNK = 1 << 14  # counters at a time: the temporaries of philox then stay in the cache


class Purpose(IntEnum):
    """The fourth counter word: what the random words are used for."""

    NOISE = 0
    ROUNDING = 1


def check_seed(seed: Any) -> int:
    """Return the seed if it is a whole number in [0, 2^64), else say what is wrong.

    Example:
        >>> check_seed(7)
        7
        >>> check_seed(-1)
        Traceback (most recent call last):
        ...
        ValueError: seed is -1; it must lie in [0, 2^64)
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise TypeError(f"seed is {seed!r}; it must be a whole number in [0, 2^64)")
    if not 0 <= int(seed) <= MAX_SEED:
        raise ValueError(f"seed is {seed}; it must lie in [0, 2^64)")
    return int(seed)


def stream_key(seed: int, method: str, name: str, version: int = RECIPE_VERSION) -> Key:
    """The generator's key for one tensor: BLAKE2b-64 of the JSON array [version, seed, method, name].

    Args:
        seed: in [0, 2^64).
        method: family of the method ("noisytune", "pats"); its controls share it, and so share its draws.
        name: the canonical name of the tensor.
        version: of the recipe.

    Returns:
        Two words in [0, 2^32): the digest read as a little-endian number, low word first.

    Example:
        >>> stream_key(0, "noisytune", "encoder.layer.0.attention.self.query.weight")
        (503764966, 1593844342)
    """
    text = _JSON([version, check_seed(seed), method, name])
    number = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
    return number & WORD, number >> 32


def random_words(
    key: Key,
    start: int,
    count: int,
    *,
    step: int = 0,
    purpose: Purpose = Purpose.NOISE,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Random words of the elements [start, start + count) of a tensor.

    Args:
        key: from `stream_key`.
        start: row-major index of the first element in the logical tensor, in [0, 2^63).
        count: how many elements.
        step: in [0, 2^32).
        purpose: which of the element's words.
        device: where to compute.

    Returns:
        int64 tensor (count,) of words in [0, 2^32).
    """
    if not 0 <= step <= MAX_STEP:
        raise ValueError(f"step is {step}; it must lie in [0, 2^32)")
    if start < 0 or count < 0:
        raise ValueError(f"elements [{start}, {start + count}) asked for; an index is never negative")
    first, last = start // 4, (start + count + 3) // 4
    words = torch.empty((last - first, 4), dtype=torch.int64, device=device)
    for at in range(first, last, _CHUNK):
        stop = min(at + _CHUNK, last)
        counters = torch.arange(at, stop, dtype=torch.int64, device=device)
        torch.stack(_lanes(key, counters, step, purpose), dim=1, out=words[at - first : stop - first])
    return words.view(-1)[start - 4 * first :][:count]


def random_words_at(key: Key, index: Tensor, *, step: int = 0, purpose: Purpose = Purpose.NOISE) -> Tensor:
    """The random words of the elements at some indices: those of `random_words`, four times as dear.

    Args:
        key: from `stream_key`.
        index: int64 tensor of row-major indices in the logical tensor.
        step: in [0, 2^32).
        purpose: which of the element's words.

    Example:
        >>> random_words_at((1, 2), torch.tensor([7, 2])).tolist() == [
        ...     random_words((1, 2), 7, 1).item(), random_words((1, 2), 2, 1).item()]
        True
    """
    lanes = torch.stack(_lanes(key, index >> 2, step, purpose), dim=-1)
    return lanes.gather(-1, (index & 3).unsqueeze(-1)).squeeze(-1)


def _lanes(key: Key, counters: Tensor, step: int, purpose: Purpose) -> tuple[Tensor, ...]:
    """The four words of each counter."""
    zero = torch.zeros_like(counters)
    return philox4x32((counters & WORD, counters >> 32, zero + step, zero + int(purpose)), key)


def uniform(key: Key, start: int, count: int, *, step: int = 0, device: torch.device | str = "cpu") -> Tensor:
    """Unit draws of the uniform law: u ~ U(−1/2, 1/2), variance 1/12.

    Returns:
        float32 tensor (count,), every value an odd multiple of 2^−25: the same bits everywhere.

    Example:
        >>> uniform((1, 2), start=0, count=6)[4:].tolist() == uniform((1, 2), start=4, count=2).tolist()
        True
    """
    return _uniform_of(random_words(key, start, count, step=step, device=device))


def uniform_at(key: Key, index: Tensor, *, step: int = 0) -> Tensor:
    """The draws of `uniform` of the elements at some indices.

    Example:
        >>> uniform_at((1, 2), torch.tensor([5])).item() == uniform((1, 2), start=5, count=1).item()
        True
    """
    return _uniform_of(random_words_at(key, index, step=step))


def _uniform_of(words: Tensor) -> Tensor:
    words.bitwise_right_shift_(8).mul_(2).add_(1 - 2**24)
    return words.to(torch.float32).mul_(2.0**-25)


def gaussian(
    key: Key, start: int, count: int, *, step: int = 0, device: torch.device | str = "cpu"
) -> Tensor:
    """Unit draws of the Gaussian law with the variance of the uniform one: g ~ N(0, 1/12).

    Box-Muller on the four words (x0, x1, x2, x3) of a counter: with R(x) = sqrt(−2 ln((x + 1/2)·2^−32)) and
    T(x) = 2π·(x + 1/2)·2^−32, the lanes are R(x0)·cos T(x1), R(x0)·sin T(x1), R(x2)·cos T(x3),
    R(x2)·sin T(x3), over sqrt(12). Computed in float64 and rounded once.

    Returns:
        float32 tensor (count,); equal on all backends to within 1e-6, since logarithm and sine are not
        rounded alike everywhere.
    """
    first = start // 4 * 4
    whole = -(-(start + count - first) // 4) * 4
    words = random_words(key, first, whole, step=step, device=device).view(-1, 2)
    cosine, sine = _gaussian_pair(words[:, 0], words[:, 1])
    return torch.stack((cosine, sine), dim=-1).reshape(-1)[start - first :][:count]


def gaussian_at(key: Key, index: Tensor, *, step: int = 0) -> Tensor:
    """The draws of `gaussian` of the elements at some indices."""
    radii, angles = (random_words_at(key, pair, step=step) for pair in (index & ~1, index | 1))
    return torch.where(index & 1 == 0, *_gaussian_pair(radii, angles))


def _gaussian_pair(radii: Tensor, angles: Tensor) -> tuple[Tensor, Tensor]:
    """R(x)·cos T(y) and R(x)·sin T(y), over sqrt(12), of words x and y."""
    x, angle = (words.to(torch.float64).add_(0.5).mul_(2.0**-32) for words in (radii, angles))
    radius = x.log_().mul_(-2.0 / 12.0).sqrt_()
    angle.mul_(2.0 * math.pi)
    return (radius * angle.cos()).to(torch.float32), (radius * angle.sin()).to(torch.float32)


LAWS = {"uniform": uniform, "gaussian": gaussian}
"""The laws of the noise by the name that users type."""
LAWS_AT = {"uniform": uniform_at, "gaussian": gaussian_at}
"""The same draws at indices that are no neighbours."""
