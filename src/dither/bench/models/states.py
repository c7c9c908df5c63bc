"""Sentences as the mean of a model's hidden states, read through the Trainer as outputs of heads are."""

from typing import Any

from torch import Tensor, nn
from transformers import Trainer

from dither.bench.heads import HEADS
from dither.bench.models.loading import load_tokenizer
from dither.bench.runs.request import RunRequest


class MeanState(nn.Module):
    """A backbone that gives one vector for each input: the mean of one layer's states over its tokens.

    Args:
        model: with any head, which is not asked.
        layer: number of the hidden state, 0 for the embeddings.
        special_tokens: whether the special tokens count in the mean.
    """

    def __init__(self, model: Any, layer: int, *, special_tokens: bool) -> None:
        super().__init__()
        self.config, self.layer, self.special_tokens = model.config, layer, special_tokens
        self.backbone = model.get_encoder() if model.config.is_encoder_decoder else model.base_model

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        special_tokens_mask: Tensor,
        token_type_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """(inputs, tokens) -> `states`: (inputs, width) in float32; zeros for an input without a token."""
        further = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        found = self.backbone(input_ids, attention_mask=attention_mask, output_hidden_states=True, **further)
        counted = attention_mask if self.special_tokens else attention_mask * (1 - special_tokens_mask)
        weights = counted[:, :, None].float()
        total = (found.hidden_states[self.layer].float() * weights).sum(dim=1)
        return {"states": total / weights.sum(dim=1).clamp(min=1.0)}


def reading(request: RunRequest, trainer: Any) -> Any:
    """A Trainer that predicts the states of sentences, with the model and the arguments of another one."""
    task, model = request.task, trainer.model
    assert task.retrieval is not None
    layer = task.retrieval.layer_of(model.config.get_text_config().num_hidden_layers)
    return Trainer(
        model=MeanState(model, layer, special_tokens=task.retrieval.special_tokens),
        args=trainer.args,
        data_collator=HEADS[task.head].collator(load_tokenizer(request.source)),
    )
