"""The two hot loops in Numba, to compare with the native kernels: float32, contiguous, uniform noise, γ = 1.

Numba is not a dependency of dither; this file helps to decide whether it should be one. To run it:

    pip install numba
    python -m benchmarks.numba_kernels

It compares the bits with the reference backend's, then prints nanoseconds per element on BERT-base with one
thread and two, and the seconds of the first calls in a fresh process, before and after they are cached.
No fast-math: the rounding of the noise is part of the recipe. Only sums may be taken in any order, since
nothing is rounded in them, or (energies) their last bits are not promised.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from math import ldexp

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from benchmarks.backends import PieceBackend, check_bits, speed

SPAN = 1024
"""Elements that share a window: their sums fit 53 bits, the temporaries fit the first cache."""
SPREAD = 19
"""Exponents below the largest in a window: 24 + 19 bits of an element, and 10 for the sum of a span."""
WORD = np.uint64(0xFFFFFFFF)
U32, U64, F32, F64 = np.uint32, np.uint64, np.float32, np.float64


@intrinsic
def add(_context, left, right):
    """left + right in float64, for sums that may be taken in any order (which lets them be vectorised)."""

    def codegen(_context, builder, _signature, args):
        return builder.fadd(*args, flags=("reassoc",))

    return types.float64(types.float64, types.float64), codegen


def compiled(function: Callable) -> Callable:
    """Compiled at the first call, then cached (NUMBA_CACHE_DIR, else `__pycache__`); runs without the GIL."""
    return njit(nogil=True, cache=True, error_model="numpy")(function)


@compiled
def add_limbs(limbs, number, shift):
    """limbs += number · 2^shift, for |number| <= 2^53."""
    at, rest = shift >> 5, shift & 31
    low, high = (number & 0xFFFFFFFF) << rest, (number >> 32) << rest
    limbs[at] += low & 0xFFFFFFFF
    limbs[at + 1] += ((low >> 32) & 0xFFFFFFFF) + (high & 0xFFFFFFFF)
    limbs[at + 2] += high >> 32


@compiled
def window(bits, size):
    """(top, spread): the largest exponent of a span, at least 20, and how far the smallest lies below it."""
    largest, smallest = U32(0), U32(0xFFFFFFFF)
    for i in range(size):
        magnitude = U32(bits[i] & U32(0x7FFFFFFF))
        largest = max(largest, magnitude)
        smallest = min(smallest, U32(magnitude - U32(1)))  # a zero becomes the largest number
    top = max(np.int64(largest) >> 23, 20)
    return top, top - max((np.int64(smallest) + 1) >> 23, 1)


@compiled
def add_slowly(bits, size, total, squares):
    """Exact sums element by element, for spans that are not finite or too wide; how many are not finite."""
    strange = 0
    for i in range(size):
        exponent, mantissa = np.int64(bits[i] >> U32(23)) & 0xFF, np.int64(bits[i] & U32(0x7FFFFF))
        if exponent == 0xFF:
            strange, mantissa, exponent = strange + 1, 0, 0
        shift, mantissa = max(exponent - 1, 0), mantissa | np.int64(exponent != 0) << 23
        add_limbs(total, -mantissa if bits[i] >> U32(31) else mantissa, shift)
        if squares.size:
            add_limbs(squares, mantissa * mantissa, 2 * shift)
    return strange


@compiled
def moments_of(values, total, squares):
    """Add the exact sums of a piece to limbs; how many elements are not finite."""
    strange = 0
    for at in range(0, values.size, SPAN):
        part = values[at : at + SPAN]
        bits = part.view(U32)
        top, spread = window(bits, part.size)
        if spread > SPREAD or top == 0xFF:
            strange += add_slowly(bits, part.size, total, squares)
            continue
        # Multiples of 2^(top − 169) and of its square, which is cut in two by rounding to 2^(2·top − 294).
        magic = ldexp(1.5, 2 * top - 294 + 52)
        sums, high, low = 0.0, 0.0, 0.0
        for i in range(part.size):
            value = F64(part[i])
            square = value * value
            upper = (square + magic) - magic
            sums, high, low = add(sums, value), add(high, upper), add(low, square - upper)
        add_limbs(total, np.int64(ldexp(sums, 169 - top)), top - 20)
        add_limbs(squares, np.int64(ldexp(high, 294 - 2 * top)), 2 * top + 4)
        add_limbs(squares, np.int64(ldexp(low, 338 - 2 * top)), 2 * top - 40)
    return strange


@compiled
def philox(words, counter, step, key0, key1):
    """Philox4x32-10: the random words of SPAN elements from 4 · counter on."""
    for i in range(SPAN // 4):
        index, k0, k1 = U64(counter) + U64(i), U64(key0), U64(key1)
        c0, c1, c2, c3 = index & WORD, index >> U64(32), U64(step), U64(0)
        for _ in range(10):
            p0, p1 = (c0 & WORD) * U64(0xD2511F53), (c2 & WORD) * U64(0xCD9E8D57)
            c0, c2 = (p1 >> U64(32)) ^ c1 ^ k0, (p0 >> U64(32)) ^ c3 ^ k1
            c1, c3 = p1 & WORD, p0 & WORD
            k0, k1 = (k0 + U64(0x9E3779B9)) & WORD, (k1 + U64(0xBB67AE85)) & WORD
        words[4 * i], words[4 * i + 1] = U32(c0), U32(c1)
        words[4 * i + 2], words[4 * i + 3] = U32(c2), U32(c3)


@compiled
def unit(word):
    """The unit draw u of a random word."""
    return F32(np.int32(U32(word) >> U32(8)) * np.int32(2) + np.int32(1 - (1 << 24))) * F32(2.0**-25)


@compiled
def write(part, words, shares, scale, keep_zeros):
    """W ← fl(W + fl(fl(u · scale) · r)) on a span, r = 1 without shares; the sums of `Change`."""
    changed, energy, requested = 0, 0.0, 0.0
    for i in range(part.size):
        old = part[i]
        noise = unit(words[i]) * scale
        noise = noise * shares[i] if shares is not None else noise
        noise = F32(0.0) if keep_zeros and old == F32(0.0) else noise
        new = old + noise
        part[i] = new
        moved = new - old
        changed += moved != F32(0.0)
        energy = add(energy, F64(moved) * F64(moved))
        requested = add(requested, F64(noise) * F64(noise))
    return changed, energy, requested


@compiled
def add_noise(values, offset, scale, keep_zeros, step, key0, key1):
    """Noise on a piece that begins at `offset` of its tensor; the sums of `Change`."""
    words = np.empty(SPAN, U32)
    changed, energy, requested = 0, 0.0, 0.0
    for at in range(0, values.size, SPAN):
        philox(words, (offset + at) >> 2, step, key0, key1)
        found = write(values[at : at + SPAN], words, None, F32(scale), keep_zeros)
        changed, energy, requested = changed + found[0], energy + found[1], requested + found[2]
    return changed, energy, requested


@compiled
def add_averages(held, size, total):
    """Add the exact sum of a span in two windows to limbs; how many elements are not finite."""
    bits = held.view(U32)
    top, spread = window(bits, size)
    if spread > SPREAD + 43 or top == 0xFF:
        return add_slowly(bits, size, total, total[:0])
    # The upper window as for moments; what it leaves lies below 2^(top − 169), in units of `rest`.
    magic, rest = ldexp(1.5, top - 169 + 52), max(top - 212, -149)
    high, low = 0.0, 0.0
    for i in range(size):
        value = F64(held[i])
        upper = (value + magic) - magic
        high, low = add(high, upper), add(low, value - upper)
    add_limbs(total, np.int64(ldexp(high, 169 - top)), top - 20)
    add_limbs(total, np.int64(ldexp(low, -rest)), rest + 149)
    return 0


@compiled
def average(part, slopes, memory, beta, mean, held, shares):
    """e, and r into `shares`, on a span; e of the active elements into `held`; how many these are."""
    keep, rest, active = F32(beta), F32(1.0 - beta), 0
    for i in range(part.size):
        observed, old = abs(part[i] * slopes[i]), memory[i]
        says = observed != F32(0.0)
        blend = observed if old == F32(0.0) else old * keep + observed * rest
        new = blend if says else old
        share = F32(1.0) - new / mean
        memory[i], held[i] = new, new if says else F32(0.0)
        shares[i] = share if says and share > F32(0.0) else F32(0.0)
        active += says
    return active


@compiled
def sensitivity_step(weights, slopes, memory, total, offset, beta, mean, scale, step, key0, key1):
    """One step on a piece: the exact sum of e into limbs; its number of elements, and `Change`'s sums."""
    words, held, shares = np.empty(SPAN, U32), np.empty(SPAN, F32), np.empty(SPAN, F32)
    active, changed, energy, requested = 0, 0, 0.0, 0.0
    for at in range(0, weights.size, SPAN):
        part, end = weights[at : at + SPAN], at + SPAN
        active += average(part, slopes[at:end], memory[at:end], beta, F32(mean), held, shares)
        active -= add_averages(held, part.size, total)
        if scale > 0.0 and mean > 0.0:
            philox(words, (offset + at) >> 2, step, key0, key1)
            found = write(part, words, shares, F32(scale), True)
            changed, energy, requested = changed + found[0], energy + found[1], requested + found[2]
    return active, changed, energy, requested


