"""What the package never does: touch a global random state, unpickle, run foreign code."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
SEEDS = {
    "torch": {
        "manual_seed",
        "seed",
        "set_rng_state",
        "random.manual_seed",
        "random.seed",
        "random.set_rng_state",
    }
    | {f"cuda.{name}" for name in ("manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state")},
    "transformers": {"set_seed", "enable_full_determinism", "trainer_utils.set_seed"},
    "accelerate": {"utils.set_seed"},
}
# These names of random and numpy.random are generators with a state of their own; all others share one.
OWN_STATE = {
    "random": {"Random", "SystemRandom"},
    "numpy.random": {
        "default_rng",
        "Generator",
        "SeedSequence",
        "BitGenerator",
        "Philox",
        "PCG64",
        "PCG64DXSM",
    },
}

# "path::call" -> why this one place may.
EXCEPTIONS: dict[str, str] = {
    f"dither/bench/executors/ray_connection.py::random.{call}": "Ray moves the state; it is put back"
    for call in ("getstate", "seed", "setstate")
} | {
    f"dither/steps/rates.py::random.{call}": "a user's scheduler that is read ahead may draw; it is put back"
    for call in ("getstate", "setstate")
}


def aliases(tree: ast.AST) -> dict[str, str]:
    """Local name -> full dotted name, from the file's imports."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                known[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return known


def dotted(node: ast.expr, known: dict[str, str]) -> str:
    """The full dotted name of what is called, or an empty string."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([known.get(node.id, node.id), *reversed(parts)])


def keyword(call: ast.Call, name: str) -> object:
    """The literal value of a keyword argument, or None."""
    values = [item.value for item in call.keywords if item.arg == name]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def banned_call(call: ast.Call, known: dict[str, str]) -> bool:
    """Whether this call is one of those that the package never makes."""
    name = dotted(call.func, known)
    package, _, rest = name.partition(".")
    module, _, function = name.rpartition(".")
    imported = {full.partition(".")[0] for full in known.values()}
    return (
        (name in {"eval", "exec"} and name not in known)
        or rest in SEEDS.get(package, set())
        or (module in OWN_STATE and package in imported and function not in OWN_STATE[module])
        or (name == "torch.load" and keyword(call, "weights_only") is not True)
        or keyword(call, "trust_remote_code") is True
        or keyword(call, "allow_pickle") is True
    )


def banned(path: str, tree: ast.AST) -> Iterator[tuple[str, int]]:
    """("path::call", line) of everything banned in one file."""
    known = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and banned_call(node, known):
            yield f"{path}::{ast.unparse(node.func)}", node.lineno
        elif isinstance(node, ast.Import):
            pickles = [alias.name for alias in node.names if alias.name.partition(".")[0] in PICKLES]
            yield from ((f"{path}::import {name}", node.lineno) for name in pickles)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            pickles = [name for name in [node.module or ""] if name.partition(".")[0] in PICKLES]
            yield from ((f"{path}::import {name}", node.lineno) for name in pickles)


def test_nothing_banned_is_called(package_trees: dict[str, ast.Module]) -> None:
    found = [item for path, tree in package_trees.items() for item in banned(path, tree)]
    listing = [f"{name.replace('::', f':{line}: ')}" for name, line in found if name not in EXCEPTIONS]
    assert not listing, "\n".join(["banned in src/:", *listing])
    assert set(EXCEPTIONS) <= {name for name, _ in found}, "an exception that is no longer needed"


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.manual_seed(0)",
        "import torch as t\nt.cuda.manual_seed_all(0)",
        "from torch import manual_seed as m\nm(0)",
        "import random\nrandom.seed(0)",
        "from random import shuffle\nshuffle([1])",
        "import numpy as np\nnp.random.seed(0)",
        "from numpy import random as r\nr.rand(3)",
        "from transformers import set_seed\nset_seed(0)",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import pickle",
        "def f():\n    from joblib import load",
        "AutoModel.from_pretrained('x', trust_remote_code=True)",
        "import numpy\nnumpy.load('x', allow_pickle=True)",
        "eval('1')",
        "exec('1')",
    ],
)
def test_a_banned_call_is_seen(source: str) -> None:
    assert len(list(banned("bad.py", ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('x', weights_only=True)",
        "import random\nrandom.Random(0).shuffle([1])",
        "import numpy as np\nnp.random.default_rng(0).random(3)",
        "model.eval()",
        "AutoModel.from_pretrained('x', trust_remote_code=False)",
        "import torch\ntorch.Generator().manual_seed(0)",
        "from dither.core import random\nrandom.unit(3)",
    ],
)
def test_a_harmless_call_is_allowed(source: str) -> None:
    assert list(banned("good.py", ast.parse(source))) == []
