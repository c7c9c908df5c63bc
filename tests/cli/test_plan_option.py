"""`--plan`: what would run, how long, and what could be seen; nothing is written."""

from __future__ import annotations

import re

import pytest

from dither.bench.plans import estimate


@pytest.fixture
def timed_here(monkeypatch) -> None:
    """Time in this process, on real steps."""
    monkeypatch.setattr(estimate, "in_processes", lambda work, requests, jobs: map(work, requests))


def test_compare_plans_without_a_trace(dither, films, tmp_path, timed_here):
    task, encoder = films
    command = ["compare", task, "--model", encoder, "--out", tmp_path / "out", "--jobs", "1", "--plan"]
    status, out, err = dither(*command)
    assert status == 0
    assert out.startswith("1 task × 3 arms × 9 seeds = 27 runs of ")
    assert re.search(r"^mine/films +24 +30 +12 +\d+ ms( – \d+ ms)? +\d+ s", out, re.MULTILINE)
    assert re.search(r"^Time: about \d+ .* with 1 run at a time", out, re.MULTILINE)
    assert re.search(r"^Processor: \d+ .*of runs, on an idle machine about \d+ ", out, re.MULTILINE)
    assert "on one task: 1.24 standard deviations of the paired differences (level 0.025)" in out
    assert err.splitlines()[0] == "[0/3] timing a few steps"
    assert err.splitlines()[-1] == "[3/3] mine/films, pats"
    assert not (tmp_path / "out").exists()


def test_trainings_that_tasks_share_are_counted(dither, films, tmp_path, timed_here):
    from tiny_encoder import write_task

    task, encoder = films
    twin = write_task(tmp_path / "twin", name="mine/twin")
    command = ["compare", task, twin, "--model", encoder, "--out", tmp_path / "out", "--jobs", "1", "--plan"]
    _, out, _ = dither(*command, "--methods", "none", "--seeds", "0-8")
    assert out.splitlines()[1] == (
        "9 trainings for 18 runs: trained once, evaluated for each of mine/films + mine/twin"
    )


def test_json_of_a_plan_is_standard(dither, films, tmp_path, timed_here, strict):
    task, encoder = films
    command = [
        "compare",
        task,
        "--model",
        encoder,
        "--out",
        tmp_path / "out",
        "--seeds",
        "0-1",
        "--jobs",
        "1",
    ]
    found = strict(dither(*command, "--methods", "none,pats", "--plan", "--json")[1])
    assert (found["planned"], found["recorded"], found["methods"]) == (4, 0, ["none", "pats"])
    (row,) = found["tasks"]
    assert (row["rows"], row["steps"], row["evaluated"]) == (24, 30, 12)
    assert row["seconds"].keys() == {"none", "pats"}
    assert found["detectable"]["task_in_sd"] is None


@pytest.mark.usefixtures("in_process")
def test_runs_that_are_there_are_not_planned_again(dither, films, tmp_path, timed_here):
    task, encoder = films
    command = ["compare", task, "--model", encoder, "--out", tmp_path, "--set", "train.epochs=1"]
    command += ["--methods", "none,noisytune", "--jobs", "1"]
    assert dither(*command, "--seeds", "0-2")[0] == 0
    before = (tmp_path / "ledger.sqlite").read_bytes()
    status, out, _ = dither(*command, "--seeds", "0-8", "--plan")
    assert status == 0
    assert f"= 18 runs of {encoder}, of which 6 are recorded in {tmp_path}" in out.replace("\n", "")
    assert "sd of the differences" in out
    assert "(3 recorded pairs)" in out
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


@pytest.mark.usefixtures("in_process")
def test_what_is_known_of_doses_is_shown_or_when_it_will_be(dither, films, tmp_path, timed_here, strict):
    task, encoder = films
    command = ["compare", task, "--model", encoder, "--out", tmp_path, "--set", "train.epochs=1"]
    command += ["--methods", "none,pats,pats-blind@noise_lambda=energy", "--seeds", "0", "--jobs", "1"]
    words = "λ of pats, pats-blind@noise_lambda=energy is matched by functional dose before the first run"
    assert words in dither(*command, "--plan")[1]
    assert dither(*command)[0] == 0
    found = strict(dither(*command, "--json")[1])["doses"]
    plan = strict(dither(*command, "--plan", "--json")[1])["doses"]
    assert plan == {"known": found, "matched_first": [], "seconds": 0.0}


def test_seeds_that_are_too_few_are_told_how_many_it_takes(dither, timed_here):
    options = ("--model", "builtin", "--tasks", "builtin/sentiment", "--seeds", "0-1", "--plan")
    status, out, _ = dither("reproduce", "noisytune-lambda", *options, "--jobs", "1")
    assert status == 0
    assert out.startswith("1 task × 7 arms × 2 seeds = 14 runs of builtin")
    out = " ".join(out.split())  # it may be broken over lines
    assert "2 seeds can resolve nothing: no p can be below 0.5, and it must be below 0.00833" in out
    assert "At least 8 seeds can: add some before anything is looked at, with --seeds 0-8." in out


def test_what_must_be_downloaded_is_named_first(dither, monkeypatch):
    monkeypatch.setattr("dither.bench.data.downloads._data_are_here", lambda path, config: True)
    status, out, _ = dither("reproduce", "noisytune-glue", "--plan", "--model", "nobody/such-a-model")
    assert status == 0
    assert "9 tasks × 2 arms × 9 seeds = 162 runs of nobody/such-a-model" in out
    assert "  model nobody/such-a-model (size not known: the Hub does not answer)" in out
    out = " ".join(out.split())
    deviations = "standard deviations of the paired differences"
    assert f"over all tasks: 0.36 {deviations} if a seed's differences correlate by 0 over tasks" in out
    assert f"over all tasks: 0.81 {deviations} if a seed's differences correlate by 0.5 over tasks" in out
    assert re.search(r"glue/rte: \d\.\d points; sd of the differences 4.24 \(√2 × seed noise of 1.3–3\)", out)


@pytest.mark.data
def test_tasks_without_files_are_named_and_the_others_planned(dither, test_data, stories_dir, timed_here):
    options = ("--model", stories_dir, "--data-dir", test_data / "data", "--tasks", "glue/qqp,glue/wnli")
    cheap = ("--set", "train.max_length=16", "--set", "train.batch_size=4", "--jobs", "1")
    status, out, _ = dither("reproduce", "noisytune-glue", *options, *cheap, "--plan")
    assert status == 0
    assert out.startswith("1 of 2 tasks without local files:\n  glue/qqp: looked for ")
    assert "take the tasks that are there: --tasks glue/wnli" in out
    assert "1 task × 2 arms × 9 seeds = 18 runs of " in out
    status, _, err = dither("reproduce", "noisytune-glue", *options, *cheap, "--out", "never")
    assert status == 2
    assert "1 of 2 tasks without local files:\n  glue/qqp: looked for " in err
