"""A refusal of ours and the machine's troubles tell themselves; any other error is a fault of the program."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
import torch

from dither.core.faults import is_told

SOURCE = """
def refuse(kind):
    raise kind("said")

def refuse_because(kind):
    try:
        int("one")
    except ValueError as error:
        raise kind("said") from error

def again(call):
    try:
        call()
    except Exception as error:
        caught = error
    raise caught

def passed_on(call):
    try:
        call()
    except Exception:
        raise

def called_wrongly():
    refuse()

def converted():
    return int("one")

def unpacked():
    first, second = 1, 2, 3

def looked_up():
    return {}["key"]

def of_a_library(call):
    return call()
"""


def ours(name: str = "dither.somewhere") -> types.SimpleNamespace:
    """Functions of a module of that name."""
    module = {"__name__": name}
    exec(SOURCE, module)
    return types.SimpleNamespace(**module)


def error_of(call, *arguments) -> Exception:
    try:
        call(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("kind", [ValueError, TypeError, RuntimeError, ImportError])
def test_what_we_raise_is_told_wherever_it_passes(kind) -> None:
    here = ours()
    assert is_told(error_of(here.refuse, kind))
    assert is_told(error_of(here.refuse_because, kind))
    assert is_told(error_of(here.again, lambda: here.refuse(kind)))
    assert is_told(error_of(here.passed_on, lambda: here.refuse(kind)))
    assert is_told(error_of(ours("elsewhere").passed_on, lambda: here.refuse(kind)))
    assert not is_told(error_of(ours("ditherings").refuse, kind))


@pytest.mark.parametrize("name", ["called_wrongly", "converted", "unpacked", "looked_up"])
def test_what_python_raises_in_our_code_is_not(name) -> None:
    here = ours()
    assert not is_told(error_of(getattr(here, name)))
    assert not is_told(error_of(here.again, getattr(here, name)))


@pytest.mark.parametrize(
    "call",
    [
        lambda: np.zeros(2) + np.zeros(3),
        lambda: torch.zeros(2) + torch.zeros(3),
        lambda: json.loads("{"),
        lambda: ours("elsewhere").refuse(TypeError),
    ],
)
def test_what_a_library_raises_is_not(call) -> None:
    assert not is_told(error_of(ours().of_a_library, call))


def test_the_machine_is_told_of(tmp_path) -> None:
    assert is_told(error_of(open, tmp_path / "nowhere"))
    assert is_told(MemoryError())
    assert is_told(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_told(ValueError("never raised"))


@pytest.mark.parametrize("internal", [False, True])
def test_an_error_of_another_process_says_what_it_is(internal) -> None:
    import pickle

    from dither.bench.executors import RunError
    from dither.bench.executors.worker import sendable
    from dither.bench.runs.run import BrokenRun

    here = ours()
    sent = error_of(sendable, lambda request: here.converted() if internal else here.refuse(ValueError), None)
    arrived = pickle.loads(pickle.dumps(sent))
    assert is_told(arrived) is not internal
    assert is_told(RunError.of("run (x)", arrived)) is not internal
    broken = BrokenRun.of(None, error_of(here.converted if internal else lambda: here.refuse(TypeError)))
    assert is_told(pickle.loads(pickle.dumps(broken))) is not internal
