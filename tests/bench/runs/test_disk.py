"""No room for what a run keeps: one message, whichever library could not write."""

from __future__ import annotations

import os
import resource
import signal

import pytest
import torch
from safetensors.torch import save_file
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench.runs import run as module
from dither.bench.runs.disk import full_disk, full_disk_told
from dither.bench.runs.finetune import finetune

WEIGHTS = {"w": torch.zeros(50_000)}


@pytest.fixture
def small_files():
    """No file may grow beyond 64 KiB: for what writes, that is a full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize(
    "write",
    [
        lambda path: torch.save(WEIGHTS, path),
        lambda path: save_file(WEIGHTS, path),
        lambda path: path.write_bytes(bytes(100_000)),
    ],
    ids=["torch", "safetensors", "python"],
)
def test_every_writer_is_understood(write, tmp_path) -> None:
    with (
        pytest.raises(
            OSError, match=r"/out cannot be written \(.+\)\. Free some space and run the same comm"
        ),
        full_disk_told("/out"),
    ):
        write(tmp_path / "file")


def test_other_errors_pass() -> None:
    errors = (PermissionError(13, "Permission denied"), RuntimeError("mat1 and mat2"), OSError("no number"))
    for error in errors:
        assert full_disk(error) is None
        with pytest.raises(type(error)) as raised, full_disk_told("/out"):
            raise error
        assert raised.value is error
    with pytest.raises(OSError, match="No space left"), full_disk_told(None):
        raise OSError(28, "No space left on device")


def test_a_model_that_does_not_fit_leaves_no_part_and_the_same_command_goes_on(tmp_path, monkeypatch) -> None:
    task, encoder = write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")
    plan = plan_of(task, encoder, "train.epochs=1", methods=("none",))
    real = module.save_model

    def full(trainer, source, folder):
        def save_model(path):
            os.makedirs(path)
            (folder / "model.partial" / "half").write_bytes(b"x")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(trainer, "save_model", save_model)
        real(trainer, source, folder)

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_model", full)
        with pytest.raises(OSError, match=r"out cannot be written \(No space left on device\)"):
            finetune(plan, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["checkpoints", "ledger.sqlite"]
    result = finetune(plan, tmp_path / "out")
    assert result is not None
    assert (tmp_path / "out" / "model.safetensors").exists()
