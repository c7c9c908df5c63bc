"""`import dither` and `dither --help` are quick: heavy packages load only when a name needs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "numpy", "scipy", "datasets", "rich")
HELP = """
import runpy
sys.argv = ["dither", "--help"]
try:
    runpy.run_module("dither", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert end.code in (0, None), f"dither --help ended with {end.code!r}"
"""


def loaded(statements: str, banned: tuple[str, ...], path: Path | None = None) -> tuple[list[str], str]:
    """Run statements in a fresh interpreter; return the banned packages that it loaded and its output."""
    program = f"import sys\n{statements}\nprint()\nprint(*[name for name in {banned} if name in sys.modules])"
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    if done.returncode:
        pytest.fail(f"the fresh interpreter failed:\n{done.stderr}", pytrace=False)
    printed, _, names = done.stdout.removesuffix("\n").rpartition("\n")
    return names.split(), printed


def test_import_dither_loads_nothing_heavy() -> None:
    assert loaded("import dither", HEAVY)[0] == []


def test_help_loads_neither_torch_nor_transformers() -> None:
    names, printed = loaded(HELP, ("torch", "transformers", "datasets", "scipy"))
    assert names == []
    assert "compare" in printed


def test_a_heavy_import_is_seen(tmp_path: Path) -> None:
    (tmp_path / "leaden.py").write_text("import numpy\n")
    assert loaded("import leaden", HEAVY, tmp_path)[0] == ["numpy"]
