"""The smallest effects of a plan: from seed noise that was reported, or from the folder's own runs."""

from __future__ import annotations

import math

import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench import recording
from dither.bench.compare import look
from dither.bench.plans.prospect import finished_runs, prospect
from dither.bench.recording import make_runs
from dither.bench.runs.run import run
from dither.results import LedgerError


@pytest.fixture
def films(tmp_path):
    return write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")


def test_reported_seed_noise_counts_as_if_arms_were_independent():
    found = prospect(["glue/rte", "glue/qnli"], ["none", "noisytune"], 9)
    assert found.spreads.keys() == {"glue/rte"}
    assert found.spreads["glue/rte"].sd == pytest.approx(math.sqrt(2) * 3.0)
    assert found.spreads["glue/rte"].source == "√2 × seed noise of 1.3–3"
    assert found.points["glue/rte"] == pytest.approx(found.in_sd.tasks["glue/rte"] * math.sqrt(2) * 3.0)
    assert found.macro is None


def test_a_part_of_the_data_has_noise_of_its_own():
    found = prospect(["glue/rte@epochs=3", "glue/rte@train_fraction=0.1"], ["none", "pats"], 9)
    assert list(found.spreads) == ["glue/rte@epochs=3"]


def test_variations_are_averaged_apart():
    names = [f"glue/{task}{part}" for part in ("", "@train_fraction=0.1") for task in ("rte", "cola")]
    both, whole = (prospect(tasks, ["none", "pats"], 9) for tasks in (names, names[:2]))
    assert (both.groups, whole.groups) == (2, 1)
    assert both.in_sd.macro_level == whole.in_sd.macro_level / 2
    assert both.in_sd.macro > whole.in_sd.macro


def test_plain_alone_compares_nothing():
    assert prospect(["glue/rte"], ["none"], 9) is None


def test_the_folders_own_pairs_count_first(films, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "run_in_processes", lambda requests, jobs: (run(row) for row in requests))
    options = {"methods": ("none", "pats@noise_lambda=3"), "seeds": (0, 1, 2)}
    plan = plan_of(*films, "train.epochs=1", **options)
    make_runs(plan, tmp_path / "out", margin=1.0)
    found = prospect(["mine/films"], list(plan.methods), 9, tmp_path / "out")
    row = look(tmp_path / "out", record=False).analysis.all_runs.comparisons[1]
    assert found.spreads["mine/films"].sd == pytest.approx(row.difference_sd)
    assert found.spreads["mine/films"].source == "3 recorded pairs"
    assert len(finished_runs(plan, tmp_path / "out", "compare", 1.0)) == 6
    with pytest.raises(LedgerError, match=r"kind: 'compare' there, 'reproduce x' now"):
        finished_runs(plan, tmp_path / "out", "reproduce x", 1.0)


def test_no_folder_holds_no_runs(films, tmp_path):
    assert finished_runs(plan_of(*films), tmp_path / "out", "compare", None) == []
    assert finished_runs(plan_of(*films), None, "compare", None) == []
    assert not (tmp_path / "out").exists()
