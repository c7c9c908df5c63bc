"""The header of a safetensors file, read by plain reads and believed in nothing.

A file is 8 bytes (the header's length, little-endian), the header (JSON: each tensor's dtype, shape and range
of bytes) and the tensors, one after the other without a gap.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dither.checkpoint.strict_json import parsed, shown

MAX_HEADER = 100_000_000
"""Bytes: the limit of the safetensors library itself."""

_PREFIX = 8
_MOST = 2**60  # elements of a tensor, whose bytes must fit into 63 bits
_BITS = {
    **dict.fromkeys(["F4"], 4),
    **dict.fromkeys(["F6_E2M3", "F6_E3M2"], 6),
    **dict.fromkeys(["BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"], 8),
    **dict.fromkeys(["F8_E4M3FNUZ", "F8_E5M2FNUZ"], 8),
    **dict.fromkeys(["U16", "I16", "F16", "BF16"], 16),
    **dict.fromkeys(["U32", "I32", "F32"], 32),
    **dict.fromkeys(["U64", "I64", "F64", "C64"], 64),
}
FLOATS = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
"""The dtypes that can be noised, as torch knows them."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
        name: in the file.
        dtype: as safetensors spells it, such as "BF16".
        shape: of the logical tensor.
        start: where its bytes begin, from the start of the file.
        size: how many bytes.
        path: of the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int
    path: Path

    @property
    def is_float(self) -> bool:
        """Whether it can be noised: the other dtypes are integers, or too narrow to be more than storage."""
        return self.dtype in FLOATS


@dataclass(frozen=True)
class StoredFile:
    """A safetensors file.

    Attributes:
        path: of the file.
        header: its first bytes, up to the data.
        tensors: in the order of their bytes.
        stamp: its size and time of change, when the header was read.
    """

    path: Path
    header: bytes
    tensors: tuple[StoredTensor, ...]
    stamp: tuple[int, int]

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        return self.stamp[0]

    @staticmethod
    def stamp_of(path: Path) -> tuple[int, int]:
        """Size and time of change of a file, as they are now."""
        now = path.stat()
        return now.st_size, now.st_mtime_ns


def read_header(path: Path) -> StoredFile:
    """Read and check the header of a safetensors file; no tensor is read.

    Raises:
        ValueError: it is no safetensors file, not whole, or not as the format says; the message names the
            file and the tensor.
        OSError: it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        stamp = StoredFile.stamp_of(path)
        size = stamp[0]
        prefix = _exactly(file, _PREFIX)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == _PREFIX else 0
        if not 2 <= length <= min(size - _PREFIX, MAX_HEADER):
            raise ValueError(
                f"{path} is no whole safetensors file: it has {size} bytes and promises a header of {length} "
                f"(allowed: 2 to {MAX_HEADER}, and within the file); fetch it again"
            )
        text = _exactly(file, length)
    rows = [_tensor(path, *item, _PREFIX + length) for item in _parse(path, text).items()]
    rows.sort(key=lambda row: (row.start, row.size))
    _check_ranges(path, rows, _PREFIX + length, size)
    return StoredFile(path, prefix + text, tuple(rows), stamp)


def _exactly(file: Any, count: int) -> bytes:
    """That many bytes, or as many as the file has."""
    parts: list[bytes] = []
    while count and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    """The header's entries without the metadata, which are checked and left as they are."""

    try:
        if not text.startswith(b"{"):
            raise ValueError(f"it begins with {text[:10]!r} and must begin with {{")
        header = parsed(text, parse_int=_natural)
    except ValueError as error:
        raise ValueError(f"{path}: the header is damaged ({error}); fetch the file again") from None
    metadata = header.pop("__metadata__", None)
    texts = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    if metadata is not None and not texts:
        raise ValueError(f"{path}: __metadata__ is {shown(metadata)}; it must map names to texts")
    return dict(header)


def _natural(digits: str) -> int:
    if digits == "-0":  # the library takes it for no whole number
        raise ValueError("-0 is no size and no place")
    return int(digits)


def _tensor(path: Path, name: str, row: Any, base: int) -> StoredTensor:
    where = f"{path}: tensor {shown(name)}"
    if not isinstance(row, dict) or set(row) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{where} is described by {shown(row)}; it must have dtype, shape and data_offsets")
    dtype, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise ValueError(f"{where} has dtype {shown(dtype)}; known are {', '.join(sorted(_BITS))}")
    if not _whole(shape):
        raise ValueError(f"{where} has shape {shown(shape)}; it must be a list of whole numbers >= 0")
    if math.prod(size or 1 for size in shape) >= _MOST:  # torch counts so, also where a size is 0
        raise ValueError(f"{where} has shape {shown(shape)}; no tensor has so many elements")
    if not _whole(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(
            f"{where} has data_offsets {shown(offsets)}; they must be [begin, end], begin <= end"
        )
    size, bits = offsets[1] - offsets[0], math.prod(shape) * _BITS[dtype]
    if 8 * size != bits:
        raise ValueError(
            f"{where} has {size} bytes (data_offsets {offsets!r}), and {dtype} of shape {shown(shape)} needs "
            f"{bits / 8:g}; the file is damaged: fetch it again"
        )
    return StoredTensor(name, dtype, tuple(shape), base + offsets[0], size, path)


def _whole(numbers: Any) -> bool:
    whole = isinstance(numbers, list) and all(type(number) is int for number in numbers)
    return whole and all(0 <= number < 2**63 for number in numbers)


def _check_ranges(path: Path, rows: Sequence[StoredTensor], start: int, size: int) -> None:
    """The tensors must follow each other, from the header to the end of the file."""
    end = start
    for row in rows:
        if row.start != end:
            kind = "overlaps the tensor before it" if row.start < end else "leaves a gap before it"
            raise ValueError(
                f"{path}: tensor {shown(row.name)} begins at byte {row.start - start} of the data and {kind}"
                f", which ends at {end - start}; the file is damaged: fetch it again"
            )
        end += row.size
    if end != size:
        raise ValueError(
            f"{path} is not whole: its tensors end at byte {end}, and the file has {size}; fetch it again"
        )
