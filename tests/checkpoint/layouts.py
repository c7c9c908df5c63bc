"""Checkpoints to damage, as they lie in a folder: files, links and an index, right before the damage."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mutations import HEADERS, JUNK, NAMES, PLACES, Header, Pairs, Raw, entry, flipped, rendered
from stored_files import normal

INDEX = "model.safetensors.index.json"
CANARY = "outside.safetensors"


@dataclass
class Layout:
    """What lies in the source folder.

    Attributes:
        headers: the files of weights, by name.
        weight_map: of the index, or None without one.
        others: further files.
        links: names and where they lead.
        folders: names that are folders.
        index: what is done to the text of the index.
    """

    headers: dict[str, Header]
    weight_map: Pairs | None = None
    others: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    index: list[Callable[[bytes], bytes]] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Make the folder."""
        folder.mkdir()
        files = {name: header.file() for name, header in self.headers.items()} | self.others
        if self.weight_map is not None:
            text = rendered([("metadata", {}), ("weight_map", self.weight_map)]).encode()
            for edit in self.index:
                text = edit(text)
            files[INDEX] = text
        for name in self.folders - {*self.links}:
            (folder / name).mkdir()
        for name, data in files.items():
            if name not in self.links and name not in self.folders:
                (folder / name).write_bytes(data)
        for name, target in self.links.items():
            (folder / name).symlink_to(target)


def tensors_of(dice: random.Random, names: str) -> Header:
    """A right file with tensors of many dtypes, floats that get noise and others that get none."""
    dtypes = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F64": torch.float64}
    dtypes |= {"I64": torch.int64, "U8": torch.uint8, "F8_E4M3": torch.float8_e4m3fn, "BOOL": torch.bool}
    rows: Pairs = []
    data = b""
    for name in names:
        dtype, shape = (
            dice.choice(list(dtypes)),
            dice.choice([[4, 3], [8], [2, 2, 2], [], [1], [0, 3], [6, 4]]),
        )
        values = normal(tuple(shape), seed=dice.randrange(1000)).mul(20).to(dtypes[dtype])
        size = values.numel() * values.element_size()
        rows.append((name, entry(dtype, shape, len(data), len(data) + size)))
        data += values.reshape(-1).view(torch.uint8).numpy().tobytes()
    return Header(rows, data)


def a_file(dice: random.Random) -> Layout:
    """One damaged file, with one to three mutations."""
    header = tensors_of(dice, "abcd")
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        if header.rows:
            dice.choice(HEADERS)(dice, header)
    return Layout({"model.safetensors": header})


def shards(dice: random.Random) -> Layout:
    """Two files and their index, with one to three damages to the index, to what lies there, or to a file."""
    headers = {"a.safetensors": tensors_of(dice, "abc"), "b.safetensors": tensors_of(dice, "xyz")}
    places: Pairs = [(name, file) for file, header in headers.items() for name, _ in header.rows]
    layout = Layout(headers, places)
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        dice.choice(FOLDERS)(dice, layout)
    return layout


def a_place(dice: random.Random, layout: Layout) -> None:
    """One tensor's file is another, or none, or all are."""
    if layout.weight_map:
        at = dice.randrange(len(layout.weight_map))
        odd: list[Any] = [*PLACES, *PLACES, 1, None, [], ["a.safetensors"], Raw("NaN"), True]
        layout.weight_map[at] = (layout.weight_map[at][0], dice.choice(odd))


def a_listing(dice: random.Random, layout: Layout) -> None:
    """One tensor is listed twice, under another name, or not at all; or the order changes."""
    if layout.weight_map:
        at, kind = dice.randrange(len(layout.weight_map)), dice.randrange(4)
        name, place = layout.weight_map[at]
        if kind == 0:
            del layout.weight_map[at]
        elif kind == 1:
            layout.weight_map.append((name, dice.choice(["a.safetensors", "b.safetensors", place])))
        elif kind == 2:
            layout.weight_map[at] = (dice.choice([*NAMES, "a", "x"]), place)
        else:
            dice.shuffle(layout.weight_map)


def an_index_text(dice: random.Random, layout: Layout) -> None:
    """Junk, flipped bits or a cut in the text of the index, or something else as its weight_map."""
    junk, spot = dice.choice(JUNK), dice.random()
    edits: list[Callable[[bytes], bytes]] = [
        lambda text: text[: int(spot * len(text))] + junk + text[int(spot * len(text)) :],
        lambda text: flipped(dice, text, 2),
        lambda text: text[: int(spot * len(text))],
        lambda text: b"[" * 100_000,
        lambda text: json.dumps({"weight_map": dice.choice([[], {}, None, "a", 1])}).encode(),
    ]
    layout.index.append(dice.choice(edits))


def a_missing_file(dice: random.Random, layout: Layout) -> None:
    """A shard is gone, is a folder, or lies in another shard's place."""
    name, kind = dice.choice(["a.safetensors", "b.safetensors"]), dice.randrange(3)
    if kind == 0:
        layout.headers.pop(name, None)
    elif kind == 1:
        layout.folders.add(name)
    else:
        layout.headers[name] = tensors_of(dice, "abc")


def a_link(dice: random.Random, layout: Layout) -> None:
    """A file is a link: to the file outside, to nothing, to itself, to another one in the folder."""
    outside = [f"../{CANARY}", f"/proc/self/cwd/{CANARY}", os.devnull, "/dev/zero", "nowhere", "..", "/"]
    names = ["a.safetensors", INDEX, "config.json", "link.safetensors", "dither.json", "notes.txt"]
    name = dice.choice(names)
    layout.links[name] = dice.choice([*outside, name, "b.safetensors"])


def another_file(dice: random.Random, layout: Layout) -> None:
    """Something lies beside: a third shard, a single file, a config, a manifest."""
    texts = [
        b"{}",
        b"[]",
        b"",
        b"\xff",
        b"{" * 5000,
        b'{"dither": "x"}',
        b'{"dither": [{"hash": "x"}]}',
        b'{"a": NaN}',
    ]
    name = dice.choice(["c.safetensors", "model.safetensors", "config.json", "dither.json", "notes.txt"])
    if name.endswith(".safetensors"):
        layout.headers[name] = tensors_of(dice, dice.choice(["a", "k"]))
    else:
        layout.others[name] = dice.choice(texts)


def a_shard(dice: random.Random, layout: Layout) -> None:
    """A mutation within one of the files."""
    header = layout.headers.get(dice.choice(["a.safetensors", "b.safetensors"]))
    if header is not None and header.rows:
        dice.choice(HEADERS)(dice, header)


FOLDERS = [a_place, a_listing, an_index_text, a_missing_file, a_link, another_file, a_shard]
