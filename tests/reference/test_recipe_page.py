"""docs/recipe.md alone makes the noise again, bit for bit: its own code runs, with nothing of dither."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import dither
from dither.core.names import canonical_name, named_parameters

PAGE = Path(__file__).parents[2] / "docs" / "recipe.md"
DTYPES = ("float32", "float64", "float16", "bfloat16")


def code_of(page: str) -> str:
    """The page's Python up to the block that compares it with the library."""
    found = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return "\n".join(block for block in found if "import dither" not in block)


def imports(code: str) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes)
    names = [getattr(node, "module", None) or alias.name for node in nodes for alias in node.names]
    return {name.partition(".")[0] for name in names}


@pytest.fixture(scope="module")
def page() -> Any:
    """What the page defines."""
    code = code_of(PAGE.read_text(encoding="utf-8"))
    assert imports(code) == {"hashlib", "json", "math", "fractions", "numpy"}
    module: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), module)
    return SimpleNamespace(**module)


def test_an_import_of_the_library_is_seen() -> None:
    assert imports("from dither.core import draws\nimport torch.nn") == {"dither", "torch"}


def values_of(tensor: torch.Tensor) -> np.ndarray:
    """The elements as NumPy has them: bfloat16 as float32."""
    flat = tensor.detach().reshape(-1)
    return (flat.float() if flat.dtype == torch.bfloat16 else flat).numpy().copy()


def assert_same_bits(found: np.ndarray, tensor: torch.Tensor) -> None:
    wanted = values_of(tensor)
    assert found.dtype == wanted.dtype
    assert found.tobytes() == wanted.tobytes()


def weight(kind: str, dtype: str, size: int = 131) -> torch.Tensor:
    """Numbers of some kind, of a fixed generator."""
    drawn = torch.randn(size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    drawn = {
        "usual": drawn * 0.02,
        "zeros": torch.where(drawn.abs() < 0.4, torch.copysign(torch.zeros(()), drawn), drawn),
        "far from zero": 1000 + drawn,
        "tiny": drawn * (1e-40 if dtype in ("float32", "float64", "bfloat16") else 1e-6),
        "one differs": torch.where(torch.arange(size) == 3, 1.5, torch.ones(())).double(),
        "constant": torch.full((size,), 0.7).double(),
    }[kind]
    return drawn.to(getattr(torch, dtype))


def holding(tensor: torch.Tensor, name: str = "w") -> nn.Module:
    model = nn.Module()
    model.register_parameter(name, nn.Parameter(tensor.clone()))
    return model


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["usual", "zeros", "far from zero", "tiny", "one differs", "constant"])
@pytest.mark.parametrize(("zeros", "rounding"), [("keep", "nearest"), ("noise", "stochastic")])
def test_noisytune(page, dtype, kind, zeros, rounding) -> None:
    before, seed = weight(kind, dtype), 2**64 - 1
    for noise_lambda in (0.15, 3.0):
        model, name = holding(before, "größe"), "größe"
        options = {"noise_lambda": noise_lambda, "seed": seed, "zeros": zeros, "rounding": rounding}
        record = dither.noisytune_(model, **options)
        again = page.noisytune(values_of(before), name, dtype=dtype, **options)
        assert_same_bits(again, model.get_parameter(name))
        assert record.counts()["noised"] == (kind != "constant")


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 64, 4097])
def test_sizes(page, size) -> None:
    before = weight("usual", "float32", size)
    dither.noisytune_(model := holding(before), seed=3)
    assert_same_bits(page.noisytune(values_of(before), "w", seed=3), model.w)


def test_one_spread_for_all(page) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7))
    before = {name: values_of(one) for name, one in model.named_parameters()}
    dither.noisytune_(model, seed=1, across="model")
    together = page.spread(*(one for one in before.values() if page.spread(one) > 0))
    for name, one in model.named_parameters():
        assert_same_bits(page.noisytune(before[name], name, seed=1, std=together), one)


def test_the_gaussian_law_is_that_of_the_page(page) -> None:
    before = weight("usual", "float32")
    dither.noisytune_(model := holding(before), seed=9, law="gaussian")
    again = page.noisytune(values_of(before), "w", seed=9, law="gaussian")
    assert np.abs(again - values_of(model.w)).max() < 1e-6 * page.spread(values_of(before))
    assert (again != values_of(before)).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("settings", [{}, {"gamma": 2.0, "beta": 0.98}, {"rounding": "stochastic"}], ids=str)
@pytest.mark.parametrize("schedule", [None, [1.0, 1.0, 0.5, 0.3, 0.0, 0.7]], ids=["linear", "own"])
def test_pats(page, dtype, settings, schedule) -> None:
    torch.manual_seed(4)
    model = nn.Linear(6, 5, bias=False, dtype=getattr(torch, dtype))
    with torch.no_grad():
        model.weight[2] = 0
    shares = schedule or [1 - step / 6 for step in range(6)]
    own = {name: value for name, value in settings.items() if name != "rounding"}
    again = page.Pats(values_of(model.weight), "weight", shares, seed=5, dtype=dtype, **own)
    if schedule is None:
        again.f = (6**2 / sum((6 + 1 - step) ** 2 for step in range(2, 7))) ** 0.5
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    states: list[np.ndarray] = []
    optimizer.register_step_post_hook(lambda *_: states.append(values_of(model.weight)))  # before the noise
    dither.attach(dither.PATS(seed=5, **settings), optimizer, model, total_steps=6, schedule=schedule)
    for step, share in enumerate(shares):
        optimizer.param_groups[0]["lr"] = 0.1 * share
        optimizer.zero_grad()
        batch = torch.randn(3, 6, generator=torch.Generator().manual_seed(step)).to(model.weight.dtype)
        batch[:, step] = 0
        model(batch).float().square().mean().backward()
        optimizer.step()
        rounding = settings.get("rounding", "nearest")
        noised = again.step(states[-1], values_of(model.weight.grad), rounding=rounding)
        assert_same_bits(noised, model.weight)
        assert (noised != states[-1]).any() == (step > 0 and share > 0)


def test_names(page) -> None:
    model = nn.Sequential()
    model.base_model_prefix = "bert"
    model.add_module("bert", nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    model.add_module("classifier", nn.Linear(2, 2))
    for wrapped in (model, nn.DataParallel(model), nn.DataParallel(nn.DataParallel(model))):
        rows = named_parameters(wrapped)
        assert [page.canonical_name(row.path, "bert") for row in rows] == [row.name for row in rows]
    for path in (
        "_orig_mod.module._fsdp_wrapped_module.x.weight",
        "base_model.model.bert.layer.base_layer.weight",
        "base_model.model.x.modules_to_save.default.bias",
        "base_model.x.default",
        "bertish.weight",
    ):
        for prefix in ("", "bert"):
            assert page.canonical_name(path, prefix) == canonical_name(path, prefix)
