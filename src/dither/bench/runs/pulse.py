"""How far a run is, in a small file of its own that another process reads."""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pulse:
    """How far a run is.

    Attributes:
        began: when, in seconds of the wall clock.
        step: optimizer steps that are done.
        steps: of the whole run; 0 while that is not known.
        loss: of training, as it was logged last; None before.
    """

    began: float
    step: int = 0
    steps: int = 0
    loss: float | None = None

    @classmethod
    def now(cls) -> "Pulse":
        """Of a run that begins."""
        return cls(time.time())

    def write(self, folder: str | Path, run_id: str) -> None:
        """Write the run's file, whole or not at all; where it cannot be written, nobody hears of the run."""
        path = _path(folder, run_id)
        new = path.with_suffix(".new")
        with suppress(OSError):
            new.write_text(json.dumps(asdict(self)))
            os.replace(new, path)


def read_pulses(folder: str | Path) -> dict[str, Pulse]:
    """The runs that have told how far they are, by id.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Pulse(began=0.0, step=10, steps=30, loss=0.5).write(folder, "a")
        ...     read_pulses(folder)
        {'a': Pulse(began=0.0, step=10, steps=30, loss=0.5)}
    """
    found = {}
    for path in Path(folder).glob("*.json"):
        with suppress(OSError, ValueError, TypeError):  # it is gone meanwhile, or not ours
            found[path.stem] = Pulse(**json.loads(path.read_text()))
    return found


def forget(folder: str | Path, run_id: str) -> None:
    """Remove the file of a run that is done."""
    with suppress(OSError):
        _path(folder, run_id).unlink()


def _path(folder: str | Path, run_id: str) -> Path:
    return Path(folder) / f"{run_id}.json"
