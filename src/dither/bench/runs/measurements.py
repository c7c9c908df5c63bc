"""What is measured of a run's weights, for the analyses of the two papers.

How far each type of parameter moved from its pretrained values (NoisyTune), and how sensitivity is spread
(PATS): at the end, while training, and in the moving averages that PATS kept. Training never notices:
weights, scores and random states are those of a run without measurements.
"""

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from dither.bench.runs.encoding import Encoded
from dither.bench.runs.parameter_groups import Group, groups_of, in_order, untied
from dither.bench.runs.precision import in_float32
from dither.bench.runs.request import RunRequest

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dither.attachment import Handle
    from dither.bench.runs.trace import Trace
    from dither.integrations.hf_trainer import NoiseCallback
    from dither.record import Record


class Measurer:
    """Measures one run. It keeps a copy of the starting weights on the CPU.

    Without batches it keeps nothing, and measures what PATS kept alone.

    Args:
        request: the run; its `batches` says over how many batches sensitivity is measured.
        encoded: its data.
    """

    def __init__(self, request: RunRequest, encoded: Encoded) -> None:
        self._request, self._encoded = request, encoded
        self._start: dict[str, Tensor] = {}
        self._trace = _trace() if request.batches else None

    @property
    def callbacks(self) -> "tuple[Trace, ...]":
        """What measures while training: of the Trainer, before the callback that adds noise."""
        return () if self._trace is None else (self._trace,)

    def keep_start(self, model: Any) -> None:
        """Copy the weights of a model just loaded: pretrained, with the run's new head, before any noise."""
        if self._request.batches:
            self._start = {row.name: row.parameter.detach().to("cpu", copy=True) for row in untied(model)}

    def measure(self, trainer: Any, noise: "NoiseCallback") -> dict[str, Any] | None:
        """Measure the Trainer's model as it is now.

        Args:
            trainer: after training.
            noise: the callback that added noise.

        Returns:
            JSON values, or None where there is nothing to tell. Of a run with PATS: `average`, the
            concentration of the moving averages that it kept (of the tensors that it noised), and their
            `dtype`. Where batches were asked for: `norms`, for each type of parameter, vectors and matrices
            apart, the norms ‖W_0‖ (start), ‖W_end‖ (end), ‖W_end − W_0‖ (change) and ‖noise‖; `sensitivity`:
            over how many batches and rows, and the concentration; `trace`: `Trace.found`. A concentration is
            told of the whole model, of each type and of each tensor, of the latter without histograms.
        """
        groups = groups_of(trainer.model)
        found: dict[str, Any] = {}
        if self._trace is not None:
            found["norms"] = self._norms(trainer.model, groups, noise.records.values())
            found["sensitivity"] = self._sensitivity(trainer, groups)
            found["trace"] = self._trace.found
        if noise.handle is not None and (average := _average(trainer.model, noise.handle, groups)):
            found["average"] = average
        return found or None

    def _sensitivity(self, trainer: Any, groups: Mapping[str, Group]) -> dict[str, Any]:
        from dither.core.measured_sensitivity import mean_sensitivity

        features, size = self._features(), self._request.recipe.batch_size
        in_float32(trainer)
        found = mean_sensitivity(trainer.model, self._batches(trainer.model, features, trainer.args.device))
        measured = {"batches": math.ceil(len(features) / size), "batch_size": size, "rows": len(features)}
        return {"asked": self._request.batches, **measured, **_concentrations(found, groups)}

    def _features(self) -> list[dict[str, Any]]:
        """The first inputs of the train splits, in their own order: the same for every method and seed."""
        parts = (self._encoded.features[split] for split in self._request.task.train_splits)
        wanted = self._request.batches * self._request.recipe.batch_size
        return list(islice(chain.from_iterable(parts), wanted))

    def _batches(self, model: "nn.Module", features: list[dict[str, Any]], device: Any) -> Iterator[Any]:
        from dither.bench.heads import HEADS
        from dither.bench.models.loading import load_tokenizer

        collate = HEADS[self._request.task.learned.head].collator(load_tokenizer(self._request.source))
        taken = inspect.signature(model.forward).parameters  # tokenizers may give more, as for the Trainer
        size = self._request.recipe.batch_size
        for at in range(0, len(features), size):
            rows = [{key: row[key] for key in row if key in taken} for row in features[at : at + size]]
            yield {name: values.to(device) for name, values in collate(rows).items()}

    def _norms(
        self, model: "nn.Module", groups: Mapping[str, Group], records: "Iterable[Record]"
    ) -> list[dict[str, Any]]:
        from dither.core.weight_changes import WeightChange, weight_change

        noise = _noise_squares(records)
        sums: dict[Group, WeightChange] = {}
        for row in untied(model):
            change = weight_change(self._start[row.name], row.parameter, noise=noise.get(row.name, 0.0))
            group = groups[row.name]
            sums[group] = sums.get(group, WeightChange()) + change
        return [
            {
                "type": kind,
                "shape": shape,
                "elements": found.count,
                "start": math.sqrt(found.start),
                "end": math.sqrt(found.end),
                "change": found.distance,
                "noise": math.sqrt(found.noise),
                "relative_change": found.relative,
                "relative_norm_change": found.norm_change,
                "relative_noise": found.relative_noise,
            }
            for (kind, shape), found in in_order(sums)
        ]


def _trace() -> "Trace":
    from dither.bench.runs.trace import Trace

    return Trace()


def _average(model: "nn.Module", handle: "Handle", groups: Mapping[str, Group]) -> dict[str, Any] | None:
    """The concentration of PATS's moving averages as they are; None where it kept none."""
    from dither.core.sharding import is_sharded
    from dither.steps import AVERAGE

    kept: dict[str, Any] = {}
    for row in untied(model):
        average = handle.optimizer.state.get(row.parameter, {}).get(AVERAGE)
        if average is not None:
            kept[row.name] = average.full_tensor() if is_sharded(average) else average
    if not kept:
        return None
    dtypes = sorted({str(values.dtype).removeprefix("torch.") for values in kept.values()})
    return {"dtype": ", ".join(dtypes), **_concentrations(kept, groups)}


def _concentrations(found: "Mapping[str, Tensor]", groups: Mapping[str, Group]) -> dict[str, Any]:
    from dither.core.concentration import Sketch

    sketches: dict[Group, Sketch] = {}
    tensors = []
    for name, values in found.items():
        sketch, group = Sketch.of(values), groups[name]
        row = asdict(sketch.concentration())
        del row["histogram"]
        tensors.append({"name": name, "type": group[0], "shape": group[1], **row})
        sketches[group] = sketches[group] + sketch if group in sketches else sketch
    return {
        "whole": asdict(sum(sketches.values(), Sketch.empty()).concentration()),
        "types": [
            {"type": kind, "shape": shape, **asdict(sketch.concentration())}
            for (kind, shape), sketch in in_order(sketches)
        ],
        "tensors": tensors,
    }


def _noise_squares(records: "Iterable[Record]") -> dict[str, float]:
    """The sum of squares of the noise that each tensor got, over all methods and steps."""
    squares: dict[str, float] = {}
    for record in records:
        for row in record.tensors:
            if row.noised:
                energy = (row.effective or 0.0) ** 2 * math.prod(row.shape)
                squares[row.name] = squares.get(row.name, 0.0) + energy
    return squares
