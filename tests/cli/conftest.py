"""The command line as a user meets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "bench"))  # for tiny_encoder


@pytest.fixture(scope="session")
def films(tmp_path_factory) -> tuple[Path, Path]:
    """The TOML file of a small task, and the folder of a tiny encoder."""
    from tiny_encoder import save_encoder, write_task

    folder = tmp_path_factory.mktemp("cli")
    return write_task(folder / "task"), save_encoder(folder / "encoder")


@pytest.fixture
def dither(capsys) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit status, standard output, standard error."""
    from dither.cli import main

    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:  # of argparse
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return command


@pytest.fixture
def in_process(monkeypatch) -> None:
    """Make the runs of comparisons in this process."""
    from dither.bench import recording
    from dither.bench.runs.run import run_together

    def in_process(requests, jobs):
        return (one for request in requests for one in run_together(request))

    monkeypatch.setattr(recording, "run_in_processes", in_process)


def standard_json(text: str) -> Any:
    """What a strict parser reads: NaN and infinities are no JSON."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def strict() -> Callable[[str], Any]:
    """`standard_json`."""
    return standard_json
