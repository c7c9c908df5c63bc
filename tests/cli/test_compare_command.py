"""`dither compare` and `dither finetune`: tables, JSON, exit statuses, mistakes told before a run starts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from dither.bench.executors import RunError

pytestmark = pytest.mark.usefixtures("in_process")
QUICK = ("--set", "train.epochs=1")


def compare(films, out: Path, *options: object) -> list[object]:
    task, encoder = films
    return ["compare", task, "--model", encoder, "--out", out, *options]


def test_the_table_and_the_json_hold_the_same_numbers(dither, films, tmp_path, strict):
    command = compare(films, tmp_path, *QUICK, "--methods", "noisytune,none-again", "--seeds", "0-2")
    status, table, err = dither(*command)
    assert status == 0
    assert "[9/9] mine/films, none-again, seed 2 (" in err
    assert err.startswith("3 seeds can resolve nothing: no p can be below 0.25, and it must be below 0.05.")
    status, out, err = dither(*command, "--json")
    assert err == "[9/9] runs recorded before\n"  # nothing is begun, so nothing is said
    found = strict(out)
    assert (status, found["looks"], found["methods"]) == (0, 1, ["none", "noisytune"])
    assert len(found["runs"]) == 9
    (same,) = found["controls"]
    assert same.startswith("none-again (a determinism check, no test): all 3 runs have the same scores")
    assert same in table
    for row in found["all_runs"]["comparisons"][1:]:
        line, *_ = re.findall(rf"^mine/films +{row['method']} .*$", table, re.MULTILINE)
        assert f"{row['difference']:+.2f}" in line
        assert f"{row['wins']}/{row['ties']}/{row['losses']}" in line
        assert " ".join(row["verdict"]["text"].split()[:2]) in line


def test_progress_shows_no_scores(dither, films, tmp_path):
    _, _, err = dither(*compare(films, tmp_path, *QUICK, "--methods", "none", "--seeds", "0"))
    assert re.fullmatch(
        r"\[0/1\] runs recorded before\n\[1/1\] mine/films, none, seed 0 \(\d+\.\d s\)\n", err
    )


def test_the_end_says_how_much_of_the_time_went_into_training(dither, films, tmp_path, strict):
    words = compare(films, tmp_path, *QUICK, "--methods", "none", "--jobs", "1")
    out = dither(*words, "--seeds", "0-1")[1]
    pattern = r"2 runs in (\d+) s of 1 process, (\d+) % of it in training steps"
    effort, page = out.splitlines()[-2:]
    assert 0 <= int(re.fullmatch(pattern, effort)[2]) <= 100
    assert page == f"The page of it: dither report {tmp_path}"
    assert "in training steps" not in dither(*words, "--seeds", "0-1")[1]  # nothing was run
    assert strict(dither(*words, "--seeds", "0-1", "--json")[1])["effort"] is None
    found = strict(dither(*words, "--seeds", "0-2", "--json")[1])
    effort = found["effort"]
    assert (effort["runs"], effort["processes"]) == (1, 1)
    (steps,) = (row["step_seconds"] for row in found["runs"] if row["seed"] == 2)
    assert effort["step_share"] == pytest.approx(steps / effort["seconds"], abs=0.001 / effort["seconds"])


def test_the_end_says_which_arms_have_the_same_dose(dither, films, tmp_path, strict):
    arms = "noisytune,pats,pats-blind@noise_lambda=energy,pats@noise_lambda=0.1"
    command = compare(films, tmp_path, *QUICK, "--methods", arms, "--seeds", "0")
    _, out, err = dither(*command)
    assert "\nmeasuring the functional dose on mine/films\n[0/5] " in err
    doses = {row["method"]: row for row in strict(dither(*command, "--json")[1])["doses"]}
    words = {
        name: f"{name} λ {row['noise_lambda']:g} (d {row['d']:.3f})"
        for name, row in doses.items()
        if row["d"]
    }
    blind, fixed = "pats-blind@noise_lambda=energy", "pats@noise_lambda=0.1"
    for line in (
        f"equal functional dose: {words['noisytune']}, {words['pats']}",
        f"equal energy: {words[blind]}",
        f"λ as it was set: {words[fixed]}",
    ):
        assert line in out
    assert doses["none"] | {"task": ""} == dict.fromkeys(doses["none"]) | {"task": "", "method": "none"}
    page = dither("report", tmp_path, "--peek")
    assert page[0] == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f'"{doses["pats"]["noise_lambda"]:g}",{doses["pats"]["d"]!r}' in text


@pytest.mark.parametrize("width", ["80", "160"])
def test_a_table_loses_no_number_to_a_narrow_terminal(width, capsys, monkeypatch):
    from dither.bench.compare import Comparison
    from dither.cli.verdicts import print_comparison
    from dither.stats import Score, analyse

    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, a terminal
    task = "builtin/question_answering"
    scores = [Score("none", task, seed, 60.0 + seed) for seed in range(9)]
    scores += [Score("pats-magnitude", task, seed, 61.0 + seed + seed % 3) for seed in range(9)]
    analysis = analyse(scores, planned_seeds=range(9))
    print_comparison(Comparison(analysis, (), 1, ("[bold]what is written[/bold] stays",)), {}, as_json=False)
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    words = ["+2.00", "+1.33 … +2.67", "64.0 ±2.7", "66.0 ±3.1", "resolved:", "better"]
    words += ["[bold]what is written[/bold]", *(("0.0039", "9/0/0") if width == "160" else ("--json has p",))]
    assert all(word in text for word in words), text
    assert max(map(len, text.splitlines())) <= int(width)


def test_the_average_without_failed_runs_is_printed_with_its_seeds(capsys, monkeypatch):
    """One of nine seeds lost a task: its other task still counts, so nine seeds stand behind the average."""
    from dither.bench.compare import Comparison
    from dither.cli.numbers import Reasons
    from dither.cli.tables import open_console
    from dither.cli.verdicts import print_rest
    from dither.stats import Score, analyse

    monkeypatch.setenv("COLUMNS", "160")
    scores = [Score("none", task, seed, 60.0) for task in ("a", "b") for seed in range(9)]
    scores += [
        Score("pats", task, seed, 61.0 + seed % 3, failed=(task, seed) == ("a", 4))
        for task in ("a", "b")
        for seed in range(9)
    ]
    analysis = analyse(scores, planned_seeds=range(9))
    row = analysis.without_failed.macro("pats")
    print_rest(open_console(), Comparison(analysis, (SimpleNamespace(status="failed"),), 1, ()), Reasons())
    text = capsys.readouterr().out
    assert "Over all tasks, without failed runs" in text
    assert re.search(rf"^pats +2 +9 +{re.escape(f'{row.difference:+.2f}')} ", text, re.MULTILINE)
    assert "1 of 9 seeds lack a task, where a run failed" in text


MISTAKES = {
    "method": (["--methods", "none,noisytun"], "unknown method 'noisytun'; did you mean 'noisytune'?"),
    "setting": (["--set", "noisytune.lambda=1"], "method 'noisytune' has no setting 'lambda'"),
    "strength": (
        ["--set", "noisytune.noise_lambda=-1"],
        "noise_lambda is -1; it must be a finite number >= 0",
    ),
    "string": (["--set", "noisytune.noise_lambda=big"], "noise_lambda is 'big'; it must be a finite number"),
    "train": (["--set", "train.lr=1"], "--set train.lr=1: unknown 'lr'"),
    "seeds": (["--seeds", "0-3,2"], "--seeds 0-3,2: seed 2 stands there twice"),
    "words": (["--seeds", "all"], "--seeds all: 'all' is no seed and no range"),
    "jobs": (["--jobs", "0"], "--jobs is 0; it must be at least 1"),
    "threads": (["--threads", "0"], "--threads is 0; it must be at least 1"),
    "dtype": (["--dtype", "int4"], "--dtype is 'int4'; it must be one of"),
    "margin": (["--margin", "-1"], "margin must be a positive number of points, got -1.0"),
    "nan": (["--margin", "nan"], "margin must be a positive number of points, got nan"),
    "model": (["--model", "nobody/such-a-model"], "model 'nobody/such-a-model' is no folder here"),
    "data": (["--data-dir", "/no/such/folder"], "--data-dir /no/such/folder is no folder"),
    "pattern": (["--set", "pats.include=['x*']"], "include='x*' fits none of the"),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_mistake_is_told_before_anything_is_written(dither, films, tmp_path, name):
    options, message = MISTAKES[name]
    status, out, err = dither(*compare(films, tmp_path / "out", *options))
    assert (status, out) == (2, "")
    assert err.startswith("dither: ")
    assert message in err
    assert not (tmp_path / "out").exists()


def test_an_unknown_task_gets_the_nearest_one(dither, films, tmp_path):
    command = ["compare", "builtin/sentimen", "--model", films[1], "--out", tmp_path / "out"]
    status, _, err = dither(*command)
    assert status == 2
    assert "dither: unknown task 'builtin/sentimen'; did you mean 'builtin/sentiment'?" in err
    assert not (tmp_path / "out").exists()


def test_missing_data_end_with_2(dither, films, tmp_path):
    command = ["compare", "glue/rte", "--model", films[1], "--data-dir", tmp_path, "--out", tmp_path / "out"]
    status, _, err = dither(*command, "--set", "train.max_length=64")
    assert status == 2
    assert "looked in" in err


def test_a_folder_of_another_experiment_ends_with_2(dither, films, tmp_path):
    options = ("--methods", "none", "--seeds", "0")
    assert dither(*compare(films, tmp_path, *options, *QUICK))[0] == 0
    status, _, err = dither(*compare(films, tmp_path, *options, "--set", "train.epochs=2"))
    assert status == 2
    assert "holds another experiment:\n  train_settings.epochs: 1.0 there, 2.0 now" in err


def test_an_error_in_a_run_ends_with_1_and_a_traceback_when_asked_for(dither, films, tmp_path, monkeypatch):
    errors = [RunError("it broke"), RunError("it broke"), RunError("a fault of ours", internal=True)]

    def broken(*arguments, **options):
        raise errors.pop(0)

    monkeypatch.setattr("dither.bench.recording.run_in_processes", broken)
    command = compare(films, tmp_path, *QUICK)
    status, out, err = dither(*command)
    assert (status, out, err.splitlines()[-1]) == (1, "", "dither: it broke")
    with pytest.raises(RunError, match="it broke"):
        dither("--traceback", *command)
    with pytest.raises(RunError, match="a fault of ours"):
        dither(*command)


def interrupted(*arguments, **options):
    raise KeyboardInterrupt


def test_an_interruption_ends_with_130(dither, films, tmp_path, monkeypatch):
    monkeypatch.setattr("dither.bench.recording.run_in_processes", interrupted)
    status, out, err = dither(*compare(films, tmp_path, *QUICK))
    assert (status, out) == (130, "")
    assert err.endswith("dither: interrupted; finished runs are kept, the same command goes on from there\n")


def test_finetune_prints_what_was_done(dither, films, tmp_path, strict):
    task, encoder = films
    command = [
        "finetune",
        task,
        "--model",
        encoder,
        "--method",
        "noisytune",
        "--seed",
        "1",
        "--out",
        tmp_path,
    ]
    status, out, _ = dither(*command)
    assert status == 0
    assert "mine/films validation: accuracy 100.00" in out
    assert f"model in {tmp_path}" in out.replace("\n", "")
    status, out, _ = dither(*command, "--json")
    found = strict(out)
    assert (status, found["score"], found["seed"], found["out"]) == (0, 100.0, 1, str(tmp_path))
    assert found["record"].keys() == {"noisytune"}


def test_a_failed_finetune_ends_with_1(dither, films, tmp_path):
    task, encoder = films
    command = ["finetune", task, "--model", encoder, "--out", tmp_path, "--set", "train.learning_rate=1e-12"]
    status, out, _ = dither(*command)
    assert status == 1
    assert "failed run: score 50.00 is not above the constant predictor's 50.00" in out


@pytest.mark.parametrize("seed", ["-1", "4294967296"])
def test_a_seed_out_of_range_ends_with_2(dither, films, tmp_path, seed):
    task, encoder = films
    command = ["finetune", task, "--model", encoder, "--out", tmp_path / "out", "--seed", seed]
    status, _, err = dither(*command)
    assert (status, err) == (2, f"dither: --seed is {seed}; it must lie in [0, 2^32)\n")
    assert not (tmp_path / "out").exists()


def test_json_of_failed_runs_is_standard(dither, films, tmp_path, strict):
    options = (
        *QUICK,
        "--set",
        "train.learning_rate=1e-12",
        "--methods",
        "none,pats",
        "--seeds",
        "0,1",
        "--json",
    )
    found = strict(dither(*compare(films, tmp_path, *options))[1])
    assert {row["status"] for row in found["runs"]} == {"failed"}
    assert found["without_failed"]["comparisons"][1]["difference"] is None
    assert json.dumps(found)


def test_the_margin_belongs_to_the_plan(dither, films, tmp_path):
    command = compare(films, tmp_path, *QUICK, "--methods", "none", "--seeds", "0")
    assert dither(*command, "--margin", "2")[0] == 0
    code, _, err = dither(*command, "--margin", "1")
    assert code == 2
    assert "margin: 2.0 there, 1.0 now" in err


@pytest.mark.parametrize("mark", [": ", "; "])
def test_a_long_verdict_is_explained_once(mark):
    from dither.cli.numbers import Reasons
    from dither.stats import Verdict

    reasons, why = Reasons(), "8 pairs cannot reach p < 0.05 after Holm over 32 tests"
    verdict = Verdict("out of reach", f"not resolved{mark}{why}; looked 2 times, this time at 0.025")
    assert [reasons.cell(verdict), reasons.cell(verdict)] == ["not resolved (1)"] * 2
    assert reasons.listed() == [f"(1) {why}"]
    assert reasons.cell(Verdict("better", "resolved: better")) == "[green]resolved: better[/green]"


def test_plain_alone_shows_its_scores(dither, films, tmp_path):
    code, out, _ = dither(*compare(films, tmp_path, *QUICK, "--methods", "none", "--seeds", "0"))
    assert code == 0
    assert re.search(r"mine/films +none +\d+\.\d .*plain alone: nothing to compare", out)
