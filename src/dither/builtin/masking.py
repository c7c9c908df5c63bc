"""Batches for pretraining: masked words, and second segments of which some are strangers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from dither.builtin.tokenizer import MAX_LENGTH, SPECIAL

PAD, _, CLS, SEP, MASK = range(len(SPECIAL))
STRANGERS = (
    15  # per cent of the pairs; with half of them, as in BERT, words learn too little from the other segment
)
IGNORED = -100  # what cross_entropy leaves out

Coded = Sequence[list[int]]
"""The token ids of a text's one or two segments."""


class Batch(NamedTuple):
    """Tensors of one step; all but ``follows`` have shape (batch, length)."""

    input_ids: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    follows: Tensor


class Batches:
    """Batches without end, masked and paired anew every time round.

    Args:
        texts: The coded texts.
        size: Texts per batch.
        masked: Share of words to be predicted, in (0, 1).
        seed: Seeds order, masks and pairing.
    """

    def __init__(self, texts: Sequence[Coded], *, size: int, masked: float, seed: int) -> None:
        self._texts = texts
        self._seconds = [text[1] for text in texts if len(text) == 2]
        self._size = size
        self._masked = masked
        self._generator = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            chunks = self._chunks()
            for index in torch.randperm(len(chunks), generator=self._generator).tolist():
                yield self.collate([self._texts[i] for i in chunks[index]])

    def _chunks(self) -> list[list[int]]:
        """Return the indices of one round, cut into batches of similar length."""
        order = torch.randperm(len(self._texts), generator=self._generator).tolist()
        chunks = []
        pool = 32 * self._size  # sorted piece by piece, so that the order stays random
        for start in range(0, len(order), pool):
            piece = sorted(order[start : start + pool], key=lambda i: sum(map(len, self._texts[i])))
            chunks += [piece[i : i + self._size] for i in range(0, len(piece), self._size)]
        return chunks

    def collate(self, texts: Sequence[Coded]) -> Batch:
        """Make a batch of texts; some pairs get the second segment of another."""
        lines, types, follows = [], [], []
        for first, *rest in texts:
            line, verdict = [CLS, *first, SEP], IGNORED
            border = len(line)
            if rest:
                verdict = int(self._draw(100) < STRANGERS)  # as in BERT: 0 follows, 1 is a stranger
                line += [*(self._seconds[self._draw(len(self._seconds))] if verdict else rest[0]), SEP]
            line = line[:MAX_LENGTH]
            lines.append(torch.tensor(line))
            types.append(torch.tensor([int(i >= border) for i in range(len(line))]))
            follows.append(verdict)
        ids = pad_sequence(lines, batch_first=True, padding_value=PAD)
        shown, labels = self._mask(ids)
        types_padded = pad_sequence(types, batch_first=True)
        return Batch(shown, types_padded, (ids != PAD).long(), labels, torch.tensor(follows))

    def _mask(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is shown and what is asked: half of it is hidden, a quarter replaced, a quarter left.

        BERT hides 80 % and replaces 10 %. Here more words stay visible and may be wrong, so that the model
        learns to compare what it reads with the rest of the text, which is what most tasks are about.
        """
        chosen = (self._uniform(ids) < self._masked) & (ids >= len(SPECIAL))
        chosen[0, 1] = True  # a batch without a question has no loss
        fate = self._uniform(ids)
        words = ids[ids >= len(SPECIAL)]  # what stands elsewhere in the batch is as frequent as in the text
        other = words[torch.randint(len(words), ids.shape, generator=self._generator)]
        shown = torch.where(chosen & (fate < 0.75), other, ids)
        shown[chosen & (fate < 0.5)] = MASK
        return shown, torch.where(chosen, ids, IGNORED)

    def _uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self._generator)

    def _draw(self, n: int) -> int:
        return int(torch.randint(n, (), generator=self._generator))
