"""The file of a page: what is in it is data, and nothing else than our scripts can run."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from dither.report.content import Column, Figure, Finding, Page, Section, Table
from dither.report.document import html

HOSTILE = "</script><script>alert('1')</script> \"'&<!-- ‮ \u2028"


def page(text: str = HOSTILE, *, ids: tuple[str, str] = ("one", "two")) -> Page:
    """A page whose every text is the same."""
    columns = (Column("name", text), Column("n", text, ".1f"))
    tables = [Table(id, text, columns, ({"name": text, "n": 1.5},)) for id in ids]
    figure = Figure(tables[0], {"mark": "point", "title": text}, text)
    section = Section("part", text, (text,), (figure,), (tables[1],), (text,))
    return Page(text, text, (Finding("better", text, text),), (section,), command=text)


def scripts(document: str) -> list[str]:
    """What a browser would run."""
    return re.findall(r"<script>(.*?)</script>", document, flags=re.DOTALL)


def test_hostile_text_stays_text():
    document = html(page())
    assert len(scripts(document)) == 2  # Vega and ours
    assert "<script>alert" not in document
    assert document.count("<script") == 3  # and the data
    assert "&lt;/script&gt;" in document


def test_the_data_are_what_the_page_was_given():
    document = html(page())
    text = document.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    data = json.loads(text)
    assert data["tables"]["one"]["rows"] == [[HOSTILE, 1.5]]
    assert data["tables"]["two"]["title"] == HOSTILE
    assert data["figures"]["one"]["title"] == HOSTILE
    assert not set("<>&\u2028") & set(text)


def test_the_policy_lets_our_scripts_alone_run_and_nothing_load():
    document = html(page())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', document)
    policy = policy.replace("&#39;", "'")
    digests = [hashlib.sha256(text.encode()).digest() for text in scripts(document)]
    assert "default-src 'none'" in policy
    allowed = re.findall(r"script-src ([^;]*)", policy)[0].split()
    assert allowed == [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def test_nothing_is_fetched_from_anywhere():
    document = html(page())
    outside = document
    for script in scripts(document):
        outside = outside.replace(script, "")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|url\(", outside)


def test_two_tables_of_one_id_are_a_mistake():
    with pytest.raises(ValueError, match="two tables of the page have the id 'one'"):
        html(page(ids=("one", "one")))
