"""One process, one GPU: whatever this process sees, each worker sees one of it."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch
from tiny_encoder import requests_of, save_encoder, write_task
from transformers import TrainingArguments

from dither.bench.executors import devices
from dither.bench.executors.devices import default_jobs, gpus_of, use_gpu, visible_gpus
from dither.bench.runs import training
from dither.bench.runs.encoding import encode
from dither.cli import options


def machine(monkeypatch: pytest.MonkeyPatch, count: int, named: str | None) -> None:
    """A machine on which torch counts so many GPUs."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if named is None:
        monkeypatch.delenv(devices.VISIBLE, raising=False)
    else:
        monkeypatch.setenv(devices.VISIBLE, named)


@pytest.mark.parametrize(
    ("count", "named", "wanted"),
    [
        (8, None, "0 1 2 3 4 5 6 7"),
        (2, "3, 5", "3 5"),
        (2, "GPU-8a9b,GPU-1c2d", "GPU-8a9b GPU-1c2d"),
        (1, "MIG-aa,MIG-bb,MIG-cc", "MIG-aa MIG-bb MIG-cc"),  # CUDA counts one part at most
        (1, "4,-1,5", "4"),
        (0, "MIG-gone", ""),
        (0, "", ""),
        (0, None, ""),
    ],
)
def test_gpus_keep_the_names_that_they_were_given(monkeypatch, count, named, wanted) -> None:
    machine(monkeypatch, count, named)
    assert visible_gpus() == tuple(wanted.split())
    assert gpus_of(1) == [visible_gpus()[0] if wanted else None]


def test_processes_take_turns(monkeypatch) -> None:
    machine(monkeypatch, 3, None)
    assert gpus_of(7) == ["0", "1", "2", "0", "1", "2", "0"]


def test_a_run_in_this_process_uses_one_of_several(monkeypatch, tmp_path) -> None:
    """As the Trainer finds them: eight GPUs, which it would share a batch of eight times the size among."""
    films = write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")
    (request,) = requests_of(*films, "train.max_steps=1").values()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert TrainingArguments(output_dir=str(tmp_path)).n_gpu == 8
    made = training._arguments
    monkeypatch.setattr(training, "_arguments", lambda request, has_gpu: made(request, has_gpu=True))
    trainer, *_ = training.make_trainer(request, encode(request))
    assert (trainer.args.n_gpu, trainer.args.train_batch_size, trainer.args.eval_batch_size) == (1, 8, 64)
    trainer.args.dataloader_pin_memory = False  # there is no GPU to copy to
    trainer.train()
    assert trainer.model_wrapped is trainer.model


def test_as_many_runs_at_a_time_as_gpus(monkeypatch) -> None:
    asked = SimpleNamespace(jobs=None, threads=1)
    machine(monkeypatch, 5, None)
    assert options.jobs(asked) == 5
    assert options.jobs(SimpleNamespace(jobs=2, threads=1)) == 2
    machine(monkeypatch, 0, None)
    assert options.jobs(asked) == default_jobs(1) == len(os.sched_getaffinity(0))


def test_a_gpu_is_given_before_it_is_used(monkeypatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "0,1")
    use_gpu(None)
    assert os.environ[devices.VISIBLE] == "0,1"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(RuntimeError, match="has used a GPU before it was given 1"):
        use_gpu("1")
