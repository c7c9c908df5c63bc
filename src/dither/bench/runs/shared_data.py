"""Encoded data in a file that the processes of this machine open together: tokenised once, in memory once."""

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from dither.bench.data.loading import TaskData
from dither.bench.runs.encoding import Encoded, encoded_from, encoding_key
from dither.bench.runs.features import Features
from dither.bench.runs.request import RunRequest
from dither.checkpoint.headers import read_header

logger = logging.getLogger("dither")

_FEATURES, _ROWS = "features.safetensors", "rows.json"
_DTYPES = {"U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16"}
_DTYPES |= {"I32": "int32", "I64": "int64", "F64": "float64"}


@contextmanager
def shared_data(
    requests: Sequence[RunRequest], data: Mapping[str, TaskData]
) -> Iterator[Iterator[RunRequest]]:
    """The requests with files of their encoded data, in a temporary folder that is gone at the end.

    The data of a task are tokenised when its first request is taken. Where they cannot be written, a request
    stays as it is, and every process tokenises for itself.

    Args:
        requests: the runs to be made on this machine.
        data: of every task, by name.
    """
    with tempfile.TemporaryDirectory(prefix="dither-data-", ignore_cleanup_errors=True) as folder:
        yield _requests(requests, data, Path(folder))


def _requests(
    requests: Sequence[RunRequest], data: Mapping[str, TaskData], folder: Path
) -> Iterator[RunRequest]:
    written: dict[tuple[object, ...], str | None] = {}

    def placed(request: RunRequest, *, trains: bool) -> RunRequest:
        key, whole = encoding_key(request, trains=trains), encoding_key(request)
        if key not in written and whole not in written:
            place = folder / str(len(written))
            written[key] = _written(place, request, data[request.spec.task], trains=trains)
        return replace(request, encoded=written.get(key, written.get(whole)))

    for request in requests:
        first = placed(request, trains=True)
        yield replace(first, also=tuple(placed(one, trains=False) for one in request.also))


def _written(place: Path, request: RunRequest, data: TaskData, *, trains: bool) -> str | None:
    encoded = encoded_from(request, data, trains=trains)
    try:
        place.mkdir()
        write_encoded(place, encoded)
    except OSError as error:
        logger.warning(
            "the data of task %s cannot be shared by the processes (%s), so each tokenises for itself; free "
            "some space in %s, or set TMPDIR to another folder",
            request.task.name,
            error,
            place.parent.parent,
        )
        return None
    return str(place)


def write_encoded(folder: Path, encoded: Encoded) -> None:
    """Write encoded data into an empty folder.

    Raises:
        OSError: they cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {
        f"{split}/{name}": values
        for split, features in encoded.features.items()
        for name, values in features.arrays().items()
    }
    try:
        save_file(arrays, folder / _FEATURES)
    except SafetensorError as error:  # a full disk, too
        raise OSError(str(error)) from error
    content = {"rows": encoded.rows, "constant_score": encoded.constant_score}
    (folder / _ROWS).write_text(json.dumps(content), encoding="utf-8")


def read_encoded(folder: str) -> Encoded:
    """What `write_encoded` wrote; the inputs stay in the file, which is mapped into memory to be read alone.

    Raises:
        ValueError: a file is missing or damaged.
    """
    try:
        stored = read_header(Path(folder) / _FEATURES)
        content = json.loads((Path(folder) / _ROWS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"the data that the processes of this comparison share cannot be read ({error}); was the folder "
            "for temporary files cleared meanwhile? Start the same command again"
        ) from error
    mapped = np.asarray(np.memmap(stored.path, np.uint8, mode="r"))
    splits: dict[str, dict[str, np.ndarray]] = {}
    for row in stored.tensors:
        split, _, name = row.name.partition("/")
        values = mapped[row.start : row.start + row.size].view(_DTYPES[row.dtype])
        splits.setdefault(split, {})[name] = values
    features = {split: Features.from_arrays(arrays) for split, arrays in splits.items()}
    return Encoded(features, content["rows"], content["constant_score"])
