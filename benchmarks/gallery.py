"""The example pages of the docs, and a picture of each, from the runs that are kept beside them.

python -m benchmarks.gallery

Each example is a ledger, compressed: `docs/gallery/NAME.sqlite.xz`. A page is made of a copy, so that making
it is no look at the results. The pictures need Chromium (`benchmarks.browser`).
"""

import argparse
import lzma
import tempfile
from pathlib import Path

from benchmarks.browser import started
from dither.cli.report import compose
from dither.report.files import write_page

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "gallery"
WIDTH, HEIGHT = 1280, 1500


def main() -> None:
    """Write the page and the picture of every example."""
    argparse.ArgumentParser(prog="python -m benchmarks.gallery", description=__doc__).parse_args()
    pages = [make_page(kept) for kept in sorted(FOLDER.glob("*.sqlite.xz"))]
    with started() as browser:
        for page in pages:
            browser.look(WIDTH, HEIGHT)
            browser.open(page)
            browser.wait("return document.documentElement.dataset.drawn === 'all'")
            picture = page.with_suffix(".png")
            browser.driver.save_screenshot(str(picture))  # as much as the window shows
            print(page, picture)


def make_page(kept: Path) -> Path:
    """The page of a compressed ledger, beside it."""
    name = kept.name.removesuffix(".sqlite.xz")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ledger.sqlite").write_bytes(lzma.decompress(kept.read_bytes()))
        page = compose(folder)
    target = kept.with_name(f"{name}.html")
    write_page(page, target)
    return target


if __name__ == "__main__":
    main()
