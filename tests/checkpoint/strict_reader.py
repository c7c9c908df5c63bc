"""A second reader of safetensors, written from the format's description; it shares no code with dither's.

It takes whole files in memory and believes nothing. Where it decides otherwise than the library of that name:

* stricter, as the description says: a header begins with `{`; a tensor has three keys and no others; no name
  stands twice, not even among the metadata.
* stricter, because torch is: the sizes that are not 0 multiply to less than 2^60.
* as strict: numbers are plain whole numbers (`-0`, `1.0` and `true` are none); names are Unicode (no lone
  surrogates).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

WIDTHS = {
    4: "F4",
    6: "F6_E2M3 F6_E3M2",
    8: "BOOL U8 I8 F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ",
    16: "U16 I16 F16 BF16",
    32: "U32 I32 F32",
    64: "U64 I64 F64 C64",
}
BITS = {name: width for width, names in WIDTHS.items() for name in names.split()}
INDEX = "model.safetensors.index.json"


class RefusedError(Exception):
    """The input is not as the format has it."""


class Piece(NamedTuple):
    """A tensor: dtype, shape, and its place in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def must(condition: object, words: str) -> None:
    """Refuse unless."""
    if not condition:
        raise RefusedError(words)


def parsed(text: bytes, *, numbers: bool) -> Any:
    """Strict JSON: no name twice; without `numbers`, no number but a whole one that is not negative."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        must(len({name for name, _ in pairs}) == len(pairs), "a name stands twice")
        for name, _ in pairs:
            name.encode()
        return dict(pairs)

    def whole(digits: str) -> int:
        must(numbers or digits.isdigit(), f"the number {digits[:20]}")
        must(len(digits) < 400, "a number of hundreds of digits")
        return int(digits)

    def other(digits: str) -> float:
        must(numbers, f"the number {digits[:20]}")
        return float(digits)

    try:
        return json.loads(
            text.decode(),
            object_pairs_hook=unique,
            parse_int=whole,
            parse_float=other,
            parse_constant=other,
        )
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"no JSON: {error}") from None


def read_file(data: bytes) -> dict[str, Piece]:
    """The tensors of a file, in the order of their bytes."""
    must(len(data) >= 8, "shorter than its prefix")
    length = int.from_bytes(data[:8], "little")
    must(length <= min(100_000_000, len(data) - 8), "the header is longer than the file, or than allowed")
    text = data[8 : 8 + length]
    must(text[:1] == b"{", "the header does not begin with {")
    header = parsed(text, numbers=False)
    metadata = header.pop("__metadata__", None)
    must(metadata is None or isinstance(metadata, dict), "metadata that map nothing")
    for word in (metadata or {}).values():
        must(isinstance(word, str), "metadata that are no texts")
        encoded(word)
    pieces = {name: piece(row, 8 + length) for name, row in header.items()}
    at = 8 + length
    for name, one in sorted(pieces.items(), key=lambda item: (item[1].begin, item[1].end)):
        must(one.begin == at, f"{name!r} does not begin where the one before it ends")
        at = one.end
    must(at == len(data), "the tensors do not end where the file does")
    return dict(sorted(pieces.items(), key=lambda item: (item[1].begin, item[1].end)))


def encoded(word: str) -> bytes:
    """Its bytes; a lone surrogate has none."""
    try:
        return word.encode()
    except UnicodeEncodeError:
        raise RefusedError("a lone surrogate") from None


def piece(row: Any, start: int) -> Piece:
    """One tensor of a header."""
    must(isinstance(row, dict) and sorted(row) == ["data_offsets", "dtype", "shape"], "other keys")
    dtype, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
    must(isinstance(dtype, str) and dtype in BITS, "an unknown dtype")
    must(isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2, "no lists")
    for number in (*shape, *offsets):
        must(type(number) is int and 0 <= number < 2**64, "no whole number of 64 bits")
    elements = math.prod(shape)
    must(math.prod(max(size, 1) for size in shape) < 2**60, "more elements than torch counts")
    must(offsets[0] <= offsets[1], "a range backwards")
    must(elements * BITS[dtype] == 8 * (offsets[1] - offsets[0]), "another size than the shape's")
    return Piece(dtype, tuple(shape), start + offsets[0], start + offsets[1])


def read_folder(folder: Path) -> dict[str, dict[str, Piece]]:
    """The tensors of each file of weights in a folder, by the file's name."""
    index, single = folder / INDEX, folder / "model.safetensors"
    if not index.is_file():
        must(single.is_file() or len([*folder.glob("*.safetensors")]) == 1, "which file?")
        single = single if single.is_file() else next(folder.glob("*.safetensors"))
        return {single.name: read_file(contents(single))}
    must(not single.exists(), "a single file and an index")
    found = parsed(contents(index), numbers=True)
    places = found.get("weight_map") if isinstance(found, dict) else None
    must(isinstance(places, dict) and places, "no weight_map")
    for place in places.values():
        must(isinstance(place, str) and place.endswith(".safetensors"), "no file of weights")
        must(not {"/", "\\", "\0"} & set(place) and place != ".safetensors", "a path")
        encoded(place)
        must((folder / place).is_file(), "a missing file")
    files = {name: read_file(contents(folder / name)) for name in sorted(set(places.values()))}
    held = [(name, file) for file, pieces in files.items() for name in pieces]
    must(sorted(held) == sorted(places.items()), "the index says otherwise than the files")
    return files


def contents(path: Path) -> bytes:
    """The bytes of a file that is no link out of its folder."""
    must(path.resolve().parent == path.parent.resolve(), "a link that leads out")
    return path.read_bytes()
