"""Noise-based fine-tuning of pretrained language models: NoisyTune and PATS.

The names below load torch when one of them is first used, not before (PEP 562).

Example:
    >>> import dither
    >>> sorted(dither.__all__)[:3]
    ['FunctionalDose', 'Handle', 'MatchedDose']
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dither.apply import apply_, noisytune_, perturbed
    from dither.attachment import Handle, attach
    from dither.dose import FunctionalDose, MatchedDose, functional_dose, match_dose, match_energy
    from dither.marks import clear_marks
    from dither.methods.noisytune import NoisyTune
    from dither.methods.pats import PATS
    from dither.methods.registry import available_methods, create_method
    from dither.record import Record

_HOME = {
    "FunctionalDose": "dither.dose",
    "Handle": "dither.attachment",
    "MatchedDose": "dither.dose",
    "NoisyTune": "dither.methods.noisytune",
    "PATS": "dither.methods.pats",
    "Record": "dither.record",
    "apply_": "dither.apply",
    "attach": "dither.attachment",
    "available_methods": "dither.methods.registry",
    "clear_marks": "dither.marks",
    "create_method": "dither.methods.registry",
    "functional_dose": "dither.dose",
    "match_dose": "dither.dose",
    "match_energy": "dither.dose",
    "noisytune_": "dither.apply",
    "perturbed": "dither.apply",
}

__all__ = [
    "PATS",
    "FunctionalDose",
    "Handle",
    "MatchedDose",
    "NoisyTune",
    "Record",
    "apply_",
    "attach",
    "available_methods",
    "clear_marks",
    "create_method",
    "functional_dose",
    "match_dose",
    "match_energy",
    "noisytune_",
    "perturbed",
]

try:
    __version__ = version("dither")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dither' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
