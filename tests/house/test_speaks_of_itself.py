"""The repository speaks of itself alone: no file names the machine or the tools that it was written with."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

# Written in pieces, so that this file is searched too. A dot after a word is an attribute (torch.library).
FOREIGN = re.compile(rb"/work" + rb"/|\bfarm" + rb"-|(?<!\w)\.libr" + rb"ary\b")


def kept_out(repository: Path) -> tuple[set[str], list[str]]:
    """(paths from the root, name patterns) of the folders that .gitignore keeps out of the repository."""
    lines = (repository / ".gitignore").read_text().split()
    folders = [line.rstrip("/") for line in lines if line.endswith("/")]
    rooted = {folder.lstrip("/") for folder in folders if folder.startswith("/")}
    return rooted, [".git", *(folder for folder in folders if not folder.startswith("/"))]


def files(repository: Path) -> Iterator[Path]:
    """The files of the repository."""
    rooted, patterns = kept_out(repository)
    for folder, inner, names in os.walk(repository):
        here = Path(folder).relative_to(repository)
        inner[:] = [
            name
            for name in inner
            if (here / name).as_posix() not in rooted and not any(fnmatch.fnmatch(name, p) for p in patterns)
        ]
        yield from (Path(folder) / name for name in names if name != ".git")


def foreign(content: bytes) -> list[str]:
    """What a file says of a place that is none of its business, with a little of what stands around it."""
    around = (content[max(0, hit.start() - 30) : hit.end() + 30] for hit in FOREIGN.finditer(content))
    return [piece.decode(errors="replace") for piece in around]


def test_no_file_speaks_of_another_place(repository: Path) -> None:
    found = {
        file.relative_to(repository).as_posix(): foreign(file.read_bytes()) for file in files(repository)
    }
    assert {path: said for path, said in found.items() if said} == {}


def test_the_search_reaches_the_files_that_matter(repository: Path) -> None:
    seen = {file.relative_to(repository).as_posix() for file in files(repository)}
    assert {"README.md", "Makefile", ".ci/run", "src/dither/__init__.py", "tests/conftest.py"} <= seen
    assert not any(path.startswith((".venv/", ".git/")) for path in seen)


@pytest.mark.parametrize(
    "text", ["cd /wo" + "rk/main", "run far" + "m-lint first", "see ." + "library/README"]
)
def test_a_foreign_word_is_seen(text: str) -> None:
    assert len(foreign(text.encode())) == 1


@pytest.mark.parametrize(
    "text", ["torch.library.custom_op", "/network/x", "framework/core", "a farm", "farmer-owned"]
)
def test_an_innocent_word_is_allowed(text: str) -> None:
    assert foreign(text.encode()) == []
