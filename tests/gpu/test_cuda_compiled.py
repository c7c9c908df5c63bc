"""What the compiler makes of the kernels: it needs no GPU, and a fused multiply-add shows in its output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gpu_cases import HAS_TRITON, INTERPRETED

if HAS_TRITON and not INTERPRETED:
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from dither.core.kernels.device.moments_pass import moments_pass
    from dither.core.kernels.device.noise_pass import change_pass, perturb_pass
    from dither.core.kernels.device.step_pass import means_pass, step_pass
    from dither.core.kernels.device.table import MANY_TILES, TILE

pytestmark = [
    pytest.mark.skipif(not HAS_TRITON, reason="triton is not installed"),
    pytest.mark.skipif(INTERPRETED, reason="the interpreter does not compile"),
]
POINTERS = {"changes": "fp64", "change": "fp64", "means": "fp32", "scales": "fp32", "results": "fp32"}
NUMBERS = {"beta": "fp32", "rest": "fp32", "gamma": "fp32"}
ALIGNED = {"STRIDED": False, "ALIGNED": True, "PLACED": False, "WIDE": False}
RULE = {"SKIPPABLE": True, "MAGNITUDE": False, "IDLE": False, "GAMMA": 1, "STOCHASTIC": False}
LAW = {"GAUSSIAN": False, "KEEP_ZEROS": True}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path) -> Iterator[None]:
    """Compile anew and leave nothing behind."""
    with triton.knobs.cache.scope():
        triton.knobs.cache.dir = str(tmp_path)
        yield


def ptx(kernel: Any, skipped: str = "fp32", **constants: Any) -> str:
    """The kernel for compute capability 9.0, as the backend launches it."""
    signature, attributes = {}, {}
    for place, name in enumerate(kernel.arg_names):
        kind = {**POINTERS, "skipped_at": skipped}.get(name, "i64")
        signature[name] = NUMBERS.get(name, "constexpr" if name in constants else f"*{kind}")
        if signature[name].startswith("*"):
            attributes[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    options = {"num_warps": 4, "enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]


def assert_exact_arithmetic(text: str) -> None:
    """No single-precision multiply-add, nothing flushed to zero, every division rounded to nearest."""
    assert not re.findall(r"fma\.[.a-z]*f32", text)
    assert not re.findall(r"(?:add|sub|mul|cvt|setp|rcp|sqrt)\.[a-z.]*ftz[a-z.]*f32", text)
    assert set(re.findall(r"div\.[a-z.]*f(?:32|64)", text)) <= {"div.rn.f32", "div.rn.f64"}


def test_moments_compile_and_read_in_vectors() -> None:
    for dtype in (tl.float32, tl.bfloat16):
        text = ptx(moments_pass, DTYPE=dtype, **ALIGNED, TILE=TILE, TILES=MANY_TILES)
        assert_exact_arithmetic(text)
        assert re.search(r"ld\.global\.v[24]", text), dtype


def test_noise_compiles_and_moves_in_vectors() -> None:
    for dtype, stochastic in (
        (tl.float32, False),
        (tl.bfloat16, True),
        (tl.float64, False),
    ):
        constants = {
            "DTYPE": dtype,
            "STOCHASTIC": stochastic,
            **LAW,
            **ALIGNED,
            "TILE": TILE,
            "TILES": MANY_TILES,
        }
        text = ptx(perturb_pass, **constants)
        assert_exact_arithmetic(text)
        assert re.search(r"ld\.global\.v[24]", text), dtype
        assert re.search(r"st\.global\.v[24]", text), dtype


def test_the_gaussian_law_compiles() -> None:
    constants = {"DTYPE": tl.float32, "STOCHASTIC": False, **ALIGNED, "TILE": TILE, "TILES": MANY_TILES}
    assert_exact_arithmetic(ptx(perturb_pass, GAUSSIAN=True, KEEP_ZEROS=False, **constants))


def test_the_step_compiles() -> None:
    single, half = (tl.float32, tl.float32), (tl.bfloat16, tl.float16)
    for (weight, gradient), skipped, change in (
        (single, "fp32", {}),
        (single, "i1", {"IDLE": True, "GAMMA": 0}),
        (half, "i32", {"MAGNITUDE": True, "GAMMA": 2, "STOCHASTIC": True}),
    ):
        kinds = {"DTYPE": weight, "GRADIENT": gradient, "AVERAGE": tl.float32}
        constants = {**kinds, **RULE, **change, **ALIGNED, "TILE": TILE, "TILES": MANY_TILES}
        text = ptx(step_pass, skipped, **constants)
        assert_exact_arithmetic(text)
        assert "div.rn.f32" in text


@pytest.mark.parametrize("placed", [False, True])
@pytest.mark.parametrize(("strided", "wide"), [(False, False), (True, False), (True, True)])
def test_other_layouts_compile(strided: bool, wide: bool, placed: bool) -> None:
    layout = {"STRIDED": strided, "ALIGNED": False, "PLACED": placed, "WIDE": wide}
    layout |= {"TILE": TILE, "TILES": MANY_TILES}
    kinds = {"DTYPE": tl.float32, "GRADIENT": tl.float32, "AVERAGE": tl.float32}
    assert_exact_arithmetic(ptx(moments_pass, DTYPE=tl.float32, **layout))
    assert_exact_arithmetic(ptx(step_pass, **kinds, **RULE, **layout))
    for gaussian in (False, True):
        law = {"DTYPE": tl.bfloat16, "STOCHASTIC": True, "GAUSSIAN": gaussian, "KEEP_ZEROS": True}
        assert_exact_arithmetic(ptx(perturb_pass, **law, **layout))


def test_the_small_kernels_compile() -> None:
    assert_exact_arithmetic(ptx(change_pass, WIDTH=128))
    assert "div.rn.f64" in ptx(means_pass)
