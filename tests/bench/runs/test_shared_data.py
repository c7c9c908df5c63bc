"""The folder that the processes of a comparison share is gone at its end, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench import recording
from dither.bench.executors import RunError
from dither.bench.recording import make_runs
from dither.bench.runs import shared_data
from dither.bench.runs.run import run


@pytest.fixture
def plan(tmp_path):
    task, encoder = write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")
    return plan_of(task, encoder, "train.epochs=1", methods=("none", "noisytune"))


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """The folder for temporary files, with nothing in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_runs_share_one_folder_that_goes(plan, temporary, tmp_path, monkeypatch):
    seen = []

    def in_process(requests, jobs):
        for request in requests:
            seen.append(request.encoded)
            assert (Path(request.encoded) / "features.safetensors").is_file()
            yield run(request)

    monkeypatch.setattr(recording, "run_in_processes", in_process)
    make_runs(plan, tmp_path / "out")
    assert len(seen) == 2
    assert {Path(place).parent.parent for place in seen} == {temporary}
    assert len({*seen}) == 1
    assert [*temporary.iterdir()] == []


@pytest.mark.parametrize("error", [RunError("died"), KeyboardInterrupt()])
def test_the_folder_goes_after_an_error(plan, temporary, tmp_path, monkeypatch, error):
    def breaks(requests, jobs):
        assert Path(next(iter(requests)).encoded).is_dir()
        raise error
        yield

    monkeypatch.setattr(recording, "run_in_processes", breaks)
    with pytest.raises(type(error)):
        make_runs(plan, tmp_path / "out")
    assert [*temporary.iterdir()] == []


def test_the_folder_goes_after_ctrl_c(tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = ["compare", "builtin/sentiment", "--model", "builtin", "--jobs", "1"]
    command = subprocess.Popen(
        [sys.executable, "-m", "dither", *words, "--out", str(tmp_path / "out")],
        env=os.environ | {"TMPDIR": str(temporary)},
        # A shell that runs tests in the background has them ignore Ctrl-C, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in command.stderr:
        if line.startswith("[1/"):
            break
    assert len([*temporary.glob("dither-data-*/0/features.safetensors")]) == 1
    command.send_signal(signal.SIGINT)
    rest = command.communicate(timeout=300)[1]
    assert command.returncode == 130, rest
    assert [*temporary.glob("dither-*")] == []


def test_where_nothing_can_be_written_every_process_tokenises(plan, temporary, monkeypatch, caplog):
    def full(folder, encoded):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shared_data, "write_encoded", full)
    with shared_data.shared_data([*plan.requests()], plan.data) as requests:
        assert [request.encoded for request in requests] == [None, None]
    (said,) = caplog.messages
    assert said.startswith("the data of task mine/films cannot be shared by the processes ([Errno 28]")
    assert f"free some space in {temporary}, or set TMPDIR" in said


def test_data_are_encoded_when_their_first_run_begins(plan, temporary):
    with shared_data.shared_data([*plan.requests()], plan.data) as requests:
        (folder,) = temporary.iterdir()
        assert [*folder.iterdir()] == []
        next(requests)
        assert len([*folder.iterdir()]) == 1
        (written,) = folder.glob("*/features.safetensors")
        before = written.stat()
        assert next(requests).encoded is not None
        after = written.stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
