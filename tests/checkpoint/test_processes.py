"""In processes of their own: without rights, on a real full disk, in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stored_files import normal, row, save, written

import dither
from dither.checkpoint import perturb_checkpoint

PERTURB = """
import os, sys, dither
from dither.checkpoint import perturb_checkpoint
source, target, block = sys.argv[1:]
{before}
print("ready", flush=True)
perturb_checkpoint(source, target, dither.NoisyTune(seed=1), names="file", block=int(block))
{after}
"""


def start(before: str, after: str, *arguments: object) -> subprocess.Popen[str]:
    script = PERTURB.format(before=before, after=after)
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_a_user_without_rights_is_told(open_folder: Path) -> None:
    source = save(open_folder / "s.safetensors", {"w": normal((9, 9))})
    source.chmod(0o644)
    if os.getuid() != 0:
        open_folder.chmod(0o555)
    become = "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)"
    process = start(become, "", source, open_folder / "t.safetensors", 4096)
    _, said = process.communicate()
    assert f"PermissionError: [Errno 13] {open_folder} may not be written (Permission denied); choose" in said
    assert os.listdir(open_folder) == ["s.safetensors"]


@pytest.fixture
def small_disk(open_folder: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", str(open_folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield open_folder
    subprocess.run(["umount", str(open_folder)], check=True)


def test_a_real_disk_that_fills_up(small_disk: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "s.safetensors", {"w": normal((700, 700))})

    def fill(what: str, done: int, total: int) -> None:
        if what == "write" and not (small_disk / "ballast").exists():
            (small_disk / "ballast").write_bytes(bytes(7_500_000))

    target = small_disk / "t.safetensors"
    with pytest.raises(OSError, match="nothing of it is left: the disk is full"):
        perturb_checkpoint(source, target, dither.NoisyTune(), names="file", block=65_536, progress=fill)
    assert os.listdir(small_disk) == ["ballast"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_tensor(tmp_path: Path) -> None:
    small = save(tmp_path / "small.safetensors", {"w": normal((64, 64))})
    big, size = tmp_path / "big.safetensors", 300_000_000
    written(big, {"w": row("F32", [size // 4], 0, size)})
    block = normal((250_000,)).numpy().tobytes()
    with big.open("ab") as file:
        for _ in range(size // len(block)):
            file.write(block)
    warm = f"""
def held(what):  # in kB
    return int(open("/proc/self/status").read().split(what + ":")[1].split()[0])
perturb_checkpoint({str(small)!r}, {str(tmp_path / "warm.safetensors")!r}, dither.NoisyTune(), names="file")
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
before = held("VmRSS")"""
    process = start(warm, 'print(held("VmHWM") - before)', big, tmp_path / "t.safetensors", 4 << 20)
    said, problem = process.communicate()
    assert process.returncode == 0, problem
    grown = int(said.split()[-1])
    assert 0 <= grown < 64 * 1024, f"{grown / 1024:.0f} MiB"
