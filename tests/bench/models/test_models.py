"""Models that train as they should, and clear words for all that must not be trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoder import plan_of, save_encoder, tokenizer, write_task
from transformers import BertForSequenceClassification, BertModel

from dither.bench.models.checks import check_model
from dither.bench.models.files import unchanged
from dither.bench.models.loading import find_model, load_model, load_tokenizer

WORD = "embeddings.word_embeddings.weight"


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return save_encoder(tmp_path / "encoder")


def change_tensor(folder: Path, name: str, change) -> None:
    """Replace one tensor of the folder's weights."""
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, name: change(tensors[name])}, folder / "model.safetensors", {"format": "pt"})


def change_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_backbone_comes_from_the_file_and_the_head_from_the_seed(encoder, small_task):
    heads = []
    for seed in (0, 0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = load_model(find_model(str(encoder)), small_task())
        heads.append(model.classifier.weight)
        assert torch.equal(
            model.bert.embeddings.word_embeddings.weight, load_file(encoder / "model.safetensors")[WORD]
        )
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_pooler_may_be_new(tmp_path, small_task):
    folder = save_encoder(tmp_path / "base", pooler=False)
    assert not any("pooler" in name for name in load_file(folder / "model.safetensors"))
    assert load_model(find_model(str(folder)), small_task()).bert.pooler is not None


@pytest.mark.parametrize(
    ("name", "what"), [("config.json", "no config.json"), ("tokenizer.json", "no token")]
)
def test_a_folder_that_lacks_a_file_is_refused(encoder, name, what):
    (encoder / name).unlink()
    with pytest.raises(ValueError, match=rf"model folder .*encoder has {what}.*; save"):
        find_model(str(encoder))


def test_an_adapter_is_refused_alone_and_beside_a_model(encoder):
    shutil.copy(encoder / "model.safetensors", encoder / "adapter_model.safetensors")
    (encoder / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds a model \(model\.safetensors\) and an adapter of PEFT"):
        find_model(str(encoder))
    (encoder / "model.safetensors").unlink()
    (encoder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"holds an adapter of PEFT \(adapter_config\.json\) and no model"):
        find_model(str(encoder))


def test_what_a_wrapper_left_in_the_names_is_told(encoder):
    tensors = load_file(encoder / "model.safetensors")
    wrapped = {f"_orig_mod.{name}": tensor for name, tensor in tensors.items()}
    save_file(wrapped, encoder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"encoder: a wrapper left '_orig_mod\.' in the names"):
        find_model(str(encoder))


def test_an_index_without_metadata_is_refused_with_a_way_out(encoder, small_task):
    (encoder / "model.safetensors").rename(encoder / "model-00001-of-00001.safetensors")
    names = load_file(encoder / "model-00001-of-00001.safetensors")
    index = {"weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    path = encoder / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r'index\.json has no metadata, .*; add "metadata": {} to it'):
        find_model(str(encoder))
    path.write_text(json.dumps(index | {"metadata": {}}))
    load_model(find_model(str(encoder)), small_task())


def test_pickles_are_refused(encoder):
    (encoder / "model.safetensors").rename(encoder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"only pickles \(pytorch_model\.bin\), which can run code"):
        find_model(str(encoder))


def test_integer_weights_are_refused_by_name(encoder):
    change_tensor(encoder, WORD, lambda tensor: tensor.to(torch.int8))
    with pytest.raises(ValueError, match=rf"tensor '{WORD}' is I8, and .* before it was quantised"):
        find_model(str(encoder))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(encoder, small_task, bad):
    change_tensor(encoder, WORD, lambda tensor: tensor.index_fill(0, torch.tensor([3]), bad))
    with pytest.raises(ValueError, match=rf"tensor 'bert\.{WORD}' holds NaN or infinite"):
        load_model(find_model(str(encoder)), small_task())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:5], "header is damaged"),
        (lambda data: data[:60], "header is damaged"),
        (lambda data: data[:8] + b"x" + data[9:], "header is damaged"),
        (lambda data: (2).to_bytes(8, "little") + b"[]", "header is damaged"),
        (lambda data: (7).to_bytes(8, "little") + b'{"a":1}', "header is damaged"),
        (lambda data: data[:-100], "is not whole: its header promises .* fetch it again"),
    ],
    ids=["stump", "half a header", "no JSON", "a list", "no tensor", "half the weights"],
)
def test_damaged_weights_are_refused(encoder, damage, message):
    path = encoder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"model\.safetensors .*{message}"):
        find_model(str(encoder))


