"""docs/speed.md from all results files: python -m benchmarks.page"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.part_tables import PARTS
from benchmarks.readings import sections
from benchmarks.result_files import Document, read_all
from benchmarks.tables import number, table
from benchmarks.targets import TARGETS

PAGE = Path(__file__).parents[1] / "docs" / "speed.md"

_HEAD = """# Speed and memory

This page is made from the files in `benchmarks/results` by `python -m benchmarks.page`. On your own machine:

```console
make bench
```

All candidates of a table take turns within one run, each round in another order. Times are medians over at
least five rounds with their quartiles, ratios the medians of the ratios round by round. Peak memory is what
a candidate adds at its worst to the model that it works on, in a process of its own. The *memory limit* of
NoisyTune is one read of the weights to measure them, then one read and one write: 1.5 times what a copy takes
in the same run. Where a plain copy first reads what it overwrites, a share beyond 100 % is possible.
"""

_DEVICES = {"cpu": "CPU", "cuda": "GPU"}


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(read_all()), encoding="utf-8")
    print(f"written to {PAGE}")


def page(documents: Sequence[Document]) -> str:
    """The whole page."""
    lines = [_HEAD]
    if not documents:
        lines += ["No results are kept yet."]
    else:
        lines += ["## Targets", "", *_targets(documents), ""]
    for document in documents:
        lines += _machine(document)
    return "\n".join(lines).rstrip() + "\n"


def _targets(documents: Sequence[Document]) -> list[str]:
    rows = [
        [
            target.text,
            f"{name(document)}, {_DEVICES[device]}",
            f"{'≥' if target.at_least else '≤'} {target.limit:g} {target.unit}".rstrip(),
            number(reading.value),
            f"{number(reading.low)} … {number(reading.high)}",
            reading.verdict,
        ]
        for target in TARGETS
        for document in documents
        for device in _DEVICES
        for reading in target.readings(document, device)
    ]
    if not rows:
        return ["Nothing that has a target was measured yet."]
    return table(["target", "machine", "limit", "reached", "quartiles", "met"], rows)


def name(document: Document) -> str:
    """A machine in a few words."""
    machine = document.get("machine", {})
    return ", ".join(str(word) for word in (machine.get("cpu"), machine.get("gpu")) if word) or "unknown"


def _machine(document: Document) -> list[str]:
    machine = document.get("machine", {})
    said = {"cores": "{} cores", "memory_gib": "{:.0f} GiB of memory", "torch_instruction_set": "{} in torch"}
    hardware = [words.format(machine[key]) for key, words in said.items() if key in machine]
    lines = [f"## {name(document)}", "", ", ".join(hardware or ["unknown hardware"]) + ".", ""]
    for part, (title, render) in PARTS.items():
        found = list(sections(document, part))
        if not found:
            lines += [f"### {title}", "", "Not measured.", ""]
        for section in found:
            lines += [
                f"### {title}: {_DEVICES.get(section.get('device', ''), 'unknown')}",
                "",
                _provenance(section),
                "",
            ]
            lines += [*render(section.get("cases", [])), ""]
    return lines


def _provenance(section: dict[str, Any]) -> str:
    run = section.get("run", {})
    threads = run.get("threads", "?")
    parts = [f"Backend {run.get('backend', 'unknown')}", f"{threads} thread{'s' * (threads != 1)}"]
    parts += [
        f"torch {run.get('versions', {}).get('torch', '?')}",
        f"commit {run.get('commit') or 'unknown'}",
    ]
    parts += [str(run.get("measured", "?"))[:10]]
    quick = (
        " **A quick run: it shows that the suite works and measures nothing.**" if run.get("quick") else ""
    )
    return ", ".join(parts) + "." + quick


if __name__ == "__main__":
    main()
