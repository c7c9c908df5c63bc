"""dither.json: what was done to a checkpoint, so that it can be found again, verified and replayed."""

import contextlib
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dither.checkpoint.architecture import Names
from dither.checkpoint.companions import LeftOut
from dither.checkpoint.index import MARKS, read_json
from dither.checkpoint.plan import CheckpointPlan
from dither.core.draws import RECIPE_VERSION
from dither.methods.noisytune import NoisyTune
from dither.methods.settings import recipe_hash
from dither.record import Record

FORMAT = 1


@dataclass(frozen=True)
class Digests:
    """SHA-256 of a file of weights as it was and as it was written."""

    name: str
    source: str
    written: str


def manifest_of(
    plan: CheckpointPlan, record: Record, digests: Sequence[Digests], left: Sequence[LeftOut]
) -> dict[str, Any]:
    """Everything to be stored, as JSON values; no path of this machine is in it."""
    return {
        "format": FORMAT,
        "recipe": plan.recipe,
        "recipe_hash": plan.mark.hash,
        "step": plan.step,
        "names": plan.names,
        "architecture": plan.kind,
        "marks": plan.marks_after,
        "versions": _versions(),
        "files": [
            {"name": row.name, "source_sha256": row.source, "written_sha256": row.written} for row in digests
        ],
        "left_out": [{"name": row.name, "reason": row.reason} for row in left],
        "record": record.to_json(),
    }


def marked_config(plan: CheckpointPlan) -> dict[str, Any]:
    """The config.json of the result: the source's with the marks of all noise."""
    return {**(plan.checkpoint.config or {}), MARKS: plan.marks_after}


@dataclass(frozen=True)
class Manifest:
    """What a stored manifest says of the noise.

    Attributes:
        method: with its seed and all settings.
        names: whose names the tensors were noised under.
        step: how often the source had been noised before.
        digests: of each file, one at least.
        marks: of all noise, oldest first.
        record: of every tensor.
    """

    method: NoisyTune
    names: Names
    step: int
    digests: tuple[Digests, ...]
    marks: list[dict[str, Any]]
    record: Record


def read_manifest(path: Path) -> Manifest:
    """Read what `manifest_of` made.

    Raises:
        ValueError: it is no manifest of dither, or one that this version cannot repeat.
        FileNotFoundError: there is none.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; only what dither perturb wrote can be verified or replayed"
        )
    values = read_json(path)
    if values.get("format") != FORMAT:
        raise ValueError(f"{path} has format {values.get('format')!r}; this version of dither knows {FORMAT}")
    try:
        method = _method(values["recipe"])
        digests = tuple(
            Digests(str(row["name"]), str(row["source_sha256"]), str(row["written_sha256"]))
            for row in values["files"]
        )
        names, step, marks = values["names"], values["step"], list(values["marks"])
        record = Record.from_json(values["record"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is no whole manifest of dither ({error!r})") from error
    found = recipe_hash(method.recipe(method.seed or 0))
    if found != values.get("recipe_hash") or type(step) is not int or names not in ("model", "file"):
        raise ValueError(f"{path} contradicts itself: its recipe has the hash {found}; it was edited")
    if not digests or len({row.name for row in digests}) < len(digests):
        raise ValueError(
            f"{path} must list each file of weights once under files, with its SHA-256, and lists "
            f"{[row.name for row in digests]}; it was edited"
        )
    return Manifest(method, names, step, digests, marks, record)


def check_place(path: Path) -> None:
    """Refuse to replace a file that is no manifest; one without its weights is a killed run's.

    Raises:
        ValueError: something else stands where the manifest would.
    """
    if os.path.lexists(path) and read_json(path).get("format") != FORMAT:
        raise ValueError(
            f"{path} stands where dither would say what it did; move it, or choose another target"
        )


def check_digests(found: Sequence[Digests], expected: Sequence[Digests], source: Path) -> None:
    """Refuse what is not the same as before.

    Raises:
        ValueError: another source, or another result.
    """
    if len(found) != len(expected):
        raise ValueError(f"{source} has {len(found)} files of weights, and dither.json {len(expected)}")
    for now, then in zip(found, expected, strict=True):
        if now.source != then.source:
            raise ValueError(
                f"{source}: {now.name} is not the file that the recipe was used on: its SHA-256 is "
                f"{now.source}, and dither.json says {then.source}; take the original weights"
            )
        if now.written != then.written:
            raise ValueError(
                f"{source}: {now.name} with the noise of the recipe has the SHA-256 {now.written}, and "
                f"dither.json says {then.written}; it was edited, or made by another version of dither"
            )


def _method(recipe: Mapping[str, Any]) -> NoisyTune:
    settings = dict(recipe)
    stored, family = settings.pop("version"), settings.pop("method")
    if (stored, family) != (RECIPE_VERSION, NoisyTune.family):
        raise ValueError(f"method {family!r}, version {stored!r}")
    if isinstance(settings["noise_lambda"], list):
        settings["noise_lambda"] = dict(settings["noise_lambda"])
    return NoisyTune(**settings)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("dither", "torch", "transformers"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
