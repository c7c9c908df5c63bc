"""Which backend does the work: the fastest that runs here, or the reference with the reason in its name."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import dither
from dither.core import kernels
from dither.core.kernels import CHOICE, backend_for, reference

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch):
    """Every test chooses anew, and leaves nothing behind."""
    monkeypatch.delenv(CHOICE, raising=False)
    kernels._fastest.cache_clear()
    yield
    kernels._fastest.cache_clear()


def test_the_cpu_has_compiled_kernels_named_with_their_instruction_set() -> None:
    assert backend_for(CPU).NAME in {f"native ({name})" for name in ("AVX-512", "AVX2", "x86-64", "aarch64")}
    record = dither.noisytune_(torch.nn.Linear(8, 8), seed=0)
    assert record.backend == backend_for(CPU).NAME


def test_the_reference_can_be_asked_for_and_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow = torch.nn.Linear(70, 70), torch.nn.Linear(70, 70)
    slow.load_state_dict(fast.state_dict())
    dither.noisytune_(fast, seed=3)
    monkeypatch.setenv(CHOICE, "reference")
    record = dither.noisytune_(slow, seed=3)
    assert record.backend == "reference (plain torch): asked for by DITHER_BACKEND"
    assert torch.equal(fast.weight, slow.weight)


def test_an_unknown_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHOICE, "numba")
    with pytest.raises(ValueError, match="DITHER_BACKEND is 'numba'; it must be 'auto' or 'reference'"):
        dither.noisytune_(torch.nn.Linear(4, 4))


def test_kernels_that_do_not_compile_fall_back_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from dither.core.kernels import native

    def broken(*args: object) -> None:
        raise RuntimeError("error: unknown target\n  in the second line")

    monkeypatch.setattr(native, "perturb_", broken)
    with caplog.at_level(logging.WARNING, logger="dither"):
        found = [backend_for(CPU) for _ in range(2)]
    assert found[0] is found[1]
    assert found[0].NAME == "reference (plain torch): error: unknown target in the second line"
    (line,) = caplog.messages
    assert line == (
        "the noise will be slow on cpu, in plain torch, with the same bits: "
        "error: unknown target in the second line"
    )


def test_devices_without_kernels_get_the_reference() -> None:
    backend = backend_for(torch.device("meta"))
    assert backend.NAME == "reference (plain torch): there are no kernels for meta"
    assert backend.perturb_ is reference.perturb_


def run_copy(tmp_path: Path, library: bytes | None) -> str:
    """What a copy of the package without the library, or with another one, says of itself."""
    package = Path(dither.__file__).parent
    shutil.copytree(package, tmp_path / "dither", ignore=shutil.ignore_patterns("__pycache__", "_native.so"))
    if library is not None:
        (tmp_path / "dither/core/kernels/_native.so").write_bytes(library)
    script = "import torch, dither; print(dither.noisytune_(torch.nn.Linear(4, 4), seed=0).backend)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    return done.stdout + done.stderr


def test_a_package_without_the_library_works_and_says_so(tmp_path: Path) -> None:
    said = run_copy(tmp_path, None)
    assert "reference (plain torch): the CPU kernels were not compiled when dither was installed" in said
    assert "(or pip install ziglang) and then dither again" in said


def test_a_damaged_library_is_no_obstacle(tmp_path: Path) -> None:
    assert "reference (plain torch): " in run_copy(tmp_path, b"not a library")


def test_no_folder_has_to_be_writable() -> None:
    """Nothing is compiled and no cache is kept at run time."""
    script = (
        "import os, torch, dither.apply\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "print(dither.noisytune_(torch.nn.Linear(4, 4), seed=0).backend)\n"
    )
    nowhere = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "TRITON_CACHE_DIR"), "/nonexistent")
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | nowhere, capture_output=True, text=True, cwd="/"
    )
    assert done.stdout.startswith("native ("), done.stderr


def test_a_forked_child_can_use_all_threads() -> None:
    """The kernels keep no threads between calls, so none can be missing after a fork."""
    script = (
        "import os, torch, dither\n"
        "torch.set_num_threads(2)\n"
        "one = torch.nn.Linear(512, 512)\n"
        "dither.noisytune_(one, seed=0)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    dither.noisytune_(one, seed=1, again=True)\n"
        "    os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert done.stdout.strip() == "7", done.stderr
