"""Damaged checkpoints by the thousand; `python tests/checkpoint/fuzzing.py` tries as many as one likes."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import fuzzing
import pytest
import torch
from layouts import tensors_of
from stored_files import normal, save
from strict_reader import RefusedError, read_file
from verdicts import judged

import dither
from dither.checkpoint import perturb_checkpoint

CASES, FEWEST = 2500, 300


def test_damaged_checkpoints_are_refused_or_noised_exactly() -> None:
    tally = fuzzing.run(range(CASES))
    assert tally.defects == []
    assert sum(tally.outcomes.values()) == CASES
    assert tally.outcomes["published"] > FEWEST
    assert tally.outcomes["refused by the strict reader, too"] > FEWEST
    assert len(tally.outcomes) > 5


def test_the_strict_reader_reads_what_the_library_reads(tmp_path: Path) -> None:
    from safetensors import deserialize

    for number in range(50):
        data = tensors_of(random.Random(number), "abcdef").file()
        found = {
            name: (row.dtype, list(row.shape), data[row.begin : row.end])
            for name, row in read_file(data).items()
        }
        assert found == {name: (row["dtype"], row["shape"], row["data"]) for name, row in deserialize(data)}
        with pytest.raises(RefusedError):
            read_file(data[:-1])


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, Path, Any, dither.NoisyTune]:
    """A file, what was made of it, the outcome and the method."""
    source, target = tmp_path / "s.safetensors", tmp_path / "t.safetensors"
    save(source, {"a": normal((30,)), "b": torch.arange(9)})
    method = dither.NoisyTune(seed=1)
    return source, target, perturb_checkpoint(source, target, method, names="file"), method


def test_the_judge_sees_a_wrong_bit(published: Any) -> None:
    source, target, outcome, method = published
    assert judged(source, target, outcome, method) == ("published", None)
    content = bytearray(target.read_bytes())
    content[-1] ^= 1
    target.write_bytes(content)
    assert judged(source, target, outcome, method)[1] == "s.safetensors is not what the reference noise gives"
    source.write_bytes(source.read_bytes() + b"x")
    assert "the strict reader refuses it" in str(judged(source, target, outcome, method)[1])


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (RuntimeError("no"), "RuntimeError: no"),
        (UnicodeEncodeError("utf-8", "x", 0, 1, "no"), "UnicodeEncodeError"),
        (ValueError("no path"), "the message names no path"),
        (ValueError("x" * 5000), "a message of 5000 characters"),
        (ValueError("s.safetensors is bad"), "refused without a reason"),
    ],
)
def test_the_judge_sees_a_bad_refusal(error: Exception, problem: str, published: Any) -> None:
    source, target, _, method = published
    if "safetensors" in str(error):
        error = ValueError(f"{source} is bad")
    assert problem in str(judged(source, target, error, method)[1])


def test_a_read_outside_is_seen(tmp_path: Path) -> None:
    (tmp_path / fuzzing.CANARY).write_bytes(b"x")
    with fuzzing.READS.watched() as paths:
        (tmp_path / fuzzing.CANARY).read_bytes()
        (tmp_path / "link").symlink_to("/dev/null")
        (tmp_path / "link").read_bytes()
    assert [fuzzing._may_be_read(path, tmp_path) for path in paths] == [False, False]


def test_a_case_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "SECONDS", 0.05)
    with pytest.raises(TimeoutError), fuzzing._time_limit():
        time.sleep(60)
