"""Every start that makes runs is kept with the command as it was typed, without secrets."""

from __future__ import annotations

import shlex
import sys
from contextlib import nullcontext

import pytest

from dither.cli import main, typed
from dither.results import Ledger

pytestmark = pytest.mark.usefixtures("in_process")
QUICK = ("--set", "train.epochs=1", "--jobs", "1")
REPRODUCTION = """\
name = "films"
summary = "Noise on films."
paper = "Nobody, 2026"
model = "{model}"
tasks = ["{task}"]
methods = ["none", "noisytune"]
seeds = "0-0"
claim = "noise helps"
differs = ["The films are ours."]
"""


def starts(folder) -> list[list[str]]:
    with Ledger.read(folder) as ledger:
        return [shlex.split(start.command) for start in ledger.starts]


def test_a_start_is_recorded_where_there_are_runs_to_make(dither, films, tmp_path):
    task, encoder = films
    out = tmp_path / "my runs"
    words = ["compare", task, "--model", encoder, *QUICK, "--methods", "none-again", "--out", out, "--seeds"]
    assert dither(*words, "0", "--plan")[0] == 0
    assert not out.exists()
    for seeds in ("0", "0", "0-1"):  # the second has nothing to do
        assert dither(*words, seeds)[0] == 0
    assert starts(out) == [["dither", *map(str, words), seeds] for seeds in ("0", "0-1")]


@pytest.mark.parametrize("command", ["sweep", "search", "sensitivity", "reproduce"])
def test_other_commands_record_theirs(dither, films, tmp_path, monkeypatch, command):
    from dither.bench.runs.run import run_together

    def execute(requests):
        return (one for request in requests for one in run_together(request))

    monkeypatch.setattr("dither.bench.sweeps.search.process_executor", lambda jobs: nullcontext(execute))
    task, encoder = films
    (tmp_path / "films.toml").write_text(REPRODUCTION.format(task=task, model=encoder))
    method, ends = ("--method", "noisytune", "--param"), ("--model", encoder, "--seeds", "0")
    words = {
        "sweep": ("sweep", task, *method, "noise_lambda=0.1", *ends),
        "search": ("sweep", task, *method, "noise_lambda=0.1..0.2", "--search", "1", *ends),
        "sensitivity": ("sensitivity", task, "--methods", "none", "--batches", "1", *ends),
        "reproduce": ("reproduce", tmp_path / "films.toml"),
    }[command]
    words = [*map(str, words), *QUICK, "--out", str(tmp_path / "out")]
    assert dither(*words)[0] == 0
    assert starts(tmp_path / "out") == [["dither", *words]]


def test_without_arguments_the_process_was_started_with_them(films, tmp_path, monkeypatch):
    task, encoder = map(str, films)
    words = ["compare", task, "--model", encoder, *QUICK, "--methods", "none", "--seeds", "0"]
    words += ["--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/dither", *words])
    assert main() == 0
    assert starts(tmp_path / "out") == [["dither", *words]]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("postgresql://me:hid/d@en@host/db", "postgresql://***@host/db"),
        ("--storage=mysql+driver://host/db?password=hidden", "--storage=mysql+driver://host/db?***"),
        ("postgresql:///db?user=me&password=hid@den", "postgresql://***@den"),
        ("sqlite:////folder/study.db", "sqlite:////folder/study.db"),
        ("me@home.toml", "me@home.toml"),
    ],
)
def test_what_is_nobodys_business_is_not_kept(given, kept):
    assert shlex.split(typed(["sweep", given])) == ["dither", "sweep", kept]
