"""Pairing: strength 0 is plain training, and all methods of one seed see the same data and dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_trainer import STEPS, Collator, differing, losses, tiny_model, tiny_trainer, trained, weights
from transformers import Trainer, TrainerCallback

from dither import PATS, NoisyTune
from dither.attachment import AVERAGE, base_optimizer
from dither.integrations.hf_trainer import NoiseCallback
from dither.methods.plain import Plain
from dither.steps import KEY

PLAIN = {
    "no method": (),
    "none": (Plain(),),
    "noisytune at 0": (NoisyTune(noise_lambda=0.0),),
    "pats at 0": (PATS(noise_lambda=0.0),),
    "both at 0": (NoisyTune(noise_lambda=0.0), PATS(noise_lambda=0.0, vectors=True)),
}
METHODS = {"noisytune": (NoisyTune(),), "pats": (PATS(),), "both": (NoisyTune(), PATS(noise_lambda=1.0))}


def optimizer_state(trainer: Trainer) -> tuple[dict[str, torch.Tensor], list[str]]:
    """All tensors and all settings of the optimizer, without those of dither."""
    saved = base_optimizer(trainer.optimizer).state_dict()
    tensors = {
        f"{index}.{name}": value
        for index, state in saved["state"].items()
        for name, value in state.items()
        if name != AVERAGE
    }
    groups = [repr({k: v for k, v in group.items() if k != KEY}) for group in saved["param_groups"]]
    return tensors, groups


EVALUATED: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 5}


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def without(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Training without dither."""
    return trained(tmp_path_factory.mktemp("run"), model=tiny_model(dtype=request.param), **EVALUATED)


def evaluations(trainer: Trainer) -> list[float]:
    return [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]


@pytest.mark.parametrize("name", PLAIN)
def test_zero_strength_is_training_without_dither(tmp_path: Path, name: str, without: Trainer) -> None:
    model = tiny_model(dtype=without.model.dtype)
    zero = trained(tmp_path, [NoiseCallback(*PLAIN[name])], model=model, **EVALUATED)
    assert differing(weights(without.model), weights(zero.model)) == []
    assert losses(without) == losses(zero)
    (tensors, groups), (expected, expected_groups) = optimizer_state(zero), optimizer_state(without)
    assert differing(tensors, expected) == []
    assert groups == expected_groups
    assert evaluations(zero) == evaluations(without) != []
    assert getattr(zero.model.config, "dither", None) is None


def test_plain_training_leaves_no_trace_at_all(tmp_path: Path) -> None:
    trainer = trained(tmp_path, [callback := NoiseCallback()], save_strategy="steps", save_steps=6)
    assert callback.records == {}
    assert not [key for row in trainer.state.log_history for key in row if "dither" in key]
    assert not (tmp_path / "checkpoint-6" / "dither.json").exists()
    assert KEY not in base_optimizer(trainer.optimizer).param_groups[0]


def test_plain_training_accepts_what_noise_cannot_serve(tmp_path: Path) -> None:
    """The callback of plain training looks at nothing, so it may stand where noise could not."""

    class Other(Trainer):
        def create_optimizer(self, model=None):
            return torch.nn.Identity()  # as the optimizers of other engines, not torch's

    callback = NoiseCallback()
    trainer = tiny_trainer(tmp_path, kind=Other)
    kwargs = {"model": trainer.model, "optimizer": trainer.create_optimizer()}
    callback.on_train_begin(trainer.args, trainer.state, trainer.control, **kwargs)
    callback.on_train_end(trainer.args, trainer.state, trainer.control, **kwargs)


class Watch(TrainerCallback):
    """The global generator before each step decides the masks of dropout; also keeps one mask per step."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.generators: list[bytes] = []
        self.masks: list[bytes] = []
        dropout = model.get_submodule("bert.embeddings.dropout")
        dropout.register_forward_hook(lambda module, inputs, output: self.keep(output))

    def keep(self, output: torch.Tensor) -> None:
        self.masks.append((output == 0).numpy().tobytes())

    def on_step_begin(self, args, state, control, **kwargs):
        self.generators.append(torch.get_rng_state().numpy().tobytes())


def watched(folder: Path, *methods: Any, seed: int = 3) -> tuple[Watch, Collator, Trainer]:
    model = tiny_model()
    watch = Watch(model)
    trainer = trained(folder, [NoiseCallback(*methods), watch], model=model, seed=seed)
    return watch, trainer.data_collator, trainer


@pytest.mark.parametrize("name", METHODS)
def test_data_order_and_dropout_are_those_of_plain_training(tmp_path: Path, name: str) -> None:
    plain, plain_data, plain_run = watched(tmp_path)
    noisy, noisy_data, noisy_run = watched(tmp_path, *METHODS[name])
    assert noisy_data.seen == plain_data.seen
    assert noisy.generators == plain.generators
    assert noisy.masks == plain.masks
    assert len(plain.masks) == len(set(plain.masks)) == STEPS
    assert losses(noisy_run) != losses(plain_run)
    assert len(differing(weights(noisy_run.model), weights(plain_run.model))) > 17


def test_another_seed_has_another_order_and_other_masks(tmp_path: Path) -> None:
    """What the test above compares is not constant."""
    one, one_data, _ = watched(tmp_path, seed=3)
    two, two_data, _ = watched(tmp_path, seed=4)
    assert one_data.seen != two_data.seen
    assert not set(one.masks) & set(two.masks)


def test_nine_seeds_are_nine_different_noises_of_pats(tmp_path: Path) -> None:
    """Equal order and dropout (the explicit seed moves the noise alone), and nine results."""
    results = set()
    for seed in range(9):
        trainer = trained(tmp_path, [NoiseCallback(PATS(seed=seed))], max_steps=3)
        results.add(weights(trainer.model)["bert.pooler.dense.weight"].numpy().tobytes())
    assert len(results) == 9
    automatic = trained(tmp_path, [callback := NoiseCallback(PATS())], max_steps=4, seed=8)
    assert callback.records["pats"].recipe["seed"] == automatic.args.seed == 8


def test_a_callback_without_methods_says_that_training_is_plain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from types import SimpleNamespace

    state, nothing = SimpleNamespace(global_step=1, log_history=[]), SimpleNamespace(seed=0, world_size=1)
    NoiseCallback().on_train_begin(nothing, state, None, model=None, optimizer=None)
    assert "NoiseCallback has no methods: this is plain training" in caplog.text
