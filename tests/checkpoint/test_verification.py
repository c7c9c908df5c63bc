"""Noise is computed once more and compared: a flipped bit has a name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from stored_files import load, normal, save

import dither
from dither.checkpoint import perturb_checkpoint, replay_checkpoint, verify_checkpoint
from dither.checkpoint.headers import read_header

METHOD = dither.NoisyTune(
    seed=5, noise_lambda={"w1": 0.1, "w*": 0.2}, exclude="w3", law="gaussian", across="model", zeros="noise"
)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A file with several tensors, and what was made of it."""
    source = save(tmp_path / "s.safetensors", {f"w{at}": normal((50, 60), at) for at in range(5)})
    perturb_checkpoint(source, tmp_path / "t.safetensors", METHOD, names="file", block=4096)
    return source, tmp_path / "t.safetensors"


def test_all_settings_are_found_again(pair: tuple[Path, Path]) -> None:
    verdict = verify_checkpoint(*pair, block=8192)
    assert verdict.ok
    assert verdict.tensors == 5


@pytest.mark.parametrize("name", ["w0", "w3", "w4"])
def test_a_flipped_bit_has_a_name(name: str, pair: tuple[Path, Path]) -> None:
    place = {row.name: row for row in read_header(pair[1]).tensors}[name]
    with pair[1].open("r+b") as file:
        file.seek(place.start + place.size - 1)
        value = file.read(1)[0]
        file.seek(place.start + place.size - 1)
        file.write(bytes([value ^ 1]))
    verdict = verify_checkpoint(*pair)
    assert not verdict.ok
    assert (verdict.differing, verdict.problems) == ((name,), ())


def test_another_source_is_told(pair: tuple[Path, Path]) -> None:
    tensors = load(pair[0])
    tensors["w1"] = normal((50, 60), 99)
    save(pair[0], tensors)
    verdict = verify_checkpoint(*pair)
    assert "w1" in verdict.differing
    assert "s.safetensors of the source is not the file that was noised" in verdict.problems[0]


def test_another_header_is_told(pair: tuple[Path, Path]) -> None:
    tensors = load(pair[1])
    tensors["w9"] = tensors.pop("w4")
    save(pair[1], tensors)
    assert "t.safetensors: the header differs" in verify_checkpoint(*pair).problems[0]


def test_a_missing_shard_is_told(saved: Any, tmp_path: Path) -> None:
    source = saved("BertModel", shard="3KB")
    perturb_checkpoint(source, tmp_path / "t", METHOD_OF_MODEL)
    assert verify_checkpoint(source, tmp_path / "t").ok
    single = saved("BertModel", "single")
    shutil.copy(single / "model.safetensors", tmp_path / "t")
    for path in (tmp_path / "t").glob("model*0*"):
        path.unlink()
    (tmp_path / "t/model.safetensors.index.json").unlink()
    verdict = verify_checkpoint(source, tmp_path / "t")
    assert "model.safetensors is in one of the two folders only" in verdict.problems


METHOD_OF_MODEL = dither.NoisyTune(seed=1, scope="backbone")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "has format 2; this version of dither knows 1"),
        ({"recipe": {"version": 9, "method": "noisytune"}}, "is no whole manifest of dither .*version 9"),
        ({"recipe_hash": "0"}, "contradicts itself: its recipe has the hash"),
        ({"files": 3}, "is no whole manifest"),
        ({"files": []}, "must list each file of weights once under files"),
        ({"record": {}}, "is no whole manifest"),
        ({"names": "none"}, "contradicts itself"),
    ],
)
def test_a_manifest_that_cannot_be_repeated_is_refused(
    changes: dict[str, Any], message: str, pair: tuple[Path, Path]
) -> None:
    path = pair[1].with_name("t.dither.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=rf"t\.dither\.json {message}"):
        verify_checkpoint(*pair)


@pytest.mark.parametrize("times", [0, 2])
def test_a_replay_without_digests_publishes_nothing(times: int, pair: tuple[Path, Path]) -> None:
    source, target = pair
    recipe = target.with_name("t.dither.json")
    found = json.loads(recipe.read_text())
    recipe.write_text(json.dumps(found | {"files": found["files"] * times}))
    with pytest.raises(ValueError, match=r"must list each file of weights once .*; it was edited"):
        replay_checkpoint(source, target.with_name("again.safetensors"), recipe)
    assert not target.with_name("again.safetensors").exists()


def test_a_manifest_that_says_something_else_is_told(pair: tuple[Path, Path]) -> None:
    recipe = pair[1].with_name("t.dither.json")
    found = json.loads(recipe.read_text())
    found["marks"] *= 2
    found["files"][0]["written_sha256"] = "0" * 64
    found["record"]["tensors"][1]["strength"] = 0.5
    recipe.write_text(json.dumps(found))
    digest, marks, record = verify_checkpoint(*pair).problems
    assert digest.startswith("dither.json says 000")
    assert marks == "dither.json has other marks of noise than the recipe leaves"
    assert record == "dither.json says of 1 tensors (first: 'w1') what the noise is not"


@pytest.fixture
def folders(saved: Any, tmp_path: Path) -> tuple[Path, Path]:
    """A folder with a tokenizer, and what was made of it."""
    source = saved("BertModel")
    (source / "tokenizer.json").write_text('{"version": "1.0"}')
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling/config.json").write_text("{}")
    perturb_checkpoint(source, tmp_path / "t", METHOD_OF_MODEL)
    return source, tmp_path / "t"


def changed_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: (t / "tokenizer.json").write_text("{}"), "tokenizer.json differs from the source's"),
        (lambda t: (t / "1_Pooling/config.json").unlink(), "1_Pooling/config.json of the source is missing"),
        (
            lambda t: changed_config(t, hidden_act="relu"),
            "config.json is not the source's with the mark of the noise",
        ),
        (
            lambda t: changed_config(t, dither=None),
            "config.json is not the source's with the mark of the noise",
        ),
        *(
            (
                lambda t, name=name: (t / name).write_bytes(b"x"),
                f"{name} is not of the source, and dither did not write it",
            )
            for name in ("vocab.txt", "pytorch_model.bin", "1_Pooling/more.json")
        ),
    ],
)
def test_every_other_file_is_compared(change: Any, problem: str, folders: tuple[Path, Path]) -> None:
    assert verify_checkpoint(*folders).ok
    change(folders[1])
    verdict = verify_checkpoint(*folders)
    assert (verdict.ok, verdict.differing, verdict.problems) == (False, (), (problem,))


def test_what_dither_did_not_write_cannot_be_verified(pair: tuple[Path, Path]) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"s\.dither\.json is missing; only what dither perturb wrote"
    ):
        verify_checkpoint(pair[0], pair[0])
