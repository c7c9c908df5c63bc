"""Names with settings, such as `glue/rte@train_fraction=0.1` or `pats@noise_lambda=0.1,beta=0.98`.

A task or a method under other settings is another row of every table, and its name says which: one spelling
each, so that the same variation is the same run.
"""

import tomllib
from collections.abc import Mapping
from typing import Any


def base_of(name: str) -> str:
    """The task or method without its settings.

    Example:
        >>> base_of("pats@noise_lambda=0.1")
        'pats'
    """
    return name.partition("@")[0]


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
