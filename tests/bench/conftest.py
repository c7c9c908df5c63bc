"""Small tasks of every head, written as a user would: a TOML file with data files beside it."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dither.bench.tasks.files import load_task
from dither.bench.tasks.task import Task

sys.path.append(str(Path(__file__).parent))  # for tiny_encoder, which killed children import too

BASE: dict[str, Any] = {
    "name": "mine/small",
    "version": 1,
    "summary": "A small task.",
    "train": "train",
    "source": "local",
    "evaluation": {"validation": "validation"},
    "recipe": {"learning_rate": 1e-3, "epochs": 2, "batch_size": 8, "max_length": 32},
}
HEADS: dict[str, dict[str, Any]] = {
    "classification": {
        "columns": ["text"],
        "label": "label",
        "labels": ["no", "yes"],
        "metrics": ["accuracy", "f1"],
        "primary": ["accuracy"],
    },
    "regression": {
        "columns": ["left", "right"],
        "label": "score",
        "range": [0, 5.0],
        "metrics": ["pearson", "spearman"],
        "primary": ["pearson", "spearman"],
    },
    "tagging": {
        "columns": ["tokens", "tags"],
        "labels": ["O", "B-X", "I-X"],
        "metrics": ["entity_f1", "tag_accuracy"],
        "primary": ["entity_f1"],
    },
    "span": {
        "columns": ["question", "context", "answers"],
        "metrics": ["squad_f1", "exact_match"],
        "primary": ["squad_f1"],
    },
    "retrieval": {
        "columns": ["left", "right"],
        "metrics": ["retrieval_accuracy"],
        "primary": ["retrieval_accuracy"],
        "train": None,
        "train_from": "builtin/entailment",
        "retrieval": {"layer": 1},
    },
}


def toml(content: dict[str, Any], prefix: str = "") -> str:
    """Write a table as TOML: plain values first, then the tables inside."""
    plain = [
        f"{key if key.isidentifier() else json.dumps(key)} = {json.dumps(x)}"
        for key, x in content.items()
        if not isinstance(x, dict)
    ]
    tables = [(f"{prefix}{key}", x) for key, x in content.items() if isinstance(x, dict)]
    return "\n".join(plain) + "".join(f"\n[{key}]\n{toml(inner, f'{key}.')}\n" for key, inner in tables)


@pytest.fixture
def task_file(tmp_path: Path) -> Callable[..., Path]:
    """Write `task.toml` for a head; a change to None leaves the key out."""

    def write(head: str = "classification", **changes: Any) -> Path:
        content = {**BASE, "head": head, **HEADS.get(head, HEADS["classification"]), **changes}
        path = tmp_path / "task.toml"
        path.write_text(toml({key: value for key, value in content.items() if value is not None}))
        return path

    return write


@pytest.fixture
def small_task(task_file: Callable[..., Path]) -> Callable[..., Task]:
    """Write and load a small task of a head."""
    return lambda head="classification", **changes: load_task(task_file(head, **changes))


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Write a file beside the task: rows as JSON Lines, or text or bytes as they are; `.gz` is compressed."""

    def write(name: str, content: list[Any] | str | bytes) -> Path:
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        data = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write
