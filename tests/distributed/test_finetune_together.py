"""`dither finetune` by two processes: one run, one ledger, one model, and exact resume."""

from __future__ import annotations

from pathlib import Path

import pytest
from launching import done, launched
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench.runs.finetune import finetune
from dither.results import Ledger, LedgerError, RunResult

EPOCHS = 20
SETTING = f"train.epochs={EPOCHS}"
STEPS = EPOCHS * 24 // 8
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The TOML file of a small task, and the folder of a tiny encoder."""
    folder = tmp_path_factory.mktemp("films")
    return write_task(folder / "task"), save_encoder(folder / "encoder", **NO_DROPOUT)


def command(films: tuple[Path, Path], out: Path) -> list[object]:
    task, encoder = films
    what = ["-m", "dither", "finetune", task, "--model", encoder, "--method", "pats"]
    return [*what, "--set", SETTING, "--out", out]


@pytest.fixture(scope="module")
def tuned(films, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What two processes made in one go, and what they printed."""
    out = tmp_path_factory.mktemp("tuned")
    printed, _ = done(*command(films, out))
    return out, printed


def result_in(out: Path) -> RunResult:
    with Ledger.read(out) as ledger:
        (result,) = ledger.results(predictions=True)
    return result


def losses(result: RunResult) -> list[float]:
    return [row["loss"] for row in result.history if "loss" in row]


def test_one_run_is_recorded_and_printed_once(tuned: tuple[Path, str]) -> None:
    out, printed = tuned
    result = result_in(out)
    assert result.spec.processes == 2
    assert printed.count("mine/films validation: accuracy") == 1
    assert printed.count("'train_loss'") == 1
    assert len(result.predictions["validation"]) == 12
    states = sorted(path.name for path in out.glob("checkpoints/*/rng_state*"))
    assert states == ["rng_state_0.pth", "rng_state_0.pth", "rng_state_1.pth", "rng_state_1.pth"]
    assert not [path.name for path in out.iterdir() if "partial" in path.name or "lock" in path.name]


def test_the_steps_are_those_of_one_process(films, tuned: tuple[Path, str], tmp_path: Path) -> None:
    """Where there is no dropout they differ by rounding alone, and are another run all the same."""
    plan = plan_of(*films, SETTING, methods=("pats",))
    one, two = finetune(plan, tmp_path), result_in(tuned[0])
    assert one is not None
    assert one.record["pats"]["steps"] == two.record["pats"]["steps"] == STEPS
    assert losses(one)[:3] == pytest.approx(losses(two)[:3], rel=1e-3)
    assert one.id != two.id
    with pytest.raises(LedgerError, match=r"holds another experiment:\n  processes: 2 there, 1 now"):
        finetune(plan, tuned[0])


@pytest.mark.slow
def test_what_was_killed_goes_on_and_ends_bit_for_bit_the_same(
    films, tuned: tuple[Path, str], tmp_path: Path
) -> None:
    with launched(*command(films, tmp_path)) as launch:
        launch.wait_until(lambda: len(launch.members()) == 3)  # the launcher and two more
        launch.wait_until(lambda: any(tmp_path.glob("checkpoints/checkpoint-6/trainer_state.json")))
        launch.kill()
        launch.wait_until_gone()
    done(*command(films, tmp_path))
    whole, resumed = result_in(tuned[0]), result_in(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (tuned[0] / "model.safetensors").read_bytes()
    assert (resumed.predictions, resumed.record) == (whole.predictions, whole.record)
    assert losses(resumed)[1:] == losses(whole)[1:]  # the first mean is of the steps since the resume
