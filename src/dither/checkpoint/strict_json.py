"""JSON from files that nobody vouches for: no name twice, no text that cannot be written, short messages."""

import json
from collections.abc import Callable
from typing import Any

_SHOWN = 200


def parsed(text: bytes, *, parse_int: Callable[[str], int] = int) -> Any:
    """The value of a JSON text in UTF-8.

    Args:
        text: the whole of it.
        parse_int: makes a number of the digits of a whole one.

    Raises:
        ValueError: it is no JSON, or one that two readers may read differently: a name stands twice in an
            object, or a text holds half of a surrogate pair.

    Example:
        >>> parsed(b'{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ValueError: 'a' stands there twice
    """
    try:
        value = json.loads(text.decode(), object_pairs_hook=unique, parse_int=parse_int)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if b"\\u" in text:  # the only way to half a pair
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair stands there alone") from None
    return value


def shown(value: object) -> str:
    """A value for a message, cut where it is long.

    Example:
        >>> shown("weight"), len(shown("w" * 10**6))
        ("'weight'", 201)
    """
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of these names and values; ValueError where a name stands twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{shown(name)} stands there twice")
        found[name] = value
    return found
