"""`dither reproduce`: an experiment of a paper on a model of one's own, its figures beside ours."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("in_process")

SPEC = """\
name = "films"
summary = "Noise on films."
paper = "Nobody, 2026"
model = "{model}"
tasks = ["{task}"]
methods = ["none", "noisytune", "noisytune@noise_lambda=0.5"]
seeds = "0-2"
claim = "noise helps"
differs = ["The films are ours."]

[recipe]
epochs = 1

[[published]]
model = "{model}"
label = "Encoder"
source = "Nobody, 2026, table 1"

[published.scores]
"mine/films" = {{ none = 80.0, noisytune = 81.3 }}
"""


@pytest.fixture
def spec(films, tmp_path) -> Path:
    task, encoder = films
    path = tmp_path / "films.toml"
    path.write_text(SPEC.format(task=task, model=encoder))
    return path


def test_an_experiment_of_ones_own_runs_and_shows_published_beside_ours(dither, spec, films, tmp_path):
    command = ["reproduce", spec, "--out", tmp_path / "out"]
    status, out, err = dither(*command)
    assert status == 0
    assert err.startswith("3 seeds can resolve nothing: ")
    assert "[9/9] mine/films, noisytune@noise_lambda=0.5, seed 2" in err
    assert "Task by task" in out
    assert re.search(
        r"^mine/films +noisytune +80\.0 → 81\.3 +\+1\.3 +[\d.]+ → [\d.]+ +[+-]", out, re.MULTILINE
    )
    said = (
        "Source: Nobody, 2026, table 1",
        "Nobody, 2026 says: noise helps.",
        "Differs: The films are ours.",
    )
    assert all(text in out for text in said)
    assert "ANOTHER MODEL" not in out
    status, again, err = dither(*command)
    told = re.sub(r"^9 runs in .* training steps\n", "", out, flags=re.MULTILINE)  # of that start alone
    assert (status, again, err) == (0, told, "[9/9] runs recorded before\n")


def test_json_has_the_same_and_the_analysis(dither, spec, films, tmp_path, strict):
    command = ["reproduce", spec, "--out", tmp_path / "out", "--seeds", "0,1", "--json"]
    found = strict(dither(*command)[1])
    assert found["experiment"] == "films"
    assert found["methods"] == ["none", "noisytune", "noisytune@noise_lambda=0.5"]
    (published,) = found["published"]
    (row,) = published["rows"]
    assert (published["same_model"], published["ours"]) == (True, str(films[1]))
    assert row["published_difference"] == pytest.approx(1.3)
    assert row["difference"] == found["all_runs"]["comparisons"][1]["difference"]


def test_another_model_is_said_in_the_heading(dither, spec, films, tmp_path):
    spec.write_text(spec.read_text().replace(f'model = "{films[1]}"', 'model = "nobody/encoder-large"'))
    options = ("--model", films[1], "--seeds", "0", "--out", tmp_path / "out")
    _, out, _ = dither("reproduce", spec, *options)
    assert f"Encoder there, {films[1]} here (ANOTHER MODEL" in out.replace("\n", "")


def test_figures_of_other_tasks_are_left_out(dither, films, tmp_path):
    options = ("--model", films[1], "--tasks", films[0], "--seeds", "0", "--out", tmp_path / "out")
    status, out, _ = dither("reproduce", "noisytune-glue", *options, "--set", "train.epochs=1")
    assert status == 0
    assert "Published of RoBERTa-base: no figure for these tasks." in out
    assert "The paper searched hyperparameters" in out


def test_the_folder_belongs_to_its_experiment(dither, spec, films, tmp_path):
    out, task = tmp_path / "out", films[0]
    options = ("--seeds", "0", "--set", "train.epochs=1", "--out", out)
    assert dither("compare", task, "--model", films[1], "--methods", "none", *options)[0] == 0
    status, _, err = dither("reproduce", spec, "--seeds", "0", "--out", out)
    assert status == 2
    assert "kind: 'compare' there, 'reproduce films' now" in err
    status, _, err = dither("reproduce", spec, "--seeds", "0", "--out", out, "--plan")
    assert status == 2
    assert "kind: 'compare' there, 'reproduce films' now" in err


def test_the_list_names_every_experiment(dither, strict):
    from dither.bench.experiments.files import available_reproductions

    status, out, _ = dither("reproduce")
    assert (status, out) == (0, dither("reproduce", "--list")[1])
    rows = strict(dither("reproduce", "--json")[1])
    assert [row["name"] for row in rows] == list(available_reproductions())
    assert all(row["name"] in out for row in rows)
    assert json.dumps(rows)


MISTAKES = {
    "name": (["noisytune-gleu"], "unknown experiment 'noisytune-gleu'; did you mean 'noisytune-glue'?"),
    "file": (["nowhere.toml"], "there is no experiment file nowhere.toml"),
    "seeds": (["SPEC", "--seeds", "zero"], "--seeds zero: 'zero' is no seed and no range"),
    "no seeds": (["SPEC", "--seeds", ""], "--seeds: '' is blank; is a variable not set?"),
    "tasks": (["SPEC", "--tasks", ","], "--tasks ',' must hold tasks, each once"),
    "task": (["SPEC", "--tasks", "glue/rtee"], "unknown task 'glue/rtee'; did you mean 'glue/rte'?"),
    "model": (["SPEC", "--model", "./nowhere"], "model './nowhere' is no folder here"),
    "margin": (["SPEC", "--margin", "0"], "margin must be a positive number of points"),
    "setting": (["SPEC", "--set", "pats.beta=0.9"], "unknown 'pats'; There are: none, noisytune, train"),
    "data": (["noisytune-glue", "--model", "builtin", "--data-dir", "."], "9 of 9 tasks without local files"),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_mistake_is_told_before_anything_is_written(dither, spec, tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options, message = MISTAKES[name]
    status, out, err = dither(
        "reproduce", *[spec if word == "SPEC" else word for word in options], "--out", tmp_path / "out"
    )
    assert (status, out) == (2, "")
    assert message in err
    assert not (tmp_path / "out").exists()


def test_without_a_folder_nothing_runs(dither, spec):
    status, _, err = dither("reproduce", spec)
    assert (status, err) == (
        2,
        "dither: --out is missing: name the output folder; or --plan, which writes nothing\n",
    )


def test_a_broken_file_is_told_with_its_key(dither, spec, tmp_path):
    spec.write_text(spec.read_text().replace("noisytune = 81.3", "pats = 81.3"))
    status, _, err = dither("reproduce", spec, "--out", tmp_path / "out")
    assert status == 2
    assert "films.toml: key 'published[1].scores.mine/films.pats': is no arm of the experiment" in err
