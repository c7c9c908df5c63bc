"""The extras as messages name them are those of the package."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from dither.core.extras import EXTRAS, require

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def packages(extra: str, extras: dict[str, list[str]]) -> set[str]:
    """What an extra installs, without versions; `dither[other]` stands for what that one installs."""
    found: set[str] = set()
    for line in extras[extra]:
        name, inner = re.match(r"([\w-]+)(?:\[(.+?)\])?", line).groups()
        found |= packages(inner, extras) if inner else {name}
    return found


def test_they_are_those_of_the_project() -> None:
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    assert {name: packages(name, extras) for name in EXTRAS} == {
        name: set(parts.values()) for name, parts in EXTRAS.items()
    }


def test_all_that_is_missing_is_named_at_once(monkeypatch) -> None:
    require("report", "this")
    for module in ("sklearn", "vl_convert"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as raised:
        require("report", "this")
    message = "this needs scikit-learn, vl-convert-python: pip install 'dither[report]'"
    assert str(raised.value) == message
