"""What is swept: `--param setting=values` in a grid, `--param setting=low..high` in a search."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from dither.bench.plans.names import spelled_arm
from dither.bench.plans.settings import checked_recipe, full_settings
from dither.bench.tasks.keys import nearest
from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.variations import base_of, settings_of, spelled, toml_value
from dither.core.faults import is_told
from dither.methods.registry import method_info

TRAIN = "train."
_RANGE = re.compile(r"(?P<low>.+?)\.\.(?P<high>.+?)(?P<log>[\s,]+log)?")


@dataclass(frozen=True)
class Choices:
    """A setting and the values that it takes.

    Args:
        setting: of the method, or of training with `train.` before it.
        values: as the setting holds them, each once.
    """

    setting: str
    values: tuple[Any, ...]

    @property
    def text(self) -> str:
        """As users type it."""
        return f"{self.setting}={','.join(spelled('', {'x': value})[3:] for value in self.values)}"


@dataclass(frozen=True)
class Range:
    """A setting and the range to search.

    Args:
        setting: of the method.
        low: the least value.
        high: the greatest value, above `low`.
        log: search the logarithm.
        whole: whole numbers alone.
    """

    setting: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def text(self) -> str:
        """As users type it."""
        return f"{self.setting}={self.low}..{self.high}{',log' * self.log}"


Parameter = Choices | Range


def parse_parameters(texts: Sequence[str], method: str) -> tuple[Parameter, ...]:
    """Parameters from text such as `noise_lambda=0.1,0.2`, `beta=0.5..0.995` or `noise_lambda=0.01..1,log`.

    Args:
        texts: as typed.
        method: whose settings they are, perhaps with others in its name; `train.` marks those of training.

    Raises:
        ValueError: malformed text, an unknown setting, one twice, a value out of its range, a range that is
            none.

    Example:
        >>> parse_parameters(["noise_lambda=0.10,0.2", "train.epochs=3"], "noisytune")
        (Choices(setting='noise_lambda', values=(0.1, 0.2)), Choices(setting='train.epochs', values=(3.0,)))
        >>> parse_parameters(["noise_lambda=0.01..1,log"], "noisytune")
        (Range(setting='noise_lambda', low=0.01, high=1.0, log=True, whole=False),)
    """
    spelled_arm(method)  # an unknown one is told first
    found = tuple(_parameter(text, method) for text in texts)
    if not found:
        raise ValueError(
            "nothing to sweep: give --param noise_lambda=0.05,0.1,0.15,0.2,0.3 or another setting"
        )
    names = [one.setting for one in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--param {name} stands there twice; write all its values into one")
    return found


def _parameter(text: str, method: str) -> Parameter:
    setting, equals, values = (part.strip() for part in text.partition("="))
    if not (equals and setting and values):
        raise ValueError(
            f"--param {text!r} is not like noise_lambda=0.1,0.2 or, with --search, noise_lambda=0.05..0.4"
        )
    _check_setting(setting, text, method)
    checked = _checker(setting, text, method)
    bounds = _RANGE.fullmatch(values)
    if bounds:
        ends = (toml_value(bounds["low"]), toml_value(bounds["high"]))
        return _range(setting, text, ends, log=bounds["log"] is not None, checked=checked)
    return _choices(setting, text, (toml_value(part) for part in values.split(",")), checked)


def _check_setting(setting: str, text: str, method: str) -> None:
    if setting in ("seed", f"{TRAIN}seed"):
        raise ValueError(
            f"--param {text}: the seed is what a comparison is repeated over, and the best of several seeds "
            "is luck; choose the runs by --seeds"
        )
    row = method_info(base_of(method))
    own = [name for name in row.settings if name != "seed" and name not in row.preset]
    known = [*own, *(f"{TRAIN}{each.name}" for each in fields(Recipe))]
    if setting not in known:
        raise ValueError(f"--param {text}: {method} has no setting {setting!r}; {nearest(setting, known)}")
    if setting in settings_of(method):
        raise ValueError(f"--param {text}: the name {method} sets it already; leave one of them out")


def _checker(setting: str, text: str, method: str) -> Callable[[Any], Any]:
    """What turns a value into the setting's own form, and refuses one that it cannot have."""

    def checked(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"--param {text}: {value} is no finite number")
        try:
            if setting.startswith(TRAIN):
                name = setting.removeprefix(TRAIN)
                return checked_recipe({name: value})[name]
            return full_settings(method, {setting: value})[setting]
        except (TypeError, ValueError) as error:
            if not is_told(error):
                raise
            raise ValueError(f"--param {text}: {error}") from None

    return checked


def _choices(setting: str, text: str, values: Iterable[Any], checked: Callable[[Any], Any]) -> Choices:
    held = list(values)
    if "" in held:
        raise ValueError(f"--param {text}: a value is empty; write {setting}=a,b without spare commas")
    found = tuple(checked(value) for value in held)
    for value in found:
        try:
            spelled("", {setting: value})
        except ValueError as error:
            raise ValueError(f"--param {text}: {error}") from None
        if found.count(value) > 1:
            raise ValueError(f"--param {text}: {value} stands there twice; each value is one row")
    return Choices(setting, found)


def _range(
    setting: str, text: str, ends: tuple[Any, Any], *, log: bool, checked: Callable[[Any], Any]
) -> Range:
    for end in ends:
        if isinstance(end, bool) or not isinstance(end, (int, float)):
            raise ValueError(
                f"--param {text}: {end!r} is no number, and a range has numbers at its ends; list the values "
                f"of a setting that has none, as {setting}=a,b"
            )
    low, high = (checked(end) for end in ends)
    if not low < high:
        how = "runs backwards" if low > high else "holds one value alone"
        raise ValueError(f"--param {text}: the range {how}; write low..high")
    if log and low <= 0:
        raise ValueError(f"--param {text}: 0 has no logarithm; begin above it, or leave out log")
    return Range(setting, low, high, log, whole=isinstance(low, int) and isinstance(high, int))
