"""The page and its pictures on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dither.report.content import Column, Figure, Page, Section, Table
from dither.report.document import GENERATOR
from dither.report.files import write_figures, write_page
from dither.report.style import base, spec

TABLE = Table("points", "Points", (Column("x", "x", "d"),), ({"x": 1}, {"x": 2}))
CHART = spec(base().mark_point().encode(x="x:Q"), height=60)
PAGE = Page("title", "about", (), (Section("s", "S", figures=(Figure(TABLE, CHART, "two points"),)),))


OLD = f'<!doctype html>{GENERATOR} 0.1">old'


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ledger.sqlite", "does not end in .html, and the page is HTML"),
        ("-", "does not end in .html"),
        ("folder", "is a folder; name a file with --output, such as"),
        ("other.html", "is there and no page of dither's; nothing of others is overwritten"),
    ],
)
def test_what_is_no_page_is_not_overwritten(tmp_path, name, said):
    (tmp_path / "folder").mkdir()
    for kept in ("ledger.sqlite", "other.html"):
        (tmp_path / kept).write_text("mine")
    with pytest.raises(ValueError, match=said):
        write_page(PAGE, tmp_path / name)
    assert {(tmp_path / kept).read_text() for kept in ("ledger.sqlite", "other.html")} == {"mine"}


def test_what_lies_among_pictures_is_not_removed(tmp_path):
    folder = tmp_path / "figures"
    write_figures(PAGE, folder)
    (folder / "notes.md").write_text("mine")
    with pytest.raises(ValueError, match=r"holds something else than pictures of a report \(notes.md\)"):
        write_figures(PAGE, folder)
    assert (folder / "notes.md").read_text() == "mine"


def test_a_page_replaces_an_older_one(tmp_path):
    target = tmp_path / "report.html"
    target.write_text(OLD)
    assert write_page(PAGE, target) == target.stat().st_size
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_lone_surrogate_is_no_obstacle(tmp_path):
    write_page(Page("bad \ud800", "about", (), ()), tmp_path / "report.html")
    assert "bad ?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_missing_folder_names_the_way_out(tmp_path):
    with pytest.raises(FileNotFoundError, match="none is no folder; make it, or choose another --output"):
        write_page(PAGE, tmp_path / "none" / "report.html")


@pytest.mark.skipif(not hasattr(os, "fork") or os.geteuid() != 0, reason="only root becomes another")
def test_without_permission_the_older_page_stays(tmp_path):
    target = tmp_path / "report.html"
    target.write_text(OLD)
    tmp_path.chmod(0o755)
    child = os.fork()
    if child == 0:  # pragma: no cover (another process)
        status = 1
        try:
            os.setuid(65534)
            write_page(PAGE, target)
        except PermissionError as error:
            status = 0 if "choose another place with --output" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert target.read_text() == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_pictures_are_svg_and_png_with_their_numbers(tmp_path):
    folder = tmp_path / "figures"
    for _ in range(2):  # the second replaces the first
        assert write_figures(PAGE, folder) == ["points"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "figures.txt", "points.json", "points.png", "points.svg",
    ]  # fmt: skip
    assert json.loads((folder / "points.json").read_text()) == [{"x": 1}, {"x": 2}]
    assert (folder / "points.svg").read_text().count("point") >= 2
    assert (folder / "points.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    folder = Path(tmp_path / "figures")
    folder.mkdir()
    (folder / "thesis.tex").write_text("work of years")
    with pytest.raises(ValueError, match="holds something else than pictures of a report"):
        write_figures(PAGE, folder)
    assert (folder / "thesis.tex").read_text() == "work of years"
