"""The tasks of XTREME on real files: a few rows of each language, a few steps of a real decoder."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tiny_encoder import requests_of, save_encoder

from dither.bench.runs.run import run

pytestmark = pytest.mark.data
FEW = 6
# task -> the languages with files, and the splits that a run reads: ours <- where they lie.
HERE = {
    "pawsx": "en de es fr ja ko zh",
    "xnli": "en de es fr ru zh",
    "panx": "en de es fr ja ko zh",
    "udpos": "en de es fr ja ko zh",
    "xquad_tydiqa": "en de es zh ru ar",
}


@pytest.fixture(scope="module")
def few_rows(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the first rows of every file."""
    folder = tmp_path_factory.mktemp("few")
    source = test_data / "data"
    for path in (*source.glob("xtreme/*/*.jsonl.gz"), source / "glue/mnli/train.jsonl.gz"):
        copy = folder / path.relative_to(source).with_suffix("")
        copy.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            kept = [
                line for line, _ in zip(lines, range(4 * FEW if "train" in path.name else FEW), strict=False)
            ]
        copy.write_text("".join(kept), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", HERE)
def test_a_run_has_a_score_for_every_language(name: str, few_rows: Path, stories_dir: Path) -> None:
    languages = tuple(HERE[name].split())
    settings = ("train.epochs=0.25", "train.batch_size=2", "train.max_length=64")
    request = requests_of(
        f"xtreme/{name}", stories_dir, *settings, data_dir=str(few_rows), languages=languages
    )["none", 0]
    result = run(request)
    assert list(result.metrics) == list(result.predictions) == list(request.task.evaluation)
    assert set(result.metrics) == set(languages)
    assert all(len(said) == FEW for said in result.predictions.values())
    (primary,) = request.task.primary
    mean = sum(metrics[primary] for metrics in result.metrics.values()) / len(languages)
    assert result.score == pytest.approx(100 * mean)


def test_inputs_longer_than_the_model_allows(few_rows: Path, tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "encoder")
    data = {"data_dir": str(few_rows), "languages": ("zh",)}
    message = r"has 64 positions, and an input of task 'xtreme/xquad_tydiqa' has 384 tokens; .*max_length=64"
    with pytest.raises(ValueError, match=message):
        requests_of("xtreme/xquad_tydiqa", encoder, **data)
    assert requests_of("xtreme/xquad_tydiqa", encoder, "train.max_length=64", **data)


def test_hidden_answers_are_told_before_a_run(test_data: Path, stories_dir: Path) -> None:
    with pytest.raises(ValueError, match=r"tydiqa/dev\.en\.jsonl\.gz:1: empty answer"):
        requests_of("xtreme/tydiqa", stories_dir, data_dir=str(test_data / "data"), languages=("en", "fi"))
