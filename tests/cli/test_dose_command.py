"""`dither dose`: what the noise of methods does, and the λ at which they have NoisyTune's dose."""

from __future__ import annotations

import pytest

METHODS = "none,noisytune,pats,pats-blind@noise_lambda=energy,pats@noise_lambda=0.15"


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> list[object]:
    """Of a small task and an encoder with weights that words change."""
    from tiny_encoder import save_encoder, write_task

    folder = tmp_path_factory.mktemp("dose")
    task = write_task(folder / "task", train=40)
    return ["dose", task, "--model", save_encoder(folder / "encoder", initializer_range=0.1)]


def test_the_table_and_the_json_hold_the_same_numbers(dither, command, strict):
    status, out, err = dither(*command, "--methods", METHODS, "--json")
    plain, reference, pats, blind, fixed = strict(out)
    assert (status, err) == (0, "measuring the functional dose on mine/films\n")
    assert (plain["d"], plain["asked"], plain["matched"]) == (None, None, None)
    assert (pats["asked"], blind["asked"], fixed["asked"]) == ("matched", "energy", 0.15)
    assert pats["d"] == pytest.approx(reference["d"], rel=0.05)
    assert pats["matched"] == pats["noise_lambda"] == fixed["matched"]
    status, table, _ = dither(*command, "--methods", METHODS)
    rows = [line.split() for line in table.splitlines() if line.startswith("mine/films")]
    assert rows[0] == ["mine/films", "none", *"––––––"]
    for row, told in zip(rows[1:], (reference, pats, blind, fixed), strict=True):
        assert row[2:] == [
            str(told["asked"]), f"{told['noise_lambda']:g}", f"{told['d']:.4f}",
            f"{told['d_low']:.4f}–{told['d_high']:.4f}", f"{told['energy']:.3e}", f"{told['matched']:g}",
        ]  # fmt: skip


def test_settings_and_parts_of_the_data_count(dither, command, strict):
    options = ("--set", "noisytune.noise_lambda=0.3", "--train-fraction", "0.5,1", "--json")
    half, whole = strict(dither(*command, "--methods", "noisytune", *options)[1])
    assert [row["task"] for row in (half, whole)] == ["mine/films@train_fraction=0.5", "mine/films"]
    assert half["noise_lambda"] == whole["noise_lambda"] == whole["matched"] == 0.3
    assert half["d"] != whole["d"]


def test_what_cannot_be_matched_is_told_beside_what_can(dither, command):
    status, out, _ = dither(*command, "--set", "pats.include='head:*'", "--methods", "noisytune,pats")
    assert status == 0
    assert "method 'pats': pats moves nothing at any noise_lambda" in out
    status, _, err = dither(*command, "--set", "pats.include='head:*'", "--methods", "pats")
    assert status == 2
    assert "moves nothing at any noise_lambda" in err


def test_mistakes_end_with_2(dither, command, tmp_path):
    from tiny_encoder import write_task

    for options, message in (
        (("--methods", "patz"), "unknown method 'patz'; did you mean 'pats'?"),
        (("--methods", "pats@noise_lambda=equal"), "noise_lambda is 'equal'; it must be a finite number"),
        (("--set", "noisytune.noise_lambda=matched"), "so its λ is a number: leave out --set"),
        (("--jobs", "0"), "--jobs is 0; it must be at least 1"),
    ):
        status, _, err = dither(*command, *options)
        assert (status, message in err) == (2, True), err
    small = write_task(tmp_path / "small", train=4)
    status, _, err = dither("dose", small, *command[2:])
    assert (status, "trains on 4 rows" in err) == (2, True)
