"""The shared fixtures keep their word: files may be missing on a laptop, never in CI; moves are seen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

USERS = "def test_it(test_data, minilm_dir, stories_dir):\n    assert stories_dir.is_dir()\n"
MOVERS = """
import random, numpy, pytest, torch

@pytest.mark.parametrize("move", [random.random, numpy.random.rand, lambda: torch.rand(1)])
def test_moves(move, unmoved_random_state):
    move()

def test_keeps(unmoved_random_state):
    random.Random(0).random()
    numpy.random.default_rng(0).random()
    torch.rand(1, generator=torch.Generator())
"""


def outcome(folder: Path, source: str, **variables: str) -> str:
    """The report of pytest on one test file beside a copy of our conftest.py."""
    conftest = Path(__file__).resolve().parents[1] / "conftest.py"
    (folder / "conftest.py").write_text(conftest.read_text())
    (folder / "test_user.py").write_text(source)
    environment = {
        name: value for name, value in os.environ.items() if name not in {"CI", "DITHER_TEST_DATA"}
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-ra",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        str(folder),
    ]
    return subprocess.run(
        command, env=environment | variables, cwd=folder, capture_output=True, text=True
    ).stdout


def test_missing_files_skip_with_a_reason(tmp_path: Path) -> None:
    report = outcome(tmp_path, USERS)
    assert "1 skipped" in report
    assert "DITHER_TEST_DATA is not set" in report


@pytest.mark.parametrize("variables", [{}, {"DITHER_TEST_DATA": "/nowhere"}], ids=["unset", "wrong"])
def test_missing_files_fail_in_ci(tmp_path: Path, variables: dict[str, str]) -> None:
    report = outcome(tmp_path, USERS, CI="true", **variables)
    assert "1 error" in report
    assert "this test may not skip" in report


@pytest.mark.parametrize(("variables", "said"), [({}, "1 skipped"), ({"CI": "true"}, "1 error")])
def test_a_missing_browser_skips_or_fails_in_ci(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    report = outcome(tmp_path, "def test_it(chromium):\n    pass\n", PATH="/nowhere", **variables)
    assert said in report
    assert "chromium and chromedriver not found: apt-get install chromium chromium-driver" in report


def test_a_moved_generator_is_seen(tmp_path: Path) -> None:
    report = outcome(tmp_path, MOVERS)
    assert "4 passed, 3 errors" in report, report  # each mover passes itself and fails when the fixture looks
    for name in ("random", "numpy.random", "torch"):
        assert f"moved the global random state of {name}\n" in report, report


def test_the_real_files_are_there(test_data: Path, minilm_dir: Path, stories_dir: Path) -> None:
    assert (test_data / "data" / "glue").is_dir()
    assert (minilm_dir / "config.json").is_file()
    assert (stories_dir / "config.json").is_file()
