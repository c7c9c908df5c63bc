"""Models are tried before the first run: how long inputs may be, what padding does, which rows they take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from tiny_encoder import plan_of, save_encoder, tokenizer, write_task

from dither.bench.heads import HEADS
from dither.bench.models.checks import check_model
from dither.bench.models.loading import find_model, load_model, load_tokenizer
from dither.bench.models.trial import UNLIMITED, try_model

VOCABULARY = {"vocab_size": 22}
TALL = {**VOCABULARY, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TALL |= {"intermediate_size": 16, "max_position_embeddings": 20}
GPT = {**VOCABULARY, "n_positions": 20, "n_embd": 16, "n_layer": 1, "n_head": 2, "pad_token_id": 0}
PAIR = {**VOCABULARY, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
PAIR |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "pad_token_id": 0}
PAIR |= {"eos_token_id": 3, "bos_token_id": 2, "decoder_start_token_id": 2, "max_position_embeddings": 20}
XLNET = {**VOCABULARY, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16}
KINDS: dict[str, Any] = {
    "bert": lambda: hf.BertConfig(**TALL),
    "roberta": lambda: hf.RobertaConfig(**{**TALL, "max_position_embeddings": 22}, pad_token_id=1),
    "gpt2": lambda: hf.GPT2Config(**GPT),
    "gpt": lambda: hf.OpenAIGPTConfig(**GPT),
    "gptj": lambda: hf.GPTJConfig(**GPT, rotary_dim=4),
    "ctrl": lambda: hf.CTRLConfig(**GPT, dff=16),
    "opt": lambda: hf.OPTConfig(**TALL, ffn_dim=16, word_embed_proj_dim=16, pad_token_id=0),
    "biogpt": lambda: hf.BioGptConfig(**TALL, pad_token_id=0),
    "bart": lambda: hf.BartConfig(**PAIR),
    "mbart": lambda: hf.MBartConfig(**PAIR),
    "xlm": lambda: hf.XLMConfig(
        **VOCABULARY, emb_dim=16, n_layers=1, n_heads=2, max_position_embeddings=20, pad_index=0
    ),
    "deberta": lambda: hf.DebertaV2Config(
        **TALL, relative_attention=True, pos_att_type=["p2c", "c2p"], position_biased_input=False
    ),
    "t5": lambda: hf.T5Config(
        **VOCABULARY,
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        eos_token_id=3,
        decoder_start_token_id=0,
    ),
    "llama": lambda: hf.LlamaConfig(**TALL, pad_token_id=0),
    "xlnet": lambda: hf.XLNetConfig(**XLNET),
    "phimoe": lambda: hf.PhimoeConfig(  # it gathers tokens for its experts in their order
        **TALL, num_key_value_heads=2, num_local_experts=2, pad_token_id=0
    ),
    "fnet": lambda: hf.FNetConfig(
        **VOCABULARY, hidden_size=16, num_hidden_layers=1, intermediate_size=16, max_position_embeddings=20
    ),
}
WITHOUT = ("deberta", "t5", "llama", "xlnet", "phimoe")


def saved(folder: Path, kind: str, **changes: Any) -> Path:
    """A tiny model of a kind, saved with a tokenizer whose file says that it pads at the beginning."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = KINDS[kind]()
        made.update(changes)
        hf.AutoModel.from_config(made).save_pretrained(folder)
    given = tokenizer()
    given.padding_side = "left"
    given.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        *((kind, "classification") for kind in KINDS),
        *((kind, "tagging") for kind in ("roberta", "gpt2", "biogpt", "llama")),
        *((kind, "span") for kind in ("opt", "bart", "t5", "xlnet")),
    ],
)
def test_positions_are_found_by_what_is_read(kind, head, small_task, unmoved_random_state):
    task, made = small_task(head), KINDS[kind]()
    for name, value in HEADS[head].config(task).items():
        setattr(made, name, value)
    auto = getattr(hf, HEADS[head].AUTO_MODEL)
    with torch.random.fork_rng():
        model = auto.from_config(made)
    positions = try_model(model, task, tokenizer()).positions
    assert positions == (UNLIMITED if kind in WITHOUT else 20)
    ids = torch.full((1, min(positions, 40)), 8)
    ids[0, -1] = 3
    with torch.no_grad():
        model(input_ids=ids)
    if positions == 20:
        with pytest.raises((IndexError, RuntimeError)), torch.no_grad():
            model(input_ids=torch.cat([ids[:, :1], ids], 1))


