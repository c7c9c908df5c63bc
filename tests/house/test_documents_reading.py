"""The tests of the pages can fail: broken blocks are run, broken commands are seen."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    """The module that reads the pages."""
    spec = importlib.util.spec_from_file_location(
        "page_reader", Path(__file__).with_name("test_documents_run.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_blocks_share_a_namespace(reader: ModuleType, tmp_path: Path) -> None:
    page = (
        "# Title\n\n```python\nx = 1\n```\n\n- item\n\n  ```python\n  assert x == 1\n  print('ran')\n  ```\n"
    )
    done = reader.run(page, "page.md", tmp_path)
    assert (done.returncode, done.stdout) == (0, "ran\n")


def test_a_broken_block_is_seen_on_its_line(reader: ModuleType, tmp_path: Path) -> None:
    page = "text\n\n```python\nx = 1\nassert x == 2\n```\n"
    done = reader.run(page, "page.md", tmp_path)
    assert done.returncode == 1
    assert 'page.md.py", line 5' in done.stderr


def test_a_block_marked_no_run_is_left_out(reader: ModuleType) -> None:
    page = "```python no-run\n# needs the Hub\nboom()\n```\n\n```text\ndither\n```\n"
    assert reader.program(page).strip() == ""


def test_commands_are_found(reader: ModuleType) -> None:
    page = (
        "```console\n$ CUDA_VISIBLE_DEVICES=0 dither compare glue/rte \\\n    --seeds 0-8  # nine\noutput\n"
        "$ cd x && python -m dither tasks | head > out\n```\n\n```bash\nmake demo\n.venv/bin/dither demo\n"
        "torchrun --nproc-per-node 2 -m dither methods\n```"
    )
    found = [(line, reader.dither_arguments(words)) for line, words in reader.commands(page)]
    assert [item for item in found if item[1] is not None] == [
        (2, ["compare", "glue/rte", "--seeds", "0-8"]),
        (5, ["tasks"]),
        (10, ["demo"]),
        (11, ["methods"]),
    ]


def test_a_command_that_does_not_parse_is_seen(
    reader: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "```bash\ndither frobnicate\ndither demo --no-such-option\ndither --help\n```\n"
    refused = reader.refusals(page, capsys)
    assert len(refused) == 2
    assert refused[0].startswith("line 2: dither frobnicate: ")
