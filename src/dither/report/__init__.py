"""The report: results → plain data (`content`) → charts → one self-contained page."""

from importlib.util import find_spec

_PARTS = {"altair": "Altair", "jinja2": "Jinja2", "vl_convert": "vl-convert"}


def require_parts() -> None:
    """Raise ImportError, with what to install, where a part of the page is missing."""
    missing = [name for module, name in _PARTS.items() if find_spec(module) is None]
    if missing:
        raise ImportError(f"dither report needs {', '.join(missing)}: pip install 'dither[report]'")