@pytest.mark.parametrize("head", ["classification", "regression", "tagging", "span"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "xlnet"])
def test_a_row_has_its_outputs_alone_and_in_a_batch(kind, head, small_task, tmp_path):
    changes = {"pad_token_id": 8} if kind == "llama" else {}  # another one than the tokenizer's
    source, task = find_model(str(saved(tmp_path / kind, kind, **changes))), small_task(head)
    trial = try_model(load_model(source, task), task, load_tokenizer(source))
    assert trial.change < 1e-5
    assert not trial.notable


def test_a_model_that_padding_moves_is_named(small_task, tmp_path, caplog):
    check_model(find_model(str(saved(tmp_path / "fnet", "fnet"))), small_task(), [])
    assert "(FNetForSequenceClassification): padding moves a row's outputs" in caplog.text


def test_a_model_that_cannot_compute_its_tokenizers_inputs_is_refused(small_task, tmp_path):
    source = find_model(str(saved(tmp_path / "t5", "t5", eos_token_id=9)))  # which the tokenizer never writes
    with pytest.raises(
        ValueError, match=r"T5ForSequenceClassification\) cannot compute .* Put the right ones"
    ):
        check_model(source, small_task(), [])


@pytest.mark.parametrize(("kind", "text"), [("bart", "good [SEP] film"), ("t5", "[SEP]"), ("bert", None)])
def test_an_end_token_inside_a_text_is_named_with_its_row(kind, text, tmp_path):
    task, model = write_task(tmp_path / "task"), saved(tmp_path / kind, kind)
    plan_of(task, model)
    rows = (tmp_path / "task/validation.jsonl").read_text().splitlines()
    rows[4] = f'{{"text": "{text or "good [SEP] film"}", "label": 1}}'
    (tmp_path / "task/validation.jsonl").write_text("\n".join(rows))
    if text is None:  # it has no head that reads there
        plan_of(task, model)
        return
    with pytest.raises(ValueError, match=r"validation\.jsonl, row 5: the text holds '\[SEP\]', a token at"):
        plan_of(task, model)


def bare(folder: Path) -> Path:
    """A model whose tokenizer adds no token to a text, and has none for what is invisible."""
    from tokenizers import normalizers, processors

    save_encoder(folder)
    made = tokenizer()
    made.backend_tokenizer.post_processor = processors.Sequence([])
    made.backend_tokenizer.normalizer = normalizers.Replace("\u200b", "")
    made.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("text", ["", "  ", "\u200b"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_text_without_a_token_is_named_with_its_row(text, split, tmp_path):
    task, model = write_task(tmp_path / "task"), bare(tmp_path / "bare")
    plan_of(task, model)
    path = tmp_path / f"task/{split}.jsonl"
    path.write_text(f'{{"text": "{text}", "label": 1}}\n{path.read_text()}')
    with pytest.raises(
        ValueError, match=rf"{split}\.jsonl, row 1: the tokenizer .* makes no token of this text"
    ):
        plan_of(task, model)
    plan_of(task, save_encoder(tmp_path / "encoder"))  # whose tokenizer adds two


def test_a_row_beyond_the_positions_is_named(tmp_path):
    task = write_task(tmp_path / "task")
    model = save_encoder(tmp_path / "small", max_position_embeddings=6)
    with pytest.raises(ValueError, match=r"train\.jsonl, row 3: model .* has 6 positions, and an input of"):
        plan_of(task, model, "train.max_length=512")


def test_a_row_of_tags_that_would_train_nothing_is_named(tmp_path):
    given = {"name": "mine/tags", "head": "tagging", "columns": ["tokens", "tags"], "label": "tags"}
    given |= {"labels": ["O", "X"], "metrics": ["tag_accuracy"], "primary": ["tag_accuracy"]}
    task, model = write_task(tmp_path / "task", **given), save_encoder(tmp_path / "encoder")
    row, empty = '{"tokens": ["cat", "?"], "tags": ["X", "O"]}\n', '{"tokens": [" "], "tags": ["O"]}\n'
    for split in ("train", "validation"):
        (tmp_path / f"task/{split}.jsonl").write_text(row + '{"tokens": ["?"], "tags": ["O"]}\n' + row)
    (tmp_path / "task/validation.jsonl").write_text(row + empty)  # here it has its tag
    plan_of(task, model)
    (tmp_path / "task/train.jsonl").write_text(row + row + empty)
    with pytest.raises(
        ValueError, match=r"train\.jsonl, row 3: the tokenizer makes no token of its words \[' '\]"
    ):
        plan_of(task, model)
