"""The numbers of the sensitivity atlas against slow loops, and runs of which little or nothing is known."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from dither.core.histogram import EDGES
from dither.report.atlas import ARMS, atlas
from dither.results import RunResult, RunSpec

QUERY, BIAS = "encoder.layer.1.attention.self.query", "encoder.layer.1.output.dense.bias"
WORDS = "embeddings.word_embeddings.weight"
TENSORS = {
    f"{QUERY}.weight": ("attention query", "matrices", 40),
    BIAS: ("biases", "vectors", 4),
    f"{QUERY}.bias": ("biases", "vectors", 6),
    WORDS: ("word embeddings", "matrices", 50),
}


def run(task: str = "mine/films", method: str = "none", seed: int = 0, **changes: Any) -> RunResult:
    names = {"model": "m", "model_digest": "m1", "method_settings": {}, "train_settings": {}}
    numbers = {"threads": 1, "dtype": "float32", "recipe_version": 1}
    spec = RunSpec(task, "t1", "d1", method=method, seed=seed, **names, **numbers)
    values = {"score": 60.0, "constant_score": 50.0, "metrics": {}, "environment": {}, "seconds": 1.0}
    return RunResult(
        **{"spec": spec, "status": "finished", "started": "2026-01-31T12:00:00+00:00", **values, **changes}
    )


def histogram(rng: np.random.Generator, count: int) -> tuple[int, list[int]]:
    """Zeros, and the counts of the others over a few bins."""
    places = np.bincount(rng.integers(30, 40, count - count // 4), minlength=len(EDGES) + 1)
    return count // 4, places.tolist()


def concentration(seed: int) -> dict[str, Any]:
    rng, tensors, types = np.random.default_rng(seed), [], []
    for name, (kind, shape, count) in TENSORS.items():
        numbers = {"count": count, "mean": float(rng.uniform(1e-6, 1e-4)), "gini": float(rng.uniform())}
        tensors.append({"name": name, "type": kind, "shape": shape, **numbers})
    for kind, shape, count in (TENSORS[f"{QUERY}.weight"], ("biases", "vectors", 10), TENSORS[WORDS]):
        zeros, bins = histogram(rng, count)
        types.append({"type": kind, "shape": shape, "count": count, "zeros": zeros, "histogram": bins})
    return {"whole": {"nonfinite": 0}, "types": types, "tensors": tensors}


def trace(seed: int) -> list[dict[str, Any]]:
    rng, phases = np.random.default_rng(seed), []
    for number in range(3):
        types = []
        for row in concentration(seed + number)["types"]:
            sparse = [[place, count] for place, count in enumerate(row["histogram"]) if count]
            types.append(row | {"histogram": sparse, "nonfinite": 0, "mean": float(rng.uniform(1e-6, 1e-4))})
        phases.append({"first": 10 * number + 1, "last": 10 * number + 10, "types": types, "layers": []})
    return phases


def record(strength: float) -> dict[str, Any]:
    tensors = []
    for name, (_, shape, count) in TENSORS.items():
        noised = {"std": 0.1, "requested": strength * 0.1, "effective": strength * 0.1, "reason": None}
        skipped = {"std": None, "requested": None, "effective": None, "reason": "vector"}
        numbers = noised if shape == "matrices" else skipped
        tensors.append({"name": name, "shape": [count], **numbers})
    return {"pats": {"recipe": {"measure": "gradient"}, "tensors": tensors}}


@pytest.fixture(scope="module")
def results() -> list[RunResult]:
    found = []
    for seed in range(3):
        for number, method in enumerate(("none", "pats")):
            own = 10 * seed + 100 * number
            measured = {"sensitivity": concentration(own), "trace": trace(own + 1)}
            noise = record(0.02 + seed / 100) if method == "pats" else None
            found.append(run(method=method, seed=seed, measurements=measured, record=noise))
    return found


def rows_of(section: Any, id: str) -> list[dict[str, Any]]:
    (figure,) = [figure for figure in section.figures if figure.table.id == id]
    return list(figure.table.rows)


def test_a_map_has_the_means_of_its_cells(results):
    rows = {(row["part"], row["type"]): row for row in rows_of(atlas(results), "map-mine-films-none")}
    assert set(rows) == {("embeddings", "word embeddings"), ("1", "attention query"), ("1", "biases")}
    means, ginis = [], []
    for result in results:
        if result.spec.method == "none":
            own = [t for t in result.measurements["sensitivity"]["tensors"] if t["type"] == "biases"]
            means.append(sum(t["mean"] * t["count"] for t in own) / 10)
            ginis.append(sum(t["gini"] * t["count"] for t in own) / 10)
    cell = rows["1", "biases"]
    assert (cell["mean"], cell["gini"]) == pytest.approx((sum(means) / 3, sum(ginis) / 3), rel=1e-12)
    assert (cell["elements"], cell["runs"]) == (10, 3)


def test_a_distribution_has_the_shares_of_all_elements(results):
    rows = [row for row in rows_of(atlas(results), "distribution-mine-films") if row["method"] == "pats"]
    runs = [result for result in results if result.spec.method == "pats"]
    for row in rows:
        place = int(np.flatnonzero(row["low"] == EDGES)[0]) + 1
        shares = [
            sum(kind["histogram"][place] for kind in result.measurements["sensitivity"]["types"]) / 100
            for result in runs
        ]
        assert row["share"] == pytest.approx(sum(shares) / 3)
    assert sum(row["share"] for row in rows) + rows[0]["zeros"] == pytest.approx(1)
    assert rows[0]["zeros"] == pytest.approx((10 + 2 + 12) / 100)


def test_quantiles_lie_in_the_bin_where_a_loop_finds_them(results):
    rows = rows_of(atlas(results), "movement-mine-films")
    assert [row["progress"] for row in rows[:3]] == pytest.approx([100 / 6, 50, 500 / 6])
    for row in rows:
        runs = [result for result in results if result.spec.method == row["method"]]
        bins = [0.0] * (len(EDGES) + 1)
        for result in runs:
            for kind in result.measurements["trace"][row["phase"] - 1]["types"]:
                for place, count in kind["histogram"]:
                    bins[place] += count
        for name, part in (("low", 0.1), ("median", 0.5), ("high", 0.9)):
            below, place = 0.0, 0
            while below + bins[place] < part * sum(bins):
                below, place = below + bins[place], place + 1
            assert EDGES[place - 1] <= row[name] <= EDGES[place]


def test_means_by_type_and_phase(results):
    for row in rows_of(atlas(results), "movement-types-mine-films"):
        found = [
            kind["mean"]
            for result in results
            if result.spec.method == row["method"]
            for kind in result.measurements["trace"][row["phase"] - 1]["types"]
            if kind["type"] == row["type"]
        ]
        assert row["mean"] == pytest.approx(sum(found) / 3)


def test_the_noise_of_every_tensor_is_there(results):
    section = atlas(results)
    rows = {row["name"]: row for row in rows_of(section, "noise-mine-films")}
    assert set(rows) == set(TENSORS)  # plain training has no record
    assert rows[WORDS]["ratio"] == pytest.approx(0.03)
    assert (rows[WORDS]["part"], rows[WORDS]["runs"]) == ("embeddings", 3)
    assert (rows[BIAS]["ratio"], rows[BIAS]["reason"]) == (None, "vector")
    cells = {(row["part"], row["type"]): row for row in rows_of(section, "noise-map-mine-films-pats")}
    assert cells["1", "attention query"]["ratio"] == pytest.approx(0.03)
    assert cells["1", "biases"]["ratio"] is None
    assert not [one for one in section.figures if one.table.id == "noise-map-mine-films-none"]


def test_figures_are_json_without_data_of_their_own(results):
    section = atlas(results)
    ids = [figure.table.id for figure in section.figures]
    assert len(set(ids)) == len(ids)
    for figure in section.figures:
        json.dumps([figure.spec, figure.table.rows], allow_nan=False)
        assert not {"datasets", "config"} & set(figure.spec)
        names = {column.name for column in figure.table.columns}
        assert names <= set(figure.table.rows[0])


def test_runs_without_measurements_and_noise_have_no_atlas():
    assert atlas([run(), run(seed=1)]) is None
    assert atlas([]) is None


def test_one_run_that_diverged_leaves_the_others_and_is_told(results):
    broken = concentration(5)
    broken["whole"]["nonfinite"] = 3
    broken["tensors"] = [row | {"mean": math.nan, "gini": math.nan} for row in broken["tensors"]]
    one = run(seed=9, measurements={"sensitivity": broken, "trace": []})
    with_it, without = (rows_of(atlas(x), "map-mine-films-none") for x in ([*results, one], results))
    assert [row["mean"] for row in with_it] == [row["mean"] for row in without]
    assert any("In 1 of the runs" in note for note in atlas([*results, one]).notes)
    json.dumps([figure.table.rows for figure in atlas([one]).figures], allow_nan=False)


def test_zeros_alone_draw_nothing_and_break_nothing():
    zero = concentration(1)
    zero["tensors"] = [row | {"mean": 0.0, "gini": math.nan} for row in zero["tensors"]]
    empty = {"zeros": 10, "count": 10, "mean": 0.0, "nonfinite": 0}
    zero["types"] = [row | empty | {"histogram": [0] * 62} for row in zero["types"]]
    phases = [row | {"types": [kind | {"histogram": []} for kind in zero["types"]]} for row in trace(1)]
    section = atlas([run(measurements={"sensitivity": zero, "trace": phases})])
    rows = rows_of(section, "movement-mine-films")
    assert {(row["median"], row["zeros"]) for row in rows} == {(None, 1.0)}


def test_what_pats_kept_stands_in_where_nothing_was_measured():
    average = concentration(3) | {"dtype": "bfloat16"}
    section = atlas([run(), run(method="pats", measurements={"average": average}, record=record(0.1))])
    ids = [figure.table.id for figure in section.figures]
    assert ids[0] == "map-mine-films-pats"
    assert "movement-mine-films" not in ids
    assert "The averages were kept in bfloat16." in section.notes


def test_tasks_that_are_left_out_are_named():
    tasks = [f"mine/{number}" for number in range(ARMS)]
    runs = [run(task, method, record=record(0.1)) for task in tasks for method in ("pats", "pats@beta=0.9")]
    section = atlas(runs)
    assert {figure.table.title.split(": ")[1].split(",")[0] for figure in section.figures} == set(tasks[:3])
    assert f"Figures are here for {ARMS} of {2 * ARMS}" in section.notes[-1]
    assert all(task in section.notes[-1] for task in tasks[3:])
