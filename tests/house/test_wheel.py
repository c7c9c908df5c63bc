"""The wheel: compiled kernels where there is a compiler, and an honest one without where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

LIBRARY = "dither/core/kernels/_native.so"


def build(repository: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build a wheel from a copy without git, as from an sdist."""
    copy = folder / "copy"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "tests", "runs", "dist", "*.so", "__pycache__", ".*_cache"
    )
    shutil.copytree(repository, copy, ignore=ignored)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    return subprocess.run(command, cwd=copy, env=os.environ | environment, capture_output=True, text=True)


def names(folder: Path) -> tuple[str, set[str]]:
    (wheel,) = folder.glob("*.whl")
    return wheel.name, set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_carries_the_library_and_not_its_source(repository: Path, tmp_path: Path) -> None:
    done = build(repository, tmp_path, DITHER_KERNELS="required")
    assert done.returncode == 0, done.stderr
    name, files = names(tmp_path)
    assert "-py3-none-" in name
    assert not name.endswith("-any.whl")
    assert LIBRARY in files
    assert not [file for file in files if file.endswith((".c", ".inc", ".h"))]
    assert {"dither/builtin/model/model.safetensors", "dither/bench/tasks/glue/cola.toml"} <= files
    assert {"dither/bench/experiments/noisytune-glue.toml", "dither/bench/plans/seed_noise.toml"} <= files
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    script = "import torch, dither; print(dither.noisytune_(torch.nn.Linear(4, 4), seed=0).backend)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("native ("), said.stderr


@pytest.mark.parametrize("compiler", ["false", "no-such-compiler-here"])
def test_without_a_compiler_the_wheel_is_pure(repository: Path, tmp_path: Path, compiler: str) -> None:
    done = build(repository, tmp_path, CC=compiler)
    assert done.returncode == 0, done.stderr
    name, files = names(tmp_path)
    assert name.endswith("-py3-none-any.whl")
    assert LIBRARY not in files
    assert "dither without CPU kernels, which makes its noise slow" in done.stdout + done.stderr
    assert compiler in done.stdout + done.stderr


def test_required_kernels_that_do_not_compile_are_an_error(repository: Path, tmp_path: Path) -> None:
    done = build(repository, tmp_path, CC="false", DITHER_KERNELS="required")
    assert done.returncode != 0
    assert "the CPU kernels were not built: false -O3" in done.stderr


def test_unknown_targets_are_refused(repository: Path, tmp_path: Path) -> None:
    done = build(repository, tmp_path, DITHER_TARGET="mips")
    assert done.returncode != 0
    assert "DITHER_TARGET is 'mips'; known: x86_64-linux-gnu.2.17, aarch64-linux-gnu.2.17" in done.stderr
