"""JSON for records: plain copies, one canonical form for identities, a lossless form for results."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import fields
from typing import Any

from dither.results.errors import LedgerError

_FLOAT_TAG = "$float"  # JSON has no NaN and no infinities, but a diverged run has


def plain(value: Any, where: str, *, finite: bool = False) -> Any:
    """Return a deep copy of `value` made of None, bool, int, float, str, list and dict only.

    Args:
        value: anything that JSON can hold; tuples become lists.
        where: the path of the value, for messages.
        finite: refuse NaN and infinities.

    Returns:
        The copy; it shares nothing mutable with `value`.

    Raises:
        LedgerError: a value or a key is of another type, or not finite; the message has its path.

    Example:
        >>> plain({"a": (1, 2.5)}, "settings")
        {'a': [1, 2.5]}
    """
    try:
        return _copied(value, finite)
    except _UnlikeJson:
        return _plain(value, where, finite=finite)


class _UnlikeJson(Exception):
    """A value is not of JSON's own types, or is refused: `_plain` says which and where."""


def _copied(value: Any, finite: bool) -> Any:
    """What `plain` returns of values of exactly JSON's types, without paths, at a fraction of its time."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float and not (finite and not math.isfinite(value)):
        return value
    if kind is list or kind is tuple:
        return [_copied(item, finite) for item in value]
    if kind is dict and all(type(key) is str for key in value) and _FLOAT_TAG not in value:
        return {key: _copied(item, finite) for key, item in value.items()}
    raise _UnlikeJson


def _plain(value: Any, where: str, *, finite: bool) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if finite and not math.isfinite(value):
            raise LedgerError(f"{where} is {float(value)}; it must be a finite number.")
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]", finite=finite) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {
            _key(key, where): _plain(item, f"{where}.{key}", finite=finite) for key, item in value.items()
        }
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise LedgerError(
        f"{where} is a {kind}, which JSON cannot hold; turn it into a plain value first "
        "(float(...), int(...), str(...), .tolist())."
    )


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise LedgerError(f"{where} has the key {key!r}, a {type(key).__name__}; keys must be strings.")
    if key == _FLOAT_TAG:
        raise LedgerError(f"{where} has the key {key!r}, which the ledger keeps for itself; rename it.")
    return key


def canonical(value: Any) -> str:
    """Return the one JSON text of a plain value: keys sorted, no spaces, ASCII, floats by ``repr``.

    Example:
        >>> canonical({"b": 1e-5, "a": [True, None]})
        '{"a":[true,null],"b":1e-05}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def encode(value: Any) -> str:
    """Return a plain value as JSON that `decode` turns back exactly, NaN and infinities included."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_tagged(value), separators=(",", ":"), allow_nan=False)


def _tagged(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT_TAG: repr(value)}
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, dict):
        return {key: _tagged(item) for key, item in value.items()}
    return value


def decode(text: str | bytes, where: str) -> Any:
    """Return the value that `encode` wrote.

    Raises:
        LedgerError: `text` is no JSON; the message begins with `where`.

    Example:
        >>> decode(encode([float("inf"), 0.1]), "row 1")
        [inf, 0.1]
    """
    try:
        return json.loads(text, object_hook=_untagged)
    except (ValueError, TypeError, RecursionError) as error:
        raise LedgerError(f"{where} holds no valid JSON ({error}).") from error


def _untagged(item: dict[str, Any]) -> Any:
    return float(item[_FLOAT_TAG]) if _FLOAT_TAG in item else item


def keywords(cls: type, document: Any, where: str, *, optional: Collection[str] = ()) -> dict[str, Any]:
    """Return `document` if it has exactly the fields of the dataclass `cls`.

    Args:
        cls: the dataclass.
        document: a decoded JSON value.
        where: what it is, for messages.
        optional: fields that may be missing: they have defaults, and documents without them mean those.

    Raises:
        LedgerError: it is no JSON object, or a field is missing or unknown.
    """
    if not isinstance(document, dict):
        raise LedgerError(f"{where} holds a {type(document).__name__} instead of a JSON object.")
    wanted = {field.name for field in fields(cls)}
    missing, unknown = sorted(wanted - document.keys() - set(optional)), sorted(document.keys() - wanted)
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has the unknown {', '.join(unknown)} (of a newer dither?)"] if unknown else []
        raise LedgerError(f"{where} is no {cls.__name__}: it {' and '.join(parts)}.")
    return document


def sha256(data: str | bytes) -> str:
    """Return the SHA-256 of `data` (text as UTF-8) as 64 hex digits."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def check_text(value: Any, where: str) -> str:
    """Return `value` if it is a non-empty string, else raise `LedgerError`."""
    if not isinstance(value, str) or not value:
        raise LedgerError(f"{where} is {value!r}; it must be a non-empty string.")
    return str(value)


def check_integer(value: Any, where: str, *, least: int) -> int:
    """Return `value` if it is an integer of at least `least`, else raise `LedgerError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise LedgerError(f"{where} is {value!r}; it must be an integer of at least {least}.")
    return int(value)


def check_number(value: Any, where: str, *, least: float = -math.inf) -> float:
    """Return `value` as a float if it is a finite number of at least `least`, else raise `LedgerError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LedgerError(f"{where} is {value!r}; it must be a finite number.")
    if value < least:
        raise LedgerError(f"{where} is {value!r}; it must be at least {least}.")
    return float(value)


def check_object(value: Any, where: str, *, finite: bool = False) -> dict[str, Any]:
    """Return a plain deep copy of `value` if it is a dict, else raise `LedgerError`."""
    if not isinstance(value, dict):
        raise LedgerError(f"{where} is a {type(value).__name__}; it must be a dict.")
    copy: dict[str, Any] = plain(value, where, finite=finite)
    return copy
