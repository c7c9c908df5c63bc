"""The methods by the name that users type: one row each.

A control is its method with other settings, so it shares the method's draws and differs in one thing.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from dither.core.schedules import EARLIER_SCHEDULE
from dither.methods.noisytune import NoisyTune
from dither.methods.pats import PATS
from dither.methods.plain import Plain

_NOISYTUNE = ("Wu et al., ACL 2022", "https://doi.org/10.18653/v1/2022.acl-short.76")
_PATS = ("after Zhang et al., EMNLP 2022", "https://doi.org/10.18653/v1/2022.emnlp-main.241")
_OURS = ("a control", "")
_AGAIN = "plain again, same seeds: every score must be identical (a determinism check)"
_OTHER = "plain under other seeds of order, head and dropout: must be inconclusive (an A/A test)"
_MULTILINGUAL: Mapping[type, Mapping[str, Any]] = {
    NoisyTune: MappingProxyType({"noise_lambda": 0.1, "token_embeddings": False})
}
"""What a paper does otherwise on tasks of several languages (NoisyTune on XTREME)."""
MATCHED, ENERGY = "matched", "energy"
"""In place of λ where methods are compared: d as of the reference, NoisyTune; energy as of PATS."""


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
        repeats: whether it is plain fine-tuning with the very seeds of `none`: its scores must be identical,
            so it is checked, never tested.
        other_seeds: whether its runs train under seeds of their own, `other_seed`.
    """

    name: str
    summary: str
    paper: str
    url: str
    kind: type[NoisyTune] | type[PATS] | type[Plain]
    preset: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    repeats: bool = False
    other_seeds: bool = False

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

    @property
    def compared(self) -> dict[str, Any]:
        """The settings that have another default where methods are compared, with that default.

        Equal λ is no equal dose: PATS avoids the weights that matter, Gaussian and global noise fall
        elsewhere. NoisyTune itself is what the others are matched to.
        """
        is_control = self.kind is NoisyTune and bool(self.preset)
        return {"noise_lambda": MATCHED} if self.kind is PATS or is_control else {}


def _row(name: str, summary: str, source: tuple[str, str], kind: Any, **preset: Any) -> MethodInfo:
    return MethodInfo(name, summary, *source, kind, MappingProxyType(preset))


_ROWS = (
    _row("none", "plain fine-tuning", _OURS, Plain),
    replace(_row("none-again", _AGAIN, _OURS, Plain), repeats=True),
    replace(_row("none-other-seeds", _OTHER, _OURS, Plain), other_seeds=True),
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


FORMER = MappingProxyType({"aa": "none-again"})
"""Names that methods had before: folders of runs that have them stay readable and go on."""

SEEDS_BELOW = 2**31
"""With an arm under other seeds, the seeds of a plan lie below this, and those of the arm from here on."""


def other_seed(seed: int) -> int:
    """The seed under which a run of an arm with `other_seeds` trains: 2³¹ + the run's seed.

    It sets the order of the data, the head and the dropout. No plan with such an arm has it as a run seed.

    Args:
        seed: of the run, in [0, 2³¹).

    Raises:
        ValueError: a seed outside.

    Example:
        >>> other_seed(3)
        2147483651
    """
    if not 0 <= seed < SEEDS_BELOW:
        raise ValueError(
            f"seed {seed} has no other seed: with an arm under other seeds (none-other-seeds) seeds must lie "
            "in [0, 2^31); choose smaller --seeds, or leave the arm out"
        )
    return SEEDS_BELOW + seed


def available_methods() -> dict[str, MethodInfo]:
    """All methods by name, in the order in which they are listed to users.

    Example:
        >>> list(available_methods())[:3]
        ['none', 'none-again', 'none-other-seeds']
    """
    return {row.name: row for row in _ROWS}


def method_info(name: str) -> MethodInfo:
    """The row of a method, also by a name that it had before.

    Raises:
        ValueError: an unknown name; the message names the nearest valid one.

    Example:
        >>> method_info("aa").name
        'none-again'
    """
    methods = available_methods()
    row = methods.get(FORMER.get(name, name))
    if row is None:
        raise ValueError(f"unknown method {name!r}{_nearest(name, methods)} Methods: {', '.join(methods)}")
    return row


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
        ValueError: unknown method 'noisetune'; did you mean 'noisytune'? Methods: none, none-again, ...
    """
    info = method_info(name)
    for setting in settings:
        if setting not in info.settings:
            raise ValueError(
                f"method {name!r} has no setting {setting!r}{_nearest(setting, info.settings)} "
                f"Settings: {', '.join(info.settings)}"
            )
        if setting in info.preset:
            raise ValueError(f"method {name!r} is what it is by {setting}={info.preset[setting]!r}; leave it")
    return info.kind(**{**info.preset, **settings})


def recorded_method(name: str, settings: Mapping[str, Any]) -> NoisyTune | PATS | Plain:
    """A method by its settings as a plan or a ledger holds them (`recorded_settings`).

    What they do not say is what it was before it could be said, not today's default.

    Example:
        >>> recorded_method("pats", {"beta": 0.9}).schedule, create_method("pats", beta=0.9).schedule
        ('linear', 'run')
    """
    may_say = name in available_methods() and "schedule" in available_methods()[name].settings
    return create_method(name, **({"schedule": EARLIER_SCHEDULE} if may_say else {}) | dict(settings))


def _nearest(word: str, words: Any) -> str:
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ";"
