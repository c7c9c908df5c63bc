"""The groups of parameters over which measurements are told: a type's matrices, and its vectors."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from dither.core.names import NamedParameter

VECTORS, MATRICES = "vectors", "matrices"

Group = tuple[str, str]  # a type of parameter, and its vectors or its matrices


def untied(model: "nn.Module") -> "list[NamedParameter]":
    """A model's parameters, of tied ones the first."""
    from dither.core.names import named_parameters

    return [row for row in named_parameters(model) if row.tied_to is None]


def groups_of(model: "nn.Module") -> dict[str, Group]:
    """The group of each parameter, by canonical name."""
    from dither.core.parameter_types import parameter_types

    rows = untied(model)
    types = parameter_types(row.name for row in rows)
    return {row.name: (types[row.name], VECTORS if row.parameter.dim() < 2 else MATRICES) for row in rows}


def in_order(found: Mapping[Group, Any]) -> list[tuple[Group, Any]]:
    """By the order of types, matrices first."""
    from dither.core.parameter_types import type_place

    return sorted(found.items(), key=lambda item: (type_place(item[0][0]), item[0]))
