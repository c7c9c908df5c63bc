"""Checks that the settings of all methods share, and the recipe made of them."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from hashlib import sha256
from math import isfinite
from numbers import Integral, Real
from typing import Any, Literal, TypeVar

from dither.core.draws import MAX_STEP, RECIPE_VERSION, check_seed
from dither.core.schedules import recorded_settings
from dither.core.selection import Strength, as_float, as_patterns, check_strength

Unresolved = Literal["matched", "energy"]
UNRESOLVED: tuple[str, ...] = ("matched", "energy")
"""Strengths that say what they are to be equal to: a functional dose, or an energy. Both need a model."""

Method = TypeVar("Method")


def check_common(method: Any) -> None:
    """Check and normalise what every method has: strength, seed, patterns, scope, rounding."""
    if not is_unresolved(method):
        object.__setattr__(method, "noise_lambda", check_strength(method.noise_lambda))
    object.__setattr__(method, "include", None if method.include is None else as_patterns(method.include))
    object.__setattr__(method, "exclude", as_patterns(method.exclude) or None)
    if method.include == ():
        raise ValueError("include is empty, so no tensor would be noised; None includes all")
    if method.seed is not None:
        object.__setattr__(method, "seed", check_seed(method.seed))
    check_choice("scope", method.scope, ("all", "backbone"))
    check_choice("rounding", method.rounding, ("nearest", "stochastic"))
    for field in fields(method):
        if isinstance(field.default, bool) and not isinstance(getattr(method, field.name), bool):
            raise TypeError(f"{field.name} is {getattr(method, field.name)!r}; it must be True or False")


def seed_of(method: Any, seed: int | None) -> int:
    """The seed of a method's draws: its own, else the caller's, else 0.

    Raises:
        ValueError, TypeError: it is no whole number in [0, 2^64).
    """
    return check_seed(next((one for one in (method.seed, seed) if one is not None), 0))


def is_unresolved(method: Any) -> bool:
    """Whether a method's strength is "matched" or "energy" and has no number yet.

    Raises:
        ValueError: it is another word.
    """
    value = getattr(method, "noise_lambda", None)
    if isinstance(value, str) and value not in UNRESOLVED:
        raise ValueError(
            f"noise_lambda is {value!r}; it must be a finite number >= 0, such as 0.15, or one of "
            f"{', '.join(map(repr, UNRESOLVED))}"
        )
    return isinstance(value, str)


def resolved(method: Method, noise_lambda: Strength) -> Method:
    """The method with a number for its strength.

    Args:
        method: of any kind that has `noise_lambda`, such as `PATS(noise_lambda="matched")`.
        noise_lambda: from `dither.match_dose` or `dither.match_energy`.
    """
    return replace(method, noise_lambda=noise_lambda)  # type: ignore[type-var]


def strength(method: Any) -> Strength:
    """λ, a number or a map of patterns to numbers.

    Raises:
        ValueError: it is "matched" or "energy" still; the message says how it gets its number.
    """
    if not is_unresolved(method):
        return method.noise_lambda
    name, word = type(method).__name__, method.noise_lambda
    match = (
        f"found = dither.match_dose(model, batches, {name}(noise_lambda='matched'), sensitivity_batches=...)"
        if word == "matched"
        else f"found = dither.match_energy(model, batches, {name}(noise_lambda='energy'), reference, "
        "sensitivity_batches=...)"
    )
    raise ValueError(
        f"noise_lambda of {name} is {word!r}, which is no number before a model and data are known; resolve "
        f"it first: {match}, then dataclasses.replace(method, noise_lambda=found.noise_lambda)"
    )


def check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of the choices.

    Example:
        >>> check_choice("law", "normal", ("uniform", "gaussian"))
        Traceback (most recent call last):
        ...
        ValueError: law is 'normal'; it must be 'uniform' or 'gaussian'
    """
    if value not in choices:
        raise ValueError(f"{option} is {value!r}; it must be {' or '.join(map(repr, choices))}")


def check_range(
    option: str, value: object, low: float, high: float, *, closed: Literal["left", "neither"]
) -> float:
    """Return a number of [low, high) or (low, high) as a float, so that 1 and 1.0 are one recipe.

    Example:
        >>> check_range("gamma", 2, 0.0, float("inf"), closed="neither")
        2.0
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{option} is {value!r}; it must be a number")
    number = as_float(value)
    above = number >= low if closed == "left" else number > low
    if not (above and number < high and isfinite(number)):
        limits = f"{'[' if closed == 'left' else '('}{low:g}, {high:g})"
        raise ValueError(f"{option} is {value}; it must lie in {limits}")
    return number


def check_whole(option: str, value: object, *, least: int) -> int:
    """Return a whole number >= least as an int, whatever kind of number it is."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ValueError(f"{option} is {value!r}; it must be a whole number >= {least}")
    return int(value)


def check_step(option: str, value: object, *, least: int) -> int:
    """Return the number of an optimizer step, or of steps, as an int; the draws count them below 2^32.

    Example:
        >>> check_step("start", 0, least=1)
        Traceback (most recent call last):
        ...
        ValueError: start is 0; it must be a whole number in [1, 2^32)
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= MAX_STEP:  # type: ignore[operator]
        raise ValueError(f"{option} is {value!r}; it must be a whole number in [{least}, 2^32)")
    return int(value)  # type: ignore[call-overload]


def recipe_of(method: Any, seed: int) -> dict[str, object]:
    """Everything that determines a method's noise, as JSON values in the order of its fields."""
    settings = recorded_settings({row.name: _as_json(getattr(method, row.name)) for row in fields(method)})
    return {"version": RECIPE_VERSION, "method": method.family, **settings, "seed": seed}


def recipe_hash(recipe: Mapping[str, object]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a recipe.

    Example:
        >>> recipe_hash({"version": 1, "method": "noisytune", "seed": 0})
        '8e8b1dcabc154640'
    """
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()[:16]


def _as_json(value: object) -> object:
    if isinstance(value, Mapping):
        # The first pattern that fits counts, so the order is part of the recipe: a list of pairs.
        return [[key, item] for key, item in value.items()]
    return list(value) if isinstance(value, tuple) else value
