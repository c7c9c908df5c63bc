"""`dither perturb`: a noised copy, a dry run, a verification, and mistakes told in one line."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dither.builtin import MODEL_DIR


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_noised_copy_is_that_of_the_library(dither: Any, tmp_path: Path) -> None:
    from transformers import BertForPreTraining

    import dither as library

    target = tmp_path / "noisy"
    options = (
        "--method",
        "noisytune",
        "--noise-lambda",
        "0.2",
        "--seed",
        "3",
        "--set",
        "noisytune.exclude=*bias",
    )
    status, out, err = dither("perturb", MODEL_DIR, target, *options)
    assert (status, err) == (0, "")
    assert "noisytune, seed 3: 32 tensors noised, 32 skipped (30 excluded, 2 tied)" in out
    assert re.search(r"noisy: 1\.5 MB of weights in \d+\.\d s$", out.strip())
    model = BertForPreTraining.from_pretrained(MODEL_DIR)
    library.noisytune_(model, 0.2, 3, exclude="*bias")
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in weights(target).items())


@pytest.mark.parametrize("method", ["noisytune-gaussian", "noisytune-global"])
def test_the_ablations(method: str, dither: Any, tmp_path: Path, strict: Any) -> None:
    command = ("perturb", MODEL_DIR, tmp_path / "t", "--method", method, "--json")
    status, out, err = dither(*command)
    found = strict(out)
    assert (status, err) == (0, "")
    assert found["record"]["recipe"]["across" if method.endswith("global") else "law"] in (
        "model",
        "gaussian",
    )
    assert found["bytes"] == (MODEL_DIR / "model.safetensors").stat().st_size
    assert found["left_out"] == []


def test_a_dry_run_prints_the_plan_and_touches_nothing(dither: Any, tmp_path: Path, strict: Any) -> None:
    command = ("perturb", MODEL_DIR, tmp_path / "t", "--dry-run", "--set", "noisytune.scope=backbone")
    before = {path.name: path.stat().st_mtime_ns for path in MODEL_DIR.iterdir()}
    status, out, err = dither(*command)
    assert (status, err) == (0, "")
    assert re.search(r"embeddings\.word_embeddings\.weight +float32 +919×96 +0\.15 +noise", out)
    assert re.search(r"head:cls\.seq_relationship\.weight +float32 +2×96 +outside the backbone", out)
    assert "55 tensors to be noised, 9 left alone" in out
    status, out, _ = dither(*command, "--json")
    assert sum(row["reason"] is None for row in strict(out)["record"]["tensors"]) == 55
    assert os.listdir(tmp_path) == []
    assert {path.name: path.stat().st_mtime_ns for path in MODEL_DIR.iterdir()} == before


def test_verification_finds_a_changed_tensor(dither: Any, tmp_path: Path, strict: Any) -> None:
    target = tmp_path / "t"
    assert dither("perturb", MODEL_DIR, target, "--seed", "1")[0] == 0
    status, out, _ = dither("perturb", MODEL_DIR, target, "--verify")
    assert status == 0
    assert "62 tensors, every byte is as the recipe makes it" in out
    content = bytearray((target / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (target / "model.safetensors").write_bytes(content)
    status, out, _ = dither("perturb", "--verify", MODEL_DIR, target)
    assert status == 1
    (name,) = re.findall(r"^differs: (.*)$", out, re.MULTILINE)
    status, out, _ = dither("perturb", "--verify", MODEL_DIR, target, "--json")
    assert (status, strict(out)["differing"], strict(out)["ok"]) == (1, [name], False)


def test_the_names_of_a_file_and_noise_on_top(dither: Any, tmp_path: Path) -> None:
    one, two, three = (tmp_path / f"{name}.safetensors" for name in ("one", "two", "three"))
    save_file({"w": torch.arange(12.0).view(3, 4)}, one)
    status, out, _ = dither("perturb", one, two, "--names", "file")
    assert status == 0
    assert "noised under the names as they stand in the file" in out
    assert dither("perturb", two, three, "--names", "file")[0] == 2
    assert dither("perturb", two, three, "--names", "file", "--again")[0] == 0
    assert dither("perturb", two, three, "--verify")[0] == 0


def test_a_recipe_is_replayed_on_the_original_weights_alone(dither: Any, tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    assert dither("perturb", MODEL_DIR, first, "--seed", "7", "--set", "noisytune.exclude=*bias")[0] == 0
    status, out, _ = dither("perturb", MODEL_DIR, again, "--recipe", first / "dither.json")
    assert status == 0
    assert "noisytune, seed 7: 32 tensors noised" in out
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in again.iterdir()
    }
    shutil.copytree(MODEL_DIR, other)
    content = bytearray((other / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (other / "model.safetensors").write_bytes(content)
    status, _, err = dither("perturb", other, tmp_path / "t", "--recipe", first / "dither.json")
    assert status == 2
    assert "model.safetensors is not the file that the recipe was used on" in err
    assert sorted(os.listdir(tmp_path)) == ["again", "first", "other"]


def test_what_is_left_out_is_said(dither: Any, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    save_file({"w": torch.arange(12.0).view(3, 4)}, source / "model.safetensors")
    (source / "pytorch_model.bin").write_bytes(b"x")
    _, out, _ = dither("perturb", source, tmp_path / "t", "--names", "file")
    assert "left out: pytorch_model.bin (pickled or raw weights, without the noise)" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--method", "pats"),
            r"--method pats adds no noise before training; choose noisytune, noisytune-gaussian",
        ),
        (("--method", "none"), r"--method none adds no noise before training"),
        (("--method", "noisetune"), r"unknown method 'noisetune'; did you mean 'noisytune'\?"),
        (("--noise-lambda", "-1"), r"noise_lambda is -1\.0; it must be a finite number >= 0"),
        (("--seed", "-1"), r"seed is -1; it must lie in \[0, 2\^64\)"),
        (("--set", "train.epochs=3"), r"--set train\.epochs: nothing is trained here"),
        (("--set", "noisytune.laws=x"), r"has no setting 'laws'; did you mean 'law'\?"),
        (("--noise-lambda", "1", "--set", "noisytune.noise_lambda=1"), "say the same; give one of them"),
        (("--verify", "--seed", "3", "--dry-run"), r"takes the recipe from .*leave out --seed, --dry-run"),
        (("--verify",), r"t does not exist; give a checkpoint folder"),
        (("--recipe", "x", "--seed", "3"), r"--recipe takes the recipe from x; leave out --seed"),
        (("--recipe", "x", "--verify"), r"--recipe writes DST and --verify compares it"),
        (("--recipe", "nowhere.json"), r"nowhere\.json is missing; only what dither perturb wrote"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    options: tuple[str, ...], message: str, dither: Any, tmp_path: Path
) -> None:
    status, out, err = dither("perturb", MODEL_DIR, tmp_path / "t", *options)
    assert (status, out) == (2, "")
    assert re.fullmatch(rf"dither: .*{message}.*\n", err)
    assert os.listdir(tmp_path) == []


def test_a_bar_with_bytes_per_second_on_a_terminal(dither: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, a terminal
    monkeypatch.setenv("COLUMNS", "120")
    err = dither("perturb", MODEL_DIR, tmp_path / "t")[2]
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err)
    assert re.search(r"measure +━+ 1\.5/1\.5 MB +[\d.]+ [kMG]?B/s", text), text
    assert re.search(r"write +━+ 1\.5/1\.5 MB", text)
    assert dither("perturb", MODEL_DIR, tmp_path / "t2", "--json")[2] == ""


def test_an_interrupt_leaves_nothing(dither: Any, tmp_path: Path, monkeypatch: Any) -> None:
    from dither.checkpoint import stream

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stream, "perturb_", interrupted)
    status, out, err = dither("perturb", MODEL_DIR, tmp_path / "t")
    assert (status, out) == (130, "")
    assert "dither: interrupted; the target is there whole, or not at all" in err
    assert os.listdir(tmp_path) == []


def test_the_help_reads_well(dither: Any) -> None:
    status, out, _ = dither("perturb", "--help")
    assert status == 0
    for words in (
        "block by block",
        "DST must not exist",
        "--dry-run",
        "--verify",
        "--names {model,file}",
        "examples:",
    ):
        assert words in out
    assert "write a noised copy of a checkpoint" in dither("--help")[1]
