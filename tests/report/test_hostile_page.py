"""Pages of hostile names and of runs that came to nothing, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.browser import Browser
from benchmarks.made_ledgers import arms
from benchmarks.made_runs import MadeTask
from pages import empty_pictures, made_page, show

SCRIPTS = "<img src=x onerror='hacked=1'></script><script>hacked=1</script>"
HOSTILE = f"{SCRIPTS}\"'& \u202eright to left\u202c \u05d0\u05d1"


@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_names_are_names(browser: Browser, tmp_path: Path, width: int) -> None:
    tasks = (MadeTask(HOSTILE), MadeTask("x" * 5000, evaluations=("en", HOSTILE)))
    made = made_page(tmp_path / "runs", tasks=tasks, seeds=3, model=HOSTILE + "y" * 5000)
    show(browser, made.page, width)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert browser.run("return typeof hacked") == "undefined"
    assert browser.errors() == []
    assert browser.run("return document.documentElement.scrollWidth") == width
    assert empty_pictures(browser) == []
    assert browser.run("return document.querySelector('.about').textContent").count(HOSTILE) == 1
    assert browser.run("return document.images.length") == 0


def test_an_empty_comparison_still_opens(browser: Browser, tmp_path: Path) -> None:
    made = made_page(tmp_path / "runs", methods=arms("none", "pats"), seeds=2, failures=2, scoreless=2)
    show(browser, made.page)
    assert browser.errors() == []
    assert "no verdict" in browser.run("return document.querySelector('.findings').textContent")
