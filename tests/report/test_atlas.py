"""The sensitivity atlas of real, tiny runs: its cells recomputed from what the runs measured."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench.runs.run import run
from dither.core.histogram import EDGES
from dither.report.arms import Arm
from dither.report.atlas import atlas, first_arms
from dither.results import RunResult


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> list[RunResult]:
    folder = tmp_path_factory.mktemp("atlas")
    task, encoder = write_task(folder / "task"), save_encoder(folder / "encoder")
    plan = plan_of(task, encoder, "train.epochs=2", methods=("none", "noisytune", "pats"), seeds=(0, 1))
    return [run(replace(request, batches=2)) for request in plan.provisional().requests()]


def figures(results: list[RunResult]) -> dict:
    return {figure.table.id: figure for figure in atlas(results).figures}


def test_a_cell_is_the_mean_of_its_tensors_over_runs(results):
    table = figures(results)["map-mine-films-pats"].table
    cells = {(row["part"], row["type"]): row for row in table.rows}
    wanted = []
    for result in (result for result in results if result.spec.method == "pats"):
        rows = [
            row
            for row in result.measurements["sensitivity"]["tensors"]
            if row["type"] == "attention query" and "layer.0." in row["name"]
        ]
        total = math.fsum(row["mean"] * row["count"] for row in rows)
        wanted.append(total / sum(row["count"] for row in rows))
    assert cells["0", "attention query"]["mean"] == pytest.approx(math.fsum(wanted) / 2)


def test_the_shares_of_a_distribution_add_up(results):
    table = figures(results)["distribution-mine-films"].table
    for method in ("none", "noisytune", "pats"):
        rows = [row for row in table.rows if row["method"] == method]
        assert math.fsum(row["share"] for row in rows) + rows[0]["zeros"] == pytest.approx(1.0)
        assert all(row["low"] in (None, *EDGES) for row in rows)


def test_plain_runs_without_measurements_have_no_atlas(results):
    plain = [replace(r, measurements=None) for r in results if r.spec.method == "none"]
    assert atlas(plain) is None
    assert atlas([]) is None


def test_the_noise_of_every_tensor_is_told(results):
    table = figures(results)["noise-mine-films"].table
    (record,) = [r.record["pats"] for r in results if r.spec.method == "pats" and r.spec.seed == 0]
    names = {row["name"] for row in record["tensors"]}
    assert names == {row["name"] for row in table.rows if row["method"] == "pats"}


def test_of_too_many_arms_each_method_has_some():
    names = [f"{method}@beta=0.{at}" for method in ("a", "b") for at in range(1, 6)]
    arms = [Arm("rte", name, ()) for name in ["none", *names]]
    chosen = [arm.method for arm in first_arms([*arms, Arm("cola", "none", ())])]
    assert chosen == ["none", "a@beta=0.1", "a@beta=0.2", "a@beta=0.3", "b@beta=0.1", "b@beta=0.2"]
