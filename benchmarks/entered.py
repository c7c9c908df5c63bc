"""How many files of dither a reader enters who follows one thing that it does.

python -m benchmarks.entered

A file is entered where one of its functions is called; what runs at import does not count. Changes of file
are calls of a function of one file from another, returns left out.
"""

import argparse
import inspect
import lzma
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import benchmarks.gallery
import dither
from dither.bench.compare import look
from dither.bench.plans.plan import Plan
from dither.bench.runs.run import run

PACKAGE = str(Path(dither.__file__).parent)
METHODS: dict[str, dict[str, Any]] = {"none": {}, "pats": {}}
SETTINGS = {"max_steps": 4}


class Trail:
    """The files that calls enter while it is open, in this thread and those that begin meanwhile."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.changes = 0

    def _seen(self, frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event != "call" or frame.f_code.co_name == "<module>" or not file.startswith(PACKAGE):
            return
        if file not in self.lines:
            self.lines[file] = len(Path(file).read_bytes().splitlines())
        caller = frame.f_back
        self.changes += caller is None or caller.f_code.co_filename != file

    def __enter__(self) -> "Trail":
        threading.setprofile(self._seen)
        sys.setprofile(self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def ways(folder: Path) -> dict[str, Callable[[], object]]:
    """What is followed, by what a reader would call it; everything is prepared before."""
    model = torch.nn.Linear(16, 4)
    trained = torch.nn.Linear(16, 4)
    optimizer = torch.optim.AdamW(trained.parameters())
    trained(torch.ones(1, 16)).sum().backward()
    plan = Plan.create(["builtin/sentiment"], "builtin", METHODS, [0], train_settings=SETTINGS)
    with_pats = next(one for one in plan.provisional().requests() if one.spec.method == "pats")
    kept = benchmarks.gallery.FOLDER / "lambda.sqlite.xz"
    (folder / "ledger.sqlite").write_bytes(lzma.decompress(kept.read_bytes()))
    return {
        "`noisytune_(model)`": lambda: dither.noisytune_(model),
        "`attach(...)`": lambda: dither.attach(dither.PATS(), optimizer, trained, total_steps=9),
        "one PATS step": optimizer.step,
        "`Plan.create`, one task, two arms": lambda: Plan.create(
            ["builtin/sentiment"], "builtin", METHODS, [0], train_settings=SETTINGS
        ),
        "one run with PATS": lambda: run(with_pats),
        "a folder's verdict": lambda: look(folder, record=False),
    }


def main() -> None:
    """Print a table."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.entered",
        description=inspect.getdoc(sys.modules[__name__]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    print("| way | files entered | lines in them | changes of file |\n| --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for name, follow in ways(Path(folder)).items():
            with Trail() as trail:
                follow()
            print(f"| {name} | {len(trail.lines)} | {sum(trail.lines.values()):,} | {trail.changes:,} |")


if __name__ == "__main__":
    main()
