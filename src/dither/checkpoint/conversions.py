"""What transformers makes of stored tensors when it loads a model: new names, merged experts, split layers.

The one place that follows the conversion mapping of transformers: its own rules rename, and its own
operations run, on tensors without values. What has no rule is taken as it stands.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch

from dither.checkpoint.headers import FLOATS, StoredTensor
from dither.checkpoint.rearrangement import Rearranged, Straight
from dither.checkpoint.strict_json import shown
from dither.checkpoint.tracing import Memory, Traced, Untraceable, arrive, traced


@dataclass(frozen=True)
class Loading:
    """Where the tensors of a checkpoint are found in the loaded model.

    Attributes:
        ways: of each stored tensor that is loaded as floating-point numbers, by its name in the file.
        sources: the stored tensors of each parameter and buffer that are loaded so, by its path.
        packed: the stored tensors of each that is made of integers or narrower floats, by its path.
        unused: where the others would be loaded, by their names in the file.
    """

    ways: dict[str, Straight | Rearranged] = field(default_factory=dict)
    sources: dict[str, tuple[StoredTensor, ...]] = field(default_factory=dict)
    packed: dict[str, tuple[StoredTensor, ...]] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)


class NotFollowed(ValueError):
    """A conversion that cannot be followed; the message says which and why."""


def loading_of(model: Any, tensors: Mapping[str, StoredTensor]) -> Loading:
    """Follow the loading of stored tensors into a model of transformers.

    Args:
        model: without its weights.
        tensors: by their names in the files.

    Raises:
        NotFollowed: the mapping does something else than to rename and to move elements; or this version of
            transformers has another mapping than the one known.
    """
    rules, loading = _Rules(model), Loading()
    names: dict[str, str] = {}
    groups: dict[str, _Group] = {}
    for name in sorted(tensors, key=rules.order):
        path, pattern = rules.path(name)
        if path not in rules.state:
            loading.unused[name] = path
        elif path in names and (pattern is None or path not in groups):
            raise NotFollowed(f"tensors {shown(names[path])} and {shown(name)} both become {shown(path)}")
        else:
            names.setdefault(path, name)
            if pattern is None:
                _take(tensors[name], path, loading)
            else:
                groups.setdefault(path, _Group(path, rules.converter(pattern))).add(tensors[name], pattern)
    for group in groups.values():
        group.load(model, rules.state, loading)
    return loading


def _take(row: StoredTensor, path: str, loading: Loading) -> None:
    if row.is_float:
        loading.sources[path] = (row,)
        loading.ways[row.name] = Straight(path)
    else:
        loading.packed[path] = (row,)


def finish_loading(model: Any) -> list[str]:
    """What transformers does when all tensors are there: a class may freeze some, or set parts of them.

    Args:
        model: on the meta device, with its parameters as they were loaded.

    Returns:
        The paths of the parameters that it writes to.

    Raises:
        NotFollowed: the class cannot do so.
    """
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor._is_hf_initialized = True  # how transformers marks what came from a file
    before = {path: parameter._version for path, parameter in model.named_parameters()}
    try:
        with torch.random.fork_rng(devices=[]):  # some classes draw, whatever is loaded
            model.initialize_weights()
    except Exception as error:  # whatever a class raises in its own code
        raise NotFollowed(f"what it does after loading fails here ({error})") from error
    return [path for path, parameter in model.named_parameters() if parameter._version != before[path]]


class _Rules:
    """The renamings and conversions of transformers for a model, in its own order."""

    def __init__(self, model: Any) -> None:
        import transformers

        self.state: Mapping[str, Any] = model.state_dict()
        self._prefix = model.base_model_prefix
        try:
            from transformers.conversion_mapping import get_model_conversion_mapping
            from transformers.core_model_loading import (
                WeightConverter,
                WeightRenaming,
                dot_natural_key,
                rename_source_key,
            )

            steps = get_model_conversion_mapping(model)
            self._renamings = [step for step in steps if isinstance(step, WeightRenaming)]
            self._converters = [step for step in steps if isinstance(step, WeightConverter)]
            if len(self._renamings) + len(self._converters) < len(steps):
                raise TypeError("a step that neither renames nor converts")
            self._rename: Callable[..., tuple[str, str | None]] = rename_source_key
            self.order: Callable[[str], Any] = dot_natural_key
        except (ImportError, AttributeError, TypeError) as error:
            raise NotFollowed(
                f"transformers {transformers.__version__} has a conversion mapping that this version of "
                f"dither does not know ({error})"
            ) from error

    def path(self, name: str) -> tuple[str, str | None]:
        """Where a stored tensor is loaded, and the pattern of the conversion that it is a part of, if any."""
        path, pattern = self._rename(name, self._renamings, self._converters, self._prefix, self.state)
        if path not in self.state and name in self.state:
            path, pattern = self._rename(name, [], [], self._prefix, self.state)
        return path, pattern

    def converter(self, pattern: str) -> Any:
        """A fresh converter for a pattern: the last one that has it, as in transformers."""
        return deepcopy(next(row for row in reversed(self._converters) if pattern in row.source_patterns))


class _Group:
    """Stored tensors that are converted together.

    Args:
        path: of the first parameter that they become.
        converter: of transformers, for them alone.
    """

    def __init__(self, path: str, converter: Any) -> None:
        self._path, self._converter = path, converter
        self._rows: list[tuple[StoredTensor, Memory]] = []

    def add(self, row: StoredTensor, pattern: str) -> None:
        """Take one more tensor, found by a pattern of the converter."""
        memory = Memory(prod(row.shape))
        self._rows.append((row, memory))
        tensor = traced(row.shape, FLOATS.get(row.dtype, torch.uint8), memory)
        self._converter.add_tensor(self._path, row.name, pattern, tensor)

    def load(self, model: Any, state: Mapping[str, Any], loading: Loading) -> None:
        """Run the conversion and write down where everything went."""
        rows = tuple(row for row, _ in self._rows)
        try:
            made = self._converter.convert(self._path, model=model, config=model.config)
            for path, tensor in made.items():
                self._arrive(path, tensor[0] if isinstance(tensor, list) else tensor, state)
        except Exception as error:  # whatever an operation raises for shapes that do not fit it
            if all(row.is_float for row in rows):
                kinds = " and ".join(type(step).__name__ for step in self._converter.operations)
                raise NotFollowed(f"{kinds} of {shown(rows[0].name)} and others: {error}") from error
            made = {self._path: None}
        if not all(row.is_float for row in rows):
            loading.packed.update(dict.fromkeys(made, rows))
            return
        for row, memory in self._rows:
            way = loading.ways[row.name] = Rearranged(memory)
            for path in way.paths:
                loading.sources[path] = (*loading.sources.get(path, ()), row)

    def _arrive(self, path: str, tensor: Any, state: Mapping[str, Any]) -> None:
        if path not in state:
            raise Untraceable(f"the model has no {shown(path)}")
        if not isinstance(tensor, Traced):
            raise Untraceable(f"{shown(path)} comes out as a {type(tensor).__name__}")
        if tensor.shape != state[path].shape:
            raise Untraceable(
                f"{shown(path)} has shape {list(state[path].shape)} in the model and comes out as "
                f"{list(tensor.shape)}"
            )
        arrive(tensor, path)
