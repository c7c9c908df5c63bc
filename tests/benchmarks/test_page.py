"""docs/speed.md says what the kept results say, and the generator takes what there is."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from benchmarks.page import PAGE, page
from benchmarks.result_files import read_all
from benchmarks.tables import count, number, share, size
from benchmarks.timing import summary


def test_the_page_is_what_the_kept_results_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_all()), (
        "docs/speed.md is not what benchmarks/results gives: python -m benchmarks.page"
    )


def test_no_quick_run_is_kept() -> None:
    runs = [section["run"] for document in read_all() for section in document["sections"]]
    assert not [run for run in runs if run.get("quick")]


def row(text: str, name: str) -> list[str]:
    """The cells of the first table row that begins so."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {name}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_noise_reads_as_it_was_measured(document: dict[str, Any]) -> None:
    text = page([document])
    cells = row(text, "dither.noisytune_")
    assert cells == ["dither.noisytune_", "1.00", "1.00 … 1.50", "1.00 ×", "75 %", "1.0 MiB"]
    # The ratio is taken round by round: 10, 20 and 5 times as long.
    assert row(text, "snippet as pasted")[3:] == ["10.0 ×", "7.5 %", "3.00 GiB"]
    assert row(text, "*memory limit*")[1] == "0.750"
    assert "* reference: not measured: takes minutes" in text


def test_the_other_parts_read_as_they_were_measured(document: dict[str, Any]) -> None:
    text = page([document])
    assert row(text, "AdamW + PATS ")[1:5] == ["16.0", "15.5 … 24.0", "1.60 ×", "4.00"]
    assert row(text, "import torch, dither")[3] == "+0.250"
    assert row(text, "1,000,000")[1:] == ["1000", "1.00", "0.500", "75 %"]
    assert "Backend native (X), 1 thread, torch ?, commit abc, 2030-01-02." in text


def test_perturbing_reads_as_it_was_measured(document: dict[str, Any]) -> None:
    text = page([document])
    assert "**sharded checkpoint, bfloat16, 8.0 GB**" in text
    assert row(text, "dither perturb ")[1:] == ["5.00", "5.00 … 6.50", "1.60", "2.50 ×", "228.9 MiB"]
    assert row(text, "`dither perturb`, 8 GB in shards, without hashing")[2:5] == [
        "≤ 1.5 ×",
        "1.50",
        "1.25 … 1.50",
    ]
    assert row(text, "`dither perturb`, 8 GB in shards: memory")[2:] == [
        "≤ 250 MB", "240", "240 … 240", "yes"
    ]  # fmt: skip


def test_the_report_reads_as_it_was_measured(document: dict[str, Any]) -> None:
    text = page([document])
    assert row(text, "dither report")[1:] == ["14.0", "13.0 … 17.5", "512.0 MiB"]
    assert "\nThe page: 1.0 MiB, 32 pictures with 3,356 marks.\n" in text
    assert row(text, "`dither report`, 3,015 runs")[2:] == ["≤ 20 s", "14.0", "13.0 … 17.5", "yes"]
    assert row(text, "the same: size of the page")[2:] == ["≤ 6 MB", "1.05", "1.05 … 1.05", "yes"]
    assert row(text, "the same: first picture")[2:] == ["≤ 3 s", "0.250", "0.250 … 0.375", "yes"]


def test_targets_say_what_was_reached(document: dict[str, Any]) -> None:
    text = page([document])
    assert row(text, "AdamW step with PATS over the bare one, MiniLM")[2:] == [
        "≤ 2 ×", "1.60", "1.55 … 1.60", "yes"
    ]  # fmt: skip
    first = row(text, "`import torch, dither` and the first noise")
    assert first[2:] == ["≤ 60 ms", "250", "250 … 250", "**no**"]
    snippet = row(text, "NoisyTune, BERT-base, float32: times the pasted")
    assert snippet[2:] == ["≥ 12 ×", "10.0", "7.50 … 15.0", "**no**"]
    assert "| bytes kept for each parameter" not in text  # the fine-tuning step was not measured


def test_the_memory_limit_is_one_and_a_half_copies(document: dict[str, Any]) -> None:
    # 1.5 × 0.5 ms over 1, 1 and 2 ms.
    share_of_limit = row(page([document]), "NoisyTune, BERT-base, float32: share of the memory limit")
    assert share_of_limit[2:] == ["≥ 0.4", "0.750", "0.562 … 0.750", "yes"]
    document["sections"][0]["cases"][0]["candidates"]["dither.noisytune_"]["rounds"][2] = 0.1
    assert row(page([document]), "NoisyTune, BERT-base, float32: share")[5] == "yes, but not steadily"


