"""One run: its score, its failures, and that it is the same to the last bit."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_encoder import requests_of, save_encoder, write_task
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer

from dither.bench.models.loading import load_tokenizer
from dither.bench.runs import encoding, training
from dither.bench.runs.run import run
from dither.record import Record


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("run") / "encoder")


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Path:
    return write_task(tmp_path_factory.mktemp("run") / "task")


QUICK = "train.epochs=2"


def made(task: Path, encoder: Path, *settings: str, method: str = "none", seed: int = 0, **options):
    """The result of one run."""
    requests = requests_of(task, encoder, *settings, methods=(method,), seeds=(seed,), **options)
    return run(requests[method, seed])


@pytest.fixture(scope="module")
def plain(task, encoder):
    return made(task, encoder, seed=1)


def test_a_run_tells_all_that_came_out(task, encoder, plain):
    assert (plain.status, plain.failure) == ("finished", None)
    assert plain.score == 100 * plain.metrics["validation"]["accuracy"] > plain.constant_score == 50
    assert len(plain.predictions["validation"]) == 12
    assert plain.record is None
    assert plain.environment["threads"] == torch.get_num_threads() == 1
    assert {"torch", "transformers", "dither", "python", "cpu", "device"} <= plain.environment.keys()
    assert 50 < plain.peak_memory_mb < 50_000
    assert plain.seconds > 0
    assert all(math.isfinite(row.get("loss", row.get("train_loss"))) for row in plain.history)
    assert str(task.parent) not in json.dumps(plain.environment)


@pytest.mark.parametrize("method", ["none", "noisytune", "pats"])
def test_the_same_request_gives_the_same_bits(task, encoder, method):
    request = requests_of(task, encoder, QUICK, "pats.beta=0.5", methods=("none", "noisytune", "pats"))[
        method, 0
    ]
    first, second = (run(request) for _ in range(2))
    assert first.predictions == second.predictions
    assert [row["loss"] for row in first.history if "loss" in row] == [
        row["loss"] for row in second.history if "loss" in row
    ]
    assert first.record == second.record


def weights_of(request, folder: Path) -> dict[str, torch.Tensor]:
    """The weights that a run ends with."""
    from safetensors.torch import load_file

    run(replace(request, output_dir=str(folder)))
    return load_file(folder / "model.safetensors")


def equal(left, right) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_none_is_plain_trainer_bit_for_bit(task, encoder, tmp_path):
    """Written without dither: only transformers and the recipe."""
    request = requests_of(task, encoder, QUICK)["none", 0]
    tokenizer, encoded = load_tokenizer(request.source), encoding.encode(request)
    trainer = Trainer(
        model_init=lambda: AutoModelForSequenceClassification.from_pretrained(
            encoder, num_labels=2, problem_type="single_label_classification"
        ),
        args=replace(training._arguments(request, has_gpu=False), output_dir=str(tmp_path / "plain")),
        train_dataset=encoded.features["train"],
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    torch.set_num_threads(1)
    trainer.train()
    plain = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    assert equal(plain, weights_of(request, tmp_path / "none"))


@pytest.mark.parametrize("method", ["none-again", "noisytune", "noisytune-gaussian", "pats", "pats-idle"])
def test_strength_zero_is_plain_training(task, encoder, tmp_path, method):
    settings = [] if method == "none-again" else [f"{method}.noise_lambda=0"]
    request = requests_of(task, encoder, QUICK, *settings, methods=(method,))[method, 0]
    plain = weights_of(requests_of(task, encoder, QUICK)["none", 0], tmp_path / "none")
    assert equal(plain, weights_of(request, tmp_path / method))


def test_the_seed_sets_order_head_dropout_and_noise(task, encoder, tmp_path):
    requests = requests_of(task, encoder, QUICK, methods=("none", "noisytune"), seeds=(0, 1))
    for method in ("none", "noisytune"):
        losses = {
            seed: [row["train_loss"] for row in run(requests[method, seed]).history if "train_loss" in row]
            for seed in (0, 1)
        }
        assert losses[0] != losses[1]
    recipes = [json.dumps(run(requests["noisytune", seed]).record) for seed in (0, 1)]
    assert recipes[0] != recipes[1]


def test_the_record_says_what_was_noised(task, encoder):
    for method in ("noisytune", "pats"):
        result = made(task, encoder, QUICK, method=method)
        record = Record.from_json(result.record[method])
        assert record.counts()["noised"] > 3
        assert record.root_mean_square("effective") > 0


def test_a_run_that_diverges_fails_with_a_reason(task, tmp_path):
    wild = save_encoder(tmp_path / "wild", initializer_range=1e25)
    result = made(task, wild, "train.learning_rate=1.0")
    assert result.status == "failed"
    assert result.failure.startswith(("the training loss is not finite at step", "outputs on validation"))
    assert math.isfinite(result.score)


@pytest.mark.parametrize("method", ["noisytune", "pats"])
def test_noise_that_destroys_the_model_fails_with_a_reason(task, encoder, method):
    result = made(task, encoder, QUICK, f"{method}.noise_lambda=1e38", method=method)
    assert result.status == "failed"
    assert "not finite" in result.failure or "not above the constant" in result.failure


def test_what_learns_nothing_fails_with_a_reason(task, encoder):
    result = made(task, encoder, "train.learning_rate=1e-12")
    assert result.status == "failed"
    assert result.failure == (
        f"score {result.score:.2f} is not above the constant predictor's {result.constant_score:.2f}"
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_runs(task, encoder, dtype):
    assert made(task, encoder, QUICK, method="pats", dtype=dtype).score is not None


def test_threads_are_honoured(task, encoder):
    try:
        assert made(task, encoder, "train.epochs=1", threads=2).environment["threads"] == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_predictions_do_not_depend_on_the_batch(task, encoder, plain, monkeypatch):
    monkeypatch.setattr(training, "EVALUATION_BATCH", 1)
    assert made(task, encoder, seed=1).predictions == plain.predictions


def test_data_that_changed_after_the_plan_are_refused(encoder, tmp_path):
    task = write_task(tmp_path / "task", train=20)
    request = requests_of(task, encoder)["none", 0]
    rows = (tmp_path / "task" / "train.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "task" / "train.jsonl").write_text("".join(rows[1:]))
    with pytest.raises(
        ValueError, match=r"the data of task 'mine/films' changed since .* put the old files back"
    ):
        run(request)
    assert run(requests_of(task, encoder)["none", 0]).score is not None


def test_two_folders_with_one_task_are_two_data_sets(task, encoder, tmp_path, plain):
    shutil.copytree(task.parent, tmp_path / "copy")
    (tmp_path / "copy" / "validation.jsonl").write_text('{"text": "good", "label": 1}\n')
    assert len(made(tmp_path / "copy" / task.name, encoder).predictions["validation"]) == 1
    assert made(task, encoder, seed=1).predictions == plain.predictions


def test_an_encoder_decoder_with_further_outputs_runs(task, encoder, tmp_path):
    from tiny_encoder import tokenizer
    from transformers import BartConfig, BartModel

    sizes = {f"{part}_{what}": 1 for part in ("encoder", "decoder") for what in ("layers", "attention_heads")}
    sizes |= {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "d_model": 16, "max_position_embeddings": 64}
    tokens = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BartModel(BartConfig(vocab_size=22, **sizes, **tokens)).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    assert len(made(task, tmp_path, QUICK).predictions["validation"]) == 12
