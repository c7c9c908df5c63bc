"""Hidden states of every kind of model: which ones are read, which tokens count, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_models import tiny
from torch import nn

from dither.core.hidden_states import HiddenStates

pytestmark = pytest.mark.usefixtures("unmoved_random_state")

ROWS = [[5, 6, 7, 8, 9], [6, 4, 11], [7, 12, 13, 14]]


def padded(rows: list[list[int]], width: int = 6, *, side: str = "right") -> dict[str, torch.Tensor]:
    ids, mask = torch.zeros(len(rows), width, dtype=torch.int64), torch.zeros(len(rows), width)
    for at, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[at, place], mask[at, place] = torch.tensor(row), 1.0
    return {"input_ids": ids, "attention_mask": mask.to(torch.int64)}


def noised(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)


def moved(model: nn.Module, *batches: dict[str, Any]) -> tuple[HiddenStates, float]:
    states = HiddenStates(model, batches)
    noised(model)
    return states, states.displacement()


def test_the_formula_on_an_encoder():
    model, batch = tiny("BertForSequenceClassification").eval(), padded(ROWS)
    before = model.bert(**batch).last_hidden_state.detach()
    states, d = moved(model, batch | {"labels": torch.tensor([0, 1, 0])})
    after = model.bert(**batch).last_hidden_state.detach()
    real = batch["attention_mask"] != 0
    h, other = before[real].double(), after[real].double()
    spread = (h - h.mean(0)).square().sum(1).mean()
    assert d == pytest.approx(float(((other - h).square().sum(1).mean() / spread).sqrt()), rel=1e-6)
    assert (states.rows, states.tokens, states.first_left_out) == (3, 12, False)


@pytest.mark.parametrize("kind", ["GPT2LMHeadModel", "LlamaForSequenceClassification"])
def test_decoders_leave_the_first_real_token_out(kind):
    states, d = moved(tiny(kind), padded(ROWS))
    left, d_left = moved(tiny(kind), padded(ROWS, side="left"))
    assert states.first_left_out
    assert (states.tokens, left.tokens) == (9, 9)
    if kind.startswith("Llama"):  # its positions are relative: the side of padding changes nothing
        assert d_left == pytest.approx(d, rel=1e-4)


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "LlamaForCausalLM", "T5EncoderModel"])
def test_composition_and_padding_of_batches_change_nothing(kind):
    _, together = moved(tiny(kind), padded(ROWS, width=12))
    _, apart = moved(tiny(kind), padded(ROWS[:1], width=5), padded(ROWS[2:0:-1], width=4))
    assert apart == pytest.approx(together, rel=1e-4)


def test_an_encoder_decoder_gives_the_states_of_its_decoder():
    labels = torch.tensor([[4, 5, 6, 1], [7, 1, -100, -100], [3, 4, 1, -100]])
    model = tiny("T5ForConditionalGeneration")
    states, d = moved(model, padded(ROWS) | {"labels": labels})
    # Where the decoder starts is the first token, which is left out; what it is given of labels follows.
    assert (states.tokens, states.first_left_out) == (3 + 2 + 3, True)
    assert d > 0.0
    inputs = torch.tensor([[0, 4, 5, 6], [0, 7, 1, 0], [0, 3, 4, 1]])
    same = HiddenStates(tiny("T5ForConditionalGeneration"), [padded(ROWS) | {"decoder_input_ids": inputs}])
    assert same.tokens == states.tokens
    assert same.spread == pytest.approx(states.spread, rel=1e-6)


def test_multiple_choice_and_models_without_a_mask():
    choices = {key: value.view(1, 3, 6) for key, value in padded(ROWS).items()}
    states, d = moved(tiny("BertForMultipleChoice"), choices)
    assert (states.rows, states.tokens) == (3, 12)
    without, _ = moved(tiny("BertForMaskedLM"), {"input_ids": padded(ROWS)["input_ids"]})
    assert without.tokens == 18
    assert d > 0.0


class Encoder(nn.Module):
    """A user's own: states under a name of transformers, dropout, a buffer that each pass counts up."""

    def __init__(self, name: str = "last_hidden_state", width: int = 4) -> None:
        super().__init__()
        weights = torch.arange(20.0 * width).cos().view(20, width)
        self.table, self.name, self.drop = nn.Embedding(20, width, _weight=weights), name, nn.Dropout(0.5)
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, input_ids: torch.Tensor, attention_mask: Any = None, labels: Any = None) -> Any:
        self.passes += 1
        states = self.drop(self.table(input_ids))
        assert labels is None
        return {self.name: (states,) if self.name == "hidden_states" else states}


@pytest.mark.parametrize("name", ["last_hidden_state", "hidden_states"])
def test_any_module_that_names_its_states(name):
    model = Encoder(name)
    model.table.eval()
    states, d = moved(model, padded(ROWS) | {"labels": torch.zeros(3)})
    assert (states.tokens, states.first_left_out) == (12, False)
    assert d == pytest.approx(0.05 / float(model.table.weight.detach().std()), rel=0.3)
    assert (model.training, model.drop.training, model.table.training) == (True, True, False)
    assert float(model.passes) == 0.0


def test_wrappers_and_compiled_models_are_seen_through():
    _, d = moved(tiny("BertForMaskedLM"), padded(ROWS))
    compiled = tiny("BertForMaskedLM").eval()
    compiled.compile(backend="eager")
    compiled(**padded(ROWS))
    for model in (torch.compile(tiny("BertForMaskedLM"), backend="eager"), compiled):
        assert moved(model, padded(ROWS))[1] == pytest.approx(d, rel=1e-6)
    assert moved(nn.DataParallel(tiny("BertForMaskedLM")), padded(ROWS))[1] == pytest.approx(d, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_prompts_before_the_tokens_count():
    peft = pytest.importorskip("peft")
    config = peft.PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]):
        model = peft.get_peft_model(tiny("LlamaForCausalLM"), config)
    assert moved(model, padded(ROWS))[0].tokens == 9 + 3 * 2


class Bare(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1.0


def test_what_is_refused_and_how():
    batch = padded(ROWS)
    with pytest.raises(ValueError, match=r"Bare gives no hidden states: .* with last_hidden_state"):
        HiddenStates(Bare(), [{"x": torch.ones(2, 3, 4)}])
    with pytest.raises(ValueError, match="there is none; give one at least"):
        HiddenStates(Encoder(), [])
    with pytest.raises(ValueError, match=r"all 3 tokens of 1 rows are alike"):
        HiddenStates(Encoder(), [padded([[5, 5, 5]])])
    with pytest.raises(ValueError, match=r"1 tokens count in 1 rows"):
        HiddenStates(Encoder(), [padded([[5]])])
    with pytest.raises(ValueError, match=r"shape \(3, 4\) and the last hidden states of Encoder \(3, 6, 4\)"):
        HiddenStates(Encoder(), [batch | {"attention_mask": torch.ones(3, 4)}])
    model = Encoder()
    with torch.no_grad():
        model.table.weight[5] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinite values before any noise"):
        HiddenStates(model, [batch])
