"""Ctrl-C is heard, wherever it comes."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SOON = 0.02  # seconds


@contextmanager
def interrupts_heard() -> Iterator[None]:
    """Interrupt again where an interrupt was lost.

    Python drops what is raised in a finalizer, and libraries that define some in Python, such as `regex`
    while it compiles patterns at import, are in them often enough for a Ctrl-C to fall there: it was reported
    on standard error, and the command went on.
    """
    before = sys.unraisablehook

    def again(lost: "UnraisableHookArgs") -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            # Not at once: it would fall into this hook, and be dropped as well.
            timer = threading.Timer(_SOON, os.kill, (os.getpid(), signal.SIGINT))
            timer.daemon = True
            timer.start()
        else:
            before(lost)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before
