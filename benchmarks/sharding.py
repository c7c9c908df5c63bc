"""Sharded steps on the CPU: what PATS adds to a step of AdamW and what it sends; docs/scale.md has the table.

python -m benchmarks.sharding            MiniLM's shapes on 1, 2 and 4 processes of one thread each
python -m benchmarks.sharding --quick    a small encoder: shows that it works, measures nothing
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

import dither
from benchmarks.shapes import elements, shapes_of
from benchmarks.tables import count, table

WAYS: dict[str, tuple[tuple[int, ...], tuple[Any, ...]]] = {
    "1 process": ((1,), (Shard(0),)),
    "2 processes, Shard(0)": ((2,), (Shard(0),)),
    "4 processes, Shard(0)": ((4,), (Shard(0),)),
    "4 processes, Shard(0) x Shard(1)": ((2, 2), (Shard(0), Shard(1))),
}
ROUNDS = 15


def main() -> int:
    """Measure each way, print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharding", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    model = "small encoder" if parser.parse_args().quick else "MiniLM"
    rows = []
    for way, (mesh, _) in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            size, out = torch.Size(mesh).numel(), Path(folder) / "found"
            torch.multiprocessing.spawn(_measure, (way, model, folder, str(out)), nprocs=size)
            found = torch.load(out, weights_only=True)
        ratio = statistics.median(found["with PATS"][k] / found["AdamW"][k] for k in range(ROUNDS))
        times = [f"{1e3 * statistics.median(found[name]):.1f}" for name in ("AdamW", "with PATS")]
        sent = found["bytes"]
        rows.append([way, *times, f"{ratio:.2f}", str(len(sent)), f"{sum(sent):,}"])
    print(f"{model}, {count(elements(shapes_of(model)))} elements in {len(shapes_of(model))} tensors")
    head = ["", "AdamW, ms", "with PATS, ms", "ratio", "collectives a step", "bytes of them"]
    print("\n".join(table(head, rows)))
    return 0


def _measure(rank: int, way: str, model: str, folder: str, out: str) -> None:
    shape, placements = WAYS[way]
    torch.set_num_threads(1)
    size = torch.Size(shape).numel()
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    mesh = init_device_mesh("cpu", shape, mesh_dim_names=("outer", "inner")[: len(shape)])
    sides = {name: _optimizer(model, mesh, placements) for name in ("AdamW", "with PATS")}
    network, optimizer = sides["with PATS"]
    dither.attach(dither.PATS(), optimizer, network, total_steps=10 * ROUNDS)
    found: dict[str, list[float]] = {name: [] for name in (*sides, "bytes")}
    for turn in range(ROUNDS + 2):  # the first two make the states
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            dist.barrier()
            start = time.perf_counter()
            sides[name][1].step()
            dist.barrier()
            if turn >= 2:
                found[name].append(time.perf_counter() - start)
    real = dist.all_reduce

    def noting(tensor: Tensor, **more: Any) -> Any:
        found["bytes"].append(tensor.numel() * tensor.element_size())
        return real(tensor, **more)

    dist.all_reduce = noting
    optimizer.step()
    if rank == 0:
        torch.save(found, out)
    dist.barrier()
    dist.destroy_process_group()


def _optimizer(model: str, mesh: Any, placements: tuple[Any, ...]) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model of some shapes, sharded, with gradients that stay as they are."""
    network = nn.Module()
    for name, shape in shapes_of(model).items():
        generator = torch.Generator().manual_seed(len(network._parameters))
        weight, gradient = (torch.randn(shape, generator=generator) for _ in range(2))
        cut = [Shard(min(one.dim, len(shape) - 1)) for one in placements]
        there = distribute_tensor(0.05 * weight, mesh, cut, src_data_rank=None)
        parameter = nn.Parameter(there)
        parameter.grad = distribute_tensor(1e-3 * gradient, mesh, cut, src_data_rank=None)
        network.register_parameter(name.replace(".", "_"), parameter)
    return network, torch.optim.AdamW(network.parameters(), lr=1e-5)


if __name__ == "__main__":
    sys.exit(main())
