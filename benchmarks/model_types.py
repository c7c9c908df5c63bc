"""Every model type of transformers, saved small: is what `dither perturb` writes what `noisytune_` makes?

Each is built with random weights, saved by `save_pretrained`, noised out of core and in memory, and both
are compared byte by byte as `from_pretrained` reads them.

python -m benchmarks.model_types                     all of them, some minutes: a table of the outcomes
python -m benchmarks.model_types --head              with a head instead of the bare models
python -m benchmarks.model_types --type vit --type mixtral     these alone
python -m benchmarks.model_types --out FILE          every type's outcome, a line of JSON each; again: goes on
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dither
from benchmarks.small_models import NotBuilt, model_types, small_model
from dither.checkpoint import perturb_checkpoint

NOISE = dither.NoisyTune(noise_lambda=0.15, seed=1)

MEANING = {
    "equal": "every byte as in memory",
    "refused": "refused by a message",
    "other bytes": "noised otherwise than in memory",
    "crash": "an error that is no refusal",
    "not loadable": "transformers does not load what it saved",
    "not built": "no small model of it, or a package is missing",
}


@dataclass(frozen=True)
class Row:
    """What came of a model type: one of the outcomes, and why."""

    type: str
    outcome: str
    why: str = ""
    advice: str = ""


def outcome(name: str, *, head: bool, dtype: str) -> Row:
    """Build, save, noise twice and compare one model type."""
    import torch

    try:
        model = small_model(name, head=head).to(getattr(torch, dtype))
    except NotBuilt as error:
        return Row(name, "not built", _line(error))
    with tempfile.TemporaryDirectory() as top:
        source = Path(top) / "source"
        try:
            model.save_pretrained(
                Path(top) / "drawn"
            )  # loading may set some rows, as a trained model has them
            type(model).from_pretrained(Path(top) / "drawn").save_pretrained(source)
            loaded = type(model).from_pretrained(source)
            twin = type(model).from_pretrained(source)
            if different := _different(loaded, twin):
                return Row(name, "not loadable", f"drawn at each loading: {different}")
        except Exception as error:  # whatever transformers raises for a type of its own
            return Row(name, "not loadable", _line(error))
        before = torch.random.get_rng_state()
        try:
            perturb_checkpoint(source, Path(top) / "noisy", NOISE)
        except ValueError as error:
            return Row(name, "refused", _line(error), _advice(source, model))
        except Exception:
            return Row(name, "crash", traceback.format_exc()[-900:])
        if not torch.equal(before, torch.random.get_rng_state()):
            return Row(name, "other bytes", "the global random state was moved")
        return _compared(name, loaded, type(model).from_pretrained(Path(top) / "noisy"))


def _compared(name: str, model: Any, noisy: Any) -> Row:
    """Noise the loaded model too, and compare."""
    record = dither.noisytune_(model, noise_lambda=NOISE.noise_lambda, seed=NOISE.seed)
    if different := _different(model, noisy):
        return Row(name, "other bytes", different)
    if not record.counts().get("noised"):
        return Row(name, "other bytes", "nothing was noised")
    if model.config.dither != noisy.config.dither:
        return Row(name, "other bytes", "the mark differs")
    return Row(name, "equal")


def _different(one: Any, other: Any) -> str:
    import torch

    left, right = one.state_dict(), other.state_dict()
    names = [
        key for key in left if key not in right or not torch.equal(_plain(left[key]), _plain(right[key]))
    ]
    return f"{len(names)} of {len(left)} tensors, first {names[0]}" if names else ""


def _plain(tensor: Any) -> Any:
    return tensor.nan_to_num() if tensor.is_floating_point() else tensor


def _advice(source: Path, model: Any) -> str:
    """What comes of the two things that a refusal may name."""
    said = []
    converted = source.with_name("converted")
    try:
        type(model).from_pretrained(source).save_pretrained(converted, save_original_format=False)
        perturb_checkpoint(converted, source.with_name("first"), NOISE)
        said.append("saved without the original format: noised")
    except Exception as error:
        said.append(f"saved without the original format: {_line(error)}")
    try:
        perturb_checkpoint(source, source.with_name("second"), NOISE, names="file")
        said.append("names of the file: noised")
    except Exception as error:
        said.append(f"names of the file: {_line(error)}")
    return "; ".join(said)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def table(rows: list[Row]) -> str:
    """How many types had each outcome, as Markdown, and what was not equal."""
    counts = Counter(row.outcome for row in rows)
    built = sum(count for name, count in counts.items() if name not in ("not built", "not loadable"))
    lines = ["| outcome | model types | |", "| --- | ---: | --- |"]
    lines += [f"| {name} | {counts[name]} | {said} |" for name, said in MEANING.items() if counts[name]]
    lines += ["", f"{built} of {len(rows)} types could be built, saved and loaded here."]
    return "\n".join(lines)


def main() -> int:
    """Print the table; 1 where bytes differ or something crashed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.model_types",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--type", action="append", help="a model type; may be repeated")
    parser.add_argument("--head", action="store_true", help="models with a head")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--out", type=Path, help="a line of JSON for each type; those there are not repeated")
    options = parser.parse_args()
    _quiet()
    kept = [json.loads(line) for line in options.out.read_text().splitlines()] if _there(options.out) else []
    rows = [Row(**row) for row in kept]
    for name in options.type or model_types():
        if name in {row.type for row in rows}:
            continue
        row = outcome(name, head=options.head, dtype=options.dtype)
        rows.append(row)
        print(f"{row.type:32} {row.outcome:12} {row.why} {row.advice}".rstrip(), flush=True)
        if options.out:
            with options.out.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
    print(table(rows))
    return int(any(row.outcome in ("other bytes", "crash") for row in rows))


def _there(path: Path | None) -> bool:
    return path is not None and path.is_file()


def _quiet() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
