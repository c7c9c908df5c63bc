"""`dither sensitivity`: its tables and JSON, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("in_process")
QUICK = ("--set", "train.epochs=1", "--batches", "1")


def sensitivity(films, out: Path, *options: object) -> list[object]:
    task, encoder = films
    return ["sensitivity", task, "--model", encoder, "--out", out, *options]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sensitivity") / "runs"


def test_the_tables_and_the_json_hold_the_same_numbers(dither, films, folder, strict):
    command = sensitivity(films, folder, *QUICK, "--seeds", "0-3")
    status, table, err = dither(*command)
    assert (status, "[12/12] mine/films, pats, seed 3 (" in err) == (0, True)
    status, out, _ = dither(*command, "--json")
    found = strict(out)
    assert (status, len(found["runs"]), len(found["histogram_edges"])) == (0, 12, 61)
    (row,) = [row for row in found["norms"] if (row["type"], row["method"]) == ("attention key", "noisytune")]
    cell = f"{100 * row['relative_change']:.2f} ({100 * row['relative_noise']:.2f})"
    assert re.search(rf"^attention key .*{re.escape(cell)}", table, re.MULTILINE)
    (row,) = [
        row for row in found["concentrations"] if (row["type"], row["method"]) == ("whole model", "none")
    ]
    assert re.search(rf"^whole model +none +{row['mean']:.2e} +{row['gini']:.3f} ", table, re.MULTILINE)
    measured = [run["measurements"]["sensitivity"]["whole"]["gini"] for run in found["runs"]]
    plain = [value for value, run in zip(measured, found["runs"], strict=True) if run["method"] == "none"]
    assert row["gini"] == pytest.approx(sum(plain) / 4)
    assert [row["method"] for row in found["correlations"]] == [
        method for method in ("none", "noisytune", "pats", "all") for _ in range(3)
    ]


@pytest.mark.parametrize("width", ["80", "140"])
def test_the_tables_fit_a_terminal(dither, films, folder, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, a terminal
    out = dither(*sensitivity(films, folder, *QUICK, "--seeds", "0-3"))[1]
    text = re.sub(r"\x1b\[[0-9;]*m", "", out)
    *lines, page = text.splitlines()
    assert max(map(len, lines)) <= int(width)
    assert page == f"The page of it: dither report {folder}"  # whole, however long its path is
    assert all(word in text for word in ("feed-forward out", "other embeddings", "whole model", "noisytune"))


def test_the_scores_are_those_of_compare(dither, films, folder, tmp_path, strict):
    task, encoder = films
    options = ("--set", "train.epochs=1", "--seeds", "0-1", "--json")
    compared = strict(dither("compare", task, "--model", encoder, "--out", tmp_path, *options)[1])
    measured = strict(dither(*sensitivity(films, folder, *QUICK, "--seeds", "0-3", "--json"))[1])
    scores = {(run["method"], run["seed"]): run["score"] for run in measured["runs"]}
    assert all(scores[run["method"], run["seed"]] == run["score"] for run in compared["runs"])


def test_one_seed_has_tables_and_no_correlation(dither, films, tmp_path):
    status, out, _ = dither(*sensitivity(films, tmp_path, *QUICK, "--seeds", "0", "--methods", "none"))
    assert status == 0
    assert re.search(r"^word embeddings +none +\d\.\d\de-\d\d ", out, re.MULTILINE)
    assert re.search(r"mine/films +none +Gini +– +– +1$", out, re.MULTILINE)
    assert "A correlation needs 3 runs of a method and its interval 4; give more --seeds." in out


def test_no_batches_are_refused_before_anything_is_written(dither, films, tmp_path):
    status, out, err = dither(*sensitivity(films, tmp_path / "out", "--batches", "0"))
    assert (status, out, err) == (2, "", "dither: --batches is 0; it must be at least 1\n")
    assert not (tmp_path / "out").exists()


def test_an_unknown_method_gets_the_nearest_one(dither, films, tmp_path):
    status, _, err = dither(*sensitivity(films, tmp_path / "out", "--methods", "none,noisytun"))
    assert status == 2
    assert "unknown method 'noisytun'; did you mean 'noisytune'?" in err


def test_a_folder_of_another_kind_is_refused(dither, films, tmp_path):
    task, encoder = films
    one = ("--set", "train.epochs=1", "--seeds", "0", "--methods", "none")
    assert dither("compare", task, "--model", encoder, "--out", tmp_path, *one)[0] == 0
    status, _, err = dither(*sensitivity(films, tmp_path, *one))
    assert status == 2
    assert "holds another experiment:\n  kind: 'compare' there, 'sensitivity' now" in err


def test_another_number_of_batches_is_refused(dither, films, folder):
    status, _, err = dither(*sensitivity(films, folder, "--set", "train.epochs=1", "--seeds", "0-3"))
    assert status == 2
    assert f"--batches is 16, but the runs in {folder} were measured over 1; measure over as many" in err


def test_failed_runs_are_told_and_json_stays_standard(dither, films, tmp_path, strict):
    slow = (*QUICK, "--set", "train.learning_rate=1e-12", "--seeds", "0-1")
    status, out, _ = dither(*sensitivity(films, tmp_path, *slow))
    assert status == 0
    assert "failed run: mine/films, none, seed 0: score 50.00 is not above" in out
    assert len(strict(dither(*sensitivity(films, tmp_path, *slow, "--json"))[1])["warnings"]) == 6


def test_runs_that_were_not_measured_are_refused(dither, films, tmp_path):
    from dither.bench.sensitivity import analyse_runs

    task, encoder = films
    one = ("--set", "train.epochs=1", "--seeds", "0", "--methods", "none")
    dither("compare", task, "--model", encoder, "--out", tmp_path, *one)
    with pytest.raises(ValueError, match=r"holds the runs of `dither compare`, which were not measured"):
        analyse_runs(tmp_path)
