"""The formulas of NoisyTune and PATS as slow loops: plain Python and float32 numbers of NumPy.

Nothing here uses the library. Every float32 operation is one line, rounded once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from fractions import Fraction
from hashlib import blake2b
from typing import Any

import numpy as np

f32 = np.float32
Tensors = dict[str, np.ndarray]


def random_words(seed: int, family: str, name: str, index: int, step: int, purpose: int = 0) -> list[int]:
    """The four Philox words of one counter, element by element: no batch, no torch."""
    text = json.dumps([1, seed, family, name], separators=(",", ":"))
    key = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
    k0, k1 = key % 2**32, key // 2**32
    c = [index // 4 % 2**32, index // 4 // 2**32, step, purpose]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 // 2**32 ^ c[1] ^ k0, p1 % 2**32, p0 // 2**32 ^ c[3] ^ k1, p0 % 2**32]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c


def uniform_draw(seed: int, family: str, name: str, index: int, step: int) -> np.float32:
    word = random_words(seed, family, name, index, step)[index % 4]
    return f32((2 * (word >> 8) + 1 - 2**24) * 2.0**-25)


def gaussian_draw(seed: int, family: str, name: str, index: int, step: int) -> np.float32:
    words, lane = random_words(seed, family, name, index, step), index % 4
    x0, x1 = words[lane // 2 * 2 : lane // 2 * 2 + 2]
    radius = math.sqrt(-2 * math.log((x0 + 0.5) * 2.0**-32) / 12)
    angle = 2 * math.pi * (x1 + 0.5) * 2.0**-32
    return f32(radius * (math.sin(angle) if lane % 2 else math.cos(angle)))


def exact_sum(values: Iterable[np.float32], power: int = 1) -> Fraction:
    """Σ x or Σ x² without any rounding."""
    return sum((Fraction(float(value)) ** power for value in values), Fraction(0))


def nearest_root(square: Fraction) -> np.float32:
    """The float32 number nearest to a root: below it by less than 2^-160, and the middles are compared."""
    below = f32(math.isqrt(int(square * 2**320)) / 2**160)
    if Fraction(float(below)) ** 2 > square:
        below = np.nextafter(below, f32(0))
    above = np.nextafter(below, f32(np.inf))
    middle = (Fraction(float(below)) + Fraction(float(above))) / 2
    even = below if below.view(np.uint32) % 2 == 0 else above
    return even if square == middle**2 else below if square < middle**2 else above


def spread(*tensors: np.ndarray) -> np.float32:
    """The unbiased standard deviation in exact fractions, rounded once."""
    values = [value for tensor in tensors for value in tensor.ravel()]
    n = len(values)
    if n < 2:
        return f32(0)
    return nearest_root((n * exact_sum(values, 2) - exact_sum(values) ** 2) / (n * (n - 1)))


def noisytune(weights: Tensors, *, noise_lambda: float, seed: int, **options: str) -> Tensors:
    """W + std(W)·U(−λ/2, λ/2)."""
    draw = gaussian_draw if options.get("law") == "gaussian" else uniform_draw
    movable = {name: w for name, w in weights.items() if spread(w) > 0}
    together = spread(*(movable[name] for name in sorted(movable)))
    noised = {name: w.copy() for name, w in weights.items()}
    for name, w in movable.items():
        std = together if options.get("across") == "model" else spread(w)
        scale = f32(noise_lambda * float(std))
        for index, value in enumerate(w.ravel()):
            if value == 0 and options.get("zeros", "keep") == "keep":
                continue
            noised[name].ravel()[index] = value + draw(seed, "noisytune", name, index, 0) * scale
    return noised


class Pats:
    """The rule of PATS with its controls, element by element.

    `planned` says how the run's dose is divided: lr / lr_max of every step by tensor; T under the rule
    "linear"; None for a dose per step.
    """

    def __init__(self, weights: Tensors, planned: dict[str, list[Any]] | int | None, **settings: Any) -> None:
        defaults = {"noise_lambda": 0.15, "beta": 0.85, "gamma": 1.0, "seed": 0, "across": "tensor"}
        defaults |= {"start": 1, "stop": None, "every": 1, "measure": "gradient"}
        self.set = defaults | {"weighting": "insensitivity", "idle": False} | settings
        self.std = {name: spread(w) for name, w in weights.items()}
        self.e = {name: np.zeros(w.shape, f32) for name, w in weights.items()}
        self.m = dict.fromkeys(weights, f32(0))
        self.planned, self.t = planned, 0

    def step(self, weights: Tensors, gradients: Tensors, ratio: dict[str, float]) -> None:
        """One optimizer step: `weights` are those after it, and are written; `ratio` is lr / lr_max."""
        self.t += 1
        sums: dict[str, tuple[Fraction, int]] = {}
        before = dict(self.m)
        for name, gradient in gradients.items():
            active = self._average(name, weights[name], gradient)
            sums[name] = exact_sum(self.e[name].ravel()[active]), len(active)
            self._write(name, weights[name], active, before[name], ratio[name])
        for name, (total, count) in sums.items():
            if self.set["across"] == "tensor" and count:
                self.m[name] = f32(float(total) / count)
        total = sum((row[0] for row in sums.values()), Fraction(0))
        count = sum(row[1] for row in sums.values())
        if self.set["across"] == "model" and count:
            self.m = dict.fromkeys(self.m, f32(float(total) / count))

    def _average(self, name: str, w: np.ndarray, g: np.ndarray) -> list[int]:
        active, e, beta = [], self.e[name].ravel(), self.set["beta"]
        for i in range(w.size):
            s = abs(w.ravel()[i] * g.ravel()[i])
            if s == 0:
                continue
            active.append(i)
            if self.set["measure"] == "magnitude":
                s = abs(w.ravel()[i])
            e[i] = s if e[i] == 0 else e[i] * f32(beta) + s * f32(1 - beta)
        return active

    def _insensitivity(self, e: np.float32, m: np.float32) -> np.float32:
        r, gamma = max(f32(0), f32(1) - e / m), self.set["gamma"]
        return r if gamma == 1 else r * r if gamma == 2 else f32(float(r) ** gamma)

    def _in_time(self, t: int) -> bool:
        start, stop, every = self.set["start"], self.set["stop"], self.set["every"]
        return t >= start and (stop is None or t < stop) and (t - start) % every == 0

    def _factor(self, name: str) -> float:
        if self.planned is None:
            return 1.0
        if isinstance(self.planned, int):
            return math.sqrt(3.0 * self.set["every"] / self.planned)
        shares = [share for t, share in enumerate(self.planned[name], 1) if t > 1 and self._in_time(t)]
        if isinstance(shares[0], Fraction):
            return math.sqrt(1 / sum(share * share for share in shares))
        return 1.0 / math.sqrt(math.fsum(share * share for share in shares))

    def _write(self, name: str, w: np.ndarray, active: list[int], m: np.float32, ratio: float) -> None:
        if not self._in_time(self.t) or m == 0:
            return
        scale = f32(self.set["noise_lambda"] * (ratio * self._factor(name)) * float(self.std[name]))
        flat = w.ravel()
        for i, weight in self.weights(name, active, m).items():
            if flat[i] != 0:
                u = uniform_draw(self.set["seed"], "pats", name, i, self.t)
                flat[i] = flat[i] + u * scale * weight

    def weights(self, name: str, active: list[int], m: np.float32) -> dict[int, np.float32]:
        """r of each element that gets noise."""
        e = self.e[name].ravel()
        r = {i: self._insensitivity(e[i], m) for i in (range(e.size) if self.set["idle"] else active)}
        energy = exact_sum(r.values(), 2)
        if self.set["weighting"] != "insensitivity":
            shape = {i: f32(1) if self.set["weighting"] == "blind" else f32(1) - r[i] for i in r}
            own = exact_sum(shape.values(), 2)
            factor = f32(math.sqrt(energy / own)) if own else f32(0)
            r = {i: shape[i] * factor for i in shape}
        return r


class WholePats(Pats):
    """What PATS adds in a whole run at frozen weights: sqrt(mean of r² over the steps after the first)."""

    def __init__(self, weights: Tensors, **settings: Any) -> None:
        super().__init__(weights, None, **settings)
        self.squares = {name: [0.0] * w.size for name, w in weights.items()}

    def _write(self, name: str, w: np.ndarray, active: list[int], m: np.float32, ratio: float) -> None:
        for i, weight in (self.weights(name, active, m) if m else {}).items():
            self.squares[name][i] += float(weight) ** 2

    def noised(self, weights: Tensors, seed: int, draw: int) -> Tensors:
        """W + λ · std(W) · R ⊙ U(−1/2, 1/2), by the draws of the dose."""
        found = {name: w.copy() for name, w in weights.items()}
        for name, w in found.items():
            scale = f32(self.set["noise_lambda"] * float(self.std[name]))
            for i, square in enumerate(self.squares[name]):
                if w.ravel()[i] != 0:
                    weight = f32(math.sqrt(square / (self.t - 1)))
                    w.ravel()[i] += uniform_draw(seed, "dose", name, i, draw) * scale * weight
        return found
