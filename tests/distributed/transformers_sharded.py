"""Started as two processes: a model that transformers shards while it loads, noised, and trained by Trainer.

Prints a line of JSON for each process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
from transformers.distributed import DistributedConfig

import dither
from dither.integrations.hf_trainer import NoiseCallback

ROWS = [{name: torch.arange(16) * (row + 3) % 500 for name in ("input_ids", "labels")} for row in range(32)]


def load(folder: str, **how: int) -> torch.nn.Module:
    config = {"distributed_config": DistributedConfig(**how)} if how else {}
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **config)


def noised(folder: str, way: str) -> dict[str, int]:
    """NoisyTune on the sharded model beside the whole one."""
    alone, model = load(folder), load(folder, **{way: dist.get_world_size()})
    record = dither.noisytune_(model)
    assert record.counts() == dither.noisytune_(alone).counts()
    expected = dict(alone.named_parameters())
    wrong = sharded = 0
    for name, parameter in model.named_parameters():
        is_sharded = isinstance(parameter, DTensor)
        whole = parameter.full_tensor() if is_sharded else parameter
        wrong += int((whole != expected[name]).sum())
        sharded += is_sharded
    return {"sharded": sharded, "wrong": wrong}


def trained(folder: str, out: str) -> dict[str, object]:
    """Both methods in a Trainer, by one line."""
    model = load(folder, fsdp_size=dist.get_world_size())
    callback = NoiseCallback(dither.NoisyTune(), dither.PATS())
    arguments = TrainingArguments(
        out,
        use_cpu=True,
        per_device_train_batch_size=2,
        max_steps=4,
        save_steps=2,
        save_only_model=True,
        report_to=[],
        disable_tqdm=True,
        seed=3,
    )
    Trainer(model, arguments, train_dataset=ROWS, callbacks=[callback]).train()
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
    records = callback.records
    return {
        "rms": [records[name].root_mean_square() for name in ("noisytune", "pats")],
        "saved": sorted(str(path.relative_to(out)) for path in Path(out).glob("*/dither.json")),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    found: dict[str, object] = {way: noised(sys.argv[1], way) for way in ("fsdp_size", "tp_size")}
    found |= {"rank": dist.get_rank(), "size": dist.get_world_size()}
    found |= trained(*sys.argv[1:])
    dist.barrier()
    print("\n" + json.dumps(found), flush=True)
    dist.destroy_process_group()
