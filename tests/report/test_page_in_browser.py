"""The page as its reader has it: a file, opened without a network."""

from __future__ import annotations

import csv
import json
import math
import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from benchmarks.browser import Browser
from pages import Made, column, empty_pictures, show, shown_rows
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By

FIGURE = "difference-noisytune-against-plain-fine-tuning"


def element(browser: Browser, selector: str) -> Any:
    """The first element of a selector, scrolled into view."""
    found = browser.driver.find_element(By.CSS_SELECTOR, selector)
    browser.run("arguments[0].scrollIntoView({block: 'center'})", found)
    return found


def press(browser: Browser, selector: str, key: str) -> None:
    """Press a key on an element that has the focus."""
    browser.run("arguments[0].focus()", element(browser, selector))
    ActionChains(browser.driver).send_keys(key).perform()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_it_opens_without_a_network_and_draws_everything(
    browser: Browser, made: Made, width: int, dark: bool
) -> None:
    show(browser, made.page, width, dark=dark)
    assert browser.errors() == []
    assert [url for url in browser.requests() if not url.startswith(("data:", "blob:"))] == [
        made.page.as_uri()
    ]
    assert len(browser.driver.find_elements(By.CSS_SELECTOR, "[data-figure]")) >= 8
    assert empty_pictures(browser) == []


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, made: Made, width: int) -> None:
    show(browser, made.page, width)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert browser.run("return document.documentElement.scrollWidth") == width


def test_a_dot_tells_the_difference_of_its_seed(browser: Browser, made: Made) -> None:
    show(browser, made.page)
    scores = {(row["method"], row["task"], row["seed"]): row["score"] for row in made.compared["runs"]}
    difference = scores["noisytune", "glue/rte", 4] - scores["none", "glue/rte", 4]
    dot = f'#figure-{FIGURE} [aria-label*="glue/rte"][aria-label*="seeds: 4;"]'
    ActionChains(browser.driver).move_to_element(element(browser, dot)).perform()
    text = browser.wait("return document.querySelector('#vg-tooltip-element.visible')?.innerText")
    told = ["what", "glue/rte", "seeds", "4", "difference", f"{difference:+.2f}".replace("-", "−")]
    assert text.split() == told


def in_form(value: float, form: str) -> str:
    """A number as Python has it, but for halves: a browser rounds them away from zero."""
    text = f"{value:{form}}"
    places = -Decimal(text).as_tuple().exponent
    up = Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return text if Decimal(text) == up else f"{up:{'+' * form.startswith('+')}}"


def test_the_numbers_are_those_of_compare(browser: Browser, made: Made) -> None:
    show(browser, made.page)
    table = made.tables["comparisons"]
    names = {
        "plain": "baseline_mean", "plain_sd": "baseline_sd", "score": "method_mean", "score_sd": "method_sd",
        "difference": "difference", "pairs": "pairs", "p": "p_holm", "wins": "wins", "losses": "losses",
    }  # fmt: skip
    wanted = [row for row in made.compared["all_runs"]["comparisons"] if row["method"] != "none"]
    shown = shown_rows(browser, "comparisons")
    assert len(shown) == len(wanted) == len(table["rows"]) == 4
    for cells, values, row in zip(shown, table["rows"], wanted, strict=True):
        assert cells[:2] == [row["task"], row["method"]]
        for name, key in names.items():
            at = column(table, name)
            assert values[at] == row[key]
            form = table["columns"][at]["form"]
            assert cells[at] == in_form(row[key], form).replace("-", "−")
        assert [values[column(table, end)] for end in ("low", "high")] == row["interval"]


@pytest.mark.parametrize("key", ["click", Keys.ENTER, Keys.SPACE])
def test_a_table_sorts_numbers_as_numbers(browser: Browser, made: Made, key: str) -> None:
    show(browser, made.page)
    table = made.tables["comparisons"]
    at = column(table, "difference")
    heading = f'[data-open="comparisons"] th:nth-child({at + 1})'
    for direction in ("ascending", "descending"):
        if key == "click":
            element(browser, f"{heading} button").click()
        else:
            press(browser, f"{heading} button", key)
        found = [float(cells[at].replace("−", "-")) for cells in shown_rows(browser, "comparisons")]
        assert found == sorted(found, reverse=direction == "descending")
        assert element(browser, heading).get_attribute("aria-sort") == direction
    assert min(found) < 0 < max(found)  # where order as text would be another one


def test_the_numbers_behind_a_picture_open_by_keyboard(browser: Browser, made: Made) -> None:
    show(browser, made.page)
    assert shown_rows(browser, FIGURE) == []
    press(browser, f"#figure-{FIGURE} summary", Keys.ENTER)
    browser.wait("return document.querySelector(arguments[0])", f"#figure-{FIGURE} details[open] tbody tr")
    table = made.tables[FIGURE]
    assert [cells[0] for cells in shown_rows(browser, FIGURE)] == [values[0] for values in table["rows"]]


