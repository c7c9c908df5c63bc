"""Whether what became of a damaged checkpoint is right: by strict reader, reference noise and library."""

from __future__ import annotations

import re
from pathlib import Path

import safetensors
import torch
from strict_reader import Piece, RefusedError, contents, read_file, read_folder
from torch import Tensor

import dither
from dither.checkpoint import Outcome
from dither.core.kernels import reference
from dither.core.names import canonical_name

FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
LONGEST = 2000
"""Characters of an error message: more is no message."""

ALSO_REFUSED = {
    "not finite": "holds NaN or infinite",
    "two names for one noise": "have one canonical name",
    "noised before": "was noised before",
    "marks of another program": "the marks of earlier noise",
    "another JSON file": "is no JSON file|must be a JSON object",
    "a link": "is a link",
    "no ordinary file": "is no ordinary file",
}
"""Why a checkpoint that the strict reader takes may be refused all the same."""


def judged(
    source: Path, target: Path, outcome: Outcome | Exception, method: dither.NoisyTune
) -> tuple[str, str | None]:
    """What became of it, in a few words, and what is wrong with that."""
    files: dict[str, dict[str, Piece]] = {}
    strict = ""
    try:
        alone = source.is_file()
        files = {source.name: read_file(contents(source))} if alone else read_folder(source)
    except (RefusedError, OSError) as refusal:
        strict = str(refusal) or type(refusal).__name__
    if isinstance(outcome, Exception):
        return refused(source, target, outcome, strict)
    if strict:
        return "published", f"the strict reader refuses it: {strict}"
    found = [difference(files[name], name, source, target, outcome, method) for name in files]
    return "published", next((one for one in found if one), None)


def refused(source: Path, target: Path, error: Exception, strict: str) -> tuple[str, str | None]:
    """A refusal must be clear, leave nothing, and have a reason."""
    said = str(error)
    kind = "refused by the strict reader, too"
    if not strict:
        kind = next(
            (f"refused: {kind}" for kind, words in ALSO_REFUSED.items() if re.search(words, said)), ""
        )
    problems = {
        f"{type(error).__name__}: {said[:200]}": not isinstance(error, ValueError | OSError)
        or isinstance(error, UnicodeError),
        f"a message of {len(said)} characters: {said[:200]}": len(said) > LONGEST,
        f"the message names no path: {said[:200]}": str(source.parent) not in said,
        f"refused without a reason of the strict reader: {said[:200]}": not kind,
        "left something at the target": target.exists() or len([*target.parent.glob(".*")]) > 0,
    }
    return kind or "refused", next((problem for problem, is_there in problems.items() if is_there), None)


def difference(
    pieces: dict[str, Piece],
    name: str,
    source: Path,
    target: Path,
    outcome: Outcome,
    method: dither.NoisyTune,
) -> str | None:
    """The published file must be the source's with the reference noise, and the library must read it."""
    before = contents(source if source.is_file() else source / name)
    after = contents(target if source.is_file() else target / name)
    expected = bytearray(before)
    reasons = {row.path: row.reason for row in outcome.record.tensors}
    for tensor, piece in pieces.items():
        place = slice(piece.begin, piece.end)
        values = as_floats(before[place], piece)
        reason = reasons.get(tensor, "not in the Record")
        if not fits(reason, piece, values):
            return f"tensor {tensor!r} of {piece.dtype}{list(piece.shape)} was left alone or noised: {reason}"
        if reason is None and values is not None:
            expected[place] = noised(values, tensor, method)
    if bytes(expected) != after:
        return f"{name} is not what the reference noise gives"
    library = {one: bytes(row["data"]) for one, row in safetensors.deserialize(after)}
    if library != {one: bytes(expected[piece.begin : piece.end]) for one, piece in pieces.items()}:
        return f"{name} is not what the library reads"
    return None


def as_floats(data: bytes, piece: Piece) -> Tensor | None:
    """The values of a floating-point tensor."""
    if piece.dtype not in FLOATS:
        return None
    return torch.frombuffer(bytearray(data), dtype=FLOATS[piece.dtype]) if data else torch.empty(0)


def noised(values: Tensor, name: str, method: dither.NoisyTune) -> bytes:
    """The reference noise."""
    (found,) = reference.moments([values])
    strength = method.noise_lambda
    assert isinstance(strength, float)
    noise = method.noise(
        canonical_name(name), strength=strength, std=found.std, seed=method.seed or 0, step=0
    )
    reference.perturb_([values], [noise])
    return values.view(torch.uint8).numpy().tobytes()


def fits(reason: str | None, piece: Piece, values: Tensor | None) -> bool:
    """Whether a tensor may be noised, or left alone for this reason."""
    if values is None:
        return reason == "integer or quantised"
    if values.numel() < 2:
        return reason == ("empty" if values.numel() == 0 else "one element")
    single = values.float()  # a float64 counts as what it is in float32
    constant = bool((single == single[0]).all())
    return reason in ("constant" if constant else None, "scale of a quantised tensor")
