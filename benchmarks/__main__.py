"""Run the suite, print it, and keep it as JSON with the commit and the machine."""

import argparse
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks import noise, pats
from benchmarks.shapes import BERT_BASE, LORA, MINILM
from dither.bench.environment import environment

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, print, write `benchmarks/results/noise.json` (or --out)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "noise.json")
    args = parser.parse_args()
    results = {
        "noisytune_ns_per_element": {
            "BERT-base float32": noise.measure(BERT_BASE),
            "BERT-base bfloat16": noise.measure(BERT_BASE, torch.bfloat16),
            "LoRA float32": noise.measure(LORA),
        },
        "step_ms": {"MiniLM float32": pats.measure(MINILM)},
    }
    for unit, rows in results.items():
        print(unit)
        for name, values in rows.items():
            print(f"  {name:20}", "   ".join(f"{what} {value:.2f}" for what, value in values.items()))
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    document = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "environment": environment(torch.get_num_threads()),
        "results": results,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
