"""A model made from kept weights is the model that is read from the file, to the last bit."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoder import save_encoder

from dither.bench.heads import HEADS
from dither.bench.models import kept_weights
from dither.bench.models.files import find_model
from dither.bench.models.loading import load_model


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch) -> None:
    monkeypatch.setattr(kept_weights, "_KEPT", {})


def loaded(source, task, dtype: str = "float32"):
    """A model, and the state of torch's generator after it was made."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return load_model(source, task, dtype), torch.get_rng_state()


def assert_equal(one, other) -> None:
    left, right = one.state_dict(), other.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert one.config.to_dict() == other.config.to_dict()
    assert type(one) is type(other)
    assert {name for name, _ in one.named_buffers()} == {name for name, _ in other.named_buffers()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("head", sorted(HEADS))
@pytest.mark.parametrize("model", ["builtin", "decoder"])
def test_a_model_of_kept_weights_is_the_one_of_the_file(model, head, dtype, small_task, request):
    folder = model if model == "builtin" else str(request.getfixturevalue("stories_dir"))
    source, task = find_model(folder), small_task(head)
    first, state = loaded(source, task, dtype)
    assert len(kept_weights._KEPT) == 1
    second, same_state = loaded(source, task, dtype)
    assert_equal(first, second)
    assert torch.equal(state, same_state)


def test_training_leaves_what_is_kept_alone(small_task):
    source = find_model("builtin")
    first, _ = loaded(source, small_task())
    before = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    for model in (first, loaded(source, small_task())[0]):
        for parameter in model.parameters():
            parameter.data.add_(1.0)
    again, _ = loaded(source, small_task())
    assert all(torch.equal(tensor, before[name]) for name, tensor in again.state_dict().items())


def test_another_number_of_labels_uses_the_same_weights(small_task):
    source = find_model("builtin")
    loaded(source, small_task())
    three = small_task(labels=["no", "yes", "perhaps"], metrics=["accuracy"])
    from_kept, _ = loaded(source, three)
    kept_weights._KEPT.clear()
    from_file, _ = loaded(source, three)
    assert from_kept.config.num_labels == 3
    assert_equal(from_kept, from_file)


def test_one_model_is_kept_and_no_large_one(small_task, tmp_path, monkeypatch):
    encoder = find_model(str(save_encoder(tmp_path / "encoder")))
    loaded(find_model("builtin"), small_task())
    loaded(encoder, small_task())
    assert [key[0] for key in kept_weights._KEPT] == [encoder.digest]
    monkeypatch.setattr(kept_weights, "_MOST_BYTES", 100)
    loaded(find_model("builtin"), small_task())
    assert kept_weights._KEPT == {}


def test_a_refused_model_is_not_kept(small_task, tmp_path):
    source = find_model(str(save_encoder(tmp_path / "encoder")))
    loaded(source, small_task())
    assert len(kept_weights._KEPT) == 1
    path = tmp_path / "encoder/model.safetensors"
    tensors = {name: tensor.fill_(float("nan")) for name, tensor in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ValueError, match="holds NaN or infinite values"):
        loaded(find_model(str(tmp_path / "encoder")), small_task())
    assert [key[0] for key in kept_weights._KEPT] == [source.digest]
