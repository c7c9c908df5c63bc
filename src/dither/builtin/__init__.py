"""A small world of its own: eight tasks in two languages and a tiny pretrained model, without a network.

A seeded grammar writes sentences with agreement, negation, sentiment, quantifiers and paraphrase, and labels
them; the model in ``MODEL_DIR`` was pretrained on its text. It is a default and a test bed, not evidence.

Read on in this order: ``lexicon`` (the words, two tables of data), ``syntax`` (what a sentence is made of),
``language`` (structure to words), ``grammar`` (random sentences), ``meaning`` (what follows from what),
``tasks`` (one file each), ``text`` and ``pretrain`` (where the model comes from).
"""

from __future__ import annotations

from pathlib import Path

from dither.builtin.language import LANGUAGES
from dither.builtin.tasks import REGISTRY, rows
from dither.builtin.text import pretraining_sentences

TASKS: tuple[str, ...] = tuple(REGISTRY)
MODEL_DIR: Path = Path(__file__).parent / "model"

__all__ = ["LANGUAGES", "MODEL_DIR", "TASKS", "pretraining_sentences", "rows"]
