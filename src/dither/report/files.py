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
from dither.report.document import figures_of, html
from dither.report.style import CONFIG

WIDTH, WIDE = 420, 820
"""Pixels of a picture on disk."""

_MARK = "figures.txt"


def write_page(page: Page, path: str | Path) -> int:
    """Write a page, in place of an older one.

    Args:
        page: what it shows.
        path: of the HTML file; its folder must be there.

    Returns:
        Its size in bytes.

    Raises:
        OSError: the file cannot be written; an older one is as it was.
    """
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
        raise type(error)(
            error.errno, f"{error.strerror}; choose another place with --output", str(target)
        ) from error
    return len(content)


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
    _require_ours(target)
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


def _require_ours(folder: Path) -> None:
    if folder.exists() and not (
        folder.is_dir() and ((folder / _MARK).is_file() or not any(folder.iterdir()))
    ):
        raise ValueError(
            f"{folder} is there and holds something else than pictures of a report; move it away, or write "
            "the report to another place with --output"
        )


def _write_figure(figure: Figure, folder: Path) -> None:
    import vl_convert

    document = _alone(figure)
    name = figure.table.id
    (folder / f"{name}.svg").write_text(vl_convert.vegalite_to_svg(document), encoding="utf-8")
    (folder / f"{name}.png").write_bytes(vl_convert.vegalite_to_png(document, scale=2))
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
