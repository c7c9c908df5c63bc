"""The page's table of doses: what is known of each arm, and a dash where nothing is."""

from __future__ import annotations

from dither.report.doses import doses
from dither.results import Experiment, dose_rows


def plan(**found: dict) -> Experiment:
    return Experiment(
        kind="compare",
        model="m",
        model_digest="m1",
        threads=1,
        dtype="float32",
        recipe_version=1,
        tasks={"glue/rte": {"task_digest": "t", "data_digest": "d"}},
        methods={"none": {}, "noisytune": {}, "pats": {}},
        train_settings={},
        seeds=(0,),
        doses={"glue/rte": found},
    )


def test_λ_d_and_energy_stand_beside_each_other() -> None:
    to = {"method": "noisytune", "settings": {}, "noise_lambda": 0.15, "d": 0.13, "energy": 0.002}
    pats = {"asked": "matched", "noise_lambda": 0.356, "d": 0.131, "draws": [0.13, 0.132], "energy": 0.003}
    mapped = {"asked": {"*": 0.2}, "noise_lambda": {"*": 0.2}, "d": 0.1, "draws": [0.1], "energy": 0.001}
    section = doses(dose_rows(plan(pats={**pats, "reference": to}, noisytune=mapped)))
    assert section is not None
    (table,) = section.tables
    plain, noisytune, matched = ([row[column.name] for column in table.columns] for row in table.rows)
    assert plain == ["glue/rte", "none", None, None, None, None, None, None, None]
    assert noisytune[2:5] == ["* 0.2", "* 0.2", 0.1]
    assert matched == [
        "glue/rte", "pats", "matched", "0.356", 0.131, 0.13, 0.132, 0.003, "noisytune, λ 0.15"
    ]  # fmt: skip


def test_a_plan_that_knows_no_dose_has_no_section() -> None:
    assert doses(dose_rows(plan())) is None
