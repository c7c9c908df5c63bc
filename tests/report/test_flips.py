"""The section on flips is plain data: counts, what is missing, and texts as they are."""

from __future__ import annotations

import json
from typing import Any

from dither.report.flips import flips

NASTY = "<script>alert('x')</script> \x00 \u202e & \" {{ 7 * 7 }}"


def example(**changes: Any) -> dict[str, Any]:
    row = {
        "task": "glue/rte",
        "method": "pats",
        "evaluation": "validation",
        "row": 3,
        "pairs": 5,
        "flips": 4,
        "mended": 3,
        "broken": 1,
        "distance": None,
        "gold": "entailment",
        "plain": "not_entailment",
        "said": "entailment",
        "texts": {"sentence1": "a", "sentence2": "b"},
    }
    return {**row, **changes}


def summary(**changes: Any) -> dict[str, Any]:
    row = {
        "task": "glue/rte",
        "method": "pats",
        "pairs": 5,
        "planned": 5,
        "failed": 0,
        "examples": 200,
        "compared": 1000,
        "share": 0.05,
        "mended": 30,
        "broken": 20,
        "distance": None,
        "seed_pairs": 4,
        "seed_share": 0.08,
        "seed_distance": None,
    }
    return {**row, **changes}


def regression(kind: Any, **changes: Any) -> dict[str, Any]:
    none = dict.fromkeys(("flips", "mended", "broken") if kind is example else ("share", "mended", "broken"))
    return kind(task="glue/stsb", **none, distance=0.5, **changes)


def names(table: Any) -> list[str]:
    return [column.name for column in table.columns]


def test_nothing_compared_is_no_section_but_for_the_reasons():
    assert flips([], [], []) is None
    section = flips([], [], ["glue/rte: 3 runs have no predictions"])
    assert section.notes == ("glue/rte: 3 runs have no predictions",)


def test_shares_are_in_per_cent_beside_the_yardstick():
    section = flips([], [summary()], [])
    assert (section.id, section.title) == ("flips", "Examples that flip most often")
    (table,) = section.tables
    (row,) = table.rows
    assert (row["flips"], row["seeds"], row["mended"], row["broken"]) == (5.0, 8.0, 3.0, 2.0)
    assert "distance" not in names(table)
    assert section.notes == ()


def test_each_task_has_a_table_with_its_texts():
    rows = [example(), example(task="mine/method", texts={"method": "x", "row": "y"})]
    section = flips(rows, [summary(), summary(task="mine/method")], [])
    first, second = section.tables[1:]
    assert (first.id, second.id) == ("flips-1-glue-rte", "flips-2-mine-method")
    fixed = ["method", "flips", "pairs", "mended", "broken", "gold", "plain", "said"]
    assert names(first) == [*fixed, "text_sentence1", "text_sentence2", "evaluation", "row"]
    assert first.columns[-3].title == "sentence2"
    assert second.rows[0]["method"] == "pats"  # a text of that name does not take its place
    assert (second.rows[0]["text_method"], second.rows[0]["text_row"]) == ("x", "y")


def test_tasks_of_one_spelling_keep_their_own_ids():
    tasks = ["a/b@epochs=3", "a/b-epochs=3", "Ж"]
    section = flips([example(task=task) for task in tasks], [summary(task=task) for task in tasks], [])
    ids = [table.id for table in (*section.tables, *(figure.table for figure in section.figures))]
    assert len(set(ids)) == len(ids) == 5
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in ids)


def test_what_is_missing_is_a_note_and_has_no_column():
    nothing = {"gold": None, "mended": None, "broken": None, "texts": {}}
    reasons = ["glue/rte: no data at hand"]
    section = flips([example(**nothing)], [summary(mended=None, broken=None)], reasons)
    assert section.notes[-1] == reasons[0]
    assert section.figures == ()
    assert not {"gold", "mended", "broken"} & {*names(section.tables[0]), *names(section.tables[1])}


def test_regression_has_distances_and_numbers_with_a_form():
    rows = [regression(example, gold=2.5, plain=1.0, said=None)]
    section = flips(rows, [regression(summary, seed_distance=0.25), summary()], [])
    whole, one = section.tables
    assert (whole.rows[0]["distance"], whole.rows[0]["seed_distance"], whole.rows[0]["flips"]) == (
        0.5,
        0.25,
        None,
    )
    assert "flips" not in names(one)
    forms = {column.name: column.form for column in one.columns}
    assert (forms["gold"], forms["plain"], forms["distance"], forms["method"]) == (".3f", ".3f", ".3f", "")
    (figure,) = section.figures
    assert [row["arm"] for row in figure.table.rows] == ["pats"]  # of the task that has gold labels


def test_texts_are_data_as_they_were():
    section = flips([example(texts={"sentence1": NASTY}, gold=NASTY, said=NASTY)], [summary()], [NASTY])
    (row,) = section.tables[1].rows
    assert row["text_sentence1"] == row["gold"] == row["said"] == section.notes[-1] == NASTY


def test_the_picture_knows_its_table_alone():
    summaries = [summary(), summary(method="noisytune"), summary(task="glue/cola")]
    (figure,) = flips([], summaries, []).figures
    assert [row["arm"] for row in figure.table.rows] == [
        "glue/rte, pats",
        "glue/rte, noisytune",
        "glue/cola, pats",
    ]
    assert figure.spec["data"] == {"name": "rows"}
    assert figure.spec["width"] == "container"
    assert not {"config", "datasets"} & figure.spec.keys()
    folded = {name for step in figure.spec["transform"] for name in step.get("fold", [])}
    assert folded <= set(names(figure.table))
    assert "3 arms" in figure.summary


def test_every_row_has_every_column_and_is_json():
    rows = [example(), example(texts={"sentence1": "only one"}), regression(example, gold=1.0, texts={})]
    section = flips(rows, [summary(), regression(summary)], ["why"])
    for table in (*section.tables, *(figure.table for figure in section.figures)):
        assert all(column.name in row for row in table.rows for column in table.columns)
        json.dumps(table.rows, allow_nan=False)
