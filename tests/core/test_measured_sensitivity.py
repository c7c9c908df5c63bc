"""The sensitivity of a trained model, against a loop over its batches, and that nothing of it changes."""

from __future__ import annotations

import pytest
import torch
from tiny_models import tiny

from dither.core import histogram
from dither.core.histogram import LogCounts
from dither.core.measured_sensitivity import count_sensitivity, mean_sensitivity

pytestmark = pytest.mark.usefixtures("unmoved_random_state")


def batches(count: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    tokens = [torch.randint(1, 20, (3, 5), generator=generator) for _ in range(count)]
    return [{"input_ids": ids, "labels": torch.tensor([0, 1, 1])} for ids in tokens]


@pytest.fixture
def model():
    found = tiny("BertForSequenceClassification", hidden_dropout_prob=0.5)
    return found.train()


def test_it_is_the_mean_of_the_absolute_products(model):
    found = mean_sensitivity(model, batches(3))
    plain = tiny("BertForSequenceClassification").eval()
    expected = torch.zeros(20, 8)
    for batch in batches(3):
        plain.zero_grad()
        plain(**batch).loss.backward()
        weight = plain.bert.embeddings.word_embeddings.weight
        expected += (weight * weight.grad).abs() / 3
    torch.testing.assert_close(found["embeddings.word_embeddings.weight"], expected.detach())
    assert (found["embeddings.word_embeddings.weight"] == 0).any()  # words of no batch


def test_the_model_is_as_before(model):
    model.bert.pooler.eval()
    model.classifier.weight.grad = torch.ones_like(model.classifier.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mean_sensitivity(model, batches(2))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert not model.bert.pooler.training
    assert model.classifier.weight.grad.eq(1).all()
    assert model.bert.embeddings.word_embeddings.weight.grad is None


def test_the_same_batches_give_the_same_bits(model):
    first, second = (mean_sensitivity(model, batches(2)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_frozen_parameters_are_left_out_and_tied_ones_come_once():
    model = tiny("BertForMaskedLM")
    model.bert.encoder.layer[0].requires_grad_(False)
    ids = torch.ones(2, 4, dtype=torch.long)
    found = mean_sensitivity(model, [{"input_ids": ids, "labels": ids}])
    assert not any(name.startswith("encoder.layer.0.") for name in found)
    assert "embeddings.word_embeddings.weight" in found
    assert "head:cls.predictions.decoder.weight" not in found


def test_a_parameter_that_the_loss_does_not_reach_has_zeros(model):
    model.unused = torch.nn.Parameter(torch.ones(2, 2))
    assert mean_sensitivity(model, batches(1))["head:unused"].eq(0).all()


def test_nothing_to_measure_is_refused(model):
    with pytest.raises(ValueError, match="is measured on batches, and there is none"):
        mean_sensitivity(model, [])
    with pytest.raises(ValueError, match="no parameter that is trained"):
        mean_sensitivity(model.requires_grad_(False), batches(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_are_counted_block_by_block(monkeypatch, dtype):
    generator = torch.Generator().manual_seed(3)
    weight, gradient = (torch.randn(9, 31, generator=generator).to(dtype).t() for _ in range(2))
    gradient[0] = 0.0
    weight[0, 0] = torch.inf  # of no gradient
    expected = LogCounts.of(
        torch.tensor(
            [
                abs(w * g) if g else 0.0
                for w, g in zip(weight.flatten().tolist(), gradient.flatten().tolist(), strict=True)
            ]
        )
    )
    monkeypatch.setitem(histogram._BLOCK, "cpu", 100)
    found = LogCounts(count_sensitivity(weight, gradient).numpy())
    assert (found.zeros, found.nonfinite) == (9, 0)
    assert found.bins.tolist() == expected.bins.tolist()
    assert found.mean == pytest.approx(expected.mean, rel=1e-6)
