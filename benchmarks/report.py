"""`dither report` on made-up ledgers, small and large: how long it takes, and how long its reader waits.

The page is written in a fresh process, and opened in Chromium without a network. It takes a minute or two,
and Chromium has to be there, so it runs only when asked for: python -m benchmarks --only report
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.browser import Browser, started
from benchmarks.made_ledgers import GLUE, METHODS, make_ledger
from benchmarks.perturb import peak_of
from benchmarks.timing import summary

REPORT, FIRST, ALL = "dither report", "first picture on the screen", "all pictures"
MANY = "3,015 runs"
ROUNDS = 5

_CODE = """
import sys
from dither.cli import main
if main(sys.argv[1:]):
    sys.exit(1)
"""
_WATCH = """
window.firstMark = null;
const watch = new MutationObserver(() => {
  if (document.querySelector("MARKS")) {
    window.firstMark = performance.now();
    watch.disconnect();
  }
});
watch.observe(document, { childList: true, subtree: true });
const end = new MutationObserver(() => {
  if (document.documentElement?.dataset.drawn) {
    window.allMarks = performance.now();
    end.disconnect();
  }
});
end.observe(document, { attributes: true, subtree: true, attributeFilter: ["data-drawn"] });
"""
MARKS = "[data-figure] svg .role-mark:not(.mark-group) > *"
"""What a picture draws of its rows, such as dots and bars."""


def measure(device: str, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """The smallest comparison, and nine tasks with 67 seeds; on the CPU alone."""
    if device != "cpu":
        return
    three = dict(list(METHODS.items())[:3])
    yield measured(1 if quick else ROUNDS, tasks=GLUE[:1], methods=three, seeds=1, failures=0)
    if not quick:
        yield measured(ROUNDS, seeds=67)


def measured(rounds: int, **shape: Any) -> dict[str, Any]:
    """One ledger: the page of it, written and opened some times.

    Args:
        rounds: of each.
        shape: of the ledger (`make_ledger`).
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="dither-report-") as name:
        folder = Path(name) / "runs"
        runs, page = make_ledger(folder, **shape), Path(name) / "page.html"
        writing, peaks = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            peaks.append(peak_of(_CODE, ["report", str(folder), "--output", str(page)]))
            writing.append(time.perf_counter() - start)
        size = page.stat().st_size
        with started() as browser:
            openings = [opened(browser, page) for _ in range(rounds)]
    return {
        "model": f"{runs:,} runs",
        "note": f"load of the machine {load:.1f} to {os.getloadavg()[0]:.1f}",
        "page_bytes": size,
        **{count: openings[-1][count] for count in ("pictures", "marks")},
        "candidates": {
            REPORT: {**summary(writing), "peak_bytes": max(peaks)},
            FIRST: summary([found["first"] for found in openings]),
            ALL: summary([found["all"] for found in openings]),
        },
    }


def opened(browser: Browser, page: Path) -> dict[str, Any]:
    """Open a page, and say when its pictures were there, in seconds from the start of the navigation.

    Raises:
        RuntimeError: a picture is empty, or the page reports an error or wants something of the network.
    """
    script = browser.command("Page.addScriptToEvaluateOnNewDocument", source=_WATCH.replace("MARKS", MARKS))
    try:
        browser.open(page)
        browser.wait("return document.documentElement.dataset.drawn !== undefined")
    finally:
        browser.command("Page.removeScriptToEvaluateOnNewDocument", **script)
    found = browser.run(
        """
        const places = [...document.querySelectorAll("[data-figure]")];
        const marks = places.map((place) => place.parentElement.querySelectorAll(arguments[0]).length);
        return {
          first: firstMark / 1000, all: allMarks / 1000, pictures: places.length,
          marks: marks.reduce((sum, one) => sum + one, 0),
          empty: places.filter((_, at) => marks[at] === 0).map((place) => place.dataset.figure),
        };
        """,
        MARKS,
    )
    foreign = [url for url in browser.requests() if not url.startswith(("file:", "data:", "blob:"))]
    if wrong := [*found.pop("empty"), *browser.errors(), *foreign]:
        raise RuntimeError(f"{page.name}: empty pictures, errors or foreign requests: {wrong[:5]}")
    return found
