"""latest_checkpoint: the newest whole one; every kind of damage is skipped and named."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_trainer import trained

from dither.integrations.hf_checkpoints import incompleteness, latest_checkpoint, search_checkpoints

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with checkpoints 2 and 4."""
    folder = tmp_path_factory.mktemp("run")
    trained(folder, save_strategy="steps", save_steps=2, max_steps=4)
    return folder


@pytest.fixture
def run(saved: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return shutil.copytree(saved, tmp_path / "run")


def cut(path: Path, *, keep: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def shard(checkpoint: Path, first: str | None = None) -> None:
    """Weights in two files with an index; `first` is what the index says of the first tensor instead."""
    tensors = load_file(checkpoint / WEIGHTS)
    (checkpoint / WEIGHTS).unlink()
    names = sorted(tensors)
    files = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: tensors[name] for name in names if files[name] == file}, checkpoint / file)
    files[names[0]] = first or files[names[0]]
    (checkpoint / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": files}))


def headers(checkpoint: Path, header: bytes) -> None:
    (checkpoint / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no state": (lambda at: (at / "trainer_state.json").unlink(), "trainer_state.json is missing or empty"),
    "state cut": (lambda at: cut(at / "trainer_state.json"), "trainer_state.json does not parse: "),
    "state a list": (lambda at: (at / "trainer_state.json").write_text("[4]"), "does not parse: no object"),
    "state binary": (lambda at: (at / "trainer_state.json").write_bytes(b"\xff\xfe"), "does not parse: "),
    "other step": (
        lambda at: shutil.copy(at.parent / "checkpoint-2/trainer_state.json", at),
        "trainer_state.json is of step 2",
    ),
    "optimizer cut": (lambda at: cut(at / "optimizer.pt"), "optimizer.pt is cut short or damaged: "),
    "optimizer's end cut": (lambda at: cut(at / "optimizer.pt", keep=0.999), "optimizer.pt is cut short"),
    "optimizer empty": (
        lambda at: (at / "optimizer.pt").write_bytes(b""),
        "optimizer.pt is missing or empty",
    ),
    "optimizer zeros": (
        lambda at: (at / "optimizer.pt").write_bytes(bytes(9000)),
        "optimizer.pt is cut short",
    ),
    "no scheduler": (lambda at: (at / "scheduler.pt").unlink(), "scheduler.pt is missing or empty"),
    "scaler cut": (lambda at: (at / "scaler.pt").write_bytes(b"PK"), "scaler.pt is cut short or damaged"),
    "no rng": (lambda at: (at / "rng_state.pth").unlink(), "rng_state.pth is missing"),
    "rng cut": (lambda at: cut(at / "rng_state.pth"), "rng_state.pth is cut short or damaged"),
    "config cut": (lambda at: cut(at / "config.json"), "config.json does not parse: "),
    "no weights": (
        lambda at: (at / WEIGHTS).unlink(),
        "no weights: neither model.safetensors nor adapter_mod",
    ),
    "weights cut": (lambda at: cut(at / WEIGHTS), "model.safetensors is cut short or damaged"),
    "weights one byte short": (lambda at: cut(at / WEIGHTS, keep=0.99999), "model.safetensors is cut short"),
    "weights too long": (
        lambda at: (at / WEIGHTS).write_bytes((at / WEIGHTS).read_bytes() + b"x"),
        "model.safetensors is cut short or damaged",
    ),
    "weights empty": (
        lambda at: (at / WEIGHTS).write_bytes(b""),
        "model.safetensors is cut short or damaged",
    ),
    "header damaged": (lambda at: headers(at, b"{nonsense"), "model.safetensors is cut short or damaged"),
    "header's end a word": (
        lambda at: headers(at, b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,"x"]}}'),
        "model.safetensors is cut short or damaged",
    ),
    "shard missing": (
        lambda at: shard(at, "model-00003.safetensors"),
        "model-00003.safetensors is missing",
    ),
    "shard cut": (
        lambda at: (shard(at), cut(at / "model-00002-of-00002.safetensors")),
        "model-00002-of-00002.safetensors is cut short or damaged",
    ),
    "shard outside": (
        lambda at: shard(at, "../checkpoint-2/model.safetensors"),
        f"{INDEX} names a file outside the folder: '../checkpoint-2/model.safetensors'",
    ),
    "shard absolute": (lambda at: shard(at, "/etc/passwd"), "outside the folder: '/etc/passwd'"),
    "index cut": (lambda at: (shard(at), cut(at / INDEX)), f"{INDEX} does not parse: "),
    "index empty": (lambda at: (at / INDEX).write_text('{"weight_map": {}}'), f"{INDEX} names no files"),
    "index of numbers": (lambda at: (at / INDEX).write_text('{"weight_map": {"a": 1}}'), "1 is missing"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_skipped_and_named(run: Path, caplog, kind: str) -> None:
    damage, message = DAMAGE[kind]
    newest = run / "checkpoint-4"
    assert latest_checkpoint(run) == str(newest)
    assert caplog.text == ""
    damage(newest)
    assert latest_checkpoint(str(run)) == str(run / "checkpoint-2")
    (line,) = [row for row in caplog.records if row.name == "dither"]
    assert line.levelno == logging.WARNING
    assert line.getMessage().startswith(f"checkpoint {newest} is not whole and is skipped: ")
    assert message in line.getMessage()


def test_none_is_left_when_all_are_damaged(run: Path) -> None:
    for step in (2, 4):
        cut(run / f"checkpoint-{step}" / "optimizer.pt")
    search = search_checkpoints(run)
    assert search.newest is None
    assert list(search.skipped) == [run / "checkpoint-4", run / "checkpoint-2"]
    assert latest_checkpoint(run) is None


def test_numbers_are_ordered_as_numbers(run: Path) -> None:
    for step in (4, 10):
        shutil.copytree(run / "checkpoint-2", run / f"checkpoint-{step}", dirs_exist_ok=True)
        state = json.loads((run / "checkpoint-2/trainer_state.json").read_text()) | {"global_step": step}
        (run / f"checkpoint-{step}/trainer_state.json").write_text(json.dumps(state))
    assert latest_checkpoint(run) == str(run / "checkpoint-10")


def test_foreign_names_are_passed_over(run: Path, caplog) -> None:
    for name in (
        "checkpoint-best",
        "checkpoint-",
        "checkpoint-9.old",
        "tmp-checkpoint-9",
        "checkpoint-9 copy",
    ):
        (run / name).mkdir()
    (run / "checkpoint-99").write_text("a file, not a folder")
    assert latest_checkpoint(run) == str(run / "checkpoint-4")
    assert caplog.text == ""


def test_a_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "not there") is None