def test_a_head_that_does_not_fit_is_no_hindrance_and_is_not_taken(tmp_path):
    folder = save_encoder(tmp_path / "tuned", BertForSequenceClassification, num_labels=2)
    three = write_task(tmp_path / "three", name="mine/three", labels=["bad", "good", "fair"])
    two = write_task(tmp_path / "two", name="mine/two")
    from dither.bench.plans.plan import Plan

    tasks, methods = [str(three), str(two)], {"none": {}}
    Plan.create(tasks, str(folder), methods, [0])
    with pytest.raises(ValueError, match=r"task 'mine/three' needs \(classification, 3 outputs\)"):
        Plan.create(tasks, str(folder), methods, [0], train_settings={"head_weights": "file"})


def test_an_architecture_without_such_a_head_is_refused(encoder, small_task):
    from transformers import ViTConfig, ViTModel

    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    ViTModel(ViTConfig(**size, image_size=4, patch_size=2)).save_pretrained(encoder)
    with pytest.raises(ValueError, match=r"architecture without a head for classification, which task"):
        load_model(find_model(str(encoder)), small_task())


@pytest.mark.parametrize("name", ["nobody/nothing-like-it", "/no/such/folder", "no such name"])
def test_a_name_that_leads_nowhere_is_refused(name):
    with pytest.raises(ValueError, match=r"is no folder here, and the Hugging Face Hub did not give it"):
        find_model(name)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_the_digest_changes_with_every_file_that_loading_reads(encoder, name):
    before = find_model(str(encoder)).digest
    (encoder / "README.md").write_text("words")
    (encoder / "ledger.sqlite").write_bytes(b"results of a run that made this model")
    assert find_model(str(encoder)).digest == before
    path = encoder / name
    path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2", 1) + (b" " if name.endswith("json") else b""))
    if name == "model.safetensors":
        change_tensor(encoder, WORD, lambda tensor: tensor + 1)
    assert find_model(str(encoder)).digest != before


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "added.json"])
def test_files_that_changed_since_the_plan_are_not_read(encoder, small_task, name):
    """Nor where the weights are kept: config.json and the tokenizer are read for each run."""
    source = find_model(str(encoder))
    load_model(source, small_task())
    if name == "model.safetensors":
        change_tensor(encoder, WORD, lambda tensor: tensor + 1)
    else:
        (encoder / name).write_text((encoder / name).read_text() + " " if name != "added.json" else "{}")
    for load in (lambda: load_model(source, small_task()), lambda: load_tokenizer(source)):
        with pytest.raises(ValueError, match=rf": {name} in .* changed since the runs were planned"):
            load()


def test_files_that_were_only_touched_are_read(encoder, small_task):
    source = find_model(str(encoder))
    for path in encoder.iterdir():
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
    load_model(source, small_task())
    with unchanged(source):
        (encoder / "config.json").touch()
        (encoder / "README.md").touch()


def test_files_that_change_while_they_are_read_are_refused(encoder):
    source = find_model(str(encoder))
    with pytest.raises(ValueError, match=r": model\.safetensors in"), unchanged(source):
        change_tensor(encoder, WORD, lambda tensor: tensor + 1)


def foreign(folder: Path, model_type: str) -> Path:
    """Code beside a model, which leaves a trace when it runs, and what makes transformers run it."""
    code = "from pathlib import Path\nPath(__file__).with_name('RAN').touch()\n" * 2
    code = f"import pathlib\npathlib.Path({str(folder / 'RAN')!r}).touch()\n" + code
    for name in ("configuration_evil.py", "modeling_evil.py", "tokenization_evil.py"):
        (folder / name).write_text(code + "class Evil: pass\n")
    models = {
        "AutoConfig": "configuration_evil.Evil",
        "AutoModelForSequenceClassification": "modeling_evil.Evil",
    }
    change_config(folder, model_type=model_type, auto_map=models)
    return folder


