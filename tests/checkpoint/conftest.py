"""Checkpoints to noise: real ones in other dtypes and shards, and files written by hand."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(Path(__file__).parent), str(ROOT / "tests/core")]  # for tiny_models
sys.path.append(str(ROOT))  # for benchmarks


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="dither-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Save a tiny model of transformers and return its folder."""
    from tiny_models import tiny

    def save(kind: str, name: str = "model", *, shard: str = "5GB", **changes: object) -> Path:
        tiny(kind, **changes).save_pretrained(tmp_path / name, max_shard_size=shard)
        return tmp_path / name

    return save
