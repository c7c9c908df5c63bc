"""Tasks from TOML files: those of this package by name, a user's own by path."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dither.bench.tasks.keys import nearest, require
from dither.bench.tasks.place import Hub
from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.retrieval import Retrieval
from dither.bench.tasks.task import Task
from dither.bench.tasks.variations import settings_of, typed
from dither.core.faults import is_told

_PAIR = tuple[float, float] | None
_SPLITS = str | tuple[str, ...]
_TABLES: dict[object, type] = {Recipe: Recipe, Hub | None: Hub, Retrieval | None: Retrieval}
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_KINDS: dict[object, tuple[str, type, set[type]]] = {  # field -> what TOML must hold: container, items
    str: ("a string", str, set()),
    int: ("an integer", int, set()),
    tuple[str, ...]: ("a list of strings", list, {str}),
    _PAIR: ("a list of two numbers", list, {int, float}),
    Mapping[str, str]: ("a table of strings", dict, {str}),
}


_OURS = ("folder", "subset", "trained")
"""Fields of a task that no file sets."""


def _value(kind: Any, value: Any, key: str) -> Any:
    """Turn the TOML value of one key into that of its field, whose type says what it must be."""
    if kind in _TABLES:
        require(isinstance(value, dict), key, f"{value!r} is not a table")
        return _build(_TABLES[kind], value, prefix=f"{key}.")
    if kind == _SPLITS:
        kind = str if isinstance(value, str) else tuple[str, ...]
    if kind not in _KINDS:  # a number of Recipe or Retrieval, which check it themselves
        return value
    what, outer, inner = _KINDS[kind]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    fits = type(value) is outer and {type(item) for item in items} <= inner
    require(fits and (kind != _PAIR or len(value) == 2), key, f"{value!r} is not {what}")
    return tuple(value) if outer is list else value


def _build(
    kind: type, table: Mapping[str, Any], *, given: Mapping[str, Any] = _NOTHING, prefix: str = ""
) -> Any:
    """Make a dataclass from a TOML table, whose keys are its fields: none unknown, none missing.

    What is `given` stands for keys that the table lacks.
    """
    known = {each.name: each.type for each in fields(kind) if each.name not in _OURS}
    for key in table:
        require(key in known, prefix + key, f"is unknown; {nearest(key, known)}")
    for key in (each.name for each in fields(kind) if each.default is each.default_factory is MISSING):
        require(key in table or key in given, prefix + key, "is missing")
    values = {key: _value(known[key], value, prefix + key) for key, value in table.items()}
    try:
        return kind(**{**given, **values})
    except (TypeError, ValueError) as error:
        if not is_told(error):
            raise
        raise ValueError(f"{prefix}{error}") from None


def _trained(table: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """The task that another one is trained as, and its recipe; nothing where it trains itself."""
    name = table.get("train_from")
    if not isinstance(name, str):
        return _NOTHING
    require(
        name != table.get("name"), "train_from", f"{name!r} is this task itself; name the one to train on"
    )
    place = str(path.parent / name) if name.endswith(".toml") else name
    try:
        found, lent = _read(place)
    except ValueError as error:
        raise ValueError(f"key 'train_from': {error}") from error
    further = lent.get("train_from")
    hint = f"has no training of its own but that of {further!r}: name that one"
    require(not further, "train_from", f"{name!r} {hint}")
    trained = _task(found, lent)
    return {"trained": trained, "recipe": trained.recipe}


def available_tasks() -> dict[str, Path]:
    """Return the tasks of this package: name -> TOML file, sorted by name.

    Example:
        >>> [name for name in available_tasks() if name.startswith("glue/m")]
        ['glue/mnli', 'glue/mrpc']
    """
    root = Path(__file__).parent
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob("*.toml"))}


def load_task(name_or_path: str | Path) -> Task:
    """Return a task of this package by name, or a user's own from a path that ends in `.toml`.

    Args:
        name_or_path: with settings behind an `@` it is a variation of the task, see `Task.varied`.

    Raises:
        ValueError: no task of that name, or an error in the file; it says the file and the key. Or a setting
            that cannot be.

    Example:
        >>> load_task("glue/mnli").evaluation
        {'matched': 'validation_matched', 'mismatched': 'validation_mismatched'}
    """
    text = str(name_or_path)
    base, written = typed(text)
    return _varied(text, base, written) if base != text else _task(*_read(text))


def _read(name_or_path: str | Path) -> tuple[Path, dict[str, Any]]:
    """The file of a task, and what is in it."""
    text, known = str(name_or_path), available_tasks()
    path = known.get(text) or Path(text)
    if path.suffix == ".toml" and not path.is_file():
        raise ValueError(f"there is no task file {text}; `dither tasks` lists the tasks that have a name")
    if path.suffix != ".toml":
        raise ValueError(f"unknown task {text!r}; {nearest(text, known)}; or the path of a .toml file")
    try:
        return path, tomllib.loads(path.read_bytes().decode())
    except ValueError as error:  # of tomllib, of the decoder
        raise ValueError(f"{path}: {error}") from error


def _task(path: Path, table: Mapping[str, Any]) -> Task:
    try:
        task = replace(_build(Task, table, given=_trained(table, path)), folder=path.parent)
        require("@" not in task.name, "name", f"{task.name!r} holds an @, which begins settings")
        return task
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _varied(text: str, base: str, written: str) -> Task:
    try:
        return load_task(base).varied(settings_of(f"@{written}"))
    except (TypeError, ValueError) as error:
        if not is_told(error):
            raise
        raise ValueError(f"task {text!r}: {error}") from None
