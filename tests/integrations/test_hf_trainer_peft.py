"""LoRA models of PEFT: what the adapter saves, what it does not, and how a run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tiny_trainer import STEPS, differing, losses, tiny_model, tiny_trainer, trained, weights

import dither
from dither import PATS, NoisyTune
from dither.attachment import base_optimizer
from dither.integrations.hf_checkpoints import latest_checkpoint
from dither.integrations.hf_trainer import NoiseCallback

# PEFT 0.21 asks for properties that transformers 5.23 has renamed; both keep working.
pytestmark = pytest.mark.filterwarnings("ignore:`.*gradient_checkpointing.*` is deprecated:FutureWarning")

SAVING = {"save_strategy": "steps", "save_steps": 4}
METHODS: dict[str, tuple[Any, ...]] = {
    "noisytune": (NoisyTune(),),
    "frozen": (NoisyTune(frozen=True),),
    "pats": (PATS(noise_lambda=0.5),),
    "both": (NoisyTune(frozen=True), PATS(noise_lambda=0.5)),
}


def lora(adapter_seed: int = 0) -> PeftModel:
    """The same base for every seed; the seed draws the adapter's first values. The head is trained whole."""
    settings = LoraConfig(
        r=2, lora_dropout=0.1, target_modules=["query", "value"], modules_to_save=["classifier"]
    )
    with torch.random.fork_rng():
        torch.manual_seed(adapter_seed)
        return get_peft_model(tiny_model(), settings)


def frozen(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: row.detach().clone() for name, row in model.named_parameters() if not row.requires_grad}


def test_noise_goes_to_the_adapter_and_the_trained_head(tmp_path: Path) -> None:
    callback = NoiseCallback(NoisyTune(), PATS())
    trainer = trained(tmp_path, [callback], model=lora())
    expected = sum("lora_" in name or "modules_to_save" in name for name in weights(trainer.model)) - 1
    rows = callback.records["noisytune"].tensors
    assert {row.reason for row in rows if not row.noised} == {"frozen", "constant"}  # lora_B is zero
    assert [row.name for row in rows if row.noised] == [
        name for name in (row.name for row in rows) if "lora_A" in name
    ] + ["head:classifier.modules_to_save.weight"]
    assert expected == 9
    assert differing(frozen(trainer.model), frozen(lora())) == []
    assert callback.records["pats"].root_mean_square() > 0


@pytest.mark.parametrize("name", METHODS)
def test_an_adapter_resumes_bit_for_bit(tmp_path: Path, name: str) -> None:
    """The frozen base comes back without its noise, as from the Hub, and gets the same noise again."""
    whole = trained(tmp_path, [NoiseCallback(*METHODS[name])], model=lora(), **SAVING)
    assert (differing(frozen(whole.model), frozen(lora())) != []) is (name in ("frozen", "both"))
    callback = NoiseCallback(*METHODS[name])
    resumed = tiny_trainer(tmp_path, [callback], model=lora(1), **SAVING)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert differing(weights(resumed.model), weights(whole.model)) == []
    assert losses(resumed) == losses(whole)
    assert len(losses(resumed)) == STEPS
    if name in ("frozen", "both"):
        record = callback.records["noisytune"]
        assert record.skipped()["came with the checkpoint"] > 4
        assert {row.name for row in record.tensors if row.noised} >= {"pooler.dense.weight"}


def test_a_second_resume_in_one_process_noises_the_base_once(tmp_path: Path) -> None:
    trainer = trained(tmp_path, [NoiseCallback(NoisyTune(frozen=True))], model=lora(), **SAVING)
    before = frozen(trainer.model)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert differing(frozen(trainer.model), before) == []


def test_one_scale_for_a_frozen_base_cannot_be_drawn_again(tmp_path: Path) -> None:
    method = NoisyTune(frozen=True, across="model")
    trained(tmp_path, [NoiseCallback(method)], model=lora(), **SAVING)
    trainer = tiny_trainer(tmp_path, [NoiseCallback(method)], model=lora(), **SAVING)
    with pytest.raises(ValueError, match=r"NoisyTune\(frozen=True, across='model'\) cannot be resumed"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))


def test_the_base_of_a_saved_adapter_gets_its_noise_from_the_stored_recipe(tmp_path: Path) -> None:
    """An adapter's checkpoint holds no base weights, so dither.json says how to make them again."""
    whole = trained(tmp_path, [NoiseCallback(NoisyTune(frozen=True))], model=lora(), **SAVING)
    checkpoint = tmp_path / "checkpoint-12"
    recipe = json.loads((checkpoint / "dither.json").read_text())["noisytune"]["recipe"]
    base = tiny_model()
    dither.noisytune_(base, recipe["noise_lambda"], recipe["seed"], frozen=recipe["frozen"])
    again = PeftModel.from_pretrained(base, checkpoint).eval()
    tokens = torch.arange(1, 17).reshape(2, 8)
    with torch.no_grad():
        expected = whole.model.eval()(input_ids=tokens).logits
        assert torch.equal(again(input_ids=tokens).logits, expected)
        bare = PeftModel.from_pretrained(tiny_model(), checkpoint).eval()
        assert not torch.equal(bare(input_ids=tokens).logits, expected)


def test_adapter_checkpoints_count(tmp_path: Path, caplog) -> None:
    trained(tmp_path, model=lora(), **SAVING)
    assert latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-12")
    adapter = tmp_path / "checkpoint-12" / "adapter_model.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:-1])
    assert latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-8")
    assert "adapter_model.safetensors is cut short or damaged" in caplog.text
    (tmp_path / "checkpoint-8" / "adapter_config.json").write_text("{")
    assert latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-4")
    assert "adapter_config.json does not parse" in caplog.text


def test_several_adapters_count_in_their_folders(tmp_path: Path, caplog) -> None:
    model = lora()
    model.add_adapter("other", LoraConfig(r=2, target_modules=["query"]))
    trained(tmp_path, model=model, **SAVING)
    other = tmp_path / "checkpoint-12" / "other" / "adapter_model.safetensors"
    assert latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-12")
    other.write_bytes(other.read_bytes()[:-1])
    assert latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-8")
    assert "other/adapter_model.safetensors is cut short" in caplog.text


def test_the_optimizer_of_an_adapter_is_reached_under_the_wrapper(tmp_path: Path) -> None:
    trainer = trained(tmp_path, [callback := NoiseCallback(PATS())], model=lora())
    held = sum(len(group["params"]) for group in base_optimizer(trainer.optimizer).param_groups)
    assert held == 10  # two layers of A and B at two places, and the head
    assert callback.records["pats"].counts()["noised"] == 5
