"""Seeded damage to checkpoints: to the numbers, names and ranges of a header, to its bytes, to an index."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def words(text: str) -> list[str]:
    """The words of a line."""
    return text.split(" ")


NUMBERS = words("-1 0 1 3 7 8 255 2147483648 9007199254740993 9223372036854775807 9223372036854775808")
NUMBERS += ["18446744073709551615", "18446744073709551616", "1" * 30, "9" * 5000]
NUMBERS += words('-0 1.0 2.5 1e2 1e999 true null "4" [] {} NaN -Infinity 0x4 01')
NAMES = words("../x /etc/passwd __metadata__ w W module.w a.default a/../b w.scales head:w . x.y.z")
NAMES += ["", " ", "a\0b", "\x1b[31m", "\ud800", "\udcff", "\u00e9", "e\u0301", "\U0001f600", "n" * 10_000]
DTYPES = ["", *words("F64 F32 F16 BF16 F8_E4M3 F8_E5M2 F4 F6_E2M3 I64 U8 BOOL C64 f32 F33")]
PLACES = words("/etc/passwd . .. a.bin ../outside ../s/a ./a sub/a link folder A a b c \\a a\0 \ud800")
PLACES = [name if "." in name[1:] else f"{name}.safetensors" for name in ["", "n" * 300, *PLACES]] + [""]
JUNK = [b"\xef\xbb\xbf", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"[" * 5000, b'{"a":' * 3000]
JUNK += [b" ", b"\n", b"\0", b",", b"{}", b"//", b"'", b'"', b"\t", b'"x":1,', b'"__metadata__":null,']

Pairs = list[tuple[str, Any]]


@dataclass
class Header:
    """A safetensors file in pieces, so that each can be damaged; a name may stand in it twice."""

    rows: Pairs
    data: bytes
    edits: list[Callable[[bytes], bytes]] = field(default_factory=list)
    prefix: Callable[[int], bytes] = lambda length: struct.pack("<Q", length)

    def file(self) -> bytes:
        """The bytes of it."""
        text = rendered(self.rows).encode("utf-8", "surrogatepass")
        for edit in self.edits:
            text = edit(text)
        return self.prefix(len(text)) + text + self.data


class Raw(str):
    """JSON as it stands, right or wrong."""


def rendered(value: Any) -> str:
    """JSON of values, pairs (also the same name twice) and raw text."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, list) and value and all(isinstance(one, tuple) for one in value):
        return "{" + ",".join(f"{json.dumps(name)}:{rendered(one)}" for name, one in value) + "}"
    return f"[{','.join(map(rendered, value))}]" if isinstance(value, list) else json.dumps(value)


def entry(dtype: str, shape: list[int], begin: int, end: int) -> Pairs:
    """What a header says of one tensor."""
    return [("dtype", dtype), ("shape", shape), ("data_offsets", [begin, end])]


def fields_of(row: Any) -> Pairs:
    """What a row says, if it is one: it may be anything by now."""
    whole = isinstance(row, list) and all(isinstance(field, tuple) for field in row)
    return row if whole else []


def listed(row: Any, key: str) -> list[Any]:
    """The numbers of a shape or a range."""
    return next((value for name, value in fields_of(row) if name == key and isinstance(value, list)), [])


def a_number(dice: random.Random, header: Header) -> None:
    """One number of a shape or a range becomes another, or none."""
    numbers = listed(dice.choice(header.rows)[1], dice.choice(["shape", "data_offsets"]))
    if numbers:
        spot = dice.randrange(len(numbers))
        near = numbers[spot] + dice.choice([-8, -4, -1, 1, 4, 8]) if type(numbers[spot]) is int else 1
        numbers[spot] = dice.choice([*map(Raw, NUMBERS), near, near, near])


def a_range(dice: random.Random, header: Header) -> None:
    """Two ranges change places, overlap, leave a gap, run backwards or move."""
    one, other = (listed(dice.choice(header.rows)[1], "data_offsets") for _ in range(2))
    if any(type(number) is not int for number in (*one, *other)) or len(one) != 2 or len(other) != 2:
        return
    kind = dice.randrange(4)
    step = dice.choice([-8, -1, 1, 4, 8, 1 << 40])
    if kind == 0:
        one[:], other[:] = other[:], one[:]
    elif kind == 1:
        one.reverse()
    elif kind == 2:
        one[:] = [one[0] + step, one[1] + step]
    else:
        one[dice.randrange(2)] += step


