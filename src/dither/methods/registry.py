"""The methods by the name that users type: one row each.

A control is its method with other settings, so it shares the method's draws and differs in one thing.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from dither.methods.noisytune import NoisyTune
from dither.methods.pats import PATS
from dither.methods.plain import Plain

_NOISYTUNE = ("Wu et al., ACL 2022", "https://doi.org/10.18653/v1/2022.acl-short.76")
_PATS = ("after Zhang et al., EMNLP 2022", "https://doi.org/10.18653/v1/2022.emnlp-main.241")
_OURS = ("a control", "")
_MULTILINGUAL: Mapping[type, Mapping[str, Any]] = {
    NoisyTune: MappingProxyType({"noise_lambda": 0.1, "token_embeddings": False})
}
"""What a paper does otherwise on tasks of several languages (NoisyTune on XTREME)."""


@dataclass(frozen=True)
class MethodInfo:
    """A row of the registry.

    Attributes:
        name: that users type.
        summary: one line.
        paper: where it comes from.
        url: of the paper, or "".
        kind: the class that holds its settings.
        preset: the settings in which it differs from that class's defaults.
    """

    name: str
    summary: str
    paper: str
    url: str
    kind: type[NoisyTune] | type[PATS] | type[Plain]
    preset: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def needs_gradients(self) -> bool:
        """Whether it works during training."""
        return self.kind.when == "during training"

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting with its default."""
        return {row.name: row.default for row in fields(self.kind)} | dict(self.preset)

    @property
    def multilingual(self) -> dict[str, Any]:
        """The settings that have another default on tasks of several languages, with that default."""
        return dict(_MULTILINGUAL.get(self.kind, {}))


def _row(name: str, summary: str, source: tuple[str, str], kind: Any, **preset: Any) -> MethodInfo:
    return MethodInfo(name, summary, *source, kind, MappingProxyType(preset))


_ROWS = (
    _row("none", "plain fine-tuning", _OURS, Plain),
    _row("aa", "plain fine-tuning once more: must come out null", _OURS, Plain),
    _row("noisytune", "noise before training, scaled by each tensor's std", _NOISYTUNE, NoisyTune),
    _row(
        "noisytune-gaussian",
        "NoisyTune with Gaussian noise of the same variance",
        _NOISYTUNE,
        NoisyTune,
        law="gaussian",
    ),
    _row(
        "noisytune-global",
        "NoisyTune with one scale for the whole model",
        _NOISYTUNE,
        NoisyTune,
        across="model",
    ),
    _row("pats", "noise at each step, bigger where weights matter less", _PATS, PATS),
    _row("pats-blind", "PATS with the same energy on all active weights", _OURS, PATS, weighting="blind"),
    _row("pats-magnitude", "PATS that takes |W| for the sensitivity", _OURS, PATS, measure="magnitude"),
    _row("pats-inverted", "PATS upside down at the same energy", _OURS, PATS, weighting="inverted"),
    _row("pats-idle", "PATS with noise also where the gradient is zero", _OURS, PATS, idle=True),
)


def available_methods() -> dict[str, MethodInfo]:
    """All methods by name, in the order in which they are listed to users.

    Example:
        >>> list(available_methods())[:3]
        ['none', 'aa', 'noisytune']
    """
    return {row.name: row for row in _ROWS}


def create_method(name: str, **settings: Any) -> NoisyTune | PATS | Plain:
    """A method by its name, with some of its settings changed.

    Raises:
        ValueError: an unknown name, setting or value; the message names the nearest valid one.

    Example:
        >>> create_method("noisytune-gaussian", noise_lambda=0.1).law
        'gaussian'
        >>> create_method("noisetune")
        Traceback (most recent call last):
        ...
        ValueError: unknown method 'noisetune'; did you mean 'noisytune'? Methods: none, aa, noisytune, ...
    """
    methods = available_methods()
    if name not in methods:
        raise ValueError(f"unknown method {name!r}{_nearest(name, methods)} Methods: {', '.join(methods)}")
    info = methods[name]
    for setting in settings:
        if setting not in info.settings:
            raise ValueError(
                f"method {name!r} has no setting {setting!r}{_nearest(setting, info.settings)} "
                f"Settings: {', '.join(info.settings)}"
            )
        if setting in info.preset:
            raise ValueError(f"method {name!r} is what it is by {setting}={info.preset[setting]!r}; leave it")
    return info.kind(**{**info.preset, **settings})


def _nearest(word: str, words: Any) -> str:
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ";"
