"""The suite runs from end to end on small shapes, and keeps its results part by part."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.candidates import PASTED
from benchmarks.machine import machine, provenance, slug
from benchmarks.page import page
from benchmarks.result_files import merged, read, text, write
from benchmarks.startup import INSIDE, run

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


def quick(root: Path, out: Path, *parts: str, device: str = "cpu") -> str:
    """Run parts of the suite as `make bench` would, on small shapes."""
    only = [word for part in parts for word in ("--only", part)]
    command = [sys.executable, "-m", "benchmarks", "--quick", "--device", device, "--out", str(out), *only]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
def test_a_quick_run_ends_on_a_page(root: Path, tmp_path: Path, device: str) -> None:
    out = tmp_path / "some" / "results.json"
    quick(root, out, "noise", "pats", device=device)
    cases = [case for section in read(out)["sections"] for case in section["cases"]]
    assert [case["model"] for case in cases] == [
        "small encoder",
        "small LoRA",
        "small encoder",
        "small encoder",
    ]
    failed = {name: row for case in cases for name, row in case["candidates"].items() if "error" in row}
    assert set(failed) == (set() if device == "cpu" else {PASTED}), failed
    assert cases[0]["candidates"]["dither.noisytune_"]["peak_bytes"] >= 0
    kept = cases[2]["candidates"]["AdamW + PATS"]["state_bytes_per_parameter"]
    assert kept == pytest.approx(4.0, rel=0.05)
    assert page([read(out)]).count("A quick run") == 2


def test_another_part_joins_the_file(root: Path, tmp_path: Path, document: dict[str, Any]) -> None:
    out = tmp_path / "results.json"
    write(out, document)
    quick(root, out, "scaling")
    found = {section["part"]: section for section in read(out)["sections"]}
    assert set(found) == {"noise", "pats", "startup", "scaling", "perturb", "report"}
    assert [case["elements"] for case in found["scaling"]["cases"]] == [1000, 10_000, 100_000]
    assert found["scaling"]["run"]["quick"] is True
    assert found["noise"]["run"]["commit"] == "abc"


def test_what_takes_a_disk_runs_only_when_asked_for() -> None:
    from benchmarks.__main__ import ASKED_FOR, PARTS

    assert set(PARTS) > ASKED_FOR == {"perturb", "comparison", "precision", "report"}


def test_a_small_checkpoint_is_copied_noised_and_hashed(tmp_path: Path) -> None:
    from benchmarks.made_checkpoints import one_tensor
    from benchmarks.perturb import HASH, PERTURB, compared

    source = tmp_path / "source.safetensors"
    size = one_tensor(source, 1 << 20)
    assert size == 1 << 20
    case = compared("one tensor", source, size, ["--names", "file"], 1)
    assert len(case["candidates"]) == 4
    assert case["candidates"][PERTURB]["peak_bytes"] > 0
    assert case["candidates"][HASH]["median"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["source.safetensors"]


def test_a_made_checkpoint_is_one_that_dither_takes(tmp_path: Path) -> None:
    from benchmarks.made_checkpoints import checkpoint_folder

    import dither
    from dither.checkpoint import plan_checkpoint

    size = checkpoint_folder(tmp_path / "model", layers=1, width=64)
    plan = plan_checkpoint(tmp_path / "model", dither.NoisyTune())
    assert plan.record().counts() == {"noised": 12, "skipped": 0}
    assert sum(row.size for row in plan.checkpoint.tensors.values()) == size


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused(root: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--device", "cuda"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 2
    assert "torch finds no CUDA device here; --device cpu" in done.stderr


def test_the_first_noise_of_a_process_is_timed() -> None:
    assert 0.0 < float(run(INSIDE["first noise"])) < 60.0


def test_what_a_process_says_when_it_fails_is_kept() -> None:
    with pytest.raises(RuntimeError, match="ValueError: no"):
        run("raise ValueError('no')")


def test_results_are_json_with_a_line_for_a_candidate(document: dict[str, Any]) -> None:
    written = text(document)
    assert json.loads(written) == document
    (line,) = [line for line in written.splitlines() if '"snippet as pasted"' in line]
    assert line.strip().startswith('"snippet as pasted": {"median": 0.01,')
    assert line.endswith("},")


def test_new_sections_replace_those_of_their_part_and_device(document: dict[str, Any]) -> None:
    fresh = [{"part": "noise", "device": device, "run": {}, "cases": []} for device in ("cpu", "cuda")]
    found = merged({"cpu": "x"}, fresh, document)["sections"]
    assert [(row["device"], row["part"]) for row in found] == [
        *(("cpu", part) for part in ("noise", "pats", "perturb", "report", "scaling", "startup")),
        ("cuda", "noise"),
    ]
    assert found[0]["run"] == {}


@pytest.mark.parametrize(
    ("content", "said"), [("{", "is no JSON"), ('{"format": 7}', "format 7"), ("[]", "None")]
)
def test_a_foreign_file_is_refused_by_name(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"results\.json") as refused:
        read(file)
    assert said in str(refused.value)
    assert "measure again" in str(refused.value)


def test_a_run_says_where_it_was_made() -> None:
    found, run_of = machine(), provenance("cpu", quick=True)
    assert slug(found) == slug(found).lower().strip("-")
    assert run_of["threads"] >= 1
    assert run_of["versions"]["torch"]
    assert slug({"cpu": "Intel(R) Xeon(R) CPU @ 2.20GHz", "cores": 8, "gpu": "NVIDIA H200"}) == (
        "intel-xeon-cpu-8-cores-nvidia-h200"
    )
