"""Streams that are closed, full, in ASCII, or read by nobody; and arguments without a character."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from dither.cli import main, tasks
from dither.cli.streams import usable_streams
from dither.cli.tables import print_json

CLOSED = """
import sys
from dither.cli.streams import usable_streams
with usable_streams():
    print("λ")
    print("μ", file=sys.stderr)
    assert sys.stdin.read() == ""
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(str(file.fileno()))
"""


def test_a_file_never_gets_the_number_of_a_closed_stream(tmp_path) -> None:
    script, number = tmp_path / "closed.py", tmp_path / "number"
    script.write_text(CLOSED, encoding="utf-8")
    command = f'exec "{sys.executable}" "{script}" "{number}" <&- >&- 2>&-'
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 0
    assert int(number.read_text()) > 2


def test_a_full_disk_behind_standard_output_is_told(monkeypatch, capsys) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["tasks"]) == 1
    said = "dither: standard output cannot be written (No space left on device); what was recorded is kept\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_encoding_will_do(monkeypatch, strict, encoding) -> None:
    written = io.BytesIO()
    output = io.TextIOWrapper(written, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", output)
    for command in (["methods", "--verbose"], ["perturb", "--help"]):
        with pytest.raises(SystemExit) if "--help" in command else usable_streams():
            assert main(command) == 0
    assert ("λ" in written.getvalue().decode(encoding)) is (encoding == "utf-8")
    written.seek(0)
    written.truncate()
    with usable_streams():
        print_json({"name": "é λ 😀 \udcff"})
    assert strict(written.getvalue().decode(encoding)) == {"name": "é λ 😀 \udcff"}
    assert output.errors == "strict"


def test_nobody_at_standard_error_ends_no_work(monkeypatch, capsys) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8", buffering=1) as unread:
        monkeypatch.setattr(sys, "stderr", unread)
        with usable_streams():
            print("progress", file=sys.stderr, flush=True)
        assert sys.stderr is unread
        with pytest.raises(BrokenPipeError):
            print("progress", file=sys.stderr, flush=True)
        assert main(["tasks"]) == 0
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # what is left of it leads nowhere
    assert "builtin/tagging" in capsys.readouterr().out


def test_another_pipe_that_breaks_is_an_error(monkeypatch, capsys) -> None:
    def broken(args: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(tasks, "run", broken)
    assert main(["tasks"]) == 1
    assert capsys.readouterr().err == "dither: [Errno 32] Broken pipe\n"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("finetune", "x", "--model", "y", "--out", ""), "--out"),
        (("demo", "--out", " "), "--out"),
        (("compare", "x", "", "--model", "y", "--out", "z"), "TASK"),
        (("sweep", "x", "--model", "y", "--method", "pats", "--param", "", "--out", "z"), "--param"),
        (("report", "x", "--output", ""), "--output"),
        (("report", ""), "DIR"),
        (("perturb", "x", "\t"), "DST"),
        (("reproduce", "x", "--data-dir", ""), "--data-dir"),
    ],
)
def test_blank_arguments_are_refused(dither, tmp_path, monkeypatch, arguments, name) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = dither(*arguments)
    assert (status, out) == (2, "")
    assert f"error: argument {name}: " in err
    assert err.endswith(" is blank; is a variable not set?\n")
    assert list(tmp_path.iterdir()) == []
