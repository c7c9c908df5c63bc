"""Which tensors a method touches: glob patterns on canonical names."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from math import inf, isfinite
from numbers import Real
from typing import Any

Patterns = str | Iterable[str] | None
Strength = float | Mapping[str, float]


def as_patterns(patterns: Patterns) -> tuple[str, ...]:
    """One pattern, several or none, as a tuple.

    Example:
        >>> as_patterns("encoder.*"), as_patterns(None)
        (('encoder.*',), ())
    """
    if patterns is None:
        return ()
    if not isinstance(patterns, Iterable):
        raise TypeError(
            f"patterns are {patterns!r}; give a glob such as 'encoder.layer.0.*', or a list of them"
        )
    listed = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    for pattern in listed:
        if not isinstance(pattern, str) or not pattern:
            raise TypeError(f"a pattern is {pattern!r}; it must be a glob such as 'encoder.layer.0.*'")
    return listed


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether any pattern fits the whole name; `*` spans dots.

    Example:
        >>> matches("encoder.layer.0.output.dense.bias", ["*.bias"])
        True
    """
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def check_patterns_used(patterns: Iterable[str], names: Sequence[str], option: str) -> None:
    """Refuse a pattern that fits no tensor: it is a typing error more often than a wish.

    Example:
        >>> check_patterns_used(["*.biass"], ["dense.bias"], option="exclude")
        Traceback (most recent call last):
        ...
        ValueError: exclude='*.biass' fits none of the 1 tensors; nearest name: 'dense.bias'
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern, names, n=1, cutoff=0.0)
            hint = f"; nearest name: {near[0]!r}" if near else ""
            raise ValueError(f"{option}={pattern!r} fits none of the {len(names)} tensors{hint}")


def check_strength(value: object, option: str = "noise_lambda") -> Strength:
    """Return a noise strength λ, or a map of patterns to strengths, if it is one.

    Example:
        >>> check_strength(0.15)
        0.15
        >>> check_strength(-0.1)
        Traceback (most recent call last):
        ...
        ValueError: noise_lambda is -0.1; it must be a finite number >= 0, such as 0.15
    """
    if isinstance(value, Mapping):
        if not value:
            raise ValueError(f"{option} is an empty map; give patterns and strengths, such as {{'*': 0.15}}")
        return {str(key): _check_number(item, f"{option}[{key!r}]") for key, item in value.items()}
    return _check_number(value, option)


def _check_number(value: object, option: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{option} is {value!r}; it must be a finite number >= 0, such as 0.15")
    number = as_float(value)
    if not isfinite(number) or number < 0:
        raise ValueError(f"{option} is {value}; it must be a finite number >= 0, such as 0.15")
    return number


def as_float(value: Any) -> float:
    """A real number of any kind as Python's float; one of fewer bits as the decimal that it was written as.

    Example:
        >>> import numpy as np
        >>> as_float(np.float32(0.15)), as_float(1)
        (0.15, 1.0)
    """
    # 0.15 in 32 bits is another number than in 64; whoever wrote it meant the same recipe.
    try:
        return float(str(value)) if getattr(value, "itemsize", 8) < 8 else float(value)
    except OverflowError:  # of a whole number, beyond every float
        return inf if value > 0 else -inf


def strength_of(name: str, strength: Strength) -> float | None:
    """The strength for one tensor: of the first pattern that fits, or None where none does.

    Example:
        >>> strength_of("embeddings.word.weight", {"embeddings.*": 0.05, "*": 0.15})
        0.05
    """
    if not isinstance(strength, Mapping):
        return strength
    return next((value for pattern, value in strength.items() if fnmatchcase(name, pattern)), None)
