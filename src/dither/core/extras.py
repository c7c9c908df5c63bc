"""The extras of the package, and what is said where one is not installed."""

from importlib.util import find_spec

_TRAINER = {"transformers": "transformers", "accelerate": "accelerate"}
_BENCH = _TRAINER | {
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "seqeval": "seqeval",
}
EXTRAS = {
    "trainer": _TRAINER,
    "bench": _BENCH,
    "report": _BENCH | {"altair": "altair", "jinja2": "jinja2", "vl_convert": "vl-convert-python"},
}
"""Extra -> its modules, each with the name under which it is installed; the others are asked for where they
are used (`--search`, `--executor ray`, `--tensorboard`, tasks of the Hub)."""


def require(extra: str, what: str) -> None:
    """Refuse what needs an extra that is not installed, before anything else is done.

    Args:
        extra: of `EXTRAS`.
        what: needs it, for the message.

    Raises:
        ImportError: a part is missing; the message has what to install.

    Example:
        >>> require("trainer", "NoiseCallback")
    """
    if missing := [name for module, name in EXTRAS[extra].items() if not _is_installed(module)]:
        raise ImportError(f"{what} needs {', '.join(missing)}: pip install 'dither[{extra}]'")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # of an import hook; of a module without a spec
        return False
