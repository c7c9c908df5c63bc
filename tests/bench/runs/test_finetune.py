"""One run that keeps its model: saved whole, resumed exactly, read when asked again, used again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_encoder import plan_of, save_encoder, write_task
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer

from dither.bench.models.loading import find_model
from dither.bench.recording import make_runs
from dither.bench.runs import finetune as finetune_module
from dither.bench.runs.finetune import finetune
from dither.bench.runs.run import run
from dither.results import Ledger, LedgerError

EPOCHS = "train.epochs=3"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("finetune") / "encoder")


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Path:
    return write_task(tmp_path_factory.mktemp("finetune") / "task")


@pytest.fixture(scope="module")
def tuned(task, encoder, tmp_path_factory) -> Path:
    """A folder in which NoisyTune was at work."""
    out = tmp_path_factory.mktemp("finetune") / "out"
    finetune(plan_of(task, encoder, EPOCHS, methods=("noisytune",)), out)
    return out


def same(left: Path, right: Path) -> bool:
    one, two = (load_file(folder / "model.safetensors") for folder in (left, right))
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_the_model_its_tokenizer_and_the_ledger_are_there(tuned, task):
    files = {path.name for path in tuned.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "ledger.sqlite", "checkpoints"} <= files
    assert not any("partial" in name or "lock" in name for name in files)
    model = AutoModelForSequenceClassification.from_pretrained(tuned)
    assert model.config.id2label == {0: "bad", 1: "good"}
    assert AutoTokenizer.from_pretrained(tuned)("good film").input_ids == [2, 8, 6, 3]
    with Ledger.read(tuned) as ledger:
        assert len(ledger) == 1
        assert ledger.experiment.kind == "finetune"


def test_the_saved_model_predicts_what_the_ledger_holds(tuned, task):
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(tuned),
        AutoTokenizer.from_pretrained(tuned),
    )
    texts = [json.loads(line)["text"] for line in (task.parent / "validation.jsonl").read_text().splitlines()]
    with torch.no_grad():
        logits = model.eval()(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    with Ledger.read(tuned) as ledger:
        (result,) = ledger.results(predictions=True)
    assert logits.argmax(-1).tolist() == result.predictions["validation"]


def test_the_second_call_reads_the_result(tuned, task, encoder, monkeypatch):
    monkeypatch.setattr(finetune_module, "run", lambda request: pytest.fail("the run was made again"))
    before = (tuned / "model.safetensors").stat().st_mtime_ns
    again = finetune(plan_of(task, encoder, EPOCHS, methods=("noisytune",)), tuned)
    assert again.record["noisytune"]
    assert (tuned / "model.safetensors").stat().st_mtime_ns == before


def test_another_run_is_refused(tuned, task, encoder):
    with pytest.raises(LedgerError, match="holds another experiment"):
        finetune(plan_of(task, encoder, EPOCHS, methods=("pats",)), tuned)
    plan = plan_of(task, encoder, EPOCHS, methods=("noisytune",))
    with pytest.raises(LedgerError, match=r"holds another experiment:\n  kind: 'finetune' there"):
        make_runs(plan, tuned)


class Interrupted(BaseException):
    """What no handler of errors stops, as a kill."""


def stop(*args: object, **kwargs: object) -> None:
    """What is put where a run is to end."""
    raise Interrupted


def after_an_epoch(patch: pytest.MonkeyPatch) -> None:
    original = Trainer._maybe_log_save_evaluate

    def stopping(self, *args, **kwargs):
        original(self, *args, **kwargs)
        if list(Path(self.args.output_dir).glob("checkpoint-*")):
            raise Interrupted

    patch.setattr(Trainer, "_maybe_log_save_evaluate", stopping)


def while_the_model_is_saved(patch: pytest.MonkeyPatch) -> None:
    original = Trainer.save_model

    def halving(self, folder=None, _internal_call=False):
        original(self, folder, _internal_call)
        if not _internal_call:
            (Path(folder) / "model.safetensors").write_bytes(b"half")
            raise Interrupted

    patch.setattr(Trainer, "save_model", halving)


def before_the_result_is_recorded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "add", stop)


@pytest.mark.parametrize("method", ["none", "noisytune", "pats"])
@pytest.mark.parametrize(
    "interrupting", [after_an_epoch, while_the_model_is_saved, before_the_result_is_recorded]
)
def test_an_interrupted_run_ends_with_the_same_model(
    task, encoder, tmp_path, monkeypatch, method, interrupting
):
    plan = plan_of(task, encoder, EPOCHS, methods=(method,))
    whole = finetune(plan, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupting(patch)
        with pytest.raises(Interrupted):
            finetune(plan, tmp_path / "broken")
    if interrupting is not before_the_result_is_recorded:
        assert not (tmp_path / "broken" / "model.safetensors").exists()
    resumed = finetune(plan, tmp_path / "broken")
    assert same(tmp_path / "whole", tmp_path / "broken")
    assert resumed.predictions == whole.predictions
    assert not list((tmp_path / "broken").glob("*partial*"))


def test_noise_that_was_applied_stands_in_the_config(tuned):
    (mark,) = json.loads((tuned / "config.json").read_text())["dither"]
    assert mark["recipe"]["method"] == "noisytune"
    assert mark["recipe"]["seed"] == 0


def test_a_tuned_model_is_a_model_like_any_other(tuned, task, encoder, tmp_path):
    """Noise is drawn anew on what the first run learned, and the mark says so once."""
    plans = {method: plan_of(task, tuned, EPOCHS, methods=(method,)) for method in ("none", "noisytune")}
    for method, plan in plans.items():
        finetune(plan, tmp_path / method)
    assert not same(tmp_path / "none", tmp_path / "noisytune")
    assert "dither" not in json.loads((tmp_path / "none" / "config.json").read_text())
    assert len(json.loads((tmp_path / "noisytune" / "config.json").read_text())["dither"]) == 1


def test_reading_the_result_leaves_the_digest_of_the_model(tuned, task, encoder):
    before = find_model(str(tuned)).digest
    finetune(plan_of(task, encoder, EPOCHS, methods=("noisytune",)), tuned)
    assert find_model(str(tuned)).digest == before


def test_finetune_and_compare_make_the_same_run(tuned, task, encoder):
    (request,) = plan_of(task, encoder, EPOCHS, methods=("noisytune",)).requests()
    with Ledger.read(tuned) as ledger:
        assert ledger.get(request.spec.id).predictions == run(request).predictions
