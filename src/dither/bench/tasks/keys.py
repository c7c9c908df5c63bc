"""The keys of a task file, and how one with a problem is refused."""


def require(held: object, key: str, problem: str) -> None:
    """Refuse a task whose key has a problem, unless what it needs is held."""
    if not held:
        raise ValueError(f"key {key!r}: {problem}")
