"""What a page holds, as plain data: sections of figures and tables, nothing of HTML.

A figure is a picture over the rows of one table. The table stands behind it on the page, is what can be
downloaded there, and is all that the picture knows: no number is in one and not in the other.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: the rows' key.
        title: what stands above it, the unit included.
        form: of a number: an optional "+", digits after a point, and one of d f e g %, such as "+.1f"; ""
            for text.
    """

    name: str
    title: str
    form: str = ""


@dataclass(frozen=True)
class Table:
    """Numbers in rows.

    Args:
        id: a name for links and files, lower case with hyphens, unique on the page.
        title: its caption.
        columns: in their order.
        rows: JSON values by column name; None where there is none (never NaN).
    """

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Figure:
    """A picture over the rows of a table.

    Args:
        table: its numbers; the picture has the table's id and title.
        spec: Vega-Lite, as JSON values, without data: the page gives it the rows of the table.
        summary: what the picture shows, in a sentence or two, for those who do not see it.
        wide: whether it needs the whole width of the page.
    """

    table: Table
    spec: Mapping[str, Any]
    summary: str
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading.

    Args:
        id: a name for links, unique on the page.
        title: the heading.
        text: paragraphs before the pictures.
        figures: pictures, each with its table behind it.
        tables: tables that stand open on the page.
        notes: paragraphs after them, in small print.
    """

    id: str
    title: str
    text: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A sentence at the head of the page.

    Args:
        kind: of its verdict (`dither.stats.Verdict`), which sets how it looks; "" for plain text.
        label: the verdict in a word or two, never told by colour alone.
        text: the sentence.
    """

    kind: str
    label: str
    text: str


@dataclass(frozen=True)
class Page:
    """A whole page.

    Args:
        title: of the document.
        about: a line on what was compared.
        findings: the answer, first of all.
        sections: in their order.
        command: that repeats it, for the copy button; "" where none is known.
    """

    title: str
    about: str
    findings: tuple[Finding, ...]
    sections: tuple[Section, ...]
    command: str = ""


def with_unique_ids(sections: Iterable[Section]) -> tuple[Section, ...]:
    """The same sections, with a number behind the id of a table where an earlier one has it already.

    Ids are made of names, of which little may be left, as of one that is written in another alphabet.

    Example:
        >>> table = Table("runs", "", (), ())
        >>> [(found,)] = [with_unique_ids([Section("s", "", tables=(table, table))])]
        >>> [table.id for table in found.tables]
        ['runs', 'runs-2']
    """
    seen: Counter[str] = Counter()

    def renamed(table: Table) -> Table:
        seen[table.id] += 1
        return table if seen[table.id] == 1 else renamed(replace(table, id=f"{table.id}-{seen[table.id]}"))

    return tuple(
        replace(
            section,
            figures=tuple(replace(figure, table=renamed(figure.table)) for figure in section.figures),
            tables=tuple(map(renamed, section.tables)),
        )
        for section in sections
    )