def test_a_quick_run_is_called_one(document: dict[str, Any]) -> None:
    assert "quick run" not in page([document])
    document["sections"][0]["run"]["quick"] = True
    assert page([document]).count("A quick run") == 1


def test_without_results_there_is_a_page() -> None:
    assert page([]).endswith("No results are kept yet.\n")


@pytest.mark.parametrize("part", ["noise", "pats", "startup", "scaling", "perturb"])
def test_a_part_may_be_missing(document: dict[str, Any], part: str) -> None:
    whole = page([document])
    document["sections"] = [section for section in document["sections"] if section["part"] != part]
    text = page([document])
    assert text.count("Not measured.") == whole.count("Not measured.") + 1
    assert len(text) < len(whole)


def shortened(value: Any) -> list[Any]:
    """Every version of some results in which one value, at whatever depth, is missing."""
    versions = []
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        less = copy.copy(value)
        del less[key]
        versions.append(less)
        inner = shortened(value[key])
        versions += [{**value, key: less} if isinstance(value, dict) else [less] for less in inner]
    return versions


def test_any_one_value_may_be_missing(document: dict[str, Any]) -> None:
    versions = shortened(document)
    assert len(versions) > 100
    for version in versions:
        text = page([version])
        assert text.startswith("# Speed and memory")
        assert "None" not in text
        assert "nan" not in text


def test_machines_stand_side_by_side(document: dict[str, Any]) -> None:
    other = copy.deepcopy(document)
    other["machine"] |= {"cpu": "Other CPU", "gpu": "Some GPU"}
    for section in other["sections"]:
        section["device"] = "cuda"
    text = page([document, other])
    assert "| Some CPU, CPU |" in text
    assert "| Other CPU, Some GPU, GPU |" in text
    assert "### NoisyTune: GPU" in text


def test_numbers_are_short() -> None:
    assert [number(x) for x in (None, 0.0, 0.54321, 1.5, 123.456, 12345.6)] == [
        "–", "0", "0.543", "1.50", "123", "12346"
    ]  # fmt: skip
    assert (share(0.5), share(0.004), size(2**31), count(109_482_240)) == (
        "50 %", "0.4 %", "2.00 GiB", "109.5 million"
    )  # fmt: skip


def test_the_page_lies_in_the_documentation(root: Path) -> None:
    assert root / "docs" / "speed.md" == PAGE


def test_steps_are_told_by_the_processor_and_the_clock(document: dict[str, Any]) -> None:
    from benchmarks.fine_tuning import HALF, HALF_BY_LENGTH, STEP, WHOLE

    more = {"clock_seconds": 3.5, "tokens": 1000, "steps": 4}
    times = {WHOLE: [4.0, 4.0], HALF: [2.0, 2.5], HALF_BY_LENGTH: [1.0, 1.0]}
    candidates = {name: summary(rounds) | more for name, rounds in times.items()}
    case = {"model": "glue/mrpc, MiniLM", "what": STEP, "candidates": candidates}
    document["sections"] = [{"part": "training", "device": "cpu", "run": {}, "cases": [case]}]
    text = page([document])
    assert row(text, WHOLE)[1:] == ["1.00", "1.00 … 1.00", "1.00 ×", "3.50", "1,000"]
    assert row(text, HALF)[3] == "1.80 ×"
    assert row(text, "the same, batches of MRPC as they come")[2:] == [
        "≥ 2 ×",
        "1.80",
        "1.70 … 1.90",
        "**no**",
    ]
    assert row(text, "the same, bf16 by length")[2:] == ["≥ 2 ×", "4.00", "4.00 … 4.00", "yes"]


def test_what_cannot_be_measured_says_why(document: dict[str, Any], monkeypatch) -> None:
    from benchmarks import fine_tuning, precision

    monkeypatch.delenv("DITHER_TEST_DATA", raising=False)
    (case,) = fine_tuning.measure("cpu")
    document["sections"] = [{"part": "training", "device": "cpu", "run": {}, "cases": [case]}]
    assert "* float32: not measured: " in page([document])
    assert list(precision.measure("cuda")) == []


def test_precisions_are_compared_with_a_margin(document: dict[str, Any]) -> None:
    found = {"difference": -0.25, "interval": [-0.5, 0.0], "p": 0.5, "p_equivalence": 0.03125}
    found["verdict"] = "no difference above 1"
    case = {"model": "m", "candidates": {"builtin/x": found | {"means": [70.0, 69.75]}, "over both": found}}
    document["sections"] = [{"part": "precision", "device": "cpu", "run": {}, "cases": [case]}]
    text = page([document])
    cells = ["70.00", "69.75", "−0.25", "−0.50 … +0.00", "0.031", "no difference above 1"]
    assert row(text, "builtin/x")[1:] == cells
    assert row(text, "over both")[1:3] == ["–", "–"]
