"""What users type for the settings of runs: seeds as ranges, and `--set method.setting=value`."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.variations import base_of, settings_of, spelled, toml_value
from dither.methods.registry import available_methods, create_method

_TRAIN = "train"


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


def parse_names(text: str, option: str, separator: str = ",") -> tuple[str, ...]:
    """Names from comma-separated text, without repeats.

    Example:
        >>> parse_names("none,pats", "--methods")
        ('none', 'pats')
    """
    names = tuple(name.strip() for name in text.split(separator) if name.strip())
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{option} {text!r} must hold one or more names, each once, such as none,noisytune")
    return names


def parse_fractions(text: str) -> tuple[float, ...]:
    """Shares of a train split from comma-separated text.

    Raises:
        ValueError: no numbers, one outside (0, 1], or one twice.

    Example:
        >>> parse_fractions("0.1,0.5,1")
        (0.1, 0.5, 1.0)
    """
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--train-fraction {text!r} holds no numbers; write 0.1,0.5,1.0") from None
    for share in shares:
        if not 0 < share <= 1:
            raise ValueError(f"--train-fraction {text}: {share:g} is outside (0, 1]")
        if shares.count(share) > 1:
            raise ValueError(f"--train-fraction {text}: {share:g} stands there twice")
    return shares


def with_settings(task: str, **settings: Any) -> str:
    """The name of a task, perhaps a variation already, under further settings.

    Example:
        >>> with_settings("glue/rte@epochs=3", train_fraction=0.1)
        'glue/rte@epochs=3,train_fraction=0.1'
    """
    base, at, written = task.rpartition("@")
    return spelled(base or written, {**(settings_of(task) if at else {}), **settings})


def parse_arms(text: str) -> tuple[str, ...]:
    """Methods from comma-separated text, each alone or with settings of its own, in one spelling.

    What follows a method's `@` is its settings, up to the next name of a method.

    Raises:
        ValueError: an unknown method, setting or value, or one arm twice.

    Example:
        >>> parse_arms("none,pats@noise_lambda=0.10,beta=0.98,noisytune")
        ('none', 'pats@noise_lambda=0.1,beta=0.98', 'noisytune')
    """
    arms = [spelled_arm(arm) for arm in _separated(text)]
    return parse_names("\n".join(arms), "--methods", separator="\n")


def parse_tasks(text: str) -> tuple[str, ...]:
    """Tasks from comma-separated text, each alone or with settings of its own.

    Raises:
        ValueError: no task, or one twice.

    Example:
        >>> parse_tasks("glue/rte@epochs=3,batch_size=8,glue/cola")
        ('glue/rte@epochs=3,batch_size=8', 'glue/cola')
    """
    names = _separated(text)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"--tasks {text!r} must hold tasks, each once, such as glue/rte,glue/cola")
    return tuple(names)


def _separated(text: str) -> list[str]:
    """The names in a list, each with the settings that follow its `@`."""
    names: list[str] = []
    for part in filter(None, map(str.strip, text.split(","))):
        if "=" in part and "@" not in part and names:
            names[-1] += f",{part}"
        else:
            names.append(part)
    return names


def spelled_arm(arm: str) -> str:
    """A method with settings in its one spelling.

    Raises:
        ValueError: an unknown method, setting or value.

    Example:
        >>> spelled_arm("noisytune@noise_lambda=0.20")
        'noisytune@noise_lambda=0.2'
    """
    settings = settings_of(arm)
    full = full_settings(arm, settings)
    return spelled(base_of(arm), {key: full[key] for key in settings})


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
    changed = {name: settings_of(name) for name in methods}
    train: dict[str, Any] = {}
    for text in assignments:
        target, equals, value = text.partition("=")
        owner, dot, setting = target.strip().rpartition(".")
        if not (equals and dot and setting):
            raise ValueError(f"--set {text!r} is not like noisytune.noise_lambda=0.2 or train.epochs=3")
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
        raise ValueError(f"--set train.{error}") from None


def full_settings(name: str, changed: Mapping[str, Any], *, multilingual: bool = False) -> dict[str, Any]:
    """Every setting of a method that is not fixed by its name, defaults included, as JSON values.

    Args:
        name: of the method; settings in it are not looked at.
        changed: what the user set, those in the name included; it counts before any default.
        multilingual: take the defaults for tasks of several languages.

    Example:
        >>> full_settings("noisytune", {}, multilingual=True)["noise_lambda"]
        0.1
        >>> full_settings("noisytune", {"noise_lambda": 0.15}, multilingual=True)["noise_lambda"]
        0.15
    """
    base = base_of(name)
    method = create_method(base)  # an unknown name is told first
    defaults = available_methods()[base].multilingual if multilingual else {}
    method = create_method(base, **{**defaults, **changed})
    preset = available_methods()[base].preset
    names = [row.name for row in fields(method) if row.name not in preset and row.name != "seed"]
    values = {name: getattr(method, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


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
