"""What axe-core finds wrong with a page for readers with disabilities: light and dark, wide and narrow.

npm pack axe-core@4.11.0    (somewhere outside the repository; unpack it)
python -m benchmarks.audit report.html --axe package/axe.min.js
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.browser import Browser, started

WIDTHS = (1280, 390)
IMPACTS = ("critical", "serious", "moderate", "minor")
SHOWN = 3
"""Places that are printed of each violation."""

Violation = dict[str, Any]


def main() -> int:
    """Print the violations, the worst first; 1 where there are any."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.audit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("page", type=Path)
    parser.add_argument("--axe", type=Path, required=True, help="the file axe.min.js of the package axe-core")
    parser.add_argument("--open", action="store_true", help="with every closed part of the page opened")
    args = parser.parse_args()
    found = 0
    with started() as browser:
        for width, dark in product(WIDTHS, (False, True)):
            browser.look(width, dark=dark)
            browser.open(args.page)
            violations = audit(browser, args.axe.read_text(encoding="utf-8"), opened=args.open)
            print(f"== {width} px, {'dark' if dark else 'light'}: {len(violations)} rules broken")
            for line in described(violations):
                print(f"   {line}")
            found += len(violations)
    return int(found > 0)


def audit(browser: Browser, axe: str, *, opened: bool = False) -> list[Violation]:
    """The rules that the open page breaks, the worst first: each with its `impact` and its `nodes`.

    Args:
        browser: on the page.
        axe: the source of axe-core.
        opened: whether to open what is closed first.
    """
    browser.wait("return document.documentElement.dataset.drawn")
    if opened:
        browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    browser.run(axe)  # the policy of a page does not bind what is run from outside
    browser.driver.set_script_timeout(300)
    found: list[Violation] = browser.run("return axe.run(document).then((found) => found.violations)")
    return sorted(found, key=lambda row: IMPACTS.index(row["impact"]))


def described(violations: list[Violation]) -> Iterator[str]:
    """Lines on each violation: how bad, what, where."""
    for row in violations:
        yield f"{row['impact']}: {row['id']} ({row['help']}), {len(row['nodes'])} places"
        for node in row["nodes"][:SHOWN]:
            where, why = " ".join(map(str, node["target"])), " ".join(node["failureSummary"].split())
            yield f"    {where[-200:]}: {why[:200]}"


if __name__ == "__main__":
    sys.exit(main())
