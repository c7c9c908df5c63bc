"""Every public name says what it is, and every name of the front door stands in the documentation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import dither

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def exempt(node: Definition) -> bool:
    """Overloads and setters share the docstring of the definition that they belong to."""
    marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
    return node.name.startswith("_") or bool(marks & {"overload", "setter", "deleter", "override"})


def silent(path: str, node: ast.Module | Definition, prefix: str = "") -> Iterator[str]:
    """The public definitions without a docstring, from the module down to methods."""
    if ast.get_docstring(node) is None:
        yield f"{path}::{prefix.rstrip('.') or '(module)'}"
    if isinstance(node, ast.Module | ast.ClassDef):
        for child in node.body:
            if isinstance(child, Definition) and not exempt(child):
                yield from silent(path, child, f"{prefix}{child.name}.")


def unmentioned(names: list[str], text: str) -> list[str]:
    """The names that do not stand in the text as a word."""
    return [name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]


def test_every_public_name_has_a_docstring(package_trees: dict[str, ast.Module]) -> None:
    public = {path: tree for path, tree in package_trees.items() if "/_" not in path.replace("/__", "/")}
    found = [name for path, tree in public.items() for name in silent(path, tree)]
    assert not found, "\n".join(["no docstring:", *found])


def test_the_front_door_opens() -> None:
    assert list(dither.__all__) == sorted(set(dither.__all__), key=list(dither.__all__).index), (
        "a name stands twice"
    )
    for name in dither.__all__:
        assert getattr(dither, name) is not None
        assert name in dir(dither), f"dir(dither) does not list {name}"


def test_every_name_of_the_front_door_is_documented(documents: dict[str, str]) -> None:
    pages = "\n".join(text for path, text in documents.items() if path != "CONTRIBUTING.md")
    missing = unmentioned([name for name in dither.__all__ if not name.startswith("__")], pages)
    assert not missing, f"neither README.md nor docs/ mentions {missing}"


def test_a_silent_definition_is_seen() -> None:
    source = 'class C:\n    """Doc."""\n\n    def f(self): ...\n    def _g(self): ...\n\ndef h(): ...\n'
    assert list(silent("bad.py", ast.parse(source))) == ["bad.py::(module)", "bad.py::C.f", "bad.py::h"]


def test_an_unmentioned_name_is_seen() -> None:
    assert unmentioned(["PATS", "noisytune_", "attach"], "PATS and `noisytune_(model)`, attached") == [
        "attach"
    ]
