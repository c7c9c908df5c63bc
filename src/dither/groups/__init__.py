"""The scalars of noise during training: in an optimizer's groups, and on the device while it runs."""

from dither.groups.states import KEY, SCHEMA, GroupState, GroupStates
from dither.groups.tallies import Tally, keep_shared_mean

__all__ = ["KEY", "SCHEMA", "GroupState", "GroupStates", "Tally", "keep_shared_mean"]
