"""Noise during training: what happens after a step of an optimizer, and the scalars that it needs."""

from dither.steps.averages import AVERAGE
from dither.steps.groups import KEY, SCHEMA, GroupState, GroupStates
from dither.steps.noise import StepNoise

__all__ = ["AVERAGE", "KEY", "SCHEMA", "GroupState", "GroupStates", "StepNoise"]
