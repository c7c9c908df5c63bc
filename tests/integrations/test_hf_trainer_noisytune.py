"""NoisyTune in the Trainer: applied once, before the first step, to the right weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_trainer import Sentences, differing, tiny_config, tiny_model, tiny_trainer, trained, weights
from transformers import AutoModelForSequenceClassification, BertForMaskedLM, TrainerCallback

import dither
from dither import NoisyTune
from dither.integrations.hf_trainer import NoiseCallback
from dither.marks import ModelMarks


class Starts(TrainerCallback):
    """The weights at the first step of every `train()`; stands after the NoiseCallback."""

    def __init__(self) -> None:
        self.models: list[torch.nn.Module] = []
        self.weights: list[dict[str, torch.Tensor]] = []
        self.fresh = True

    def on_train_begin(self, args, state, control, **kwargs):
        self.fresh = True

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if self.fresh:
            self.models.append(model)
            self.weights.append(weights(model))
            self.fresh = False


def noised(model: torch.nn.Module, **settings: object) -> dict[str, torch.Tensor]:
    dither.noisytune_(model, **settings)
    return weights(model)


def test_the_first_forward_sees_the_weights_that_noisytune_makes(tmp_path: Path) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    model = tiny_model()
    model.register_forward_pre_hook(lambda module, inputs: seen.append(weights(module)))
    trained(tmp_path, [NoiseCallback(NoisyTune(noise_lambda=0.2))], model=model, max_steps=2)
    expected = noised(tiny_model(), noise_lambda=0.2, seed=3)
    assert differing(seen[0], expected) == []
    assert len(differing(weights(tiny_model()), expected)) == 17
    assert differing(seen[1], seen[0]) == []  # the first step of the warm-up has the learning rate 0


def test_an_explicit_seed_wins_over_that_of_the_arguments(tmp_path: Path) -> None:
    starts = Starts()
    callback = NoiseCallback(NoisyTune(seed=77))
    trained(tmp_path, [callback, starts], seed=3, max_steps=1)
    assert differing(starts.weights[0], noised(tiny_model(), seed=77)) == []
    assert callback.records["noisytune"].recipe["seed"] == 77


def test_nine_seeds_of_the_arguments_are_nine_draws(tmp_path: Path) -> None:
    draws = []
    for seed in range(9):
        starts = Starts()
        trained(tmp_path, [NoiseCallback(NoisyTune()), starts], seed=seed, max_steps=1)
        assert differing(starts.weights[0], noised(tiny_model(), seed=seed)) == []
        draws.append(starts.weights[0]["bert.pooler.dense.weight"].numpy().tobytes())
    assert len(set(draws)) == 9


def test_a_second_train_goes_on_without_a_second_noise(tmp_path: Path, caplog) -> None:
    starts = Starts()
    callback = NoiseCallback(NoisyTune())
    trainer = trained(tmp_path, [callback, starts], max_steps=3)
    middle, record = weights(trainer.model), callback.records["noisytune"]
    trainer.train()
    assert differing(starts.weights[1], middle) == []
    assert "already noised with recipe" in caplog.text
    assert callback.records["noisytune"] is record
    assert trainer.state.log_history[0]["dither_noisytune_tensors"] == 17.0
    assert trainer.state.log_history[0]["dither_noisytune_noise_rms"] > 0


def test_a_second_train_with_another_seed_is_refused_by_name(tmp_path: Path) -> None:
    trainer = trained(tmp_path, [NoiseCallback(NoisyTune())], max_steps=1)
    trainer.args.seed = 4
    with pytest.raises(ValueError, match=r"was noised before with recipe \w+, now \w+ is asked for"):
        trainer.train()


@pytest.mark.parametrize("shared", [False, True])
def test_every_model_of_model_init_gets_its_noise(tmp_path: Path, shared: bool) -> None:
    """As in a search for settings; the models may share one config object, which carries the mark."""
    config = tiny_config()

    def fresh() -> torch.nn.Module:
        model = tiny_model()
        model.config = config if shared else model.config
        return model

    starts = Starts()
    callback = NoiseCallback(NoisyTune())
    trainer = tiny_trainer(tmp_path, [callback, starts], model_init=fresh, max_steps=2)
    for seed in (3, 4):
        trainer.args.seed = seed
        trainer.train()
        assert callback.records["noisytune"].recipe["seed"] == seed
        assert callback.records["noisytune"].counts()["noised"] == 17
    assert starts.models[0] is not starts.models[1]
    for start, seed in zip(starts.weights, (3, 4), strict=True):
        assert differing(start, noised(tiny_model(), seed=seed)) == []


def test_tied_weights_are_noised_once_and_stay_tied(tmp_path: Path) -> None:
    model = BertForMaskedLM(tiny_config())
    word = model.bert.embeddings.word_embeddings.weight
    assert model.cls.predictions.decoder.weight is word
    before, starts = word.detach().clone(), Starts()
    callback = NoiseCallback(NoisyTune(noise_lambda=0.2))
    trainer = tiny_trainer(tmp_path, [callback, starts], model=model, max_steps=2)
    trainer.data_collator = lambda rows: {
        name: torch.stack([row["input_ids"] for row in rows]) for name in ("input_ids", "labels")
    }
    trainer.train()
    bound = 0.2 / 2 * before.std()
    change = starts.weights[0]["bert.embeddings.word_embeddings.weight"] - before
    assert 0.95 * bound < change.abs().max() <= bound  # twice would reach further
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    assert callback.records["noisytune"].skipped()["tied"] == 2


def test_the_best_model_at_the_end_is_the_saved_one(tmp_path: Path) -> None:
    callback = NoiseCallback(NoisyTune(), dither.PATS())
    saving = {"save_strategy": "steps", "save_steps": 3, "eval_strategy": "steps", "eval_steps": 3}
    trainer = trained(tmp_path, [callback], **saving, load_best_model_at_end=True)
    best = AutoModelForSequenceClassification.from_pretrained(trainer.state.best_model_checkpoint)
    assert differing(weights(trainer.model), weights(best)) == []
    trainer.evaluate()
    assert differing(weights(trainer.model), weights(best)) == []


def test_the_mark_is_in_the_saved_config_and_survives_loading(tmp_path: Path) -> None:
    callback = NoiseCallback(NoisyTune())
    trainer = trained(tmp_path / "run", [callback], max_steps=2)
    trainer.save_model(str(tmp_path / "final"))
    mark = json.loads((tmp_path / "final" / "config.json").read_text())["dither"]
    record = callback.records["noisytune"]
    assert mark == [{"hash": record.recipe_hash, "recipe": json.loads(json.dumps(record.recipe))}]
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "final")
    assert loaded.config.dither == mark
    assert [row["hash"] for row in ModelMarks(loaded).read()] == [record.recipe_hash]
    assert "nothing was done" in dither.noisytune_(loaded, seed=3).message
    with pytest.raises(ValueError, match="was noised before with recipe"):
        dither.noisytune_(loaded, seed=4)


def test_methods_of_the_wrong_kind_or_number_are_refused() -> None:
    with pytest.raises(TypeError, match=r"takes dither\.NoisyTune and dither\.PATS objects one by one"):
        NoiseCallback(0.15)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"not <class 'dither\.methods\.noisytune\.NoisyTune'>"):
        NoiseCallback(NoisyTune)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="takes one NoisyTune, 2 were given"):
        NoiseCallback(NoisyTune(), NoisyTune(seed=1))


def test_the_data_really_fill_more_than_one_epoch() -> None:
    assert len(Sentences()) % 4 == 0
    assert len(Sentences()) // 4 < 12
