"""What users type for the settings of runs: seeds as ranges, and `--set method.setting=value`."""

import difflib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.variations import base_of, settings_of, toml_value
from dither.core.faults import is_told
from dither.methods.registry import FORMER, create_method, method_info

FAST = ("train.precision=bf16", "train.group_by_length=true")
"""What `--fast` sets."""

_TRAIN = "train"
STRENGTH = "noise_lambda"
"""Where it is 0, a method is plain fine-tuning bit for bit."""

logger = logging.getLogger("dither")


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from text such as `0-8` or `0,3,7-9`.

    Raises:
        ValueError: malformed, negative, backwards or repeated seeds.

    Example:
        >>> parse_seeds("0-2,7")
        (0, 1, 2, 7)
        >>> parse_seeds("0-2,1")
        Traceback (most recent call last):
        ...
        ValueError: --seeds 0-2,1: seed 1 stands there twice; each seed is one run
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit()) or (dash and not (last.isascii() and last.isdigit())):
            raise ValueError(
                f"--seeds {text}: {part.strip()!r} is no seed and no range; write 0-8 or 0,3,7-9"
            )
        span = range(int(first), int(last if dash else first) + 1)
        if not span:
            raise ValueError(f"--seeds {text}: the range {part.strip()!r} runs backwards; write 0-8")
        if len(span) > 100_000 or span[-1] >= 2**32:
            raise ValueError(f"--seeds {text}: {part.strip()!r} goes beyond 100,000 seeds or above 2^32 - 1")
        seeds.extend(span)
    if repeated := [seed for at, seed in enumerate(seeds) if seed in seeds[:at]]:
        raise ValueError(f"--seeds {text}: seed {repeated[0]} stands there twice; each seed is one run")
    return tuple(seeds)


def check_seed(seed: int) -> int:
    """Return the seed of one run, if it is one.

    Example:
        >>> check_seed(-1)
        Traceback (most recent call last):
        ...
        ValueError: --seed is -1; it must lie in [0, 2^32)
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"--seed is {seed}; it must lie in [0, 2^32)")
    return seed


def parse_settings(
    assignments: Iterable[str], methods: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Settings of methods and of training from `method.setting=value` and `train.setting=value`.

    Values are TOML; a bare word is a string.

    Args:
        assignments: as typed.
        methods: those of the comparison, with or without settings in their names (`parse_arms`); settings of
            others are refused.

    Returns:
        The changed settings of each method, and those of training; `full_settings` adds the defaults.

    Raises:
        ValueError: an unknown method, setting or value; the message names the nearest valid one.

    Example:
        >>> parse_settings(["noisytune.noise_lambda=0.2", "train.epochs=3"], ["noisytune"])
        ({'noisytune': {'noise_lambda': 0.2}}, {'epochs': 3.0})
    """
    for name in dict.fromkeys(map(base_of, methods)) & FORMER.keys():
        logger.warning(
            "method %s is called %s now; write %s for new folders (the old name is for those that have it)",
            name,
            FORMER[name],
            FORMER[name],
        )
    changed = {name: settings_of(name) for name in methods}
    train: dict[str, Any] = {}
    given: dict[str, str] = {}
    for text in assignments:
        target, equals, value = (part.strip() for part in text.partition("="))
        owner, dot, setting = target.rpartition(".")
        if not (equals and dot and setting):
            raise ValueError(f"--set {text!r} is not like noisytune.noise_lambda=0.2 or train.epochs=3")
        if given.setdefault(target, value) != value:
            raise ValueError(
                f"--set {text}: {target} is {given[target]} already, by another --set or by --fast "
                f"({', '.join(FAST)}); leave one of them out"
            )
        if owner == _TRAIN:
            train[_known(setting, [row.name for row in fields(Recipe)], text)] = toml_value(value)
        else:
            _known(owner, [*dict.fromkeys(map(base_of, methods)), _TRAIN], text)
            if setting == "seed":
                raise ValueError(f"--set {text}: the seed of a run seeds its noise; choose runs by --seeds")
            for name in [name for name in methods if base_of(name) == owner]:
                if setting in settings_of(name):
                    raise ValueError(f"--set {text}: {name} sets it otherwise already; leave one of them out")
                changed[name][setting] = toml_value(value)
    for name, values in changed.items():
        full_settings(name, values)  # a wrong one is told now
    try:
        return changed, checked_recipe(train)
    except (TypeError, ValueError) as error:
        if not is_told(error):
            raise
        raise ValueError(f"--set train.{error}") from None


def full_settings(name: str, changed: Mapping[str, Any], *, multilingual: bool = False) -> dict[str, Any]:
    """Every setting of a method that is not fixed by its name, defaults included, as JSON values.

    Args:
        name: of the method; settings in it are not looked at.
        changed: what the user set, those in the name included; it counts before any default.
        multilingual: take the defaults for tasks of several languages.

    Returns:
        The settings; `noise_lambda` is "matched" or "energy" where it becomes a number for each task
        (`dither.bench.plans.matching`), as it is by default for PATS and for every control.

    Example:
        >>> full_settings("pats", {})["noise_lambda"]
        'matched'
        >>> full_settings("noisytune", {}, multilingual=True)["noise_lambda"]
        0.1
        >>> full_settings("noisytune", {"noise_lambda": 0.15}, multilingual=True)["noise_lambda"]
        0.15
    """
    base = base_of(name)
    method = create_method(base)  # an unknown name is told first
    info = method_info(base)
    defaults = {**(info.multilingual if multilingual else {}), **info.compared}
    method = create_method(base, **{**defaults, **changed})
    names = [row.name for row in fields(method) if row.name not in info.preset and row.name != "seed"]
    values = {name: getattr(method, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def method_of(name: str, settings: Mapping[str, Any]) -> Any:
    """The method with all its settings; where λ is a word, with its usual number.

    Example:
        >>> method_of("pats", full_settings("pats", {})).noise_lambda
        0.15
    """
    words = () if is_resolved(settings) else (STRENGTH,)
    return create_method(base_of(name), **{key: settings[key] for key in settings if key not in words})


def is_resolved(settings: Mapping[str, Any]) -> bool:
    """Whether λ is a number, or there is none.

    Example:
        >>> is_resolved(full_settings("pats", {})), is_resolved(full_settings("none", {}))
        (False, True)
    """
    return not isinstance(settings.get(STRENGTH), str)


def checked_recipe(train: Mapping[str, Any]) -> dict[str, Any]:
    """Training settings as the recipe holds them, so that 3 and 3.0 are one; each in the recipe's range.

    Raises:
        ValueError, TypeError: a value outside its range, or of another kind.

    Example:
        >>> checked_recipe({"epochs": 3})
        {'epochs': 3.0}
    """
    recipe = Recipe(**{"learning_rate": 1e-5, "epochs": 1, "batch_size": 1, "max_length": 16, **train})
    return {name: getattr(recipe, name) for name in train}


def _known(name: str, known: Sequence[str], text: str) -> str:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"--set {text}: unknown {name!r}; {hint}There are: {', '.join(known)}")
    return name
