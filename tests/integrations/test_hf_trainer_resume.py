"""Resume from the Trainer's own checkpoints: exact, or refused with the reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_trainer import STEPS, differing, losses, tiny_model, tiny_trainer, trained, weights
from transformers import Trainer

import dither
from dither import PATS, NoisyTune
from dither.attachment import AVERAGE, base_optimizer
from dither.integrations.hf_trainer import NoiseCallback
from dither.steps import KEY

SAVING = {"save_strategy": "steps", "save_steps": 1}
METHODS: dict[str, tuple[Any, ...]] = {
    "none": (),
    "noisytune": (NoisyTune(),),
    "pats": (PATS(noise_lambda=0.5),),
    "both": (NoisyTune(), PATS(noise_lambda=0.5, vectors=True, across="model", every=2)),
}
RUNS = [
    *((name, {}) for name in METHODS),
    ("both", {"dtype": torch.bfloat16}),
    ("pats", {"dtype": torch.bfloat16}),
    ("both", {"optim": "adafactor"}),
    ("both", {"optim": "sgd", "learning_rate": 0.1}),
    ("both", {"gradient_accumulation_steps": 2}),
    ("both", {"bf16": True}),
]


@pytest.fixture(scope="module", params=RUNS, ids=lambda run: "-".join([run[0], *map(str, run[1].values())]))
def uninterrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A whole run with a checkpoint at each step, how to make its Trainer again, and its last weights."""
    name, changes = request.param
    changes = dict(changes)
    dtype = changes.pop("dtype", torch.float32)
    folder = tmp_path_factory.mktemp("run")

    def again(model_seed: int) -> Trainer:
        model = tiny_model(model_seed, dtype)
        return tiny_trainer(folder, [NoiseCallback(*METHODS[name])], model=model, **SAVING, **changes)

    trainer = again(5)
    trainer.train()
    kept = tmp_path_factory.mktemp("kept") / "run"
    shutil.copytree(folder, kept)
    return trainer, again, kept


def optimizer_tensors(trainer: Trainer) -> dict[str, torch.Tensor]:
    """The state of every parameter, averages included."""
    states = base_optimizer(trainer.optimizer).state_dict()["state"]
    return {
        f"{index}.{key}": torch.as_tensor(value)
        for index, state in states.items()
        for key, value in state.items()
        if value is not None
    }


@pytest.mark.parametrize("step", [1, 5, 7])  # in the warm-up, between two epochs, within one
def test_a_resumed_run_ends_bit_for_bit_like_the_uninterrupted(uninterrupted: Any, step: int) -> None:
    """Fresh model with other first weights, fresh callback, fresh Trainer; dropout is on."""
    whole, again, kept = uninterrupted
    resumed = again(6)
    resumed.train(resume_from_checkpoint=str(kept / f"checkpoint-{step}"))
    assert differing(weights(resumed.model), weights(whole.model)) == []
    assert losses(resumed) == losses(whole)
    assert len(losses(whole)) == STEPS
    assert len(set(losses(whole))) > 3  # in bfloat16 many are equal
    assert differing(optimizer_tensors(resumed), optimizer_tensors(whole)) == []
    groups = [base_optimizer(run.optimizer).param_groups for run in (whole, resumed)]
    assert [group.get(KEY) for group in groups[0]] == [group.get(KEY) for group in groups[1]]


def test_a_resumed_model_carries_the_mark(tmp_path: Path) -> None:
    first = trained(tmp_path, [NoiseCallback(NoisyTune())], **SAVING)
    callback = NoiseCallback(NoisyTune())
    second = tiny_trainer(tmp_path, [callback], model=tiny_model(6), **SAVING)
    second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert second.model.config.dither == first.model.config.dither
    record = callback.records["noisytune"]
    assert record.message == "resumed: the checkpoint's weights carry the noise, nothing was done"
    assert record.counts()["noised"] == 0
    entries = [row for row in second.state.log_history if "dither_noisytune_recipe" in row]
    assert len(entries) == 1
    assert entries[0]["dither_noisytune_tensors"] == 17.0


def test_a_bfloat16_average_travels_as_bfloat16(tmp_path: Path) -> None:
    model = tiny_model(dtype=torch.bfloat16)
    trainer = trained(tmp_path, [NoiseCallback(PATS())], model=model)
    states = base_optimizer(trainer.optimizer).state.values()
    assert {state[AVERAGE].dtype for state in states if AVERAGE in state} == {torch.bfloat16}