def test_code_beside_a_model_never_runs(encoder, small_task):
    source = find_model(str(foreign(encoder, "evil")))
    with pytest.raises(ValueError, match=r"comes with code of its own, which dither never runs"):
        load_model(source, small_task())
    assert not (encoder / "RAN").exists()


def test_a_known_architecture_loads_without_the_code_beside_it(encoder, small_task):
    source = find_model(str(foreign(encoder, "bert")))
    assert type(load_model(source, small_task())) is BertForSequenceClassification
    path = encoder / "tokenizer_config.json"
    mapped = {"AutoTokenizer": [None, "tokenization_evil.Evil"]}
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": mapped}))
    load_tokenizer(find_model(str(encoder)))
    assert not (encoder / "RAN").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "no-such-type"}', "{}"])
def test_a_config_that_says_nothing_is_refused(encoder, small_task, text):
    (encoder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"model .*encoder cannot be loaded: \w+: ."):
        load_model(find_model(str(encoder)), small_task())


def test_a_tokenizer_that_is_damaged_or_cannot_pad_is_refused(encoder):
    made = tokenizer()
    made.pad_token = made.unk_token = None
    made.save_pretrained(encoder)
    with pytest.raises(ValueError, match=r"no token to pad with"):
        load_tokenizer(find_model(str(encoder)))
    (encoder / "tokenizer.json").write_text('{"version": "1.0", "model": 3}')
    with pytest.raises(
        ValueError, match=r"the tokenizer of model .* cannot be loaded: .*; save it once more"
    ):
        load_tokenizer(find_model(str(encoder)))


def test_a_tokenizer_of_another_model_is_refused(encoder, tmp_path, small_task):
    folder = save_encoder(tmp_path / "small", vocab_size=10)
    with pytest.raises(ValueError, match=r"embeds 10 tokens and its tokenizer has 22"):
        check_model(find_model(str(folder)), small_task(), [])


def test_inputs_longer_than_the_positions_are_refused(tmp_path):
    """The longest text has nine tokens."""
    task, small = write_task(tmp_path / "task"), save_encoder(tmp_path / "small", max_position_embeddings=9)
    plan_of(task, small, "train.max_length=512")
    smaller = save_encoder(tmp_path / "smaller", max_position_embeddings=6)
    with pytest.raises(
        ValueError, match=r"6 positions, and an .* has \d tokens; cut them with .*max_length=6"
    ):
        plan_of(task, smaller, "train.max_length=512")
    plan_of(task, smaller, "train.max_length=6")


def test_positions_that_are_kept_for_padding_do_not_count(tmp_path, small_task):
    from transformers import RobertaConfig, RobertaModel

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=22, max_position_embeddings=34, pad_token_id=1, **sizes)
    RobertaModel(config).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    assert check_model(find_model(str(tmp_path)), small_task(), []) == 32


def test_a_decoder_has_no_last_position(stories_dir, small_task):
    assert check_model(find_model(str(stories_dir)), small_task(), []) > 1_000_000


def test_the_mark_of_earlier_noise_is_dropped(encoder, small_task):
    change_config(encoder, dither=[{"hash": "0123456789abcdef", "recipe": {}}])
    assert not hasattr(load_model(find_model(str(encoder)), small_task()).config, "dither")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_are_held_in_the_dtype_asked_for(tmp_path, small_task, dtype):
    folder = save_encoder(tmp_path / "half")
    BertModel.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    model = load_model(find_model(str(folder)), small_task(), dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype)}


def test_a_model_may_be_renamed_and_stay_the_same(encoder, tmp_path):
    shutil.copytree(encoder, tmp_path / "copy")
    assert find_model(str(tmp_path / "copy")).digest == find_model(str(encoder)).digest
