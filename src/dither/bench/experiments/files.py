"""Experiments from TOML files: those of this package by name, a user's own by path."""

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from dither.bench.compare import BASELINE
from dither.bench.experiments.reproduction import Published, Reproduction
from dither.bench.plans.names import parse_arms
from dither.bench.plans.settings import checked_recipe, parse_seeds
from dither.bench.tasks.files import load_task
from dither.bench.tasks.keys import nearest, require
from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.variations import typed
from dither.core.faults import is_told

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


def available_reproductions() -> dict[str, Path]:
    """Return the experiments of this package: name -> TOML file, sorted by name.

    Example:
        >>> list(available_reproductions())[:2]
        ['noisytune-glue', 'noisytune-lambda']
    """
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}


def load_reproduction(name_or_path: str | Path) -> Reproduction:
    """Return an experiment of this package by name, or a user's own from a path that ends in `.toml`.

    Raises:
        ValueError: no experiment of that name, or an error in the file; it says the file and the key.

    Example:
        >>> load_reproduction("noisytune-low-data").tasks_of()[0]
        'glue/mrpc@train_fraction=0.1'
    """
    text, known = str(name_or_path), available_reproductions()
    path = known.get(text) or Path(text)
    if path.suffix != ".toml":
        raise ValueError(f"unknown experiment {text!r}; {nearest(text, known)}; or the path of a .toml file")
    if not path.is_file():
        raise ValueError(
            f"there is no experiment file {text}; `dither reproduce --list` lists those with a name"
        )
    try:
        return _experiment(tomllib.loads(path.read_bytes().decode()), path.parent)
    except ValueError as error:  # of ours, of tomllib, of the decoder
        raise ValueError(f"{path}: {error}") from error


def _experiment(table: Mapping[str, Any], folder: Path) -> Reproduction:
    made = _made(Reproduction, {"recipe": {}, **table}, "")
    require(
        _NAME.fullmatch(made.name), "name", f"{made.name!r} is not like 'my-experiment' (A-Z a-z 0-9 _.-)"
    )
    own = (typed(task)[0].endswith(".toml") for task in made.tasks)
    tasks = tuple(str(folder / task) if here else task for task, here in zip(made.tasks, own, strict=True))
    arms = _checked("methods", partial(parse_arms, ",".join(made.methods)))
    require(BASELINE in arms, "methods", f"needs {BASELINE!r}, which the others are compared with")
    _checked("seeds", partial(parse_seeds, made.seeds))
    for share in made.train_fractions:
        require(0 < share <= 1, "train_fractions", f"{share:g} is outside (0, 1]")
    known = [each.name for each in fields(Recipe)]
    for setting, value in made.recipe.items():
        require(setting in known, f"recipe.{setting}", f"is unknown; {nearest(setting, known)}")
        _checked(f"recipe.{setting}", partial(checked_recipe, {setting: value}))
    made = replace(made, tasks=tasks, methods=arms)
    names = _checked("tasks", partial(_names, made))
    published = tuple(
        replace(row, scores=_scores(row, names, arms, f"published[{number}].scores"))
        for number, row in enumerate(made.published, start=1)
    )
    return replace(made, published=published)


def _names(made: Reproduction) -> list[str]:
    """Every task with every fraction, under the names of the tables."""
    names = [load_task(name).name for name in made.tasks_of()]
    require(len(set(names)) == len(names), "tasks", f"one stands twice in {', '.join(names)}")
    return names


def _scores(
    row: Published, tasks: Sequence[str], arms: Sequence[str], key: str
) -> dict[str, dict[str, float]]:
    """The figures of one model, each of a task and an arm of the experiment, a number of points."""
    found: dict[str, dict[str, float]] = {}
    for task, values in row.scores.items():
        require(isinstance(values, dict), f"{key}.{task}", f"{values!r} is not a table of arm = points")
        name = task if task in tasks else _checked(f"{key}.{task}", partial(load_task, task)).name
        require(name in tasks, f"{key}.{task}", f"is no task of the experiment; {nearest(task, tasks)}")
        found[name] = {}
        for arm, value in values.items():
            place = f"{key}.{task}.{arm}"
            require(arm in arms, place, f"is no arm of the experiment; {nearest(arm, arms)}")
            number = type(value) in (int, float) and math.isfinite(value) and -100 <= value <= 100
            require(number, place, f"{value!r} is not in points, -100 to 100")
            found[name][arm] = float(value)
    return found


def _made(kind: type, table: Mapping[str, Any], prefix: str) -> Any:
    """Make a dataclass from a TOML table, whose keys are its fields: none unknown, none missing."""
    known = {each.name: each for each in fields(kind)}
    for key in table:
        require(key in known, prefix + key, f"is unknown; {nearest(key, known)}")
    for key, each in known.items():
        require(key in table or each.default is not MISSING, prefix + key, "is missing")
    return kind(**{key: _value(known[key].type, value, prefix + key) for key, value in table.items()})


def _value(kind: Any, value: Any, key: str) -> Any:
    """The TOML value of one key as its field has it, whose type says what it must be."""
    if kind is str:
        require(type(value) is str, key, f"{value!r} is not a string")
        return value
    if kind in (tuple[str, ...], tuple[float, ...]):
        items: set[type] = {str} if kind == tuple[str, ...] else {int, float}
        fits = type(value) is list and {type(item) for item in value} <= items
        require(fits, key, f"{value!r} is not a list of {'strings' if str in items else 'numbers'}")
        require(value or key not in ("tasks", "methods"), key, "is empty")
        return tuple(value)
    if kind == tuple[Published, ...]:
        fits = type(value) is list and all(isinstance(item, dict) for item in value)
        require(fits, key, "is no list of tables; write [[published]]")
        return tuple(_made(Published, item, f"{key}[{at}].") for at, item in enumerate(value, start=1))
    require(isinstance(value, dict), key, f"{value!r} is not a table")
    return value


def _checked(key: str, made: Callable[[], Any]) -> Any:
    """What a function makes, or its error with the key that brought it."""
    try:
        return made()
    except (TypeError, ValueError) as error:
        if not is_told(error):
            raise
        raise ValueError(f"key {key!r}: {error}") from None
