"""New files: past the cache or through it, they hold what was written, and errors of the disk are told."""

from __future__ import annotations

import errno
import fcntl
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stored_files import normal, save

import dither
from dither.checkpoint import new_file, perturb_checkpoint
from dither.checkpoint.new_file import NewFile

PIECE = 8192
LENGTHS = (0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 100_001)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of many pieces that are small."""
    monkeypatch.setattr(new_file, "PIECE", PIECE)
    monkeypatch.setattr(new_file, "_SENT", 2 * PIECE)


def refusing(function: Callable[..., Any], when: Callable[..., bool]) -> Callable[..., Any]:
    """A function of `os` that finds its arguments invalid at times."""

    def call(*arguments: Any) -> Any:
        if when(*arguments):
            raise OSError(errno.EINVAL, "Invalid argument")
        return function(*arguments)

    return call


def is_direct(descriptor: int, _: Any = None) -> bool:
    """Whether a file is written past the cache."""
    flags = Path(f"/proc/self/fdinfo/{descriptor}").read_text().split("flags:")[1].split()[0]
    return bool(int(flags, 8) & os.O_DIRECT)


def knows_no_direct_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that refuses the flag."""
    has_flag = refusing(fcntl.fcntl, lambda _, command, value=0: bool(value & os.O_DIRECT))
    monkeypatch.setattr(fcntl, "fcntl", has_flag)


@pytest.fixture(params=["direct", "flag refused", "write refused"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that writes past the cache, or says at one point or another that it cannot."""
    if request.param == "flag refused":
        knows_no_direct_writes(monkeypatch)
    if request.param == "write refused":
        monkeypatch.setattr(os, "write", refusing(os.write, is_direct))


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("length", LENGTHS)
def test_a_file_holds_what_was_written_in_blocks_of_any_size(length: int, tmp_path: Path) -> None:
    draws = random.Random(length)
    content, at = draws.randbytes(length), 0
    with NewFile(tmp_path / "new") as file:
        while at < length:
            block = bytearray(content[at : at + draws.choice((1, 100, PIECE, 2 * PIECE + 1))])
            file.write(memoryview(block))
            at += len(block)
            block[:] = bytes(len(block))  # it is the writer's own again
    assert (tmp_path / "new").read_bytes() == content


def test_pieces_go_past_the_cache_and_the_end_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, int]] = []
    with (tmp_path / "any").open("wb") as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETFL, os.O_DIRECT)
        except OSError:
            pytest.skip("the file system of the temporary folder writes nothing past the cache")

    def write(descriptor: int, piece: memoryview) -> int:
        seen.append((is_direct(descriptor), len(piece)))
        return os.pwrite(descriptor, piece, sum(length for _, length in seen[:-1]))

    monkeypatch.setattr(os, "write", write)
    with NewFile(tmp_path / "new") as file:
        file.write(bytes(2 * PIECE + 5))
    assert seen == [(True, PIECE), (True, PIECE), (False, 5)]


@pytest.mark.usefixtures("disk")
def test_a_file_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("mine")
    with pytest.raises(FileExistsError):
        NewFile(tmp_path / "old")
    assert (tmp_path / "old").read_text() == "mine"


@pytest.mark.parametrize("call", ["write", "fsync", "fdatasync"])
def test_a_disk_that_fails_in_the_background_is_told(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "s.safetensors", {"w": normal((90, 90))})

    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    knows_no_direct_writes(monkeypatch)
    monkeypatch.setattr(os, call, broken)
    with pytest.raises(OSError, match=r"nothing of it is left: .*Input/output error; mend that"):
        perturb_checkpoint(source, tmp_path / "t.safetensors", dither.NoisyTune(), names="file", block=4096)
    assert os.listdir(tmp_path) == ["s.safetensors"]
