"""The smallest effects of a plan: from seed noise that was reported, or from the folder's own runs."""

from __future__ import annotations

import math
import re
import statistics
from itertools import product
from pathlib import Path

import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench import recording
from dither.bench.compare import look
from dither.bench.plans.prospect import finished_runs, prospect, shortage
from dither.bench.plans.settings import parse_seeds
from dither.bench.recording import make_runs
from dither.bench.runs.run import run
from dither.results import Experiment, Ledger, LedgerError, RunResult, RunSpec
from dither.stats import minimum_detectable_effect
from dither.stats.design import macro_spread


@pytest.fixture
def films(tmp_path):
    return write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")


def test_reported_seed_noise_counts_as_if_arms_were_independent():
    found = prospect(["glue/rte", "glue/qnli"], ["none", "noisytune"], range(9))
    assert found.spreads.keys() == {"glue/rte"}
    assert found.spreads["glue/rte"].sd == pytest.approx(math.sqrt(2) * 3.0)
    assert found.spreads["glue/rte"].source == "√2 × seed noise of 1.3–3"
    assert found.points["glue/rte"] == pytest.approx(found.in_sd.tasks["glue/rte"] * math.sqrt(2) * 3.0)
    assert [row.points for row in found.macros] == [None, None]


def test_an_average_is_told_for_independent_and_for_correlated_tasks():
    tasks, sds = ["glue/rte", "glue/cola"], [math.sqrt(2) * 3.0, math.sqrt(2) * 2.3]
    found = prospect(tasks, ["none", "noisytune"], range(9))
    assert [row.correlation for row in found.macros] == [0.0, 0.5]
    for row in found.macros:
        assert row.in_sd == pytest.approx(minimum_detectable_effect(macro_spread([1, 1], row.correlation), 9))
        assert row.points == pytest.approx(minimum_detectable_effect(macro_spread(sds, row.correlation), 9))
        assert row.spread is None


def write_scores(folder: Path, gains: dict[str, list[float]]) -> Path:
    """A ledger of plain runs and of PATS, which differs from them as asked."""
    fixed = {"model": "m", "model_digest": "m1", "threads": 1, "dtype": "float32", "recipe_version": 1}
    digests = {"task_digest": "t", "data_digest": "d"}
    plan = Experiment(
        kind="compare",
        tasks=dict.fromkeys(gains, digests),
        methods={"none": {}, "pats": {}},
        train_settings={},
        seeds=range(3),
        **fixed,
    )
    with Ledger.create_or_resume(folder, plan) as ledger:
        for task, seed, method in product(gains, range(3), plan.methods):
            own = {"task": task, "method": method, "method_settings": {}, "train_settings": {}, "seed": seed}
            ledger.add(
                RunResult(
                    spec=RunSpec(**own, **digests, **fixed),
                    status="finished",
                    score=60.0 + (method == "pats") * gains[task][seed],
                    constant_score=0.0,
                    metrics={},
                    predictions={"validation": [0, 1]},
                    environment={},
                    seconds=1.0,
                    started="2026-01-31T12:00:00+00:00",
                )
            )
    return folder


def test_the_average_of_recorded_seeds_takes_the_place_of_both(tmp_path):
    plan = write_scores(tmp_path, {"a": [1.0, 2.0, 4.0], "b": [0.5, 0.0, 3.0]})
    (row,) = prospect(["a", "b"], ["none", "pats"], range(9), plan).macros
    averages = [0.75, 1.0, 3.5]
    assert (row.correlation, row.in_sd) == (None, None)
    assert row.spread.sd == pytest.approx(statistics.stdev(averages))
    assert row.spread.source == "3 recorded averages of seeds"
    assert row.points == pytest.approx(minimum_detectable_effect(row.spread.sd, 9))
    assert len(prospect(["a", "b", "c"], ["none", "pats"], range(9), plan).macros) == 2  # another average


@pytest.mark.parametrize(
    ("methods", "seeds", "needed", "level"),
    [
        (["none", "pats"], "0-4", 6, "0.05."),
        (["none", "pats", "none-again"], "0-4", 6, "0.05."),
        (["none", "pats", "noisytune"], "0-5", 7, "0.025 (0.05 over 2 tests)."),
        (["none", *(f"pats@gamma={g}" for g in range(7))], "0-7", 9, "0.00714 (0.05 over 7 tests)."),
    ],
)
def test_too_few_seeds_are_told_with_the_number_that_would_do(methods, seeds, needed, level):
    planned = parse_seeds(seeds)
    text = shortage(["glue/rte"], methods, planned)
    assert f"it must be below {level} At least {needed} seeds can" in text
    assert text.startswith(
        f"{len(planned)} seeds can resolve nothing: no p can be below {2 / 2 ** len(planned):.3g}"
    )
    advice = re.search(r"with --seeds (\S+)\.$", text).group(1)
    assert shortage(["glue/rte"], methods, parse_seeds(advice)) == ""
    assert set(planned) <= set(parse_seeds(advice))
    assert prospect(["glue/rte"], methods, planned).shortage == text


def test_advice_keeps_the_seeds_of_the_plan():
    assert shortage(["glue/rte"], ["none", "pats"], (3, 50)).endswith("with --seeds 0-7,50.")


def test_a_part_of_the_data_has_noise_of_its_own():
    found = prospect(["glue/rte@epochs=3", "glue/rte@train_fraction=0.1"], ["none", "pats"], range(9))
    assert list(found.spreads) == ["glue/rte@epochs=3"]


def test_variations_are_averaged_apart():
    names = [f"glue/{task}{part}" for part in ("", "@train_fraction=0.1") for task in ("rte", "cola")]
    both, whole = (prospect(tasks, ["none", "pats"], range(9)) for tasks in (names, names[:2]))
    assert (both.groups, whole.groups) == (2, 1)
    assert both.in_sd.macro_level == whole.in_sd.macro_level / 2
    assert both.macros[0].in_sd > whole.macros[0].in_sd


def test_plain_alone_compares_nothing():
    assert prospect(["glue/rte"], ["none"], range(9)) is None


def test_the_folders_own_pairs_count_first(films, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "run_in_processes", lambda requests, jobs: (run(row) for row in requests))
    options = {"methods": ("none", "pats@noise_lambda=3"), "seeds": (0, 1, 2)}
    plan = plan_of(*films, "train.epochs=1", **options)
    make_runs(plan, tmp_path / "out", margin=1.0)
    found = prospect(["mine/films"], list(plan.methods), range(9), tmp_path / "out")
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