def first_calls(cache: str) -> dict[str, float]:
    """Seconds in a fresh process that has loaded torch and dither, with a cache folder of its own."""
    code = (
        "import time, numpy, benchmarks.backends; t = [time.perf_counter()]\n"
        "import numba; t.append(time.perf_counter())\n"
        "import benchmarks.numba_kernels as k; t.append(time.perf_counter())\n"
        "x, limbs = numpy.ones(1, 'f'), numpy.zeros(20, int)\n"
        "k.moments_of(x, limbs, limbs); k.add_noise(x, 0, 1.0, True, 0, 1, 2)\n"
        "k.sensitivity_step(x, x, x, limbs, 0, 0.5, 1.0, 1.0, 1, 1, 2); t.append(time.perf_counter())\n"
        "print(*(b - a for a, b in zip(t, t[1:])))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    names = ("import numba", "import this", "first calls")
    return dict(zip(names, map(float, found.stdout.split()), strict=True))


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.numba_kernels", description=__doc__)
    parser.add_argument("--model", default="BERT-base", help="whose shapes (benchmarks.shapes)")
    parser.add_argument("--repeats", type=int, default=15, help="rounds of each measurement")
    args, here = parser.parse_args(), sys.modules[__name__]
    check_bits(PieceBackend(here, threads=2))
    print("bits equal the reference's")
    for threads in (1, 2):
        for name, row in speed(PieceBackend(here, threads), args.model, args.repeats).items():
            print(f"{name:10} threads {threads}   median {row[0]:.2f} ns per element   least {row[1]:.2f}")
    with tempfile.TemporaryDirectory() as cache:
        for state in ("empty", "filled"):
            seconds = "   ".join(f"{what} {value:.2f} s" for what, value in first_calls(cache).items())
            print(f"cache {state:6}   {seconds}")


if __name__ == "__main__":
    main()
