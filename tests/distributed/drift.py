"""Plain DDP with PATS and batches of different sizes; written without a Trainer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parameters_to_vector

import dither

STEPS = 200
BATCHES = (3, 5)


def gathered(vector: Tensor) -> list[Tensor]:
    """The vector of each process."""
    found = [torch.empty_like(vector) for _ in range(distributed.get_world_size())]
    distributed.all_gather(found, vector)
    return found


def local_gradient(model: DistributedDataParallel, inputs: Tensor, labels: Tensor) -> Tensor:
    """The gradient before it is averaged over the processes."""
    loss = nn.functional.cross_entropy(model.module(inputs), labels)
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.module.parameters()))])


def main(folder: Path) -> None:
    """Train 200 steps; the first process writes down how far the replicas drifted apart."""
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    torch.manual_seed(100 + rank)  # as unlike as can be: own data, own dropout, own first weights
    inner = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 3))
    model = DistributedDataParallel(inner)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    handle = dither.attach(dither.PATS(noise_lambda=1.0, seed=7), optimizer, model, total_steps=STEPS)
    drift, gradients = [], []
    for _ in range(STEPS):
        inputs, labels = torch.randn(BATCHES[rank], 8), torch.randint(3, (BATCHES[rank],))
        first, second = gathered(local_gradient(model, inputs, labels))
        gradients.append((first - second).abs().max().item())
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        first, second = gathered(parameters_to_vector(model.parameters()).detach())
        drift.append((first - second).abs().max().item())
    record = handle.record()
    records: list[object] = [None, None]
    distributed.all_gather_object(records, record.to_json())
    report = {
        "processes": distributed.get_world_size(),
        "drift": drift,
        "gradients": gradients,
        "records": records,
        "noise": record.root_mean_square(),
    }
    if rank == 0:
        (folder / "report.json").write_text(json.dumps(report))
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
