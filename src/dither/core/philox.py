"""Philox4x32-10, the counter-based generator behind every draw, in plain torch.

Reference: J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC 2011, https://doi.org/10.1145/2063384.2063405. Checked against the authors' known answers.
"""

from torch import Tensor

WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10

Key = tuple[int, int]


def philox4x32(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: Key) -> tuple[Tensor, ...]:
    """Encrypt 128-bit counters with a 64-bit key.

    One round maps (c0, c1, c2, c3) to (hi(M1·c2) ^ c1 ^ k0, lo(M1·c2), hi(M0·c0) ^ c3 ^ k1, lo(M0·c0));
    the key is bumped by the Weyl constants after each of the ten rounds.

    Args:
        counter: four int64 tensors of one shape, each holding words in [0, 2^32).
        key: two words in [0, 2^32).

    Returns:
        Four int64 tensors of random words in [0, 2^32).

    Example:
        >>> import torch
        >>> zero = torch.zeros(1, dtype=torch.int64)
        >>> [f"{int(word):08x}" for word in philox4x32((zero, zero, zero, zero), (0, 0))]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # An int64 product wraps modulo 2^64, which keeps every bit; the shift is arithmetic, so its
        # upper half is cleared together with the exclusive-or's by one mask.
        product0 = c0 * _MULTIPLIERS[0]
        product1 = c2 * _MULTIPLIERS[1]
        c0 = (product1 >> 32).bitwise_xor_(c1).bitwise_xor_(k0).bitwise_and_(WORD)
        c2 = (product0 >> 32).bitwise_xor_(c3).bitwise_xor_(k1).bitwise_and_(WORD)
        c1 = product1.bitwise_and_(WORD)
        c3 = product0.bitwise_and_(WORD)
        k0 = (k0 + _WEYL[0]) & WORD
        k1 = (k1 + _WEYL[1]) & WORD
    return c0, c1, c2, c3
