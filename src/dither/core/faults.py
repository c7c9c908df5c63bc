"""Whose fault an error is: of what was asked for, of the machine, or of the program."""

import dis
from types import TracebackType

_REFUSALS = (ValueError, TypeError, RuntimeError, ImportError)
_RAISE = dis.opmap["RAISE_VARARGS"]
_PACKAGE = "dither"


def is_told(error: BaseException) -> bool:
    """Whether the message of an error says all that its reader needs; any other error needs its traceback.

    Two kinds do. A refusal is raised by a `raise` of our own: somebody wrote it down for the reader. What
    Python or a library raises, such as a TypeError for a call with wrong arguments or a ValueError out of
    NumPy, has no such author: it is a fault of the program, whatever its type. The other kind is the
    machine's: files, disks, networks and memory.

    An error that tells of another one, perhaps of another process, has an attribute `internal`: whether that
    one is a fault of the program.

    Example:
        >>> from dither.core.draws import check_seed
        >>> def error_of(call):
        ...     try:
        ...         call()
        ...     except Exception as error:
        ...         return error
        >>> is_told(error_of(lambda: check_seed(-1))), is_told(error_of(lambda: check_seed(1, 2, 3)))
        (True, False)
    """
    internal = getattr(error, "internal", None)
    if internal is not None:
        return not internal
    if isinstance(error, OSError | MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    return isinstance(error, _REFUSALS) and _is_ours(error.__traceback__)


def _is_ours(trace: TracebackType | None) -> bool:
    """Whether an error was raised by a `raise` in this package, not in what it called."""
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    name = str(trace.tb_frame.f_globals.get("__name__"))
    raised = trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE
    return raised and (name == _PACKAGE or name.startswith(f"{_PACKAGE}."))
