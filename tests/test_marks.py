"""The recipe's mark: on the model, its parts and its config; through copies, wrappers and saved folders."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import types
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import dither
from dither.marks import Mark, ModelMarks


def bert(config: Any = None) -> Any:
    import transformers

    sizes = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1}
    config = config or transformers.BertConfig(**sizes, num_attention_heads=2, max_position_embeddings=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.BertForSequenceClassification(config)


def pickled(model: nn.Module) -> Any:
    return pickle.loads(pickle.dumps(model))


def marks(model: nn.Module) -> list[str]:
    return [row["hash"] for row in ModelMarks(model).read()]


def test_the_mark_travels_with_a_saved_folder(tmp_path: Path) -> None:
    model = bert()
    record = dither.noisytune_(model, seed=3)
    assert model.config.dither[0]["recipe"] == record.recipe
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    assert marks(again) == [record.recipe_hash]
    assert "already noised" in dither.noisytune_(again, seed=3).message
    with pytest.raises(ValueError, match="was noised before with recipe"):
        dither.noisytune_(again, seed=4)


def test_fresh_noise_on_a_reloaded_model_goes_on_counting(tmp_path: Path) -> None:
    model = bert()
    dither.noisytune_(model)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    for one in (model, again):
        dither.noisytune_(one, again=True)
    assert len(marks(again)) == 2
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


def test_two_models_on_one_config_are_two_models() -> None:
    first = bert()
    second = bert(first.config)
    assert second.config is first.config
    dither.noisytune_(first)
    assert marks(second) == []
    dither.noisytune_(second, seed=1)
    assert len(marks(first)) == len(marks(second)) == 1
    assert marks(first) != marks(second)


def test_a_model_built_on_the_config_of_a_dead_one_is_new() -> None:
    first = bert()
    config = first.config
    dither.noisytune_(first)
    del first
    gc.collect()
    assert marks(bert(config)) == []


def test_perturbing_one_leaves_the_mark_of_the_other_in_their_config() -> None:
    first = bert()
    second = bert(first.config)
    record = dither.noisytune_(first)
    with dither.perturbed(second, dither.NoisyTune(seed=9)):
        pass
    assert [row["hash"] for row in first.config.dither] == [record.recipe_hash]
    assert marks(second) == []
    assert marks(first) == [record.recipe_hash]


def test_perturbing_a_plain_model_leaves_no_mark_anywhere() -> None:
    model = bert()
    with dither.perturbed(model, dither.NoisyTune()):
        assert model.config.dither
    assert not hasattr(model.config, "dither")
    assert not any("_dither" in name for module in model.modules() for name in vars(module))
    assert marks(model) == []


def test_perturbing_a_reloaded_model_leaves_its_mark(tmp_path: Path) -> None:
    model = bert()
    record = dither.noisytune_(model)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    with dither.perturbed(again, dither.NoisyTune(seed=9)):
        assert len(marks(again)) == 2
    assert marks(again) == [record.recipe_hash]


def test_a_part_of_a_noised_model_is_noised() -> None:
    model = bert()
    dither.noisytune_(model)
    assert "already noised" in dither.noisytune_(model.bert).message
    assert "already noised" in dither.noisytune_(model.bert.encoder.layer[0]).message


def test_a_model_around_a_noised_part_is_noised() -> None:
    backbone = bert().bert
    dither.noisytune_(backbone)
    with pytest.raises(ValueError, match="was noised before"):
        dither.noisytune_(nn.Sequential(backbone, nn.Linear(8, 2)), seed=1)


def test_a_half_noised_part_is_refused_in_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model = bert()
    with pytest.raises(OSError, match="gone"), ModelMarks(model.bert).writing(Mark("abc", {})):
        raise OSError("gone")
    with pytest.raises(ValueError, match="is partly noised: writing recipe abc failed half-way"):
        dither.noisytune_(model)


def test_copies_and_wrappers_carry_it() -> None:
    model = bert()
    record = dither.noisytune_(model)
    for other in (copy.deepcopy(model), nn.DataParallel(model)):
        assert marks(other) == [record.recipe_hash]
        assert "already noised" in dither.noisytune_(other).message


def test_a_copy_goes_its_own_way() -> None:
    model = bert()
    dither.noisytune_(model)
    twin = copy.deepcopy(model)
    dither.noisytune_(twin, again=True)
    assert len(marks(model)) == 1
    assert len(model.config.dither) == 1
    assert len(twin.config.dither) == 2


@pytest.mark.parametrize("config", [{"hidden": 8}, types.SimpleNamespace(hidden=8), None, "base", 7])
def test_a_config_that_is_not_of_transformers_is_left_alone(config: Any) -> None:
    model = nn.Linear(4, 4)
    model.config = config
    before = copy.deepcopy(config)
    record = dither.noisytune_(model)
    assert model.config == before
    assert marks(model) == [record.recipe_hash]


def test_modules_without_weights_say_nothing() -> None:
    """A global activation that two models share."""
    shared = nn.ReLU()
    first, second = (nn.Sequential(nn.Linear(4, 4), shared) for _ in range(2))
    dither.noisytune_(first, seed=1)
    assert dither.noisytune_(second, seed=1).counts()["noised"] == 2
    assert dither.noisytune_(nn.Sequential(nn.Linear(4, 4), shared), seed=2).message == ""
    assert "already noised" in dither.noisytune_(first, seed=1).message


def test_a_shared_module_that_was_left_alone_says_nothing() -> None:
    shared = nn.Embedding(5, 4).requires_grad_(False)
    first, second = (nn.Sequential(shared, nn.Linear(4, 4)) for _ in range(2))
    dither.noisytune_(first)
    assert dither.noisytune_(second).counts() == {"noised": 2, "skipped": 1}


def test_a_half_noised_model_leaves_what_it_shares_without_weights_alone() -> None:
    shared = nn.ReLU()
    first, second = (nn.Sequential(nn.Linear(4, 4), shared) for _ in range(2))
    with pytest.raises(OSError, match="gone"), ModelMarks(first).writing(Mark("abc", {})):
        raise OSError("gone")
    with pytest.raises(ValueError, match="partly noised"):
        dither.noisytune_(first)
    assert dither.noisytune_(second).message == ""


def test_a_new_part_beside_a_noised_one_is_not_passed_over() -> None:
    backbone, model = nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[0] = backbone
    dither.noisytune_(nn.Sequential(backbone))
    before = model[0].weight.clone()
    message = (
        r"noised before with recipe \w{16}, but for 2 of 4 parameters .* \(first: '1\.weight'\), which came"
    )
    with pytest.raises(ValueError, match=message):
        dither.noisytune_(model)
    record = dither.noisytune_(model, again=True, include="1.*")  # as the message advises
    assert record.counts() == {"noised": 2, "skipped": 2}
    assert torch.equal(model[0].weight, before)


def test_original_weights_can_be_said_to_be_back() -> None:
    model = bert()
    original = copy.deepcopy(model.state_dict())
    dither.noisytune_(model, seed=0)
    model.load_state_dict(original)
    with pytest.raises(ValueError, match=r"load the original weights and call dither\.clear_marks\(model\)"):
        dither.noisytune_(model, seed=1)
    assert "dither.clear_marks(model) is for original weights" in dither.noisytune_(model, seed=0).message
    dither.clear_marks(nn.DataParallel(model))  # wrapped or not
    assert marks(model) == []
    assert not hasattr(model.config, "dither")
    fresh = bert()
    assert dither.noisytune_(model, seed=1).counts() == dither.noisytune_(fresh, seed=1).counts()
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), fresh.parameters(), strict=True))


def test_clearing_one_leaves_the_mark_of_the_other_in_their_config() -> None:
    first = bert()
    second = bert(first.config)
    record = dither.noisytune_(first)
    dither.clear_marks(second)
    assert [row["hash"] for row in first.config.dither] == [record.recipe_hash]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda config: copy.deepcopy({"a": config})["a"]])
def test_a_copy_of_the_config_is_no_copy_of_the_noise(copied: Any, tmp_path: Path) -> None:
    model, plain = bert(), tmp_path / "plain"
    model.save_pretrained(plain)
    dither.noisytune_(model)
    assert marks(bert(copied(model.config))) == []
    again = type(model).from_pretrained(plain, config=model.config)  # which transformers copies
    assert dither.noisytune_(again).message == ""
    assert len(marks(model)) == len(marks(again)) == 1


def test_what_is_saved_says_what_it_holds(tmp_path: Path) -> None:
    model = bert()
    record = dither.noisytune_(model)
    for number, one in enumerate((model, copy.deepcopy(model), pickled(model))):
        one.save_pretrained(tmp_path / str(number))
        config = json.loads((tmp_path / str(number) / "config.json").read_text())
        assert [row["hash"] for row in config["dither"]] == [record.recipe_hash]
    bert(copy.deepcopy(model.config)).save_pretrained(tmp_path / "plain")
    assert not json.loads((tmp_path / "plain" / "config.json").read_text()).get("dither")


def test_nothing_is_kept_of_models_that_are_gone() -> None:
    config, seen = bert().config, []
    for seed in range(3):
        model = bert(config)
        dither.noisytune_(model, seed=seed)
        seen.append(weakref.ref(model))
    del model
    gc.collect()
    assert [one() for one in seen] == [None] * 3


def test_strength_0_leaves_no_mark() -> None:
    model = bert()
    dither.noisytune_(model, 0)
    assert marks(model) == []
    assert not hasattr(model.config, "dither")


def test_adopting_is_idempotent() -> None:
    model = nn.Linear(2, 2)
    for _ in range(2):
        ModelMarks(model).adopt(Mark("abc", {"seed": 1}))
    assert marks(model) == ["abc"]
    assert ModelMarks(model).applied == 1


def test_the_mark_is_no_part_of_the_state_dict() -> None:
    model = nn.Linear(2, 2)
    dither.noisytune_(model)
    assert set(model.state_dict()) == {"weight", "bias"}
