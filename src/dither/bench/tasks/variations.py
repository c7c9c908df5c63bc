"""Names with settings, such as `glue/rte@train_fraction=0.1` or `pats@noise_lambda=0.1,beta=0.98`.

A task or a method under other settings is another row of every table, and its name says which: one spelling
each, so that the same variation is the same run.
"""

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any


def base_of(name: str) -> str:
    """The task or method without its settings.

    Example:
        >>> base_of("pats@noise_lambda=0.1")
        'pats'
    """
    return name.partition("@")[0]


def variation_of(name: str) -> str:
    """The settings in a name as they stand there; empty where it has none.

    Example:
        >>> variation_of("glue/rte@train_fraction=0.1"), variation_of("glue/rte")
        ('train_fraction=0.1', '')
    """
    return name.partition("@")[2]


def by_variation(tasks: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The tasks that may be averaged: all of them, or those of each variation where one task has several.

    A mean over a task and the same task with less data is the answer to no question.

    Example:
        >>> by_variation(["glue/rte", "glue/cola@epochs=3"])
        {'': ('glue/rte', 'glue/cola@epochs=3')}
        >>> by_variation(["glue/rte", "glue/rte@epochs=3", "glue/cola@epochs=3"])
        {'': ('glue/rte',), 'epochs=3': ('glue/rte@epochs=3', 'glue/cola@epochs=3')}
    """
    names = tuple(tasks)
    if len({base_of(name) for name in names}) == len(names):
        return {"": names}
    labels = dict.fromkeys(variation_of(name) for name in names)
    return {label: tuple(name for name in names if variation_of(name) == label) for label in labels}


def settings_of(name: str) -> dict[str, Any]:
    """The settings in a name; none where it has no `@`.

    Raises:
        ValueError: what follows the `@` is no list of settings, or holds one twice.

    Example:
        >>> settings_of("pats@noise_lambda=0.1,scope=backbone")
        {'noise_lambda': 0.1, 'scope': 'backbone'}
    """
    _, at, text = name.partition("@")
    settings: dict[str, Any] = {}
    for part in text.split(",") if at else ():
        key, equals, value = part.partition("=")
        if not (equals and key.strip() and value.strip()):
            raise ValueError(f"{name!r}: {part!r} is not like setting=value; write {base_of(name)}@a=1,b=2")
        if key.strip() in settings:
            raise ValueError(f"{name!r}: {key.strip()!r} stands there twice")
        settings[key.strip()] = toml_value(value)
    return settings


def typed(task: str) -> tuple[str, str]:
    """A task as users type it, a name or the path of its file, and the settings behind its last `@`.

    A path may hold an `@` itself, so what ends as one has no settings.

    Example:
        >>> typed("me@home/my.toml@epochs=3"), typed("me@home/my.toml"), typed("glue/rte")
        (('me@home/my.toml', 'epochs=3'), ('me@home/my.toml', ''), ('glue/rte', ''))
    """
    base, at, written = task.rpartition("@")
    return (base, written) if at and not task.endswith(".toml") else (task, "")


def spelled(base: str, settings: Mapping[str, Any]) -> str:
    """The name of a task or method under settings, in their order.

    Example:
        >>> spelled("glue/rte", {"train_fraction": 0.10})
        'glue/rte@train_fraction=0.1'
        >>> spelled("none", {})
        'none'
    """
    written = ",".join(f"{key}={_written(value)}" for key, value in settings.items())
    return f"{base}@{written}" if written else base


def with_settings(task: str, **settings: Any) -> str:
    """The name of a task, perhaps a variation already, under further settings.

    Example:
        >>> with_settings("glue/rte@epochs=3", train_fraction=0.1)
        'glue/rte@epochs=3,train_fraction=0.1'
    """
    base, written = typed(task)
    return spelled(base, {**(settings_of(f"@{written}") if written else {}), **settings})


def toml_value(text: str) -> Any:
    """A TOML value; a bare word is a string.

    Example:
        >>> toml_value("0.1"), toml_value("true"), toml_value(" backbone ")
        (0.1, True, 'backbone')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _written(value: Any) -> str:
    if not isinstance(value, (bool, int, float, str)) or set(str(value)) & set(",@\n"):
        raise ValueError(f"{value!r} cannot stand in a name; give it by --set")
    return str(value).lower() if isinstance(value, bool) else str(value)
