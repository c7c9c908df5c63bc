"""The model card that is written beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEMPLATE = """\
---
license: apache-2.0
language: [en]
library_name: transformers
tags: [bert, fill-mask, synthetic]
---

# The built-in encoder of dither

A BERT of {parameters:,} parameters ({layers} layers, width {hidden}, {heads} heads, float32) with a
word-level, lower-casing tokenizer. It knows the few hundred words of dither's own grammar, in two languages:
a small English, and Lumari, which has other words and another word order. It is a default for trying things
out without a network and a test bed for fine-tuning methods. **It is not evidence for anything about real
language, and of no use on real text.**

```python
import dither.builtin
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(dither.builtin.MODEL_DIR)
model = AutoModelForSequenceClassification.from_pretrained(dither.builtin.MODEL_DIR, num_labels=3)
```

## Training

Data: {texts:,} texts written by `dither.builtin.pretraining_sentences(seed={seed})`: single sentences, and
pairs (paraphrases, statements that can both be true, reviews of one opinion, questions with their story,
translations). It holds no labels, no ungrammatical sentence, no contradiction and no answers. Sentences are
drawn from the same grammar as the tasks', so some of the tasks' sentences may occur in it, unlabelled.

Objectives: masked words ({masked:.0%} are asked: half of these hidden, a quarter replaced, a quarter shown as
they are), and whether the second segment belongs to the first, which trains the pooler. {steps:,} steps of
{batch} texts, AdamW, peak learning rate {learning_rate}, {seconds} s on {threads} CPU thread(s). Attention
starts from a mimetic initialization (queries equal keys, the output undoes the values; Trockman and Kolter
2023). No dropout while pretraining; the configuration has 0.1 for fine-tuning.

Mean masked-word loss (nats) by tenths of the steps: {curve}.

Versions: {versions}. `pretraining.json` has all settings. To train it again:

```
python -m dither.builtin.pretrain --out DIR --steps {steps} --seed {seed} --threads {threads} --texts {texts}
```

Equal settings, versions and hardware give equal weights; another processor or number of threads changes last
bits.

## Limits

A vocabulary of {vocabulary} words; everything else is `[UNK]`. At most {positions} tokens. No bias study: the
texts are about dogs, bakers and films.
"""


def model_card(record: Mapping[str, Any]) -> str:
    """Return the card, as Markdown, for what ``pretrain`` recorded."""
    facts = {**record, **record["settings"]}
    facts["curve"] = ", ".join(f"{loss:.2f}" for loss in record["losses"])
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return _TEMPLATE.format_map(facts)
