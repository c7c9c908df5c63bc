"""All or nothing: what comes along, what is refused, and what a failure leaves behind."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stored_files import load, normal, save

import dither
from dither.checkpoint import perturb_checkpoint, publication, verify_checkpoint

NOISE = dither.NoisyTune(seed=1)


def bits(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def source(saved: Any) -> Path:
    """A checkpoint with all that may lie beside the weights."""
    folder: Path = saved("BertModel")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text("{}")
    (folder / "vocab.txt").write_text("a\nb\n")
    (folder / "alias.txt").symlink_to("vocab.txt")
    for name in (
        "pytorch_model.bin",
        "training_args.bin",
        "optimizer.pt",
        "model.onnx",
        "adapter.safetensors",
    ):
        (folder / name).write_bytes(b"weights")
    (folder / ".git").mkdir()
    (folder / ".git/objects").write_bytes(b"x")
    return folder


def test_everything_else_comes_along_and_what_does_not_is_told(source: Path, tmp_path: Path) -> None:
    before = bits(source)
    outcome = perturb_checkpoint(source, tmp_path / "t", NOISE)
    after = bits(tmp_path / "t")
    assert bits(source) == before
    assert {row.name: row.reason.split(",")[0] for row in outcome.left_out} == {
        ".git/": "no part of the model",
        "adapter.safetensors": "weights that the model does not use",
        "model.onnx": "weights in another format",
        "optimizer.pt": "pickled or raw weights",
        "pytorch_model.bin": "pickled or raw weights",
        "training_args.bin": "pickled or raw weights",
    }
    same = {"1_Pooling/config.json", "vocab.txt", "alias.txt"}
    assert {name for name in after if after[name] == before.get(name)} == same
    assert set(after) == same | {"config.json", "model.safetensors", "dither.json"}
    assert not (tmp_path / "t/alias.txt").is_symlink()
    marked, plain = json.loads(after["config.json"]), json.loads(before["config.json"])
    assert marked == plain | {"dither": [{"hash": outcome.record.recipe_hash, "recipe": NOISE.recipe(1)}]}
    start = before["model.safetensors"][: 8 + int.from_bytes(before["model.safetensors"][:8], "little")]
    assert after["model.safetensors"].startswith(start)


def test_the_manifest_says_what_was_done(source: Path, tmp_path: Path) -> None:
    from hashlib import sha256

    outcome = perturb_checkpoint(source, tmp_path / "t", NOISE)
    found = json.loads((tmp_path / "t/dither.json").read_text())
    (file,) = found["files"]
    for name, folder in (("source_sha256", source), ("written_sha256", tmp_path / "t")):
        assert file[name] == sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert dither.Record.from_json(found["record"]) == outcome.record
    assert (found["names"], found["architecture"], found["step"]) == ("model", "BertModel", 0)
    assert str(tmp_path) not in json.dumps(found)


def test_who_may_read_the_source_may_read_the_copy_and_nobody_else(source: Path, tmp_path: Path) -> None:
    modes = {
        "model.safetensors": 0o600,
        "config.json": 0o640,
        "vocab.txt": 0o664,
        "1_Pooling": 0o700,
        ".": 0o750,
    }
    for name, mode in modes.items():
        (source / name).chmod(mode)
    perturb_checkpoint(source, tmp_path / "t", NOISE)
    for name, mode in (modes | {"dither.json": 0o600}).items():
        assert (tmp_path / "t" / name).stat().st_mode & 0o777 == mode, name
    perturb_checkpoint(source / "model.safetensors", tmp_path / "one.safetensors", NOISE)
    for name in ("one.safetensors", "one.dither.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["vocab.txt", "model.safetensors", "config.json"])
def test_a_link_that_leads_out_is_refused(name: str, source: Path, tmp_path: Path) -> None:
    (source / "alias.txt").unlink()
    (source / name).rename(tmp_path / name)
    (source / name).symlink_to(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name} is a link that leads out of its folder"):
        perturb_checkpoint(source, tmp_path / "t", NOISE)
    assert not (tmp_path / "t").exists()


def test_the_hubs_cache_is_read_through_its_links(saved: Any, tmp_path: Path) -> None:
    plain, cache = saved("BertModel"), tmp_path / "hub"
    snapshot = cache / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    shutil.copytree(plain, cache / "blobs")
    for name in os.listdir(plain):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    perturb_checkpoint(snapshot, tmp_path / "one", NOISE)
    perturb_checkpoint(plain, tmp_path / "two", NOISE)
    assert bits(tmp_path / "one") == bits(tmp_path / "two")


def test_a_link_to_a_folder_is_refused(source: Path, tmp_path: Path) -> None:
    (source / "more").symlink_to(source / "1_Pooling")
    with pytest.raises(ValueError, match="more is a link to a folder"):
        perturb_checkpoint(source, tmp_path / "t", NOISE)


def test_wrong_targets_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    wrong = {
        source: "is the source itself",
        source / "in": "lies in the source",
        tmp_path / "there": "exists; nothing is overwritten",
        tmp_path / "no" / "t": r"no is no folder; make it first",
        tmp_path / "t.safetensors": "is a folder, so the target must be one, too",
    }
    for target, message in wrong.items():
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            perturb_checkpoint(source, target, NOISE)
    one = save(tmp_path / "one.safetensors", {"w": normal((3, 3))})
    with pytest.raises(ValueError, match=r"is a file, so it must end in \.safetensors"):
        perturb_checkpoint(one, tmp_path / "t", NOISE, names="file")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        perturb_checkpoint(tmp_path / "nowhere", tmp_path / "t", NOISE)


def test_a_folder_without_weights_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"needs its weights in model\.safetensors.* there: none.*pickles"):
        perturb_checkpoint(tmp_path / "s", tmp_path / "t", NOISE)
    with pytest.raises(
        ValueError, match=r"dither reads no other format\. Weights in pickles .*save_pretrained"
    ):
        perturb_checkpoint(tmp_path / "s/pytorch_model.bin", tmp_path / "t.bin", NOISE)


def test_the_hubs_cache_itself_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "models--org--name/snapshots/abc").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"give one of its snapshots, such as .*snapshots/abc"):
        perturb_checkpoint(tmp_path / "models--org--name", tmp_path / "t", NOISE)


def test_what_a_killed_run_left_is_removed_and_a_living_one_respected(source: Path, tmp_path: Path) -> None:
    left = tmp_path / ".t.dither-partial"
    (left / "inner").mkdir(parents=True)
    (left / "inner/model.safetensors").write_bytes(b"half")
    with publication.publication(tmp_path / "t", like=tmp_path) as new:
        assert os.listdir(new.folder) == []
        with pytest.raises(RuntimeError, match=r"another run is writing .*t just now"):
            perturb_checkpoint(source, tmp_path / "t", NOISE)
        shutil.rmtree(new.folder)
        new.folder.mkdir()
    assert os.listdir(tmp_path / "t") == []
    assert not left.exists()


def test_a_target_that_appears_meanwhile_is_left_alone(source: Path, tmp_path: Path) -> None:
    def appear(what: str, done: int, total: int) -> None:
        (tmp_path / "t").mkdir(exist_ok=True)

    with pytest.raises(ValueError, match="came into being meanwhile"):
        perturb_checkpoint(source, tmp_path / "t", NOISE, progress=appear)
    assert sorted(os.listdir(tmp_path)) == ["model", "t"]
    assert os.listdir(tmp_path / "t") == []


def test_a_manifests_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    one = save(tmp_path / "one.safetensors", {"w": normal((3, 3))})
    (tmp_path / "two.dither.json").write_text('{"mine": 1}')
    with pytest.raises(ValueError, match=r"two\.dither\.json stands where dither would say what it did"):
        perturb_checkpoint(one, tmp_path / "two.safetensors", NOISE, names="file")


@pytest.mark.parametrize("when", ["measure", "write"])
def test_a_source_that_changes_meanwhile_is_refused(when: str, tmp_path: Path) -> None:
    one = save(tmp_path / "one.safetensors", {"w": normal((64, 64))})

    def touch(what: str, done: int, total: int) -> None:
        if what == when:
            os.utime(one, ns=(1, 1))

    with pytest.raises(ValueError, match="was changed while it was read"):
        perturb_checkpoint(one, tmp_path / "t.safetensors", NOISE, names="file", progress=touch)
    assert os.listdir(tmp_path) == ["one.safetensors"]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 100 kB: to the writer, a disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, request: Any) -> None:
    one = save(tmp_path / "one.safetensors", {"w": normal((300, 300))})
    request.getfixturevalue("small_files")
    with pytest.raises(
        OSError, match=r"two\.safetensors was not written, and nothing of it is left: the disk is"
    ):
        perturb_checkpoint(one, tmp_path / "two.safetensors", NOISE, names="file", block=4096)
    assert os.listdir(tmp_path) == ["one.safetensors"]


def test_a_disk_without_room_starts_nothing(source: Path, tmp_path: Path, monkeypatch: Any) -> None:
    usage = shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"has 1000 bytes free and \d+ are needed; nothing was written"):
        perturb_checkpoint(source, tmp_path / "t", NOISE)
    assert os.listdir(tmp_path) == ["model"]


def test_an_interrupt_leaves_nothing(source: Path, tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "write":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perturb_checkpoint(source, tmp_path / "t", NOISE, progress=interrupt)
    assert os.listdir(tmp_path) == ["model"]
    perturb_checkpoint(source, tmp_path / "t", NOISE)
    assert verify_checkpoint(source, tmp_path / "t").ok
    assert load(tmp_path / "t")