def a_shape(dice: random.Random, header: Header) -> None:
    """The same number of elements in another shape, or another number."""
    shape = listed(dice.choice(header.rows)[1], "shape")
    others = [[], [0], [1 << 62, 1 << 62, 0], [1] * 100, shape[:-1], [*shape, 0], [*shape, 2]]
    shape[:] = dice.choice([shape[::-1], [*shape, 1], [1, *shape], *others])


def a_dtype(dice: random.Random, header: Header) -> None:
    """Another dtype, of the same width or not."""
    at = dice.randrange(len(header.rows))
    name, other = header.rows[at][0], dice.choice([*DTYPES, 4, None])
    fields = [(key, other if key == "dtype" else value) for key, value in fields_of(header.rows[at][1])]
    header.rows[at] = (name, fields)


def a_name(dice: random.Random, header: Header) -> None:
    """Another name, perhaps one that there is."""
    at = dice.randrange(len(header.rows))
    taken = [name for name, _ in header.rows]
    header.rows[at] = (dice.choice([*NAMES, *taken]), header.rows[at][1])


def a_row(dice: random.Random, header: Header) -> None:
    """A tensor goes, comes twice, moves, loses a key or gets one more."""
    at, kind = dice.randrange(len(header.rows)), dice.randrange(6)
    name, fields = header.rows[at][0], fields_of(header.rows[at][1])
    if kind == 0 and len(header.rows) > 1:
        del header.rows[at]
    elif kind == 1:
        header.rows.insert(dice.randrange(len(header.rows)), header.rows[at])
    elif kind == 2:
        dice.shuffle(header.rows)
    elif kind == 3 and len(fields) > 1:
        del fields[dice.randrange(len(fields))]
    elif kind == 4:
        fields.append(
            dice.choice([("strides", [1]), ("shape", [2]), ("Shape", [2]), ("", None), ("dtype", "F32")])
        )
    else:
        header.rows[at] = (name, Raw(dice.choice(NUMBERS)))


def some_metadata(dice: random.Random, header: Header) -> None:
    """Metadata, right or wrong."""
    values = [
        "x",
        1,
        None,
        ["x"],
        Raw('{"k":"v"}'),
        Raw('{"k":"v","k":"w"}'),
        Raw("{}"),
        Raw('{"k":"\\ud800"}'),
    ]
    values += [
        Raw('{"k":1}'),
        Raw('{"k":null}'),
        Raw('{"' + "k" * 10_000 + '":"v"}'),
        Raw("NaN"),
        Raw('{"k":{"l":"m"}}'),
    ]
    header.rows.insert(dice.randrange(len(header.rows) + 1), ("__metadata__", dice.choice(values)))


def some_text(dice: random.Random, header: Header) -> None:
    """Something that does not belong there, anywhere in the header's text."""
    junk, spot = dice.choice(JUNK), dice.choice([0.0, 1.0, dice.random()])
    header.edits.append(lambda text: text[: int(spot * len(text))] + junk + text[int(spot * len(text)) :])


def some_bits(dice: random.Random, header: Header) -> None:
    """Bits flip in the header's text."""
    header.edits.append(lambda text: flipped(dice, text, dice.randint(1, 4)))


def some_values(dice: random.Random, header: Header) -> None:
    """Bits flip in the tensors."""
    header.data = flipped(dice, header.data, dice.randint(1, 8))


def a_length(dice: random.Random, header: Header) -> None:
    """The header promises another length."""
    step = dice.choice([-1, 1, 8, -8, 1 << 20, 1 << 31, 1 << 62])
    fixed = dice.choice([0, 1, 2, 100_000_001, (1 << 63), (1 << 64) - 1])
    kinds: list[Callable[[int], bytes]] = [
        lambda length: struct.pack("<Q", max(0, length + step)),
        lambda length: struct.pack("<Q", fixed),
        lambda length: struct.pack(">Q", length),
        lambda length: struct.pack("<I", length),
    ]
    header.prefix = dice.choice(kinds)


def an_end(dice: random.Random, header: Header) -> None:
    """The data are cut, or longer."""
    cut = header.data[: dice.randrange(len(header.data) + 1)]
    header.data = dice.choice([cut, header.data[:-1], header.data + bytes(dice.randint(1, 16)), b""])


def flipped(dice: random.Random, data: bytes, count: int) -> bytes:
    """The same bytes with some bits flipped."""
    changed = bytearray(data)
    for _ in range(count if changed else 0):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


HEADERS = [
    a_number,
    a_range,
    a_shape,
    a_dtype,
    a_name,
    a_row,
    some_metadata,
    some_text,
    some_bits,
    some_values,
    a_length,
    an_end,
]
