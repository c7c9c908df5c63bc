"""Two runs for one target: one of them has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dither.checkpoint import publication


def test_a_folder_that_another_run_takes_before_it_is_locked_is_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial, lock = tmp_path / ".t.dither-partial", publication.fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.setattr(publication.fcntl, "flock", lock)
        partial.rmdir()  # the other takes it for a leftover, and makes its own
        partial.mkdir()
        (partial / "theirs").write_text("theirs")
        lock(descriptor, how)

    monkeypatch.setattr(publication.fcntl, "flock", late)
    with (
        pytest.raises(RuntimeError, match=r"another run is writing .*t just now"),
        publication.publication(tmp_path / "t", like=tmp_path),
    ):
        pytest.fail("it is the other's")
    assert (partial / "theirs").read_text() == "theirs"
