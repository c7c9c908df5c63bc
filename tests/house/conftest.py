"""What the tests of the house look at: the repository and the syntax trees of its Python files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def package_sources(repository: Path) -> dict[str, str]:
    """The package's source texts by path below src/, in a fixed order."""
    root = repository / "src"
    files = sorted(root.rglob("*.py"))
    return {file.relative_to(root).as_posix(): file.read_text(encoding="utf-8") for file in files}


@pytest.fixture(scope="session")
def package_trees(package_sources: dict[str, str]) -> dict[str, ast.Module]:
    """The package's syntax trees by path below src/."""
    return {path: ast.parse(text, path) for path, text in package_sources.items()}


@pytest.fixture(scope="session")
def documents(repository: Path) -> dict[str, str]:
    """The pages for readers by path: README.md, CONTRIBUTING.md and docs/."""
    pages = [
        repository / "README.md",
        repository / "CONTRIBUTING.md",
        *sorted((repository / "docs").rglob("*.md")),
    ]
    return {page.relative_to(repository).as_posix(): page.read_text(encoding="utf-8") for page in pages}
