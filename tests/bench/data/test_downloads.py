"""What is not on this machine is named with its size, and nothing is fetched."""

from __future__ import annotations

from types import SimpleNamespace

import huggingface_hub
import pytest

from dither.bench.data.downloads import Download, downloads
from dither.bench.tasks.files import load_task

FILES = {
    ("model", "nobody/encoder"): {
        "model.safetensors": 400,
        "config.json": 5,
        "pytorch_model.bin": 400,
        "onnx/x.json": 9,
    },
    ("dataset", "nyu-mll/glue"): {"rte/train.parquet": 30, "rte/test.parquet": 3, "cola/train.parquet": 70},
}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    class Api:
        def repo_info(self, name, *, repo_type, files_metadata, timeout):
            assert files_metadata
            files = FILES[repo_type, name]
            return SimpleNamespace(siblings=[SimpleNamespace(rfilename=f, size=s) for f, s in files.items()])

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    return tmp_path


def test_sizes_are_those_of_the_files_that_are_read(hub):
    found = downloads("nobody/encoder", [load_task("glue/rte")], None)
    assert found == [Download("model nobody/encoder", 405), Download("data nyu-mll/glue rte", 33)]


def test_what_is_here_needs_no_download(hub, tmp_path):
    (hub / "nyu-mll___glue" / "rte").mkdir(parents=True)
    assert downloads("builtin", [load_task("glue/rte"), load_task("builtin/sentiment")], None) == []
    assert downloads(str(tmp_path), [load_task("glue/cola")], "data") == []
    assert downloads("./a mistake", [], None) == [], "it is told when the model is looked for"


def test_a_borrowed_split_is_downloaded_too(hub):
    FILES["dataset", "facebook/xnli"] = {}
    found = downloads("builtin", [load_task("xtreme/xnli")], None)
    assert "data nyu-mll/glue mnli" in [row.what for row in found]


def test_what_a_task_of_retrieval_trains_on_is_downloaded_too(hub):
    task = load_task("xtreme/tatoeba")
    FILES["dataset", task.hub.path] = FILES["dataset", "facebook/xnli"] = {}
    found = [row.what for row in downloads("builtin", [task], None)]
    assert f"data {task.learned.hub.path} {task.learned.hub.config}" in found
    assert "data nyu-mll/glue mnli" in found


def test_a_silent_hub_leaves_the_size_open(hub):
    assert downloads("nobody/other", [], None) == [Download("model nobody/other", None)]
