"""Ctrl-C is heard, wherever it comes; SIGTERM and SIGHUP end a command as it does."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SOON = 0.02  # seconds
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: what an interrupt cleans up is cleaned up.

    Args:
        number: of the signal.

    Example:
        >>> print(Ended(signal.SIGTERM), Ended(signal.SIGTERM).status)
        ended by SIGTERM 143
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)

    @property
    def status(self) -> int:
        """The exit status, as a shell has it."""
        return 128 + self.number

    def __str__(self) -> str:
        return f"ended by {self.number.name}"


@contextmanager
def interrupts_heard() -> Iterator[None]:
    """Raise `Ended` for SIGTERM and SIGHUP, and interrupt again where an interrupt was lost.

    Python drops what is raised in a finalizer, and libraries that define some in Python, such as `regex`
    while it compiles patterns at import, are in them often enough for a Ctrl-C to fall there: it was reported
    on standard error, and the command went on.
    """
    hook = sys.unraisablehook

    def again(lost: "UnraisableHookArgs") -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            number = signal.SIGINT
            if isinstance(lost.exc_value, Ended):
                number = lost.exc_value.number
                signal.signal(number, _end)
            # Not at once: it would fall into this hook, and be dropped as well.
            timer = threading.Timer(_SOON, os.kill, (os.getpid(), number))
            timer.daemon = True
            timer.start()
        else:
            hook(lost)

    before = {number: signal.getsignal(number) for number in _ENDING} if _hears() else {}
    for number, handler in before.items():
        if handler == signal.SIG_DFL:  # `nohup` has SIGHUP ignored
            signal.signal(number, _end)
    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            if handler == signal.SIG_DFL:
                signal.signal(number, handler)


def _hears() -> bool:
    """Whether this process cleans up at the end: of several that were started together the first one does.

    The others have nothing to clean up, and would not hear a signal while they wait for each other.
    """
    from dither.bench.group import Group

    return threading.current_thread() is threading.main_thread() and Group.here().leads


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # `timeout` sends it twice: the second may not end the cleaning up
    raise Ended(number)
