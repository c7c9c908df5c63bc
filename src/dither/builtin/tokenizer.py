"""The word-level tokenizer of the built-in model: one token per word of the grammar."""

from __future__ import annotations

from pathlib import Path

from dither.builtin.language import LANGUAGES, Language
from dither.builtin.lexicon import PARTS, entries

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_LENGTH = 64


def vocabulary() -> list[str]:
    """Return every token: special tokens, punctuation, then the words of both languages, lower case.

    Example:
        >>> vocabulary()[:5]
        ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    """
    words = [form for code in LANGUAGES for form in words_of(code)]
    return list(dict.fromkeys([*SPECIAL, ".", ",", "?", *words]))


def words_of(language: str) -> list[str]:
    """Return all words of a language in lower case, without punctuation."""
    forms = [form for part in PARTS for entry in entries(part) for form in entry.forms[language].values()]
    forms += Language(language).function_words()
    if language == "en":
        forms.append("an")
    return sorted({form.lower() for form in forms if form})


def write_tokenizer(folder: Path) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``, loadable with ``AutoTokenizer``.

    Args:
        folder: An existing folder.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {token: index for index, token in enumerate(vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=SPECIAL[1]))
    tokenizer.normalizer = normalizers.Lowercase()  # keeps lengths, so offsets are those of the text
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, ids[token]) for token in ("[CLS]", "[SEP]")],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        **{f"{token.strip('[]').lower()}_token": token for token in SPECIAL},
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
