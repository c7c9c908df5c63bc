"""Pages of made-up runs, and what is asked of an open one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.browser import Browser
from benchmarks.made_ledgers import GLUE, PAWSX, arms, make_ledger
from benchmarks.made_runs import MadeTask
from benchmarks.report import MARKS

from dither.bench.compare import look
from dither.cli import main
from dither.cli.verdicts import comparison_json

METHODS = arms("none", "noisytune", "pats")


@dataclass(frozen=True)
class Made:
    """A page, and what `dither compare --json` says of the same runs."""

    page: Path
    compared: Mapping[str, Any]

    @property
    def tables(self) -> dict[str, dict[str, Any]]:
        """The tables of the page by their ids, as they stand in its file."""
        text = self.page.read_text(encoding="utf-8")
        data = text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
        tables: dict[str, dict[str, Any]] = json.loads(data)["tables"]
        return tables


def made_page(
    folder: Path,
    *,
    tasks: Sequence[MadeTask] = (GLUE[0], PAWSX),
    methods: Mapping[str, Mapping[str, Any]] = METHODS,
    seeds: int = 9,
    **more: Any,
) -> Made:
    """Make up runs, and have `dither report` write their page."""
    make_ledger(folder, tasks=tasks, methods=methods, seeds=seeds, **more)
    page = folder / "report.html"
    assert main(["report", str(folder), "--output", str(page)]) == 0
    return Made(page, json.loads(json.dumps(comparison_json(look(folder, record=False), None))))


def show(browser: Browser, page: Path, width: int = 1280, *, dark: bool = False) -> None:
    """Open a page and wait until it is drawn."""
    browser.look(width, dark=dark)
    browser.open(page)
    browser.wait("return document.documentElement.dataset.drawn === 'all'")


def empty_pictures(browser: Browser) -> list[str]:
    """The pictures without a mark."""
    found: list[str] = browser.run(
        """
        return [...document.querySelectorAll("[data-figure]")]
          .filter((place) => !place.parentElement.querySelector(arguments[0]))
          .map((place) => place.dataset.figure);
        """,
        MARKS,
    )
    return found


def shown_rows(browser: Browser, id: str) -> list[list[str]]:
    """The cells of a table of the page, as they are shown."""
    found: list[list[str]] = browser.run(
        """
        const place = document.querySelector(`[data-open="${arguments[0]}"], [data-lazy="${arguments[0]}"]`);
        return [...place.querySelectorAll("tbody tr")]
          .map((row) => [...row.cells].map((cell) => cell.textContent));
        """,
        id,
    )
    return found


def column(table: Mapping[str, Any], name: str) -> int:
    """The place of a column."""
    return [one["name"] for one in table["columns"]].index(name)
