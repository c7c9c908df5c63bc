"""The connection to Ray: to a cluster that is there, or to one of this machine that goes with it.

Whoever can connect to a cluster can run code on it, and its processes send each other pickles, our requests
and results among them. So an address is trusted like a login; never join a cluster of strangers.
"""

import logging
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_KNOCK_SECONDS = 5.0
_PROBE_SECONDS = 60.0
_PROBE = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='CRITICAL')"
_OBJECT_STORE = 128 * 2**20  # bytes; results are small, and Ray would set aside 30 % of the memory
_WHERE = (
    "give host:port of a cluster of which this machine is a node, such as 10.0.0.1:6379; 'auto' for the one "
    "that runs here; or no --address, which starts a Ray of this machine alone"
)


def require_ray() -> None:
    """Raise ImportError, with what to install, where there is no Ray."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise ImportError("--executor ray needs Ray: pip install 'dither[ray]'") from error


def require_cluster(address: str) -> None:
    """See within about a minute that a cluster can be joined.

    A process of its own tries it: in ours Ray would wait for minutes, and end it in the worst case.

    Args:
        address: host:port, or `auto`.

    Raises:
        ValueError: it is no address.
        ConnectionError: nobody answers, or Ray refuses: another version, no token, no node on this machine.
    """
    if address != "auto":
        _knock(address)
    command = [sys.executable, "-c", _PROBE, address]
    try:
        done = subprocess.run(  # noqa: S603  (our own interpreter; the address is one argument)
            command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConnectionError(
            f"what answers at --address {address} is no Ray that lets us in; {_WHERE}"
        ) from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise ConnectionError(
            f"Ray at --address {address} cannot be joined: {said[-1]} (where it has a token, set "
            f"RAY_AUTH_MODE=token); {_WHERE}"
        )


def _knock(address: str) -> None:
    host, _, port = address.rpartition(":")
    if "/" in host or not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"--address is {address!r}; {_WHERE}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()
    except OSError as error:
        raise ConnectionError(f"nobody answers at --address {address} ({error}); {_WHERE}") from error


@contextmanager
def connected(address: str | None, cpus: int) -> Iterator[None]:
    """Be connected to Ray; what was started for it ends with it.

    Without an address, a connection that this process has already is used and left open.

    Args:
        address: host:port, `auto`, or None for a Ray of this machine alone.
        cpus: what a Ray that is started here offers.
    """
    import ray

    if address is None and ray.is_initialized():
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(_nothing_printed())
        options = {} if address else _local(cpus, stack)
        stack.callback(_disconnect)
        with _unchanged():
            ray.init(address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **options)
        yield


def _disconnect() -> None:
    import ray

    with _unchanged():
        ray.shutdown(wait_for_processes=True)


def _local(cpus: int, stack: ExitStack) -> dict[str, object]:
    """Options of a Ray that is started: no dashboard, no statistics of use, no folder that stays."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    folder = tempfile.TemporaryDirectory(prefix="dither-", ignore_cleanup_errors=True)
    return {
        "num_cpus": cpus,
        "object_store_memory": _OBJECT_STORE,
        "include_dashboard": False,
        "_temp_dir": stack.enter_context(folder),
    }


@contextmanager
def _nothing_printed() -> Iterator[None]:
    """Keep standard output for results."""
    from ray._private import worker

    # Ray prints the death of any worker there, `log_to_driver` or not; it has no public switch for that.
    printed = getattr(worker, "_worker_logs_enabled", True)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = printed


@contextmanager
def _unchanged() -> Iterator[None]:
    """Put back what Ray changes in this process.

    It draws names from Python's global generator, fresh ones for each connection, and replaces the handler
    of SIGTERM by one that ends in a C++ stack trace.
    """
    handler, state = signal.getsignal(signal.SIGTERM), random.getstate()
    random.seed()
    try:
        yield
    finally:
        random.setstate(state)
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