def test_a_sharded_checkpoint_counts(run: Path) -> None:
    shard(run / "checkpoint-4")
    assert latest_checkpoint(run) == str(run / "checkpoint-4")


def test_checkpoints_of_weights_alone_are_named(saved: Path, tmp_path: Path) -> None:
    trained(tmp_path, save_strategy="steps", save_steps=2, max_steps=2, save_only_model=True)
    assert incompleteness(tmp_path / "checkpoint-2", 2) == "optimizer.pt is missing or empty"


@pytest.mark.parametrize("name", ["optimizer.pt", "rng_state.pth", WEIGHTS, "trainer_state.json"])
def test_no_cut_is_taken_for_whole(run: Path, name: str) -> None:
    """Forty lengths of each file, from one byte to all but one."""
    path = run / "checkpoint-4" / name
    data = path.read_bytes()
    for length in {1, len(data) - 1, *(len(data) * i // 40 for i in range(1, 40))}:
        path.write_bytes(data[:length])
        # The only bytes that JSON can spare are the white space at its end.
        assert incompleteness(path.parent, 4) or data[length:].strip() == b""
    path.write_bytes(data)
    assert incompleteness(path.parent, 4) is None


def test_big_files_are_not_read(run: Path, monkeypatch) -> None:
    """An optimizer of two gigabytes (a sparse file) costs no more than its ends."""
    path = run / "checkpoint-4" / "optimizer.pt"
    data = path.read_bytes()
    with path.open("wb") as file:  # a zip may stand behind other bytes
        file.seek(2 * 1024**3)
        file.write(data)
    read = []
    monkeypatch.setattr(Path, "read_bytes", lambda self: read.append(self))
    import tracemalloc

    tracemalloc.start()
    assert latest_checkpoint(run) == str(run / "checkpoint-4")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1024**2
    assert read == []


def test_every_whole_checkpoint_can_be_loaded(run: Path) -> None:
    """What counts as whole really is what the Trainer resumes from."""
    folder = Path(latest_checkpoint(run) or "")
    optimizer = torch.load(folder / "optimizer.pt", weights_only=True)
    assert len(optimizer["state"]) == len(load_file(folder / WEIGHTS))


def of_processes(checkpoint: Path, count: int, *, noted: int | None = None) -> None:
    """Make it one that several processes saved, of which the log history may tell."""
    one, path = checkpoint / "rng_state.pth", checkpoint / "trainer_state.json"
    for rank in range(count):
        shutil.copy(one, checkpoint / f"rng_state_{rank}.pth")
    one.unlink()
    state = json.loads(path.read_text())
    state["log_history"] += [] if noted is None else [{"dither_processes": noted, "step": 0}]
    path.write_text(json.dumps(state))


@pytest.mark.parametrize(
    ("count", "noted", "now", "missing"),
    [
        (2, None, 2, None),
        (2, None, 1, None),
        (1, None, 1, "rng_state_1.pth"),
        (2, None, 4, "rng_state_2.pth"),
        (2, 2, 4, None),
        (2, 4, 2, "rng_state_2.pth"),
        (2, 1, 2, "rng_state.pth"),
    ],
)
def test_the_random_state_of_every_process_must_be_there(run: Path, monkeypatch, count, noted, now, missing):
    monkeypatch.setenv("WORLD_SIZE", str(now))
    of_processes(run / "checkpoint-4", count, noted=noted)
    assert incompleteness(run / "checkpoint-4", 4) == (missing and f"{missing} is missing")


def test_the_random_state_of_every_process_must_be_whole(run: Path) -> None:
    of_processes(run / "checkpoint-4", 2)
    cut(run / "checkpoint-4" / "rng_state_1.pth")
    assert str(incompleteness(run / "checkpoint-4", 4)).startswith("rng_state_1.pth is cut short")
