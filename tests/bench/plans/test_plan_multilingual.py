"""On tasks of several languages methods have the defaults of their papers' multilingual part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench.plans.plan import Plan
from dither.bench.plans.settings import full_settings, parse_settings
from dither.bench.runs.run import run
from dither.methods.registry import available_methods
from dither.record import Record
from dither.results import Ledger, LedgerError

PAPER = {"noise_lambda": 0.1, "token_embeddings": False}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("multilingual") / "encoder")


def write_spoken(folder: Path, name: str = "mine/spoken") -> Path:
    """A task of two languages: trained on one, evaluated on both."""
    path = write_task(folder, name=name, languages=["en", "xx"])
    text = path.read_text().replace('train = "train"', 'train = "train.en"')
    path.write_text(text.replace('validation = "validation"', '"{language}" = "validation.{language}"'))
    for split, language in (("train", "en"), ("validation", "en"), ("validation", "xx")):
        (folder / f"{split}.{language}.jsonl").write_bytes((folder / f"{split}.jsonl").read_bytes())
    return path


def settings_of(plan: Plan) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one.spec.task, one.spec.method): one.spec.method_settings for one in plan.requests()}


@pytest.mark.parametrize("name", ["noisytune", "noisytune-gaussian", "noisytune-global"])
def test_noisytune_has_the_defaults_of_its_paper(name: str) -> None:
    assert available_methods()[name].multilingual == PAPER
    matched = available_methods()[name].compared  # counts before the paper's λ
    assert full_settings(name, {}, multilingual=True) == {**full_settings(name, {}), **PAPER, **matched}


def test_other_methods_have_one_default() -> None:
    for name, row in available_methods().items():
        if not name.startswith("noisytune"):
            assert row.multilingual == {}
            assert full_settings(name, {}, multilingual=True) == full_settings(name, {})


def test_each_task_of_a_plan_has_its_own(encoder: Path, tmp_path: Path) -> None:
    tasks = [str(write_task(tmp_path / "one")), str(write_spoken(tmp_path / "two"))]
    plan = Plan.create(tasks, str(encoder), {"none": {}, "noisytune": {}}, [0])
    found = settings_of(plan)
    assert found["mine/films", "noisytune"] == full_settings("noisytune", {})
    assert found["mine/spoken", "noisytune"] == {**full_settings("noisytune", {}), **PAPER}
    assert found["mine/films", "none"] == found["mine/spoken", "none"] == {}
    planned = plan.experiment("compare").methods
    assert planned["noisytune"] == {**full_settings("noisytune", {}), "multilingual": PAPER}
    assert planned["none"] == {}


@pytest.mark.parametrize(
    ("setting", "left"),
    [
        ("noisytune.noise_lambda=0.15", {"token_embeddings": False}),
        ("noisytune.noise_lambda=0.3", {"token_embeddings": False}),
        ("noisytune.token_embeddings=true", {"noise_lambda": 0.1}),
        ("noisytune.scope=backbone", PAPER),
    ],
)
def test_what_the_user_sets_counts_first(setting: str, left: dict, encoder: Path, tmp_path: Path) -> None:
    plan = plan_of(write_spoken(tmp_path), encoder, setting, methods=("noisytune",))
    changed = parse_settings([setting], ["noisytune"])[0]["noisytune"]
    ((_, found),) = settings_of(plan).items()
    assert found == {**full_settings("noisytune", {}), **left, **changed}
    assert plan.experiment("compare").methods["noisytune"]["multilingual"] == left


def test_the_record_of_a_run_shows_it(encoder: Path, tmp_path: Path) -> None:
    (request,) = plan_of(write_spoken(tmp_path), encoder, "train.epochs=1", methods=("noisytune",)).requests()
    result = run(request)
    assert list(result.metrics) == ["en", "xx"]
    assert result.record is not None
    record = Record.from_json(result.record["noisytune"])
    (words,) = (row for row in record.tensors if row.name.endswith("word_embeddings.weight"))
    assert words.reason is not None
    assert '"noise_lambda": 0.1' in json.dumps(result.record)


def test_a_folder_takes_such_a_task_later_and_keeps_its_settings(encoder: Path, tmp_path: Path) -> None:
    films, spoken = str(write_task(tmp_path / "one")), str(write_spoken(tmp_path / "two"))
    both, arms = [films, spoken], {"none": {}, "noisytune": {}}
    for tasks in ([films], both, both):
        plan = Plan.create(tasks, str(encoder), arms, [0])
        Ledger.create_or_resume(tmp_path / "out", plan.experiment("compare")).close()
    kept = Ledger.read(tmp_path / "out").experiment
    assert kept.methods["noisytune"]["multilingual"] == PAPER
    other = Plan.create(both, str(encoder), {**arms, "noisytune": {"noise_lambda": 0.15}}, [0])
    with pytest.raises(LedgerError, match=r"methods\[noisytune\]\.multilingual\.noise_lambda: 0\.1 there"):
        Ledger.create_or_resume(tmp_path / "out", other.experiment("compare"))