def test_the_theme_follows_the_system_until_it_is_chosen(browser: Browser, made: Made) -> None:
    papers = {}
    script = "return getComputedStyle(document.body).backgroundColor"
    for dark in (False, True):
        show(browser, made.page, dark=dark)
        papers[dark] = browser.run(script)
        for choice, paper in (("light", False), ("dark", True), ("system", dark)):
            element(browser, "#theme").click()
            assert element(browser, "#theme").text == f"Theme: {choice}"
            if paper in papers:
                assert browser.run(script) == papers[paper]
    assert papers[False] != papers[True]


def test_pictures_take_the_colour_of_the_text(browser: Browser, made: Made) -> None:
    inks = []
    for dark in (False, True):
        show(browser, made.page, dark=dark)
        script = """
            const label = document.querySelector(arguments[0]);
            return [getComputedStyle(label).fill, getComputedStyle(document.body).color];
        """
        label, ink = browser.run(script, f"#figure-{FIGURE} .role-axis-label text")
        assert label == ink
        inks.append(ink)
    assert inks[0] != inks[1]


def test_it_prints_on_a4_with_every_picture(browser: Browser, made: Made) -> None:
    show(browser, made.page, dark=True)
    printed = browser.printed()
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox\s*\[([^\]]*)\]", printed)}
    assert {tuple(map(round, box)) for box in boxes} == {(0, 0, 596, 842)}
    # As wide as the text of such a page: 210 mm without margins of 14 mm.
    browser.command("Emulation.setEmulatedMedia", media="print")
    browser.command(
        "Emulation.setDeviceMetricsOverride", width=688, height=1000, deviceScaleFactor=1, mobile=False
    )
    try:
        wide = browser.run(
            """
            return [...document.querySelectorAll("main *:not(svg *)")]
              .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > 689)
              .map((one) => one.outerHTML.slice(0, 100));
            """
        )
        colour = browser.run("return getComputedStyle(document.body).backgroundColor")
    finally:
        browser.command("Emulation.setEmulatedMedia", media="")
    assert wide == []
    assert colour == "rgb(255, 255, 255)"
    assert empty_pictures(browser) == []


@pytest.mark.parametrize("api", [True, False], ids=["clipboard", "without the API"])
def test_the_command_is_copied(browser: Browser, made: Made, api: bool) -> None:
    show(browser, made.page)
    browser.command("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    if not api:
        refuse = "Object.defineProperty(navigator, 'clipboard', {value: {writeText: () => Promise.reject()}})"
        browser.run(refuse)
    element(browser, "#copy").click()
    browser.wait("return document.getElementById('copy').textContent === 'Copied'")
    browser.run("document.body.append(Object.assign(document.createElement('textarea'), {id: 'paste'}))")
    browser.run("arguments[0].focus()", element(browser, "#paste"))
    ActionChains(browser.driver).key_down(Keys.CONTROL).send_keys("v").key_up(Keys.CONTROL).perform()
    pasted = browser.wait("return document.getElementById('paste').value")
    assert pasted == element(browser, "#command").text.replace("\n", " ")
    assert pasted.startswith("dither compare glue/rte xtreme/pawsx --model made/encoder")


def saved(browser: Browser, name: str) -> str:
    """A file that the page has saved, in full."""
    path = browser.downloads / name
    for _ in range(200):
        if path.is_file():
            return path.read_bytes().decode("utf-8")
        browser.run("return new Promise((done) => setTimeout(done, 50))")
    raise AssertionError(
        f"{name} was not saved; there is {[one.name for one in browser.downloads.iterdir()]}"
    )


def test_a_table_is_saved_as_csv_and_json(browser: Browser, made: Made) -> None:
    show(browser, made.page)
    table = made.tables["comparisons"]
    names = [one["name"] for one in table["columns"]]
    buttons = '[data-open="comparisons"] .downloads button'
    for button in browser.driver.find_elements(By.CSS_SELECTOR, buttons):
        browser.run("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
    head, *lines = csv.reader(saved(browser, "comparisons.csv").splitlines())
    assert head == names
    assert lines == [["" if value is None else _csv(value) for value in row] for row in table["rows"]]
    rows = json.loads(saved(browser, "comparisons.json"))
    assert rows == [dict(zip(names, row, strict=True)) for row in table["rows"]]


def _csv(value: Any) -> str:
    return re.sub(r"\.0$", "", repr(value)) if isinstance(value, float) else str(value)


def test_all_tables_are_saved_at_once(browser: Browser, made: Made) -> None:
    show(browser, made.page)
    element(browser, "#everything").click()
    found = json.loads(saved(browser, "report.json"))
    assert {id: len(table["rows"]) for id, table in found.items()} == {
        id: len(table["rows"]) for id, table in made.tables.items()
    }
    assert not any(
        isinstance(value, float) and not math.isfinite(value)
        for table in found.values()
        for row in table["rows"]
        for value in row.values()
    )
