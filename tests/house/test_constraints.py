"""What is installed is pinned: every dependency that pyproject.toml names has one exact version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[0-9][A-Za-z0-9.]*)")


def normal(name: str) -> str:
    """The name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Package -> version; a line that is no exact pin, or a package pinned twice, is an error."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        pin = PIN.fullmatch(line.strip())
        if pin is None:
            raise ValueError(
                f"{line!r} is no exact pin: write name==version, without a local suffix such as +cpu"
            )
        if normal(pin["name"]) in found:
            raise ValueError(f"{pin['name']} is pinned twice")
        found[normal(pin["name"])] = pin["version"]
    return found


def wanted(project: dict[str, Any]) -> set[str]:
    """The packages that pyproject.toml names: to build, to run, and in every extra."""
    build, run = project["build-system"]["requires"], project["project"]["dependencies"]
    extras = project["project"]["optional-dependencies"]
    names = [
        re.split(r"[\[<>=!~; ]", line)[0]
        for line in [*build, *run, *(line for extra in extras.values() for line in extra)]
    ]
    return {normal(name) for name in names} - {"dither"}


def test_every_dependency_is_pinned(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    missing = wanted(project) - set(pins((repository / "constraints.txt").read_text()))
    assert not missing, (
        f"constraints.txt pins no version of {sorted(missing)}; its first lines say how to renew it"
    )


def test_every_extra_is_read() -> None:
    project = {
        "build-system": {"requires": ["hatchling>=1"]},
        "project": {
            "dependencies": ["torch>=2"],
            "optional-dependencies": {"a": ["b_C[x]>=1"], "d": ["dither[a]"]},
        },
    }
    assert wanted(project) == {"hatchling", "torch", "b-c"}


@pytest.mark.parametrize("line", ["torch>=2", "torch==2.13.0+cpu", "-e .", "torch==2.13.0\ntorch==2.12.0"])
def test_a_loose_pin_is_seen(line: str) -> None:
    with pytest.raises(ValueError, match=r"exact pin|pinned twice"):
        pins(line)
