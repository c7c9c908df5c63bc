"""Imports go down only: a floor knows the floors below it, and packages on one floor are strangers."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator

import pytest

FLOORS = {
    "dither.core": 0,
    "dither.stats": 0,
    "dither.builtin": 0,
    "dither.methods": 1,
    "dither.steps": 2,
    "dither.marks": 2,
    "dither.record": 2,
    "dither.results": 2,
    "dither.apply": 3,
    "dither.attachment": 3,
    "dither.dose": 3,
    "dither.integrations": 4,
    "dither.checkpoint": 4,
    "dither.bench": 5,
    "dither.report": 5,
    "dither": 6,  # the front door, lazy
    "dither.cli": 7,
    "dither.__main__": 8,
}
FLAT = {"dither.integrations"}  # every file in here is a package of its own


def module_name(path: str) -> str:
    """dither/core/names.py -> dither.core.names; dither/core/__init__.py -> dither.core."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def targets(module: str, path: str, tree: ast.AST, modules: set[str]) -> Iterator[tuple[int, str]]:
    """(line, imported dither module) wherever it stands: in functions and under TYPE_CHECKING too."""
    package = (module if path.endswith("__init__.py") else module.rpartition(".")[0]).split(".")
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            inner = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in modules else base for name in inner]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            first = node.args[0] if node.args else None
            names = [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
        yield from ((getattr(node, "lineno", 0), name) for name in names if f"{name}.".startswith("dither."))


def unit(module: str) -> str:
    """The package that a module belongs to: dither.core.names -> dither.core."""
    parts = module.split(".")
    top = ".".join(parts[:2])
    return ".".join(parts[:3]) if top in FLAT else top


def floor(unit_name: str) -> int:
    """The floor of a package; one that has none yet is an error that says where to write it."""
    top = ".".join(unit_name.split(".")[:2])
    if top not in FLOORS:
        raise KeyError(f"{top} stands on no floor: give it one in FLOORS (tests/house/test_floors.py)")
    return FLOORS[top]


def climbs(trees: dict[str, ast.Module]) -> list[str]:
    """Every import that goes up or sideways, as path:line and reason."""
    modules = {module_name(path) for path in trees}
    found = []
    for path, tree in trees.items():
        module = module_name(path)
        for line, target in targets(module, path, tree, modules):
            here, there = unit(module), unit(target)
            if here != there and floor(there) >= floor(here):
                found.append(
                    f"{path}:{line}: {here} (floor {floor(here)}) imports {there} (floor {floor(there)})"
                )
    return found


def cycle(trees: dict[str, ast.Module]) -> list[str]:
    """One circle of modules that import each other when they load, or an empty list."""
    modules = {module_name(path) for path in trees}
    graph: dict[str, set[str]] = {}
    for path, tree in trees.items():
        module = module_name(path)
        loading = ast.Module(
            [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], []
        )
        graph[module] = {target for _, target in targets(module, path, loading, modules)} & modules - {module}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_imports_go_down_only(package_trees: dict[str, ast.Module]) -> None:
    found = climbs(package_trees)
    assert not found, "\n".join(["imports go down only, and packages on one floor are strangers:", *found])


def test_every_module_stands_on_a_floor(package_trees: dict[str, ast.Module]) -> None:
    assert {floor(unit(module_name(path))) for path in package_trees} <= set(FLOORS.values())


def test_no_modules_import_each_other_in_a_circle(package_trees: dict[str, ast.Module]) -> None:
    assert cycle(package_trees) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("dither/core/bad.py", "import dither.methods"),
        ("dither/core/bad.py", "from dither import stats"),
        ("dither/core/bad.py", "from dither import noisytune_"),
        ("dither/core/bad.py", "from ..stats import paired"),
        ("dither/core/__init__.py", "from .. import bench"),
        ("dither/core/bad.py", "def f():\n    from dither.stats.paired import t"),
        ("dither/methods/bad.py", "import importlib\nx = importlib.import_module('dither.apply')"),
        ("dither/record.py", "if TYPE_CHECKING:\n    from dither.results import Ledger"),
        ("dither/apply/bad.py", "from dither.attachment import attach"),
        ("dither/integrations/bad.py", "from dither.integrations import lightning"),
        ("dither/integrations/bad.py", "from .lightning import NoiseCallback"),
        ("dither/bench/bad.py", "from dither.report import page"),
    ],
)
def test_a_climbing_import_is_seen(path: str, source: str) -> None:
    others = ("stats/__init__", "bench/__init__", "integrations/lightning")
    trees = {f"dither/{other}.py": ast.parse("") for other in others} | {path: ast.parse(source)}
    assert len(climbs(trees)) == 1


def test_a_falling_import_is_allowed() -> None:
    source = (
        "import dither.core.names\nfrom dither.methods import noisytune\nfrom . import sibling\nimport torch"
    )
    assert climbs({"dither/apply/good.py": ast.parse(source)}) == []


def test_a_package_without_a_floor_is_seen() -> None:
    with pytest.raises(KeyError, match=r"dither\.attic stands on no floor"):
        climbs({"dither/attic/dust.py": ast.parse("import dither.core")})


def test_a_circle_is_seen() -> None:
    trees = {
        "dither/core/a.py": ast.parse("import dither.core.b"),
        "dither/core/b.py": ast.parse("from . import a"),
    }
    assert set(cycle(trees)) == {"dither.core.a", "dither.core.b"}