WRONG = {
    "another strength": (
        (NoisyTune(),),
        (NoisyTune(noise_lambda=0.2),),
        r"NoisyTune recipe \w+, now recipe \w+",
    ),
    "another seed": (
        (NoisyTune(seed=1),),
        (NoisyTune(seed=2),),
        r"with NoisyTune recipe \w+, now recipe \w+",
    ),
    "no NoisyTune before": ((), (NoisyTune(),), r"without NoisyTune, now recipe \w+ is asked for"),
    "no NoisyTune now": ((NoisyTune(),), (), r"with NoisyTune recipe \w+, now no NoisyTune is asked for"),
    "other PATS": ((PATS(),), (PATS(beta=0.9),), r"with PATS recipe \w+, now recipe \w+ is asked for"),
    "no PATS before": ((NoisyTune(),), (NoisyTune(), PATS()), r"without PATS, now recipe \w+ is asked for"),
    "no PATS now": ((PATS(),), (), r"with PATS recipe \w+, now no PATS is asked for"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_checkpoint_of_other_methods_or_settings_is_refused(tmp_path: Path, case: str) -> None:
    first, second, message = WRONG[case]
    trained(tmp_path, [NoiseCallback(*first)], **SAVING, max_steps=2)
    model = tiny_model(6)
    trainer = tiny_trainer(tmp_path, [NoiseCallback(*second)], model=model, **SAVING, max_steps=2)
    with pytest.raises(ValueError, match=message) as caught:
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert "training resumes at step 1 from a checkpoint" in str(caught.value)
    assert "the settings and the seed of the first start" in str(caught.value)
    assert not base_optimizer(trainer.optimizer)._optimizer_step_post_hooks


def test_another_seed_of_the_arguments_is_refused(tmp_path: Path) -> None:
    trained(tmp_path, [NoiseCallback(PATS())], **SAVING, max_steps=2, seed=3)
    trainer = tiny_trainer(tmp_path, [NoiseCallback(PATS())], **SAVING, max_steps=2, seed=4)
    with pytest.raises(ValueError, match=r"with PATS recipe \w+, now recipe \w+ is asked for"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


@pytest.mark.parametrize("methods", [(NoisyTune(),), (PATS(),)])
def test_a_checkpoint_written_without_the_callback_is_refused(tmp_path: Path, methods: Any) -> None:
    """Also with SGD, whose optimizer holds no state that could be missing."""
    trained(tmp_path, **SAVING, max_steps=2, optim="sgd")
    trainer = tiny_trainer(tmp_path, [NoiseCallback(*methods)], **SAVING, max_steps=2, optim="sgd")
    with pytest.raises(ValueError, match=r"from a checkpoint without (NoisyTune|PATS), now recipe"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_noisytune_resumes_from_weights_alone(tmp_path: Path, caplog) -> None:
    """The checkpoint's weights carry the noise; that the optimizer starts afresh is the Trainer's own way."""
    trained(tmp_path, [NoiseCallback(NoisyTune())], **SAVING, save_only_model=True)
    trainer = tiny_trainer(tmp_path, [NoiseCallback(NoisyTune())], model=tiny_model(6), **SAVING)
    seen: list[dict[str, torch.Tensor]] = []
    trainer.model.register_forward_pre_hook(lambda module, inputs: seen.append(weights(module)))
    checkpoint = tmp_path / "checkpoint-5"
    trainer.train(resume_from_checkpoint=str(checkpoint))
    saved = type(trainer.model).from_pretrained(checkpoint)
    assert differing(seen[0], weights(saved)) == []


def test_pats_refuses_weights_alone(tmp_path: Path) -> None:
    trained(tmp_path, [NoiseCallback(PATS())], **SAVING, save_only_model=True, max_steps=2)
    trainer = tiny_trainer(tmp_path, [NoiseCallback(PATS())], **SAVING, max_steps=2)
    with pytest.raises(ValueError, match=r"saved with save_only_model=True\. Resume from a whole checkpoint"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_a_longer_run_goes_on_with_a_warning_of_the_dose(tmp_path: Path, caplog) -> None:
    trained(tmp_path, [NoiseCallback(PATS())], **SAVING, max_steps=3)
    trainer = tiny_trainer(tmp_path, [callback := NoiseCallback(PATS())], **SAVING, max_steps=6)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert (
        "total_steps is 6, and the run that the state is of was planned for 3: its doses stay" in caplog.text
    )
    assert callback.handle is not None
    assert callback.handle.step == 6
    assert callback.records["pats"].dose_given > 1.2
    assert caplog.text.count("after step 6 of 3 the noise has 1.12 times the dose") == 1
    caplog.clear()
    per_step = PATS(per_step=True)
    trained(tmp_path / "raw", [NoiseCallback(per_step)], **SAVING, max_steps=3)
    trainer = tiny_trainer(tmp_path / "raw", [NoiseCallback(per_step)], **SAVING, max_steps=6)
    trainer.train(resume_from_checkpoint=str(tmp_path / "raw" / "checkpoint-3"))
    assert "PATS" not in caplog.text


def test_a_longer_run_of_the_rule_of_before_changes_its_doses_and_says_so(tmp_path: Path, caplog) -> None:
    method = PATS(schedule="linear")
    trained(tmp_path, [NoiseCallback(method)], **SAVING, max_steps=2)
    trainer = tiny_trainer(tmp_path, [NoiseCallback(PATS())], **SAVING, max_steps=4)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    said = "planned for 2 optimizer steps and goes on as one of 4, so its dose per step changes"
    assert caplog.text.count(said) == 1
    assert caplog.text.count("goes on under that rule, as PATS(schedule='linear') does") == 1


def test_every_checkpoint_holds_the_records(tmp_path: Path) -> None:
    callback = NoiseCallback(NoisyTune(), PATS())
    trained(tmp_path, [callback], **SAVING, max_steps=2)
    stored = json.loads((tmp_path / "checkpoint-2" / "dither.json").read_text())
    assert {family: dither.Record.from_json(row) for family, row in stored.items()} == callback.records
    assert not list(tmp_path.rglob("*.partial"))
