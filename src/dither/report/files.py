"""The page and its pictures on disk: there whole, or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dither.report.content import Figure, Page
from dither.report.document import GENERATOR, figures_of, html
from dither.report.style import CONFIG

WIDTH, WIDE = 420, 820
"""Pixels of a picture on disk."""

SCALE = 3
"""Of its PNG: 300 dots per inch and more at the width of a journal's column."""

_MARK = "figures.txt"
_KINDS = ("svg", "png", "json")
_SUFFIXES = (".html", ".htm")
_HEAD = 4096  # bytes in which a page says who made it


def check_place(path: str | Path) -> None:
    """Refuse a place for a page where none can be written, or something else would be lost.

    Raises:
        ValueError: it is a folder, has the name of another kind of file, or holds something else than a page.
        FileNotFoundError: its folder is not there.
        PermissionError: it cannot be looked at.
    """
    target = Path(path)
    try:
        _check(target)
    except PermissionError as error:
        raise _elsewhere(error, target) from error


def _check(target: Path) -> None:
    if target.is_dir():
        raise ValueError(f"{target} is a folder; name a file with --output, such as {target / 'report.html'}")
    if target.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{target} does not end in .html, and the page is HTML; name it so with --output")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent} is no folder; make it, or choose another --output")
    if target.exists() and not _is_page(target):
        raise ValueError(
            f"{target} is there and no page of dither's; nothing of others is overwritten: choose another "
            "--output, or move it away"
        )


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(_HEAD)


def write_page(page: Page, path: str | Path) -> int:
    """Write a page, in place of an older one.

    Args:
        page: what it shows.
        path: of the HTML file (`check_place`).

    Returns:
        Its size in bytes.

    Raises:
        ValueError: the place is none for a page.
        OSError: the file cannot be written; an older one is as it was.
    """
    check_place(path)
    target = Path(path)
    # A lone surrogate, which no file can hold, shows as a question mark.
    content = html(page).encode("utf-8", "replace")
    new = target.with_name(f".{target.name}.new")
    try:
        new.write_bytes(content)
        os.replace(new, target)
    except OSError as error:
        with suppress(OSError):  # where nothing can be written nothing can be removed
            new.unlink()
        raise _elsewhere(error, target) from error
    return len(content)


def _elsewhere(error: OSError, target: Path) -> OSError:
    """The same error with what to do next."""
    return type(error)(error.errno, f"{error.strerror}; choose another place with --output", str(target))


def write_figures(page: Page, folder: str | Path) -> list[str]:
    """Write each picture as SVG and PNG and its numbers as JSON, in place of an older folder of pictures.

    Args:
        page: whose pictures they are.
        folder: new, or written by this function before: a folder with other files is refused.

    Returns:
        The names of the pictures, without endings.

    Raises:
        ValueError: the folder holds something else.
        OSError: it cannot be written.
    """
    target = Path(folder)
    figures = list(figures_of(page))
    check_figures(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for figure in figures:
            _write_figure(figure, new)
        (new / _MARK).write_text("\n".join(figure.table.id for figure in figures) + "\n", encoding="utf-8")
        new.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        new.rename(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return [figure.table.id for figure in figures]


def check_figures(folder: str | Path) -> None:
    """Refuse a place for pictures at which something else would be lost.

    Raises:
        ValueError: it is no folder, or holds something that `write_figures` did not put there.
    """
    place = Path(folder)
    if not os.path.lexists(place):
        return
    mark = place / _MARK
    names = mark.read_text(encoding="utf-8").split() if place.is_dir() and mark.is_file() else []
    ours = {_MARK, *(f"{name}.{kind}" for name in names for kind in _KINDS)}
    others = sorted(set(os.listdir(place)) - ours) if place.is_dir() else [place.name]
    if others:
        raise ValueError(
            f"{place} holds something else than pictures of a report ({others[0]}); move that away, or write "
            "the report to another place with --output"
        )


def _write_figure(figure: Figure, folder: Path) -> None:
    import vl_convert

    document = _alone(figure)
    name = figure.table.id
    (folder / f"{name}.svg").write_text(vl_convert.vegalite_to_svg(document), encoding="utf-8")
    (folder / f"{name}.png").write_bytes(vl_convert.vegalite_to_png(document, scale=SCALE))
    rows = json.dumps([dict(row) for row in figure.table.rows], ensure_ascii=False, indent=1)
    (folder / f"{name}.json").write_bytes((rows + "\n").encode("utf-8", "replace"))


def _alone(figure: Figure) -> dict[str, Any]:
    """Vega-Lite with the figure's data, on white, with a width of its own."""
    rows: Sequence[dict[str, Any]] = [dict(row) for row in figure.table.rows]
    return {
        **figure.spec,
        "width": WIDE if figure.wide else WIDTH,
        "datasets": {"rows": rows},
        "config": {**CONFIG, "background": "white"},
    }
