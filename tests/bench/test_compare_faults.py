"""A comparison that cannot write says so, and starts or loses nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench import recording
from dither.bench.compare import look
from dither.bench.recording import make_runs
from dither.bench.runs.run import run
from dither.results import LedgerError

NOBODY = 65534


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    return plan_of(
        write_task(folder / "task"), save_encoder(folder / "encoder"), "train.epochs=1", seeds=(0, 1)
    )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="dither-test-"))
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def runs_here(monkeypatch) -> list[int]:
    """Make the runs in this process, and list them."""
    made: list[int] = []

    def in_process(requests, jobs):
        for request in requests:
            made.append(request.spec.seed)
            yield run(request)

    monkeypatch.setattr(recording, "run_in_processes", in_process)
    return made


def message_as_nobody(plan, out: Path) -> str:
    """The error of a comparison made by a user without rights; root may write everywhere."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 dislikes forks beside threads
        child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setuid(NOBODY)
            make_runs(plan, out)
            os.write(write, b"it was written")
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return text


@pytest.mark.parametrize("name", ["", "new"], ids=["the folder itself", "a folder inside"])
def test_a_read_only_folder_is_refused_before_the_first_run(plan, open_folder, runs_here, name):
    open_folder.chmod(0o555)
    text = message_as_nobody(plan, open_folder / name)
    assert text.startswith("LedgerError: ")
    assert str(open_folder) in text
    assert "Choose another --out" in text
    assert list(open_folder.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused(plan, tmp_path, runs_here):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(LedgerError, match=r"The folder .*out cannot be made .*Choose another --out"):
        make_runs(plan, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_foreign_ledger_is_refused(plan, tmp_path, runs_here):
    (tmp_path / "ledger.sqlite").write_bytes(b"something else " * 100)
    with pytest.raises(LedgerError, match=r"is not a ledger of dither"):
        make_runs(plan, tmp_path)
    assert runs_here == []


@pytest.fixture
def small_disk(open_folder) -> Iterator[Path]:
    """A file system of 256 KiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", str(open_folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield open_folder
    subprocess.run(["umount", str(open_folder)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"x" * 4096)
        except OSError:
            return


def test_a_disk_that_is_full_at_the_start_starts_nothing(plan, small_disk, runs_here):
    fill(small_disk / "ballast")
    with pytest.raises(LedgerError, match=r"full|[Nn]o space left"):
        make_runs(plan, small_disk / "out")
    assert runs_here == []


def test_a_disk_that_fills_up_keeps_what_was_recorded(plan, small_disk, runs_here):
    def filling(result, done, total):
        if done == 1:
            fill(small_disk / "ballast")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the log stays beside the ledger for now
        with pytest.raises(LedgerError, match=r"the disk is full. What was recorded before is safe"):
            make_runs(plan, small_disk / "out", progress=filling)
    (small_disk / "ballast").unlink()
    assert len(look(small_disk / "out", record=False).results) == 1
    make_runs(plan, small_disk / "out")
    assert runs_here == [0, 1, 1]
    assert len(look(small_disk / "out").results) == 2
