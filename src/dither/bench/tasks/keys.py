"""The keys of a TOML file, and how one with a problem is refused."""

import difflib
from collections.abc import Iterable


def require(held: object, key: str, problem: str) -> None:
    """Refuse a file whose key has a problem, unless what it needs is held."""
    if not held:
        raise ValueError(f"key {key!r}: {problem}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name: the nearest known one, and the list.

    Example:
        >>> nearest("acuracy", ["f1", "accuracy"])
        "did you mean 'accuracy'? Known: accuracy, f1"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(names) or 'none'}"
