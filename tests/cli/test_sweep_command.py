"""`dither sweep`: curves and searches, their JSON, mistakes told before a run starts."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from dither.results import Ledger

pytestmark = pytest.mark.usefixtures("in_process")
QUICK = ("--set", "train.epochs=1")
GRID = ("--param", "noise_lambda=0,0.1,0.5", "--seeds", "0-2")
SEARCH = ("--param", "noise_lambda=0.05..0.4,log", "--search", "2", "--seeds", "0,1")


@pytest.fixture(autouse=True)
def searches_in_process(monkeypatch):
    from dither.bench.runs.run import run_together

    def execute(requests):
        return (one for request in requests for one in run_together(request))

    monkeypatch.setattr("dither.bench.sweeps.search.process_executor", lambda jobs: nullcontext(execute))


def sweep(films, out: Path, *options: object) -> list[object]:
    task, encoder = films
    return ["sweep", task, "--model", encoder, "--method", "noisytune", "--out", out, *options]


def runs_in(out: Path) -> dict:
    with Ledger.read(out) as ledger:
        return {(one.spec.method, one.spec.seed): one for one in ledger.results(predictions=True)}


def test_the_curve_and_the_json_hold_the_same_numbers(dither, films, tmp_path, strict):
    command = sweep(films, tmp_path, *QUICK, *GRID)
    status, table, err = dither(*command)
    assert status == 0
    assert err.startswith("3 seeds can resolve nothing: ")
    assert "[9/9] mine/films, noisytune@noise_lambda=0.5, seed 2" in err  # 0 has no run of its own
    found = strict(dither(*command, "--json")[1])
    curve = found["sweep"]["curve"]
    assert [point["values"]["noise_lambda"] for point in curve] == [0.0, 0.1, 0.5]
    assert [point["arm"] for point in curve] == ["none", *(f"noisytune@noise_lambda={x}" for x in (0.1, 0.5))]
    for point in curve[1:]:
        line = re.findall(rf"^ *{point['values']['noise_lambda']} .*$", table, re.MULTILINE)[0]
        assert f"{point['difference']:+.2f}" in line
        assert f"{point['interval'][0]:+.2f} … {point['interval'][1]:+.2f}" in line
    assert found["sweep"]["reference"] == "noisytune@noise_lambda=0.1"
    assert "was seen on the reported split" in table
    assert found["warnings"][0].startswith("The best value of a grid was seen on the reported split")
    (sentence,) = found["sweep"]["sentences"]
    assert sentence in table.replace("\n", " ").replace("  ", " ")
    assert re.search(r"looks best\. (0\.0|0\.5) against 0\.1: [+-]\d\.\d\d \[.*\]: ", sentence)


def test_the_reference_is_compared_by_the_same_pairs(dither, films, tmp_path, strict):
    command = sweep(films, tmp_path, *QUICK, *GRID, "--reference", "0.5", "--json")
    found = strict(dither(*command)[1])
    runs = runs_in(tmp_path)
    for point in found["sweep"]["against_reference"]:
        gains = [
            runs[point["arm"], seed].score - runs["noisytune@noise_lambda=0.5", seed].score
            for seed in range(3)
        ]
        assert point["difference"] == pytest.approx(sum(gains) / 3)
    assert [point["values"]["noise_lambda"] for point in found["sweep"]["against_reference"]] == [0.0, 0.1]


def test_the_runs_are_those_of_a_comparison(dither, films, tmp_path):
    assert dither(*sweep(films, tmp_path / "sweep", *QUICK, *GRID))[0] == 0
    task, encoder = films
    arms = "none,noisytune@noise_lambda=0.5,noisytune@noise_lambda=0"
    options = ("--methods", arms, "--seeds", "0-2", "--out", tmp_path / "compare")
    assert dither("compare", task, "--model", encoder, *QUICK, *options)[0] == 0
    swept, compared = runs_in(tmp_path / "sweep"), runs_in(tmp_path / "compare")
    for seed in range(3):
        for arm in ("none", "noisytune@noise_lambda=0.5"):
            assert swept[arm, seed].id == compared[arm, seed].id
            assert swept[arm, seed].predictions == compared[arm, seed].predictions
        # The point 0 of the curve is what a run of strength 0 would have given.
        zero = compared["noisytune@noise_lambda=0.0", seed]
        assert swept["none", seed].predictions == zero.predictions


def test_recipes_are_swept_with_plain_runs_of_their_own(dither, films, tmp_path, strict):
    options = ("--param", "noise_lambda=0.5", "--param", "train.epochs=1,2", "--seeds", "0", "--json")
    found = strict(dither(*sweep(films, tmp_path, *options))[1])
    assert len(found["runs"]) == 4
    assert {row["task"] for row in found["runs"]} == {"mine/films@epochs=1.0", "mine/films@epochs=2.0"}
    points = [
        (point["values"]["noise_lambda"], point["values"]["epochs"]) for point in found["sweep"]["curve"]
    ]
    assert points == [(0.5, 1.0), (0.5, 2.0)]
    assert found["sweep"]["reference"] is None


def test_less_data_is_a_curve_of_its_own_in_compare(dither, films, tmp_path, strict):
    task, encoder = films
    arms = "none,none-other-seeds,pats@beta=0.5,pats@beta=0.9"
    command = ["compare", task, "--model", encoder, *QUICK, "--methods", arms, "--seeds", "0"]
    command += ["--train-fraction", "0.5,1.0", "--out", tmp_path]
    status, table, _ = dither(*command)
    assert status == 0
    assert "By train_fraction (the primary answer)" in table
    assert "Over all tasks" not in table
    for arm in arms.split(",")[1:]:
        assert len(re.findall(rf"^{re.escape(arm)} +1 +(?:0\.5 +12|1\.0 +24) ", table, re.MULTILINE)) == 2
    found = strict(dither(*command, "--json")[1])
    assert [(point["values"]["train_fraction"], point["rows"]) for point in found["curve"]] == [
        (0.5, 12), (1.0, 24)
    ] * 3  # fmt: skip
    macros = found["all_runs"]["macros"]
    assert [row["method"] for row in macros[2:4]] == 2 * ["none-other-seeds"]
    assert [(row["group"], row["tasks"]) for row in macros[2:4]] == [
        ("train_fraction=0.5", ["mine/films@train_fraction=0.5"]), ("", ["mine/films"])
    ]  # fmt: skip


def test_a_search_reports_its_choice_alone_on_fresh_seeds(dither, films, tmp_path, strict):
    command = sweep(films, tmp_path, *QUICK, *SEARCH, "--held-out", "0.5")
    status, table, err = dither(*command)
    assert status == 0
    words = (
        "selected on a held-out slice of train with seeds 100-102 (2 trials, 0 pruned); the reported split"
    )
    assert f"{words} was not looked at." in table.replace("\n", " ")
    kept = json.loads((tmp_path / "search" / "trials.json").read_text())
    assert {method for method, _ in runs_in(tmp_path)} == {"none", kept["chosen"]}
    assert all(one.predictions.keys() == {"validation"} for one in runs_in(tmp_path).values())
    searched = runs_in(tmp_path / "search")
    assert len(searched) == 6
    assert all(one.predictions.keys() == {"held_out"} for one in searched.values())
    found = strict(dither(*command, "--json")[1])
    assert found["search"] == kept
    assert found["methods"] == ["none", kept["chosen"]]
    assert " chosen" in table
    assert "[6/6] mine/films@held_out=0.5" in err


MISTAKES = {
    "equals": (["--param", "noise_lambda"], "is not like noise_lambda=0.1,0.2"),
    "setting": (["--param", "noise_lamda=1"], "did you mean 'noise_lambda'"),
    "method": (["--method", "noisytun", "--param", "a=1"], "unknown method 'noisytun'"),
    "reference": ([*GRID, "--reference", "0.3"], "--reference 0.3 is no point of the grid"),
    "range": (["--param", "noise_lambda=0.1..0.2"], "is a range: with --search 20 it is searched"),
    "zero": ([*SEARCH, "--search", "0"], "--search is 0; it must be at least 1 trial"),
    "searched": (
        [*SEARCH, "--set", "noisytune.noise_lambda=0.2"],
        "--param noise_lambda=0.05..0.4,log would undo --set noisytune.noise_lambda; leave one of them out",
    ),
    "overlap": ([*SEARCH, "--search-seeds", "1-3"], "--search-seeds and --seeds share 1: what was chosen"),
    "recipe": ([*SEARCH, "--param", "train.epochs=1..2"], "which no pairing by seed takes apart"),
    "storage": ([*SEARCH, "--storage", "sqlite:////nonexistent/x.db"], "cannot be used: unable to open"),
    "driver": ([*SEARCH, "--storage", "no://me:hidden@x/y"], "--storage no://x/y cannot be used"),
    "grid storage": ([*GRID, "--storage", "sqlite:///x.db"], "--storage is for --search"),
    "grid share": ([*GRID, "--held-out", "0.5"], "--held-out is for --search"),
    "share": ([*SEARCH, "--held-out", "1"], "--held-out is 1; it must lie in (0, 1)"),
    "search reference": ([*SEARCH, "--reference", "0.1"], "--reference is for a grid"),
    "set": ([*GRID, "--set", "noisytune.noise_lambda=1"], "noisytune@noise_lambda=0.1 sets it otherwise"),
    "recipe twice": (["--param", "train.epochs=1,2", *QUICK], "--set train.epochs would undo what"),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_mistake_is_told_before_a_run_is_made(dither, films, tmp_path, name):
    options, message = MISTAKES[name]
    status, out, err = dither(*sweep(films, tmp_path / "out", *options))
    assert (status, out) == (2, "")
    assert message in err
    assert "hidden" not in err
    assert not list((tmp_path / "out").rglob("*.sqlite"))


def test_a_folder_of_another_kind_is_refused(dither, films, tmp_path):
    task, encoder = films
    options = ("--methods", "none", "--seeds", "0", "--out", tmp_path)
    assert dither("compare", task, "--model", encoder, *QUICK, *options)[0] == 0
    grid = ("--param", "noise_lambda=0.1", "--seeds", "0")
    for more, kind in ((grid, "sweep"), ((*SEARCH, "--seeds", "0"), "search")):
        status, _, err = dither(*sweep(films, tmp_path, *QUICK, *more))
        assert status == 2
        assert f"holds another experiment:\n  kind: 'compare' there, '{kind}' now" in err
    assert not (tmp_path / "search").exists()


def test_optuna_missing_ends_with_1(dither, films, tmp_path, monkeypatch):
    monkeypatch.setattr("dither.bench.sweeps.storage.find_spec", lambda name: None)
    status, _, err = dither(*sweep(films, tmp_path / "out", *SEARCH))
    assert (status, err) == (1, "dither: --search needs Optuna: pip install 'dither[sweep]'\n")
    assert not (tmp_path / "out").exists()
