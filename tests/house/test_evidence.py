"""The study's files: each plan is one that runs, and the GPU's script says what it wants."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from dither.bench.experiments.files import load_reproduction
from dither.bench.plans.settings import parse_seeds

EVIDENCE = Path(__file__).parents[2] / "evidence"


@pytest.mark.parametrize("plan", sorted(EVIDENCE.glob("*.toml")), ids=lambda path: path.stem)
def test_plans_are_experiments(plan):
    made = load_reproduction(plan)
    assert made.tasks_of()
    assert made.name == f"study-{plan.stem}"
    assert len(parse_seeds(made.seeds)) >= 5


def refusal(*words: object) -> str:
    ended = subprocess.run(["bash", EVIDENCE / "gpu.sh", *map(str, words)], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    return ended.stderr


def test_the_script_for_a_gpu_says_what_it_wants(tmp_path):
    assert refusal().startswith("usage: evidence/gpu.sh MODEL DATA OUT")
    wrong = refusal("model", "data", tmp_path / "out", "soon")
    assert "'soon' is neither --dry-run nor a number of minutes from 1 to 99" in wrong
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_without_a_gpu_it_refuses_before_anything_is_made(tmp_path):
    assert "try it out with --dry-run" in refusal(tmp_path, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
