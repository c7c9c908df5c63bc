"""Headers and indices that are not as they must be are refused, with the file and the tensor named."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from stored_files import normal, raw, row, save, written

import dither
from dither.checkpoint import perturb_checkpoint
from dither.checkpoint.headers import read_header
from dither.checkpoint.index import open_checkpoint

F32 = row("F32", [2], 0, 8)

ROWS: dict[str, tuple[dict[str, Any], int, str]] = {
    "an unknown dtype": (
        {"a": row("F33", [2], 0, 8)},
        8,
        r"tensor 'a' has dtype 'F33'; known are BF16, BOOL",
    ),
    "no dtype": (
        {"a": {"shape": [2], "data_offsets": [0, 8]}},
        8,
        "it must have dtype, shape and data_offsets",
    ),
    "a tensor that is a list": ({"a": [1, 2]}, 8, r"tensor 'a' is described by \[1, 2\]"),
    "a negative size": ({"a": row("F32", [-2], 0, 8)}, 8, r"has shape \[-2\]; it must be a list of whole"),
    "a size that is no number": ({"a": row("F32", ["2"], 0, 8)}, 8, r"has shape \['2'\]"),  # type: ignore[list-item]
    "a size that is a truth": ({"a": row("F32", [True], 0, 4)}, 4, r"has shape \[True\]"),
    "a huge shape": ({"a": row("F32", [2**62, 2**62], 0, 8)}, 8, "no tensor has so many elements"),
    "a huge shape, and nothing in it": ({"a": row("F32", [2**62, 2**62, 0], 0, 0)}, 0, "so many elements"),
    "a row of any length": ({"a": ["x" * 10_000]}, 0, r"is described by \['x{198}…; it must have"),
    "a range backwards": (
        {"a": row("F32", [2], 8, 0)},
        8,
        r"data_offsets \[8, 0\]; they must be \[begin, end\]",
    ),
    "a range too short": ({"a": row("F32", [2], 0, 4)}, 4, r"has 4 bytes .*F32 of shape \[2\] needs 8"),
    "an overlap": (
        {"a": F32, "b": row("F32", [2], 4, 12)},
        12,
        "'b' begins at byte 4 .*overlaps .*ends at 8",
    ),
    "the same place": ({"a": F32, "b": F32}, 8, "overlaps the tensor before it"),
    "a gap": ({"a": F32, "b": row("F32", [2], 12, 20)}, 20, "'b' begins at byte 12 .*leaves a gap"),
    "an end beyond the file": ({"a": row("F32", [4], 0, 16)}, 8, "is not whole: its tensors end at byte"),
    "bytes left over": ({"a": F32}, 12, "is not whole"),
    "half a byte": ({"a": row("F4", [3], 0, 2)}, 2, r"has 2 bytes .* needs 1\.5"),
    "metadata with numbers": ({"__metadata__": {"n": 1}, "a": F32}, 8, r"__metadata__ is \{'n': 1\}"),
    "metadata that is a text": ({"__metadata__": "x", "a": F32}, 8, "it must map names to texts"),
}


@pytest.mark.parametrize("kind", ROWS)
def test_a_wrong_header_is_refused(kind: str, tmp_path: Path) -> None:
    rows, size, message = ROWS[kind]
    path = written(tmp_path / "bad.safetensors", rows, bytes(size))
    with pytest.raises(ValueError, match=rf"(?s)bad\.safetensors.*{message}"):
        read_header(path)


@pytest.mark.parametrize(
    ("header", "length", "message"),
    [
        (b"", 0, "promises a header of 0"),
        (b"{}", 3, r"it has 10 bytes and promises a header of 3 \(allowed: 2 to 100000000"),
        (b"{}", 2**64 - 1, "promises a header of 18446744073709551615"),
        (b"not JSON", None, "the header is damaged"),
        (b"[1, 2]", None, r"begins with b'\[1, 2\]' and must begin with \{"),
        (b" {}", None, "must begin with {"),
        (b'{"\xff": 1}', None, "the header is damaged"),
        (b'{"a":' * 100_000, None, "it is nested too deeply"),
        (b'{"a": "\\ud800"}', None, "half of a surrogate pair"),
        (b'{"a": {"shape": [-0]}}', None, "-0 is no size and no place"),
        (b'{"a": {"dtype": "F32", "dtype": "F16"}}', None, "'dtype' stands there twice"),
        (b'{"a": 1, "a": 2}', None, "'a' stands there twice"),
    ],
)
def test_what_is_no_header_is_refused(
    header: bytes, length: int | None, message: str, tmp_path: Path
) -> None:
    path = raw(tmp_path / "bad.safetensors", header, length=length)
    with pytest.raises(ValueError, match=rf"bad\.safetensors.*{message}"):
        read_header(path)


@pytest.mark.parametrize("size", [0, 1, 7, 8])
def test_a_file_that_is_too_short_is_refused(size: int, tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(bytes(size))
    with pytest.raises(ValueError, match="is no whole safetensors file"):
        read_header(tmp_path / "bad.safetensors")


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    dtypes = [torch.float64, torch.bfloat16, torch.int8, torch.bool, torch.float8_e4m3fn, torch.complex64]
    tensors = {f"t{at}": torch.zeros(at, 3, dtype=dtype) for at, dtype in enumerate(dtypes)}
    path = save(tmp_path / "good.safetensors", tensors | {"scalar": torch.zeros(())})
    found = {one.name: one.shape for one in read_header(path).tensors}
    assert found == {f"t{at}": (at, 3) for at in range(6)} | {"scalar": ()}


def shards(folder: Path, weight_map: Any = None) -> Path:
    """A folder of two files and their index."""
    folder.mkdir()
    save(folder / "a.safetensors", {"one": normal((4, 4))})
    save(folder / "b.safetensors", {"two": normal((4, 4))})
    right = {"one": "a.safetensors", "two": "b.safetensors"}
    text = json.dumps({"weight_map": right if weight_map is None else weight_map})
    (folder / "model.safetensors.index.json").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        (
            {"one": "../a.safetensors"},
            r"'one' the file '\.\./a\.safetensors'; it must be the name .*without a path",
        ),
        ({"one": "/etc/a.safetensors"}, "without a path"),
        ({"one": "x\\a.safetensors"}, "without a path"),
        ({"one": 1}, "the file 1; it must be"),
        ({"one": "a" * 300 + ".safetensors"}, "without a path"),
        ({"one": "a.bin"}, r"a\.bin'; it must be the name of a \*\.safetensors file"),
        ({"one": "c.safetensors"}, r"c\.safetensors is missing, or no file, and .* names it"),
        (
            {"one": "a.safetensors", "two": "a.safetensors"},
            r"'two' should stand in a\.safetensors and stands in no",
        ),
        (
            {"one": "b.safetensors", "two": "a.safetensors"},
            r"'one' should stand in b\.safetensors and stands in a",
        ),
        (
            {"one": "a.safetensors", "no": "b.safetensors"},
            r"'no' should stand in b\.safetensors and stands in no",
        ),
        ([], "weight_map is missing or empty"),
    ],
)
def test_a_wrong_index_is_refused(weight_map: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        perturb_checkpoint(
            shards(tmp_path / "s", weight_map), tmp_path / "t", dither.NoisyTune(), names="file"
        )
    assert os.listdir(tmp_path) == ["s"]


def test_an_index_that_lists_a_tensor_twice_is_refused(tmp_path: Path) -> None:
    source = shards(tmp_path / "s")
    index = source / "model.safetensors.index.json"
    index.write_text(
        '{"weight_map": {"one": "b.safetensors", "one": "a.safetensors", "two": "b.safetensors"}}'
    )
    with pytest.raises(ValueError, match=r"index\.json is no JSON file \('one' stands there twice\)"):
        perturb_checkpoint(source, tmp_path / "t", dither.NoisyTune(), names="file")


@pytest.mark.parametrize("name", ["model.safetensors.index.json", "dither.json"])
def test_no_link_out_of_the_folder_is_read(name: str, tmp_path: Path) -> None:
    source = shards(tmp_path / "s")
    (tmp_path / "outside.json").write_text("no JSON, and nobody may notice")
    (source / name).unlink(missing_ok=True)
    (source / name).symlink_to("../outside.json")
    with pytest.raises(ValueError, match="is a link that leads out of its folder"):
        perturb_checkpoint(source, tmp_path / "t", dither.NoisyTune(), names="file")


def test_a_name_that_stands_twice_among_many_is_found_at_once(tmp_path: Path) -> None:
    names = ",".join(f'"t{at}": 1' for at in [*range(200_000), 199_999])
    path = raw(tmp_path / "bad.safetensors", f"{{{names}}}".encode())
    began = time.process_time()
    with pytest.raises(ValueError, match="'t199999' stands there twice"):
        read_header(path)
    assert time.process_time() - began < 60  # of the processor, whatever else it does; it took hours


def test_an_index_that_leaves_a_tensor_out_is_refused(tmp_path: Path) -> None:
    source = shards(tmp_path / "s")
    save(source / "b.safetensors", {"two": normal((4, 4)), "extra": normal((2, 2))})
    with pytest.raises(ValueError, match=r"index\.json does not list tensor 'extra' of b\.safetensors"):
        perturb_checkpoint(source, tmp_path / "t", dither.NoisyTune(), names="file")


def test_the_way_out_of_a_wrong_index_works(tmp_path: Path) -> None:
    right = {"one": "a.safetensors", "two": "b.safetensors"}
    source = shards(tmp_path / "s")
    for weight_map, advice in (
        ({"one": "b.safetensors", "two": "a.safetensors"}, r": its file is a\.safetensors$"),
        (right | {"ghost": "b.safetensors"}, r": take out 'ghost'$"),
    ):
        (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(ValueError, match=rf"correct weight_map in the index{advice}"):
            open_checkpoint(source)
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": right}))
    perturb_checkpoint(source, tmp_path / "t", dither.NoisyTune(), names="file")


def test_shards_without_an_index_say_what_is_missing(tmp_path: Path) -> None:
    source = shards(tmp_path / "s")
    (source / "model.safetensors.index.json").unlink()
    with pytest.raises(ValueError, match=r"several .* \(a\..*, b\..*\) and no model\..*; fetch that, too"):
        open_checkpoint(source)


def test_a_model_with_an_adapter_beside_it_is_refused_by_the_adapters_name(tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for name in ("model", "adapter_model"):
        save(source / f"{name}.safetensors", {"w": normal((4, 4))})
    (source / "adapter_config.json").write_text("{}")
    with pytest.raises(
        ValueError, match=r"adapter of PEFT \(adapter_config\.json, adapter_model\.saf.*; move"
    ):
        perturb_checkpoint(source, tmp_path / "t", dither.NoisyTune(), names="file")
    (source / "model.safetensors").unlink()
    perturb_checkpoint(source, tmp_path / "t", dither.NoisyTune(), names="file")


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    source = shards(tmp_path / "s")
    save(source / "b.safetensors", {"two": normal((4, 4)), "one": normal((4, 4))})
    with pytest.raises(ValueError, match=r"'one' stands in a\.safetensors and in b\.safetensors"):
        perturb_checkpoint(source, tmp_path / "t", dither.NoisyTune(), names="file")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_before_anything_is_written(
    value: float, tmp_path: Path
) -> None:
    bad = normal((40, 40))
    bad[-1, -1] = value
    source = save(tmp_path / "s.safetensors", {"good": normal((4, 4)), "bad": bad})
    with pytest.raises(ValueError, match=r"tensor 'bad' holds NaN or infinite.*It is 1 of 1600 elements"):
        perturb_checkpoint(source, tmp_path / "t.safetensors", dither.NoisyTune(), names="file", block=4096)
    assert os.listdir(tmp_path) == ["s.safetensors"]
