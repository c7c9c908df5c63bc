"""What the pages show works: Python blocks run, `dither` commands parse, `make` targets exist.

The blocks of one page share a namespace. A block that cannot run here is marked `python no-run` after
its fence and says why in a comment on its first line.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

SHELLS = {"console", "bash", "sh", "shell"}
FENCE = re.compile(r"(?P<indent> *)(?P<mark>`{3,}|~{3,})\s*(?P<info>[^`]*)")


class Block(NamedTuple):
    """One fenced block of a page."""

    line: int  # of its first line of content, from 1
    info: list[str]
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a Markdown page."""
    found: list[Block] = []
    opened: re.Match[str] | None = None
    inside: list[str] = []
    for number, line in enumerate(page.splitlines(), start=1):
        fence = FENCE.fullmatch(line.rstrip())
        if opened is None:
            opened, inside = fence, []
        elif fence and not fence["info"] and fence["mark"].startswith(opened["mark"]):
            text = textwrap.dedent("\n".join(inside))
            found.append(Block(number - len(inside), opened["info"].split(), text))
            opened = None
        else:
            inside.append(line)
    return found


def program(page: str) -> str:
    """The page's runnable Python, every line on the line number that it has in the page."""
    lines = [""] * len(page.splitlines())
    for block in blocks(page):
        if block.info[:1] == ["python"] and "no-run" not in block.info:
            code = block.text.splitlines()
            lines[block.line - 1 : block.line - 1 + len(code)] = code
    return "\n".join(lines)


def run(page: str, name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a page's Python blocks in a fresh interpreter, in an empty folder."""
    (folder / "empty").mkdir()
    script = folder / f"{Path(name).name}.py"
    script.write_text(program(page), encoding="utf-8")
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder / "empty", env=environment, capture_output=True, text=True, timeout=1800
    )


def commands(page: str) -> list[tuple[int, list[str]]]:
    """(line, words) of every command in the page's shell blocks; in a console block only lines after `$`."""
    found = []
    for block in blocks(page):
        if not block.info or block.info[0] not in SHELLS:
            continue
        prompt = any(line.startswith("$ ") for line in block.text.splitlines())
        joined = re.sub(r"\\\n", lambda _: "\x00", block.text).split("\n")
        line = block.line
        for text in joined:
            if not prompt or text.startswith("$ "):
                lexer = shlex.shlex(
                    text.removeprefix("$ ").replace("\x00", " "), posix=True, punctuation_chars=True
                )
                lexer.whitespace_split = True
                found += [(line, words) for words in split(list(lexer))]
            line += 1 + text.count("\x00")
    return found


def split(words: list[str]) -> list[list[str]]:
    """The simple commands of a line: cut at `&&`, `|`, `;`, `>`, variables before the program left out."""
    cut: list[list[str]] = [[]]
    for word in words:
        if re.fullmatch(r"[&|;<>]+", word):
            cut.append([])
        elif cut[-1] or not re.fullmatch(r"[A-Z_0-9]+=.*", word):
            cut[-1].append(word)
    return [part for part in cut if part]


def dither_arguments(words: list[str]) -> list[str] | None:
    """The arguments of `dither ...`, `python -m dither ...` or `torchrun ... -m dither ...`, else None."""
    if Path(words[0]).name == "dither":
        return words[1:]
    if Path(words[0]).name.startswith("python") and words[1:3] == ["-m", "dither"]:
        return words[3:]
    if Path(words[0]).name == "torchrun" and ["-m", "dither"] in map(list, pairwise(words)):
        return words[words.index("-m") + 2 :]
    return None


def refusals(page: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The dither commands of a page that the command line refuses, with what it says."""
    from dither.cli import build_parser

    refused = []
    for line, words in commands(page):
        arguments = dither_arguments(words)
        if arguments is None:
            continue
        try:
            build_parser().parse_args(arguments)
        except SystemExit as end:
            said = capsys.readouterr().err.strip()
            refused += [f"line {line}: {shlex.join(words)}: {said}"] if end.code else []
    return refused


PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in Path(__file__).parents[2].glob("docs/*.md"))]


@pytest.mark.parametrize("name", PAGES)
def test_the_python_of_a_page_runs(name: str, documents: dict[str, str], tmp_path: Path) -> None:
    if not program(documents[name]).strip():
        return
    done = run(documents[name], name, tmp_path)
    assert done.returncode == 0, f"{name} does not run:\n{done.stderr[-3000:]}"


def test_the_commands_of_the_pages_parse(
    documents: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {name: refusals(page, capsys) for name, page in documents.items()}
    assert {name: lines for name, lines in refused.items() if lines} == {}


def test_the_make_targets_of_the_pages_exist(documents: dict[str, str], repository: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (repository / "Makefile").read_text(), flags=re.MULTILINE))
    shown = {
        word
        for page in documents.values()
        for _, words in commands(page)
        for word in words[1:]
        if words[0] == "make"
    }
    assert {word for word in shown if "=" not in word and not word.startswith("-")} <= targets


def test_the_readme_shows_python_and_a_command(documents: dict[str, str]) -> None:
    assert "dither" in program(documents["README.md"])
    assert any(dither_arguments(words) for _, words in commands(documents["README.md"]))


def test_a_block_that_does_not_run_says_why(documents: dict[str, str]) -> None:
    silent = [
        f"{name}:{block.line}"
        for name, page in documents.items()
        for block in blocks(page)
        if "no-run" in block.info and not re.match(r"# \w+ \w+", block.text)
    ]
    assert silent == [], "the first line of a no-run block is a comment with the reason"
