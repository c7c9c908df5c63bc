"""`auto_find_batch_size`: the Trainer starts over on the same weights after running out of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_trainer import STEPS, differing, losses, tiny_model, tiny_trainer, trained, weights
from transformers import Trainer

import dither
from dither import PATS, NoisyTune
from dither.attachment import AVERAGE, base_optimizer
from dither.integrations.hf_trainer import NoiseCallback
from dither.steps import KEY


class ShortOfMemory(Trainer):
    """Runs out of memory at some of its training steps, counted over all starts."""

    fails_at: tuple[int, ...] = ()

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.calls = 0
        self.starts: list[dict[str, torch.Tensor]] = []
        self.crashes: list[dict[str, torch.Tensor]] = []
        self.averages: list[int] = []

    def training_step(self, model, inputs, num_items_in_batch=None):
        if self.state.global_step == 0:
            self.starts.append(weights(model))
            states = base_optimizer(self.optimizer).state.values()
            self.averages.append(sum(AVERAGE in state for state in states))
        self.calls += 1
        if self.calls in self.fails_at:
            self.crashes.append(weights(model))
            raise RuntimeError("CUDA out of memory.")
        return super().training_step(model, inputs, num_items_in_batch)


def short_of_memory(*calls: int) -> type[ShortOfMemory]:
    return type("Short", (ShortOfMemory,), {"fails_at": calls})


def test_out_of_memory_in_the_first_steps_noises_once(tmp_path: Path) -> None:
    """Two starts fail before any step, and the third is a run like any other with that batch size."""
    callback = NoiseCallback(NoisyTune(), PATS())
    kind = short_of_memory(1, 2)
    trainer = tiny_trainer(tmp_path, [callback], kind=kind, auto_find_batch_size=True)
    trainer.train()
    copy = tiny_model()
    dither.noisytune_(copy, seed=3)
    assert len(trainer.starts) == 3
    for start in trainer.starts:
        assert differing(start, weights(copy)) == []
    assert trainer.averages == [0, 0, 0]
    assert callback.handle is not None
    assert callback.handle.step == STEPS
    assert callback.records["noisytune"].counts()["noised"] == 17


def test_out_of_memory_after_some_steps_starts_our_state_afresh(tmp_path: Path) -> None:
    """The Trainer goes on with the weights it has; NoisyTune stays out, PATS starts over with a new T."""
    callback = NoiseCallback(NoisyTune(), PATS())
    changes = {"max_steps": -1, "num_train_epochs": 2, "auto_find_batch_size": True}
    trainer = tiny_trainer(tmp_path, [callback], kind=short_of_memory(5), **changes)
    trainer.train()
    inner = base_optimizer(trainer.optimizer)
    assert differing(trainer.starts[1], trainer.crashes[0]) == []
    assert len(differing(trainer.starts[0], trainer.crashes[0])) > 17
    assert trainer.averages == [0, 0]  # four steps of the first start left none behind
    assert callback.handle is not None
    assert callback.handle.total_steps == trainer.state.max_steps == 14  # 20 rows by 3, twice; by 4 it was 10
    assert [group[KEY]["step"] for group in inner.param_groups] == [14, 14]
    recipes = [row for row in trainer.state.log_history if "dither_noisytune_recipe" in row]
    assert len(recipes) == 1


def test_noise_during_training_is_not_doubled_by_a_second_start(tmp_path: Path) -> None:
    """One hook per step: the second start takes the place of the first, and the end takes it away."""
    counts = []

    class Watched(short_of_memory(3)):  # type: ignore[misc]
        def training_step(self, *args, **kwargs):
            counts.append(len(base_optimizer(self.optimizer)._optimizer_step_post_hooks))
            return super().training_step(*args, **kwargs)

    trainer = tiny_trainer(tmp_path, [NoiseCallback(PATS())], kind=Watched, auto_find_batch_size=True)
    trainer.train()
    assert set(counts) == {1}
    assert len(base_optimizer(trainer.optimizer)._optimizer_step_post_hooks) == 0


@pytest.mark.parametrize("calls", [(1,), (3, 5)])
def test_out_of_memory_after_resuming_never_noises_again(tmp_path: Path, calls: tuple[int, ...]) -> None:
    """The second start reads the checkpoint's optimizer again, so PATS goes on from there."""
    saving = {"save_strategy": "steps", "save_steps": 4, "auto_find_batch_size": True}
    trained(tmp_path, [NoiseCallback(NoisyTune(), PATS())], **saving)
    callback = NoiseCallback(NoisyTune(), PATS())
    trainer = tiny_trainer(tmp_path, [callback], kind=short_of_memory(*calls), **saving)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert len(trainer.crashes) == len(calls)
    assert callback.handle is not None
    assert callback.handle.step == STEPS
    assert callback.records["noisytune"].counts()["noised"] == 0
    assert len(losses(trainer)) == STEPS
