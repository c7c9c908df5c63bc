"""`dither report`: the page of a folder, and folders of which there is none."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # for benchmarks

from dither.bench.tasks.files import load_task
from dither.cli import main
from dither.cli.report import compose
from dither.results import Ledger


def made(folder: Path, *names: str, **options: Any) -> Path:
    """A folder of made-up runs of plain fine-tuning and some methods."""
    from benchmarks.made_ledgers import GLUE, arms, make_ledger

    options = {"tasks": GLUE[:2], "seeds": 6, **options}
    make_ledger(folder, methods=arms("none", *names), **options)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("report") / "runs", "noisytune", "pats")


def tables(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    text = text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    found: dict[str, Any] = json.loads(text)["tables"]
    return found


def test_the_page_is_written_and_the_answer_printed(folder, capsys):
    assert main(["report", str(folder), "--figures"]) == 0
    out = capsys.readouterr().out
    assert f"{folder / 'report.html'} (" in out
    assert "pats" in out
    assert len(tables(folder / "report.html")["runs"]["rows"]) == 36
    pictures = list((folder / "report-figures").glob("*.svg"))
    assert len(pictures) == len(list((folder / "report-figures").glob("*.png"))) > 5


def test_reading_a_page_is_a_look(tmp_path):
    compose(str(made(tmp_path / "runs", "pats", seeds=3)))
    with Ledger.read(tmp_path / "runs") as ledger:
        assert [look.planned for look in ledger.looks] == [3]


def test_effects_are_hidden_until_all_runs_are_there(tmp_path):
    made(tmp_path / "runs", "pats", seeds=3)
    with Ledger.read(tmp_path / "runs") as ledger:
        plan, results = ledger.experiment, list(ledger.results(predictions=True))
    with Ledger.create_or_resume(tmp_path / "part", plan) as ledger:
        for result in results[:-1]:
            ledger.add(result)
    page = compose(str(tmp_path / "part"))
    assert page.findings[0].text.startswith("11 of 12 planned runs are there. Effects are hidden")
    assert [section.id for section in page.sections if section.id in ("verdict", "seeds", "flips")] == []
    (runs,) = [table for section in page.sections for table in section.tables if table.id == "runs"]
    assert "score" not in {column.name for column in runs.columns}
    with Ledger.read(tmp_path / "part") as ledger:
        assert ledger.looks == []
    assert "verdict" in [section.id for section in compose(str(tmp_path / "part"), peek=True).sections]
    with Ledger.read(tmp_path / "part") as ledger:
        assert [look.peek for look in ledger.looks] == [True]


def test_runs_until_resolved_show_the_last_test_that_was_due(tmp_path):
    made(tmp_path / "runs", "pats", seeds=9)
    with Ledger.read(tmp_path / "runs") as ledger:
        plan, results = replace(ledger.experiment, max_seeds=9), list(ledger.results(predictions=True))
    texts = []
    for seeds in (range(5), range(5, 8)):
        with Ledger.create_or_resume(tmp_path / "part", plan) as ledger:
            for result in results:
                if result.spec.seed in seeds:
                    ledger.add(result)
        page = compose(str(tmp_path / "part"))
        texts.append(page.findings[0].text)
        assert ("verdict" in [section.id for section in page.sections]) == (len(texts) == 2)
    assert texts[0].startswith(
        "20 of at most 36 planned runs are there. Effects are hidden until the first test"
    )
    assert "at 7 complete seeds" in texts[0]
    assert "at most" in page.about
    history = [
        row for s in page.sections for table in s.tables if table.id == "history" for row in table.rows
    ]
    assert history[-1]["what"] == "looked at the runs of 7 complete seeds, of at most 9"
    assert "--seeds-until resolved --max-seeds 9" in page.command


@pytest.mark.parametrize(
    ("options", "names"),
    [({"seeds": 1}, ("pats",)), ({"seeds": 2}, ()), ({"seeds": 3, "failures": 36}, ("pats",)),
     ({"seeds": 3, "failures": 3, "scoreless": 3}, ("pats",))],
    ids=["one seed", "one method", "all failed", "no score"],
)  # fmt: skip
def test_there_is_a_page_of_whatever_came_out(tmp_path, options, names):
    made(tmp_path / "runs", *names, **options)
    assert main(["report", str(tmp_path / "runs")]) == 0
    text = (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")
    assert "NaN" not in json.dumps(tables(tmp_path / "runs" / "report.html"))
    assert "Repeat it" in text


def test_an_empty_or_foreign_folder_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "There is no ledger in" in capsys.readouterr().err
    (tmp_path / "ledger.sqlite").write_text("a poem")
    assert main(["report", str(tmp_path)]) == 2
    assert "ledger.sqlite" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite"]


def test_the_ledger_is_not_overwritten_and_no_look_is_counted(folder, tmp_path, capsys):
    runs = made(tmp_path / "runs", "pats")
    before = (runs / "ledger.sqlite").read_bytes()
    assert main(["report", str(runs), "--output", str(runs / "ledger.sqlite")]) == 2
    assert "does not end in .html" in capsys.readouterr().err
    (runs / "report.html").write_text("mine")
    assert main(["report", str(runs)]) == 2
    assert "no page of dither's" in capsys.readouterr().err
    assert (runs / "ledger.sqlite").read_bytes() == before


def test_a_folder_of_data_that_is_none_is_refused(folder, capsys):
    assert main(["report", str(folder), "--data-dir", "/no/such/folder"]) == 2
    assert "--data-dir /no/such/folder is no folder" in capsys.readouterr().err


def test_an_unknown_option_shows_the_usage_of_its_command(capsys):
    with pytest.raises(SystemExit):
        main(["report", "runs", "--bogus"])
    err = capsys.readouterr().err
    assert err.startswith("usage: dither report")
    assert "dither report: error: unrecognized arguments: --bogus" in err


def test_settings_and_findings_of_a_newer_version_are_shown_like_the_others(tmp_path, capsys):
    with Ledger.read(made(tmp_path / "runs", "pats", seeds=2)) as ledger:
        plan, results = ledger.experiment, list(ledger.results(predictions=True))
    methods = {name: {**settings, "flux": 0.5} for name, settings in plan.methods.items()}
    tasks = {name: {**row, "task_digest": load_task(name).digest} for name, row in plan.tasks.items()}
    plan = replace(plan, kind="duel", train_settings={"warp": 9}, methods=methods, tasks=tasks)
    with Ledger.create_or_resume(tmp_path / "newer", plan) as ledger:
        for one in results:
            digest, settings = tasks[one.spec.task]["task_digest"], methods[one.spec.method]
            spec = replace(one.spec, method_settings=settings, train_settings={"warp": 9}, task_digest=digest)
            record = {"gravity": {"waves": [1]}, **(one.record or {})}
            extra = {"measurements": {"gravity": {"waves": 2.5}, **(one.measurements or {})}}
            ledger.add(replace(one, spec=spec, record=record, **extra, environment={"moon": "full"}))
    assert main(["report", str(tmp_path / "newer")]) == 0
    assert capsys.readouterr().err == ""
    shown = tables(tmp_path / "newer" / "report.html")
    assert all("learning_rate" in str(row) and "warp 9" in str(row) for row in shown["recipes"]["rows"])
    assert all("flux 0.5" in str(row) for row in shown["methods"]["rows"])
