"""Measure speed and memory, interleaved within one run, and keep the results with commit and machine.

python -m benchmarks                  all parts but the last four; benchmarks/results/<machine>.json
python -m benchmarks --only startup   one part; the other parts of the file stay
python -m benchmarks --only perturb   the one that takes 16 GB of disk and some minutes
python -m benchmarks --only comparison  whole comparisons, some minutes
python -m benchmarks --only precision   paired runs in float32 and bf16, some minutes
python -m benchmarks --only report    the page of 3 and of 3,015 runs, in Chromium; some minutes
python -m benchmarks --quick          small shapes, few repeats: shows that it works, measures nothing
"""

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import comparison, fine_tuning, noise, pats, perturb, precision, report, scaling, startup
from benchmarks.machine import machine, provenance, slug
from benchmarks.result_files import RESULTS, Section, merged, read, write

PARTS: dict[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "noise": noise.measure,
    "pats": pats.measure,
    "training": fine_tuning.measure,
    "startup": startup.measure,
    "scaling": scaling.measure,
    "perturb": perturb.measure,
    "comparison": comparison.measure,
    "precision": precision.measure,
    "report": report.measure,
}
ASKED_FOR = {"perturb", "comparison", "precision", "report"}
"""Parts that run only where `--only` names them."""


def main() -> int:
    """Measure, print as it goes, write; 1 where something failed."""
    parser = _parser()
    options = parser.parse_args()
    devices = ["cpu", "cuda"] if options.device == "auto" else [options.device]
    if not torch.cuda.is_available():
        devices = [device for device in devices if device != "cuda"]
    if not devices:
        parser.error("--device cuda: torch finds no CUDA device here; --device cpu measures the CPU")
    found = machine()
    out: Path | None = options.out or (None if options.quick else RESULTS / f"{slug(found)}.json")
    failed = False
    for part in options.only or [part for part in PARTS if part not in ASKED_FOR]:
        for device in devices:
            section, complete = _section(part, device, quick=options.quick)
            failed |= not complete
            if out is not None and section["cases"]:
                old = read(out) if out.exists() else None
                write(out, merged(found, [section], old))
    print(f"written to {out}" if out else "a quick run is not kept (name a file with --out)")
    if out is not None and out.parent == RESULTS:
        print("python -m benchmarks.page makes docs/speed.md of it")
    return int(failed)


def _section(part: str, device: str, *, quick: bool) -> tuple[Section, bool]:
    """Measure one part on one device; with what was measured before a failure, and whether it was all."""
    section: Section = {"part": part, "device": device, "run": provenance(device, quick=quick), "cases": []}
    start = time.perf_counter()
    print(
        f"== {part} on {device}: {section['run']['backend']}, {section['run']['threads']} threads", flush=True
    )
    try:
        for case in PARTS[part](device, quick=quick):
            section["cases"].append(case)
            _print(case)
    except Exception:
        traceback.print_exc()
        return section, False
    finally:
        section["run"]["seconds"] = round(time.perf_counter() - start)
        print(f"   {section['run']['seconds']} s", flush=True)
    return section, True


def _print(case: dict[str, Any]) -> None:
    """A case as it comes: what took how long."""
    print("  ".join(str(case[key]) for key in ("model", "what", "dtype", "note") if key in case))
    for name, row in case["candidates"].items():
        if "median" not in row:
            print(f"    {name:34} {row}")
            continue
        per_element = (
            f"{1e9 * row['median'] / case['elements']:9.3f} ns/element" if "elements" in case else ""
        )
        peak = f"{row['peak_bytes'] / 2**20:9.1f} MiB" if "peak_bytes" in row else ""
        print(f"    {name:34} {1e3 * row['median']:12.3f} ms {per_element} {peak}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--quick", action="store_true", help="small shapes, few repeats")
    parser.add_argument("--out", type=Path, help="the results file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
