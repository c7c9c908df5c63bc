"""Where the noise of PATS went: the share of its energy by type of tensor, from a folder of runs.

python -m benchmarks.energy runs/cola
"""

import argparse
import math
import re
from collections import Counter
from pathlib import Path

from dither.record import Record
from dither.results import Ledger


def tensor_type(name: str) -> str:
    """A canonical name without the number of its layer.

    Example:
        >>> tensor_type("encoder.layer.11.output.dense.weight")
        'encoder.layer.*.output.dense.weight'
    """
    return re.sub(r"\.\d+\.", ".*.", name)


def shares(record: Record) -> dict[str, float]:
    """Share of the noise's energy (sum of squares) by type of tensor, biggest first."""
    energy: Counter[str] = Counter()
    for row in record.tensors:
        if row.noised:
            energy[tensor_type(row.name)] += (row.effective or 0.0) ** 2 * math.prod(row.shape)
    total = sum(energy.values()) or 1.0
    return {name: value / total for name, value in energy.most_common()}


def main() -> None:
    """Print a table for every run with a record of PATS."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.energy", description=__doc__)
    parser.add_argument("folder", type=Path, help="output folder of `dither compare` or `dither finetune`")
    with Ledger.read(parser.parse_args().folder) as ledger:
        for result in ledger.results():
            if "pats" in (result.record or {}):
                record = Record.from_json((result.record or {})["pats"])
                print(f"{result.spec}: noise rms {record.root_mean_square():.3g}")
                for name, share in shares(record).items():
                    print(f"  {100 * share:5.1f} %  {name}")


if __name__ == "__main__":
    main()
