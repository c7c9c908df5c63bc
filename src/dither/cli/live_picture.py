"""The picture of runs that are being made: from plain state to lines that fit a terminal of any size.

Every state has a sign of its own, so nothing hangs on colours.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import wrap

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from dither.cli.snapshot import DONE, FAILED, PLANNED, RUNNING, Running, Snapshot
from dither.stats.formats import duration, interval_text, run_counts, signed

_SIGNS = {PLANNED: "·", RUNNING: "▶", DONE: "✓", FAILED: "✗"}
_STYLES = {PLANNED: "dim", RUNNING: "yellow", DONE: "green", FAILED: "bold red"}
_ASCII = str.maketrans("·▶✓✗×…–━╌√", ".>+xx~-#-v")
_ROOMY = 18  # lines of a terminal in which parts stand apart
_WHOLE = "\N{NO-BREAK SPACE}"
_LABEL = 16  # columns that the names of a row need at least
_COUNTS = 20  # columns of a row's counts


def picture(now: Snapshot, width: int, height: int, *, ascii_only: bool = False) -> list[Text]:
    """The lines of a snapshot, as many as fit.

    Args:
        now: the state.
        width: of the terminal, columns.
        height: of the terminal, lines; one is left free.
        ascii_only: whether the terminal shows nothing else.

    Example:
        >>> state = {("rte", "none", 0): DONE, ("rte", "none", 1): RUNNING}
        >>> for line in picture(Snapshot("compare, builtin", ["rte"], ["none"], [0, 1, 2], state, [],
        ...                              "1 process", 61, 95.0), 72, 9):
        ...     print(line.plain.rstrip())
        compare, builtin: 1 task × 1 arm × 3 seeds = 3 runs
        ━━━━━━━━━━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌
        1 of 3 done, 1 running; 1 process; 1 min 1 s so far,
        about 1 min 35 s left
            seed 0 1 2
        rte none ✓ ▶ ·
        · planned  ▶ running  ✓ done  ✗ failed
    """
    most = max(1, height - 1)
    top, notes = _head(now, width), [line for text in now.notes for line in _wrapped(text, width)]
    gap = [Text("")] if height >= _ROOMY else []
    room = most - len(top) - len(notes) - 3 * len(gap)
    running = _running(now, width, max(2, room // 3))
    effects = _effects(now, width, max(2, room // 2))
    grid = _grid(now, width, room - len(running) - len(effects))
    parts = [part for part in (top, grid, running, [*notes, *effects]) if part]
    lines = [line for part in parts for line in (*gap, *part)][len(gap) :][:most]
    for line in lines:
        line.no_wrap, line.overflow = True, "crop"
        if ascii_only:
            line.plain = "".join(sign if sign.isascii() else "?" for sign in line.plain.translate(_ASCII))
    return lines


def _head(now: Snapshot, width: int) -> list[Text]:
    counts = Counter(now.states.values())
    ended, total = counts[DONE] + counts[FAILED], len(now.tasks) * len(now.methods) * len(now.seeds)
    told = [f"{ended} of {total} done"]
    told += [f"{counts[state]} {state}" for state in (FAILED, RUNNING) if counts[state]]
    times = [f"{duration(now.elapsed)} so far"]
    if now.left is not None and ended < total:
        times.append(f"about {duration(now.left)} left")
    full = width * ended // max(1, total)
    bar = Text("━" * full, "green") + Text("╌" * (width - full), "dim")
    state = "; ".join(", ".join(part) for part in (told, [now.place], times))
    whole = re.sub(r"(?<![,;]) ", _WHOLE, state)
    title = _wrapped(f"{now.title}: {run_counts(now.tasks, now.methods, now.seeds)}", width, "bold")
    return [*title, bar, *_wrapped(whole, width)]


def _grid(now: Snapshot, width: int, room: int) -> list[Text]:
    """The rows that fit, those with running runs first where not all do; what they mean stands below."""
    rows = [(task, method) for task in now.tasks for method in now.methods]
    names, cell = _columns(now, rows, width)
    head = [Text(f"{'':<{names[0]}} {'seed':>{names[1]}}" + _seeds(now, cell), "dim")] if cell > 1 else []
    legend = [Text("  ").join(_counted({state: ""}, " " + state) for state in _SIGNS)]
    room -= len(head) + len(legend)
    if room < 1:
        return []
    if folded := len(rows) > room:
        rows.sort(key=lambda row: _urgency(_states(now, row)))  # stable: in the plan's order otherwise
    shown, rest = (rows[: room - 1], rows[room - 1 :]) if folded else (rows, [])
    lines = [_label(row, names) + _cells(now, row, cell) for row in shown]
    if rest:
        counts = Counter(state for row in rest for state in _states(now, row))
        lines.append(Text(f"and {len(rest)} more rows: ", "dim") + _counted(counts))
    return [*head, *lines, *legend]


def _columns(now: Snapshot, rows: Sequence[tuple[str, str]], width: int) -> tuple[tuple[int, int], int]:
    """Columns of the two names, and of a cell: 0 where a row has room for counts alone."""
    task, method = (max(map(cell_len, names)) for names in zip(*rows, strict=True))
    spaced = 1 + max(len(str(seed)) for seed in now.seeds)
    cells = [spaced, 1]
    for least in (task + method, _LABEL):
        for cell in cells:
            space = width - len(now.seeds) * cell - 2
            if space >= least:
                return _shared(task, max(method, 4), space), cell
    return _shared(task, method, width - _COUNTS - 2), 0


def _shared(first: int, second: int, space: int) -> tuple[int, int]:
    """Columns of two names that share a space, cut where they must be."""
    second = min(second, max(space // 2, space - first))
    return max(1, min(first, space - second)), max(1, second)


def _label(row: tuple[str, str], names: tuple[int, int]) -> Text:
    return Text(" ".join(cut(name, size) for name, size in zip(row, names, strict=True)))


def cut(name: str, size: int) -> str:
    """A name in exactly so many columns; what is left out is no end, since names differ there most.

    Example:
        >>> cut("glue/rte@learning_rate=3e-5", 16), cut("pats", 6)
        ('glue…g_rate=3e-5', 'pats  ')
    """
    if cell_len(name) > size > 2:
        name = name[: size // 4] + "…" + name[size // 4 + 1 - size :]
    return set_cell_size(name, size)


def _states(now: Snapshot, row: tuple[str, str]) -> list[str]:
    return [now.states.get((*row, seed), PLANNED) for seed in now.seeds]


def _urgency(states: Sequence[str]) -> int:
    return 0 if RUNNING in states else 1 if PLANNED in states else 2


def _seeds(now: Snapshot, cell: int) -> str:
    return "".join(f"{seed:>{cell}}" for seed in now.seeds)


def _cells(now: Snapshot, row: tuple[str, str], cell: int) -> Text:
    states = _states(now, row)
    if cell == 0:
        return Text(" ") + _counted(Counter(states))
    gap = "" if cell > 1 else " "
    return Text(gap).append_text(
        Text("").join(Text(f"{_SIGNS[one]:>{cell}}", _STYLES[one]) for one in states)
    )


def _counted(counts: Mapping[str, object], after: str = "") -> Text:
    """How many there are of each state that there is."""
    present = [state for state in (DONE, FAILED, RUNNING, PLANNED) if state in counts]
    return Text(" ").join(Text(f"{counts[state]}{_SIGNS[state]}{after}", _STYLES[state]) for state in present)


def _running(now: Snapshot, width: int, most: int) -> list[Text]:
    rows = [(f"▶ {one.task} {one.method} seed {one.seed}", _told(one)) for one in now.running]
    return _beside(rows, width, most, "running") if rows else _wrapped(now.idle, width)


def _told(one: Running) -> str:
    """How far a run is."""
    where = f"step {one.step}/{one.steps}" if one.step < one.steps else "evaluates" if one.steps else "begun"
    loss = "" if one.loss is None else f"loss {one.loss:.3f}"
    return ", ".join(part for part in (where, loss, duration(one.seconds)) if part)


def _effects(now: Snapshot, width: int, most: int) -> list[Text]:
    rows = []
    for one in now.effects:
        numbers = f"{signed(one.difference):>7}  {interval_text(one.interval):>17}  {one.pairs} pairs"
        rows.append((f"{one.task} {one.method}", numbers))
    return _beside(rows, width, most, "effects")


def _beside(rows: Sequence[tuple[str, str]], width: int, most: int, what: str) -> list[Text]:
    """Names with numbers beside them, or below where there is no room; and how many more there are."""
    left, right = (max(map(cell_len, column)) for column in zip(*rows, strict=True)) if rows else (0, 0)
    space = min(left, width - right - 2)
    each = 1 if space == left or space >= 2 * _LABEL else 2
    fit = len(rows) if len(rows) * each <= most else max(0, (most - 1) // each)
    lines = []
    for name, numbers in rows[:fit]:
        if each == 1:
            lines.append(Text(f"{cut(name, space)}  {numbers}"))
        else:
            lines += [Text(cut(name, min(width, cell_len(name)))), Text(f"  {numbers}")]
    rest = len(rows) - fit
    return [*lines, Text(f"and {rest} more {what}" if fit else f"{rest} {what}", "dim")] if rest else lines


def _wrapped(text: str, width: int, style: str = "") -> list[Text]:
    return [Text(line.replace(_WHOLE, " "), style) for line in wrap(text, width)]
