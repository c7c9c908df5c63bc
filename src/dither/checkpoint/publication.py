"""All or nothing: written into a temporary folder beside the target, and renamed when whole.

The folder is called `.NAME.dither-partial` and locked while it is written. The lock dies with its process, so
what a killed run left behind is known by its name and removed by the next one for the same target.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dither.checkpoint.new_file import NewFile
from dither.results.lock import leads_to

_COPIED = 1 << 20
_MARGIN = 4 << 20  # bytes for dither.json and the file system's own


class Publication:
    """A folder to be filled; what is in it appears at the target all at once.

    Attributes:
        target: a folder, or a safetensors file.
        folder: where to write.
    """

    def __init__(self, target: Path, folder: Path) -> None:
        self.target, self.folder = target, folder

    def create(self, name: str, like: Path) -> NewFile:
        """A new file to write; it is on the disk when its block ends.

        Args:
            name: path below the folder.
            like: a file of the source; who may read that one may read the new one.
        """
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return NewFile(path, _mode(like))

    def copy(self, source: Path, name: str) -> None:
        """Bring a file along as it is."""
        with self.create(name, source) as new, source.open("rb", buffering=0) as old:
            while block := old.read(_COPIED):
                new.write(block)


def check_target(source: Path, target: Path, *, is_folder: bool, suffix: str) -> None:
    """Refuse a target that exists, is the source, lies in it, or is of another kind.

    Raises:
        ValueError, FileNotFoundError: the message names the target and says what to choose.
    """
    real_source, real_target = source.resolve(), target.resolve()
    if real_target == real_source:
        raise ValueError(f"{target} is the source itself; nothing is noised in place: choose another target")
    if os.path.lexists(target):
        raise ValueError(f"{target} exists; nothing is overwritten: choose another target, or remove it")
    if is_folder and real_target.is_relative_to(real_source):
        raise ValueError(f"{target} lies in the source {source}; choose a target beside it")
    if not target.name:
        raise ValueError(f"{target} is no name for a new folder or file; choose another target")
    if is_folder == (target.suffix == suffix):
        kind = (
            "a folder, so the target must be one, too" if is_folder else f"a file, so it must end in {suffix}"
        )
        raise ValueError(f"{target} does not fit: the source {source} is {kind}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent} is no folder; make it first, or choose another target")


def check_space(target: Path, size: int) -> None:
    """Refuse to begin what the disk has no room for; `size` in bytes."""
    free = shutil.disk_usage(target.parent).free
    if free < size + _MARGIN:
        raise OSError(
            errno.ENOSPC,
            f"{target.parent} has {free} bytes free and {size + _MARGIN} are needed; nothing was written: "
            "free some space, or choose another target",
        )


@contextmanager
def publication(
    target: Path, *, like: Path | None = None, order: Iterable[str] = ()
) -> Iterator[Publication]:
    """A folder beside the target to be filled; published at the end of the block, gone after an exception.

    Args:
        target: must not exist.
        like: the source's folder, where the folder itself is published and not the files in it; who may
            enter that one, and folders in it, may enter the new ones.
        order: the names of the files to publish beside each other; the last is the target itself.

    Raises:
        OSError: it cannot be written, or another run is writing the same target.
    """
    folder = target.with_name(f".{target.name}.dither-partial")
    lock = _claimed(folder, target)
    renamed = False
    try:
        with _explained(target):
            yield Publication(target, folder)
            for inner, _, _ in os.walk(folder):
                if like is not None:
                    os.chmod(inner, _mode(like / Path(inner).relative_to(folder)) | 0o700)
                _sync_folder(Path(inner))
            if os.path.lexists(target):
                raise ValueError(
                    f"{target} came into being meanwhile; it is left as it is, nothing was published"
                )
            if like is not None:
                os.rename(folder, target)
                renamed = True
            else:
                for name in order:
                    os.rename(folder / name, target.with_name(name))
            _sync_folder(target.parent)
    finally:
        if not renamed:  # else the name may be another run's by now
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        said = "the disk is full" if full else f"{error.filename or target}: {error.strerror}"
        raise OSError(
            error.errno,
            f"{target} was not written, and nothing of it is left: {said}; mend that and start again",
        ) from error


def _mode(path: Path) -> int:
    """Who may read, write and enter a file or folder."""
    return path.stat().st_mode & 0o777


def _claimed(folder: Path, target: Path) -> int:
    """Make the temporary folder and lock it; one that a killed run left is removed first."""
    try:
        if os.path.lexists(folder):
            _remove_leftover(folder, target)
        folder.mkdir()
        return _locked(folder, target)
    except PermissionError as error:
        raise PermissionError(
            error.errno, f"{target.parent} may not be written ({error.strerror}); choose another target"
        ) from error
    except FileExistsError as error:
        raise _busy(folder, target) from error


def _remove_leftover(folder: Path, target: Path) -> None:
    if folder.is_symlink() or not folder.is_dir():
        raise ValueError(f"{folder} is no folder of dither's, and stands in the way; move it")
    lock = _locked(folder, target)
    try:
        shutil.rmtree(folder)
    finally:
        os.close(lock)


def _locked(folder: Path, target: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise _busy(folder, target) from error
    if not leads_to(folder, descriptor):  # another run took it for a leftover before it was locked
        os.close(descriptor)
        raise _busy(folder, target)
    return descriptor


def _busy(folder: Path, target: Path) -> RuntimeError:
    return RuntimeError(
        f"another run is writing {target} just now (into {folder.name}); wait for it, or choose another "
        "target"
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
