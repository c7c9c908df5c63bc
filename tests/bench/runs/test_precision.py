"""Training in 16 bits: what is computed in them and what is not, and machines that cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_encoder import plan_of, requests_of, save_encoder, write_task

from dither.bench.recording import make_runs
from dither.bench.runs import precision
from dither.bench.runs.encoding import encode
from dither.bench.runs.evaluation import outputs_of, predictor_of
from dither.bench.runs.finetune import finetune
from dither.bench.runs.precision import check_precision
from dither.bench.runs.run import run
from dither.bench.runs.training import make_trainer

BF16, SHORT = "train.precision=bf16", "train.max_steps=3"


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision")
    return write_task(folder / "task"), save_encoder(folder / "encoder")


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast itself works on every processor, if slowly."""
    monkeypatch.setattr(precision, "_without_bf16", lambda device: "")


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("method", ["none", "pats"])
def test_bf16_computes_otherwise_and_repeats_itself(films, tmp_path, method: str) -> None:
    found = []
    for number, settings in enumerate([(), (BF16,), (BF16,)]):
        request = requests_of(*films, SHORT, *settings, methods=(method,))[method, 0]
        folder = tmp_path / str(number)
        found.append((run(replace(request, output_dir=str(folder))), load_file(folder / "model.safetensors")))
    (_, whole), (first, half), (second, again) = found
    assert all(value.dtype == torch.float32 for value in half.values())
    assert any(not torch.equal(half[name], whole[name]) for name in whole)
    assert all(torch.equal(half[name], again[name]) for name in half)
    assert first.predictions == second.predictions
    assert first.record == second.record


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("task", ["builtin/similarity", "builtin/retrieval"])
def test_what_is_evaluated_is_computed_in_float32(task: str) -> None:
    half, whole = (requests_of(task, "builtin", *more, SHORT)["none", 0] for more in ((BF16,), ()))
    encoded = encode(half)
    features = encoded.features[half.task.predicted[0]]
    trainer, *_ = make_trainer(half, encoded)
    trainer.train()
    ours = outputs_of(predictor_of(half, trainer), features, 1)[0]
    plain, *_ = make_trainer(whole, encoded)
    plain.model.load_state_dict(trainer.model.state_dict())
    assert np.array_equal(ours, outputs_of(predictor_of(whole, plain), features, 1)[0])


def test_fp16_is_for_gpus(films, tmp_path) -> None:
    plan = plan_of(*films, "train.precision=fp16")
    seen: list[int] = []
    with pytest.raises(
        ValueError, match=r"'fp16' scales its loss on a GPU, and there is none here; take ano"
    ):
        make_runs(plan, tmp_path, progress=lambda result, done, total: seen.append(done))
    assert seen == [], "before the first run"
    with pytest.raises(ValueError, match="'fp16' scales its loss on a GPU"):
        finetune(plan, tmp_path)
    assert list(tmp_path.iterdir()) == [], "no folder that only such runs can go into"


def test_hardware_without_bf16_is_told_before_the_first_run(films, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    monkeypatch.setattr(precision.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    with pytest.raises(ValueError, match=r"'bf16': this processor has none of its instructions \(avx512_bf"):
        make_runs(plan_of(*films, BF16), tmp_path)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"'bf16': torch .* was built without oneDNN"):
        check_precision("bf16", "cpu")


def test_onednn_itself_is_asked() -> None:
    """Where it may use no newer instructions than AVX2, it has no bfloat16, whatever the processor has."""
    code = "from dither.bench.runs.precision import check_precision; check_precision('bf16', 'cpu')"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "ValueError: train.precision = 'bf16': oneDNN finds no instructions for it" in done.stderr


def test_a_launcher_that_asks_for_another_precision_is_refused(films, monkeypatch) -> None:
    (request,) = requests_of(*films, SHORT).values()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(ValueError, match=r"is 'float32' and ACCELERATE_MIXED_PRECISION .* is 'bf16'"):
        run(request)
    monkeypatch.setattr(precision, "_without_bf16", lambda device: "")
    check_precision("bf16", "cpu")


def test_weights_of_another_dtype_have_no_precision_of_training(films) -> None:
    with pytest.raises(
        ValueError, match=r"computes with float32 weights, and --dtype is bfloat16; leave one"
    ):
        plan_of(*films, BF16, dtype="bfloat16")
