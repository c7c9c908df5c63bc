"""The inputs of a split as a few flat arrays: small, read-only, and fit to be shared through a file."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

_OFFSETS = "/offsets"  # in the name of an array: where each input's list begins
_WHOLE = tuple(map(np.dtype, ("uint8", "int8", "uint16", "int16", "int32")))  # from the smallest


@dataclass(frozen=True)
class Column:
    """One value of every input: a number, or a list of numbers.

    Attributes:
        values: all numbers, one input after the other.
        offsets: where each input's list begins, and the end of the last; None for one number each.
    """

    values: np.ndarray
    offsets: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def __getitem__(self, at: int) -> Any:
        if self.offsets is None:
            return self.values[at].item()
        return self.values[self.offsets[at] : self.offsets[at + 1]].tolist()


class Features(Sequence[dict[str, Any]]):
    """The inputs of a split: each a dict of numbers and lists of whole numbers, as collators take them.

    Args:
        columns: by name, all of one length.

    Example:
        >>> inputs = [{"input_ids": [2, 7, 3], "labels": 1}, {"input_ids": [2, 3], "labels": 0}]
        >>> features = Features.of(inputs)
        >>> features[1], len(features), features.lengths.tolist()
        ({'input_ids': [2, 3], 'labels': 0}, 2, [3, 2])
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)
        sizes = {name: len(column) for name, column in self.columns.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the columns of inputs have different lengths: {sizes}")

    @classmethod
    def of(cls, inputs: Iterable[Mapping[str, Any]]) -> "Features":
        """Gather inputs, all with the same names; what are features already stays as it is.

        Raises:
            ValueError: an input has other names than the first one.
            TypeError: a value is neither a number nor a list of whole numbers.
        """
        if isinstance(inputs, Features):
            return inputs
        growing: dict[str, _Growing] = {}
        for number, one in enumerate(inputs):
            growing = growing or {name: _Growing(value) for name, value in one.items()}
            if one.keys() != growing.keys():
                raise ValueError(f"input {number} has {', '.join(one)}; the first one {', '.join(growing)}")
            for name, column in growing.items():
                column.add(one[name])
        return cls({name: growing.pop(name).column() for name in list(growing)})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Features":
        """The features that `arrays` gave."""
        names = [name for name in arrays if not name.endswith(_OFFSETS)]
        return cls({name: Column(arrays[name], arrays.get(name + _OFFSETS)) for name in names})

    def arrays(self) -> dict[str, np.ndarray]:
        """All that they hold, by name."""
        found = {}
        for name, column in self.columns.items():
            found[name] = column.values
            if column.offsets is not None:
                found[name + _OFFSETS] = column.offsets
        return found

    @property
    def lengths(self) -> np.ndarray:
        """How many tokens each input has."""
        return np.diff(self.columns["input_ids"].offsets)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(f"input {at} of {len(self)}")
        at %= len(self)
        return {name: column[at] for name, column in self.columns.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[at] for at in range(len(self)))


class _Growing:
    """A column while its inputs come."""

    def __init__(self, first: Any) -> None:
        self.values = array("d" if isinstance(first, float) else "i")
        self.offsets = array("q", [0]) if isinstance(first, list) else None

    def add(self, value: Any) -> None:
        if self.offsets is None:
            self.values.append(value)
        else:
            self.values.extend(value)
            self.offsets.append(len(self.values))

    def column(self) -> Column:
        values = np.array(self.values)
        if values.dtype.kind == "i":
            low, high = values.min(initial=0), values.max(initial=0)
            fitting = (kind for kind in _WHOLE if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
            values = values.astype(next(fitting))
        values.flags.writeable = False
        return Column(values, None if self.offsets is None else np.array(self.offsets))
