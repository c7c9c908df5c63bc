"""The results files: one for each machine, a section for each part and device, each with its provenance."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FORMAT = 1
RESULTS = Path(__file__).parent / "results"

Section = dict[str, Any]
Document = dict[str, Any]


def read(file: Path) -> Document:
    """A results file; a ValueError that names the file where it is none."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: {error}; delete it and measure again") from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise ValueError(f"{file} has format {found!r}; this version reads {FORMAT}: measure again")
    return document


def read_all(folder: Path = RESULTS) -> list[Document]:
    """All results of a folder, by file name."""
    return [read(file) for file in sorted(folder.glob("*.json"))]


def merged(machine: dict[str, Any], new: Sequence[Section], old: Document | None) -> Document:
    """Results in which new sections have replaced old ones of the same part and device."""
    measured = {(section["part"], section["device"]) for section in new}
    kept = [row for row in (old or {}).get("sections", []) if (row["part"], row["device"]) not in measured]
    sections = sorted([*kept, *new], key=lambda section: (section["device"], section["part"]))
    return {"format": FORMAT, "machine": machine, "sections": sections}


def write(file: Path, document: Document) -> None:
    """Write a results file, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".part")
    draft.write_text(text(document), encoding="utf-8")
    draft.replace(file)


def text(document: Document) -> str:
    """JSON with a line for each candidate, so that a change of results can be read as one."""
    lines = json.dumps(document, indent=1, ensure_ascii=False).splitlines()
    return "\n".join(_folded(lines)) + "\n"


def _folded(lines: list[str]) -> list[str]:
    """Put what is nested deeper than a candidate on the candidate's line."""
    deepest, folded = 6, list[str]()
    for line in lines:
        indent, word = len(line) - len(line.lstrip()), line.strip()
        closes = word[0] in "]}"
        if indent > deepest or (indent == deepest and closes):
            folded[-1] += word if closes or folded[-1][-1] in "[{" else f" {word}"
        else:
            folded.append(line)
    return folded
