"""Stages in threads: the order is kept, nobody runs away, errors come out, and threads end."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from stored_files import normal, save

import dither
from dither.checkpoint import perturb_checkpoint
from dither.checkpoint.blocks import Block, Ring
from dither.checkpoint.headers import StoredTensor, read_header
from dither.checkpoint.pipeline import AHEAD, ahead
from dither.checkpoint.stream import NoisedFile, ring_for_stages


def counting(made: list[int], end: int, closed: list[bool]) -> Generator[int, None, None]:
    try:
        for number in range(end):
            made.append(number)
            yield number
    finally:
        closed.append(True)


def test_items_come_in_order_and_no_stage_runs_away() -> None:
    made: list[int] = []
    closed: list[bool] = []
    for number in ahead(counting(made, 50, closed)):
        time.sleep(0.001)
        assert len(made) <= number + 1 + AHEAD
    assert made == list(range(50))
    assert closed == [True]


def test_an_error_comes_out_where_its_item_would_have() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        raise ValueError("no second")

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(ValueError, match="no second"):
        next(items)


def test_closing_ends_all_stages() -> None:
    before, closed = threading.active_count(), [False]
    items = ahead(ahead(counting([], 1000, closed)))
    assert next(items) == 0
    assert threading.active_count() == before + 2
    items.close()
    assert threading.active_count() == before
    assert closed == [False, True]


class CountedRing(Ring):
    """A ring that tells how many blocks were read into it."""

    def __init__(self, size: int, blocks: int) -> None:
        super().__init__(size, blocks)
        self._count, self._changed = 0, threading.Condition()

    def read(self, tensor: StoredTensor) -> Generator[Block, None, None]:
        for block in super().read(tensor):
            with self._changed:
                self._count += 1
                self._changed.notify_all()
            yield block

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._count >= count, timeout=300)


@pytest.mark.parametrize("short_of", [0, 1])
def test_a_block_keeps_its_bytes_until_the_next_is_asked_for(short_of: int, tmp_path: Path) -> None:
    source = save(tmp_path / "s.safetensors", {"w": normal((200, 200))})
    whole, size = source.read_bytes(), 4096
    ring = CountedRing(size, ring_for_stages(size).blocks - short_of)
    stream = NoisedFile(read_header(source), lambda _: [], ring)
    parts, blocks = [stream.stored.header], -(-4 * 200 * 200 // size)
    for number, block in enumerate(stream, start=1):
        ring.wait_for(min(blocks, number + 3 * AHEAD))  # the three stages run as far ahead as they may
        parts.append(bytes(block.bytes))
    assert (b"".join(parts) == whole) is (short_of == 0)
    assert stream.source_digest == sha256(whole).hexdigest()


@pytest.mark.parametrize("fails", [False, True])
def test_the_threads_of_torch_are_given_back(fails: bool, tmp_path: Path) -> None:
    source, before = save(tmp_path / "s.safetensors", {"w": normal((90, 90))}), torch.get_num_threads()
    seen = []

    def progress(what: str, done: int, total: int) -> None:
        seen.append((what, torch.get_num_threads()))
        if fails and what == "write":
            raise KeyboardInterrupt

    try:
        perturb_checkpoint(
            source,
            tmp_path / "t.safetensors",
            dither.NoisyTune(),
            names="file",
            block=4096,
            progress=progress,
        )
    except KeyboardInterrupt:
        assert fails
    assert torch.get_num_threads() == before
    assert ("write", max(1, before - 3)) in seen
    assert threading.active_count() < 20
