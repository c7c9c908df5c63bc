"""Budgets: short files, short functions, few positional parameters; the worst are printed by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDERS = ("src", "tests", "benchmarks", "scripts")
LIMITS = {"lines in the file": 500, "lines of body": 60, "lines of test": 30, "positional parameters": 5}
DRAWERS = {"util", "utils", "common", "helper", "helpers", "misc"}

# "path" or "path::qualified.name" -> why it may be larger. An entry that is no longer needed fails a test.
EXCEPTIONS: dict[str, str] = {}


class Size(NamedTuple):
    """One measured thing."""

    measure: str
    name: str
    size: int


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines from the first statement after the docstring to the end."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def is_kernel(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Compiled functions (triton.jit, or a decorator named compiled) take all arguments by position."""
    names = {ast.unparse(decorator).split("(")[0].split(".")[-1] for decorator in function.decorator_list}
    return bool(names & {"jit", "njit", "compiled"})


def positional(function: ast.FunctionDef | ast.AsyncFunctionDef, *, method: bool) -> int:
    """The positional parameters before `*`, without self or cls."""
    names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
    return len(names) - (method and names[:1] in (["self"], ["cls"], ["mcs"]))


def sizes(path: str, text: str) -> Iterator[Size]:
    """Everything that has a budget in one file."""
    yield Size("lines in the file", path, len(text.splitlines()))
    stack: list[tuple[str, bool, ast.AST]] = [("", False, ast.parse(text, path))]
    while stack:
        prefix, in_class, node = stack.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{prefix}{child.name}"
                test = path.startswith("tests/") and child.name.startswith("test_")
                yield Size("lines of test" if test else "lines of body", f"{path}::{name}", body_lines(child))
                if not path.startswith("tests/") and not is_kernel(child):  # in tests, they are fixtures
                    yield Size("positional parameters", f"{path}::{name}", positional(child, method=in_class))
                stack.append((f"{name}.", False, child))
            elif isinstance(child, ast.ClassDef):
                stack.append((f"{prefix}{child.name}.", True, child))
            else:
                stack.append((prefix, in_class, child))


def measured(repository: Path) -> list[Size]:
    """Every size in the repository's Python files."""
    files = [file for folder in FOLDERS for file in sorted((repository / folder).rglob("*.py"))]
    return [
        size for file in files for size in sizes(file.relative_to(repository).as_posix(), file.read_text())
    ]


def over(found: list[Size]) -> list[Size]:
    """What is larger than its budget."""
    return [size for size in found if size.size > LIMITS[size.measure]]


def worst(found: list[Size], count: int = 5) -> str:
    """A table of the largest of each measure."""
    lines = []
    for measure, limit in LIMITS.items():
        lines.append(f"{measure} (at most {limit}):")
        largest = sorted((size for size in found if size.measure == measure), key=lambda size: -size.size)[
            :count
        ]
        lines += [f"  {size.size:5d}  {size.name}" for size in largest]
    return "\n".join(lines)


def test_everything_is_within_its_budget(repository: Path) -> None:
    found = measured(repository)
    print(worst(found))
    broken = [size for size in over(found) if size.name not in EXCEPTIONS]
    listing = "\n".join(
        f"{size.name}: {size.size} {size.measure}, at most {LIMITS[size.measure]}" for size in broken
    )
    assert not broken, (
        f"over budget (split it, or list it in EXCEPTIONS with a reason):\n{listing}\n\n{worst(found)}"
    )


def test_every_exception_is_needed_and_has_a_reason(repository: Path) -> None:
    broken = {size.name for size in over(measured(repository))}
    assert set(EXCEPTIONS) <= broken, f"no longer needed: {sorted(set(EXCEPTIONS) - broken)}"
    assert all(len(reason.split()) >= 4 for reason in EXCEPTIONS.values()), (
        "an exception needs a reason in words"
    )


def test_file_names_are_nouns_not_drawers(repository: Path) -> None:
    paths = [
        path.relative_to(repository) for folder in FOLDERS for path in (repository / folder).rglob("*.py")
    ]
    named = [path.as_posix() for path in paths if DRAWERS & set(path.with_suffix("").parts)]
    assert not named, f"a drawer is no name for a module; say what it holds: {named}"


def test_an_outgrown_function_is_seen() -> None:
    body = "\n".join(f"        x{i} = {i}" for i in range(61))
    text = f'class C:\n    def f(self, a, b, c, d, e, f, *, g):\n        """Doc."""\n{body}\n'
    assert {(size.measure, size.name, size.size) for size in over(list(sizes("src/bad.py", text)))} == {
        ("lines of body", "src/bad.py::C.f", 61),
        ("positional parameters", "src/bad.py::C.f", 6),
    }


def test_an_outgrown_test_and_an_outgrown_file_are_seen() -> None:
    body = "\n".join(f"    x{i} = {i}" for i in range(31))
    text = f"def test_long():\n{body}\n" + "\n" * 480
    found = over(list(sizes("tests/test_bad.py", text)))
    assert [size.measure for size in found] == ["lines in the file", "lines of test"]


def test_what_just_fits_is_allowed() -> None:
    body = "\n".join(f"    x{i} = {i}" for i in range(60))
    text = f'def f(a, b, c, d, e):\n    """Doc.\n\n    More.\n    """\n{body}\n'
    assert over(list(sizes("src/good.py", text))) == []
