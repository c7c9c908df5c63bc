"""A page as one HTML file: pictures, tables, scripts and style in it, nothing loaded from anywhere."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from dither.report.content import Figure, Page, Table
from dither.report.style import CONFIG

GENERATOR = '<meta name="generator" content="dither'
"""Stands at the head of every page."""

OPEN_ROWS = 60
"""A longer table waits to be opened."""

SYMBOLS = {
    "better": "▲", "worse": "▼", "equivalent": "■", "identical": "=", "not resolved": "○",
    "out of reach": "○", "incomplete": "…",
}  # fmt: skip


def html(page: Page) -> str:
    """The page as HTML.

    Whatever text the page holds is data: the template escapes it, scripts read it as JSON and set it as text,
    and the policy of the page lets no other script run than the two that are in it.

    Args:
        page: what it shows.

    Raises:
        ValueError: two tables share an id.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(_part("page.html"))
    vega, script = _vega(), _part("page.js")
    return template.render(
        page=page,
        generator=Markup(GENERATOR),  # noqa: S704 (our own words)
        policy=_policy(vega, script),
        css=Markup(_part("page.css")),  # noqa: S704 (our own file)
        vega=Markup(vega),  # noqa: S704 (of the package vl-convert)
        script=Markup(script),  # noqa: S704 (our own file)
        data=Markup(_script_json(_data(page))),  # noqa: S704 (escaped for a script element)
        symbols=SYMBOLS,
        open_rows=OPEN_ROWS,
        version=version("dither"),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
    )


def _part(name: str) -> str:
    return (files("dither.report") / "page" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that makes vegaEmbed known."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    # Within a script element an end of such an element would end it, also within a string.
    return "(() => {" + bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "\n})();"


def _policy(*scripts: str) -> str:
    """No network, no other scripts than these."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _data(page: Page) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for table in _tables(page):
        if table.id in tables:
            raise ValueError(f"two tables of the page have the id {table.id!r}; ids are unique")
        tables[table.id] = {
            "title": table.title,
            "columns": [asdict(column) for column in table.columns],
            "rows": [[row.get(column.name) for column in table.columns] for row in table.rows],
        }
    figures = {figure.table.id: figure.spec for figure in figures_of(page)}
    return {"tables": tables, "figures": figures, "config": CONFIG}


def figures_of(page: Page) -> Iterator[Figure]:
    """Every figure, in the order of the page."""
    for section in page.sections:
        yield from section.figures


def _tables(page: Page) -> Iterator[Table]:
    for section in page.sections:
        yield from (figure.table for figure in section.figures)
        yield from section.tables


def _script_json(value: Any) -> str:
    """JSON that can stand within a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
