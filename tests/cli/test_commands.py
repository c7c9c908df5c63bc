"""Every command: its help, its output for people and for programs, its exit status."""

from __future__ import annotations

import errno
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from dither.cli import build_parser, tasks
from dither.results.diagnosis import explained

COMMANDS = ("demo", "compare", "sweep", "reproduce", "finetune", "sensitivity", "tasks", "methods")


def examples(text: str) -> list[list[str]]:
    """The command lines below `examples:` of a help text."""
    below = text.partition("examples:\n")[2].partition("\n\n")[0]
    below = re.sub(r"\s*\\\n\s*", " ", below)
    lines = [line.strip() for line in below.splitlines()]
    return [shlex.split(re.split(r"\s{3,}", line)[0]) for line in lines if line.startswith("dither ")]


def test_the_help_names_every_command(dither):
    status, out, _ = dither("--help")
    assert status == 0
    assert all(re.search(rf"^    {name} ", out, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_help_has_examples_that_parse(dither, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    status, out, _ = dither(*name.split(), "--help")
    assert status == 0
    found = examples(out)
    assert found
    for command in found:
        assert build_parser().parse_args(command[1:]).run


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(dither, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    _, out, _ = dither(name, "--help")
    listed = out.partition("\noptions:\n")[2].partition("\n\n")[0]
    options = re.sub(r"\n {10,}", "   ", listed).splitlines()  # a long name has its help below it
    assert options
    assert all(len(re.split(r"\s{2,}", line.strip(), maxsplit=1)) == 2 for line in options), out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "required: COMMAND"),
        (("compar",), "invalid choice: 'compar'"),
        (("compare",), "required: TASK, --model, --out"),
        (("tasks", "--jsn"), "unrecognized arguments: --jsn"),
        (
            ("finetune", "x", "--model", "y", "--out", "z", "--seed", "one"),
            "--seed: invalid int value: 'one'",
        ),
    ],
)
def test_what_cannot_be_parsed_ends_with_2(dither, arguments, message):
    status, _, err = dither(*arguments)
    assert status == 2
    assert message in err


@pytest.mark.parametrize("name", ["compare", "sweep", "reproduce", "finetune", "sensitivity"])
def test_fast_stands_for_what_it_sets(name):
    needed = {"sweep": ["--method", "pats", "--param", "beta=0.9"]}.get(name, [])
    command = [name, "glue/rte", "--model", "builtin", "--out", "out", *needed]
    args = build_parser().parse_args([*command, "--set", "train.epochs=1", "--fast"])
    assert args.settings == ["train.epochs=1", "train.precision=bf16", "train.group_by_length=true"]
    assert build_parser().parse_args(command).settings == []


def test_the_list_of_tasks(dither, strict):
    from dither.bench.tasks.files import available_tasks

    status, out, _ = dither("tasks")
    assert status == 0
    assert all(name in out for name in available_tasks())
    rows = strict(dither("tasks", "--json")[1])
    assert [row["name"] for row in rows] == list(available_tasks())
    assert rows[0].keys() == {"name", "summary", "head", "metrics"}


def test_the_list_of_methods(dither, strict):
    from dither.methods.registry import available_methods

    plain, verbose = dither("methods")[1], dither("methods", "--verbose")[1]
    assert "noisytune.noise_lambda = 0.15" in verbose
    assert "noisytune.noise_lambda" not in plain
    assert 'noisytune-gaussian is its method with law = "gaussian"' in verbose
    assert "train.warmup_ratio: share of the steps" in verbose
    rows = strict(dither("methods", "--json")[1])
    assert [row["name"] for row in rows] == list(available_methods())
    rows = {row["name"]: row for row in rows}
    assert rows["noisytune"]["settings"]["noise_lambda"] == 0.15


def run_module(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dither", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_the_module_is_the_command():
    import dither

    found = run_module("--version")
    assert (found.returncode, found.stdout, found.stderr) == (0, f"dither {dither.__version__}\n", "")


def test_a_reader_that_goes_away_is_forgiven():
    command = [sys.executable, "-m", "dither", "methods", "--verbose"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()  # before a word is written
        error = process.stderr.read().decode()
        assert (process.wait(), error) == (0, "")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_tables_fit_a_terminal_and_lose_nothing(width):
    import pty

    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "LINES": "50", "TERM": "xterm", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "dither", "methods"]
    subprocess.run(command, stdout=follower, env=environment, check=True)
    os.close(follower)
    text = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other end is closed: all is read
            break
        text += piece
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.decode())
    assert max(len(line.rstrip()) for line in plain.splitlines()) <= width
    assert "…" not in plain
    assert "noisytune-gaussian"[:12] in plain


FULL = sqlite3.OperationalError("database or disk is full")
FULL.sqlite_errorcode = sqlite3.SQLITE_FULL
FAILURES = {
    "damaged": (sqlite3.DatabaseError("malformed"), 2),
    "full": (FULL, 1),
    "full for the system": (OSError(errno.ENOSPC, "No space left on device"), 1),
    "no permission": (OSError(errno.EACCES, "Permission denied"), 2),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_full_disk_is_no_fault_of_the_input(dither, monkeypatch, name):
    failure, status = FAILURES[name]

    def run(*_):
        with explained(Path("ledger.sqlite"), "written"):
            raise failure

    monkeypatch.setattr(tasks, "run", run)
    found, _, err = dither("tasks")
    assert (found, err[:22]) == (status, "dither: ledger.sqlite ")
