"""What is measured of a run's weights at its end, for the analyses of the two papers.

How far each type of parameter moved from its pretrained values (NoisyTune), and how sensitivity is spread
(PATS). Training never notices: weights, scores and random states are those of a run without measurements.
"""

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from dither.bench.runs.encoding import Encoded
from dither.bench.runs.request import RunRequest

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dither.core.names import NamedParameter
    from dither.record import Record

VECTORS, MATRICES = "vectors", "matrices"

Group = tuple[str, str]  # a type of parameter, and its vectors or its matrices


class Measurer:
    """Measures one run. It keeps a copy of the starting weights on the CPU; without batches it does nothing.

    Args:
        request: the run; its `batches` says over how many batches sensitivity is measured.
        encoded: its data.
    """

    def __init__(self, request: RunRequest, encoded: Encoded) -> None:
        self._request, self._encoded = request, encoded
        self._start: dict[str, Tensor] = {}

    def keep_start(self, model: Any) -> None:
        """Copy the weights of a model just loaded: pretrained, with the run's new head, before any noise."""
        if self._request.batches:
            self._start = {row.name: row.parameter.detach().to("cpu", copy=True) for row in _untied(model)}

    def measure(self, trainer: Any, records: "Iterable[Record]") -> dict[str, Any] | None:
        """Measure the Trainer's model as it is now.

        Args:
            trainer: after training.
            records: of the noise that was added.

        Returns:
            JSON values, or None where nothing was asked for. `norms`: for each type of parameter, vectors
            and matrices apart, the norms ‖W_0‖ (start), ‖W_end‖ (end), ‖W_end − W_0‖ (change) and ‖noise‖.
            `sensitivity`: over how many batches and rows; the concentration of the whole model, of each type
            and of each tensor, the latter without histograms.
        """
        if not self._request.batches:
            return None
        from dither.core.measured_sensitivity import mean_sensitivity

        model = trainer.model
        groups = _groups(model)
        features = self._features()
        batches = self._batches(model, features, trainer.args.device)
        found = mean_sensitivity(model, batches)
        size = self._request.recipe.batch_size
        measured = {"batches": math.ceil(len(features) / size), "batch_size": size, "rows": len(features)}
        return {
            "norms": self._norms(model, groups, records),
            "sensitivity": {"asked": self._request.batches, **measured, **_concentrations(found, groups)},
        }

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
        for row in _untied(model):
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
            for (kind, shape), found in _in_order(sums)
        ]


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
            for (kind, shape), sketch in _in_order(sketches)
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


def _untied(model: "nn.Module") -> "list[NamedParameter]":
    from dither.core.names import named_parameters

    return [row for row in named_parameters(model) if row.tied_to is None]


def _groups(model: "nn.Module") -> dict[str, Group]:
    from dither.core.parameter_types import parameter_types

    rows = _untied(model)
    types = parameter_types(row.name for row in rows)
    return {row.name: (types[row.name], VECTORS if row.parameter.dim() < 2 else MATRICES) for row in rows}


def _in_order(found: Mapping[Group, Any]) -> list[tuple[Group, Any]]:
    """By the order of types, matrices first."""
    from dither.core.parameter_types import TYPES

    places = {kind: place for place, kind in enumerate(TYPES)}
    return sorted(found.items(), key=lambda item: (places.get(item[0][0], len(places)), item[0]))
