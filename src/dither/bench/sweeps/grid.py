"""A grid: a method under every combination of some settings' values, beside plain fine-tuning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from dither.bench.compare import BASELINE
from dither.bench.plans.names import spelled_arm
from dither.bench.plans.settings import STRENGTH, full_settings, method_of
from dither.bench.sweeps.parameters import TRAIN, Choices, Parameter, Range
from dither.bench.tasks.variations import base_of, settings_of, spelled, with_settings

KIND = "sweep"
"""Of the experiment that the folder of a grid is for."""


@dataclass(frozen=True)
class Grid:
    """A method, values of its settings, and values of the recipe's.

    Args:
        method: perhaps with settings in its name, which hold for the whole grid.
        parameters: at least one; those of training make variations of every task, with plain runs of their
            own.

    Raises:
        ValueError: a method that adds no noise, a range, or nothing but plain fine-tuning.

    Example:
        >>> grid = Grid("noisytune", (Choices("noise_lambda", (0.0, 0.1, 0.15)),))
        >>> grid.arms, grid.zero, grid.reference()
        (('noisytune@noise_lambda=0.1', 'noisytune@noise_lambda=0.15'), True, 'noisytune@noise_lambda=0.15')
    """

    method: str
    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        if self.method == BASELINE:
            raise ValueError(
                f"--method {BASELINE} is what the others are compared with; name one that adds noise"
            )
        for one in self.parameters:
            if isinstance(one, Range):
                raise ValueError(
                    f"--param {one.text} is a range: with --search 20 it is searched; in a grid list its "
                    f"values, as {one.setting}={one.low},{one.high}"
                )
        if not self.arms:
            raise ValueError(f"{STRENGTH} = 0 alone is plain fine-tuning; add another value")

    @property
    def settings(self) -> tuple[str, ...]:
        """The names of what is swept, as they stand in the names of arms and tasks."""
        return tuple(one.setting.removeprefix(TRAIN) for one in self.parameters)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms beside plain fine-tuning, in the order of the grid."""
        found = dict.fromkeys(self.arm(point) for point in _points(self._own))
        return tuple(name for name in found if name != BASELINE)

    @property
    def zero(self) -> bool:
        """Whether a point of the grid is plain fine-tuning."""
        return any(self.arm(point) == BASELINE for point in _points(self._own))

    @property
    def _own(self) -> list[Choices]:
        return [one for one in self._choices if not one.setting.startswith(TRAIN)]

    @property
    def _choices(self) -> list[Choices]:
        return [one for one in self.parameters if isinstance(one, Choices)]

    def arm(self, point: dict[str, Any]) -> str:
        """The name of the arm with these values of the method's settings.

        Raises:
            ValueError: values that do not go together.
        """
        settings = {**settings_of(self.method), **point}
        name = spelled_arm(spelled(base_of(self.method), settings))
        return BASELINE if settings.get(STRENGTH) == 0 else name

    def label(self, arm: str) -> str:
        """What an arm of the grid stands for: its value, or with several settings all of them by name."""
        points = {self.arm(point): point for point in reversed(_points(self._own))}
        point = points[arm]
        return str(*point.values()) if len(point) == 1 else spelled("", point)[1:]

    def tasks(self, names: Sequence[str]) -> list[str]:
        """The tasks, each under every recipe of the grid."""
        recipes = [one for one in self._choices if one.setting.startswith(TRAIN)]
        return [
            with_settings(name, **{key.removeprefix(TRAIN): value for key, value in point.items()})
            for name in names
            for point in _points(recipes)
        ]

    def reference(self, text: str | None = None) -> str | None:
        """The arm that the others are compared with, beside plain fine-tuning.

        Args:
            text: a value, or `setting=value,...`; None for the method's defaults where the grid has them,
                else its first arm.

        Returns:
            Its name; None where the grid holds no other arm to compare with it.

        Raises:
            ValueError: the grid has no such point.
        """
        points = {self.arm(point): point for point in reversed(_points(self._own))}
        if text is not None:
            return self._named(text)
        if len(points) < 2:
            return None
        return usual(points, *defaults_of(self.method)) or self.arms[0]

    def _named(self, text: str) -> str:
        points = {spelled("", point)[1:]: point for point in _points(self._own)}
        own = [one.setting for one in self._own]
        try:
            asked = settings_of(f"@{own[0]}={text}" if "=" not in text and len(own) == 1 else f"@{text}")
        except ValueError as error:
            raise ValueError(f"--reference {text}: {error}") from None
        for point in points.values():
            if point == asked:
                return self.arm(point)
        listed = "; ".join(points) or "no setting of the method"
        raise ValueError(f"--reference {text} is no point of the grid; it has {listed}")


def defaults_of(method: str) -> tuple[dict[str, Any], ...]:
    """Every setting of a method by default: in a comparison, then in Python, where no λ is a word.

    Example:
        >>> [found["noise_lambda"] for found in defaults_of("pats")]
        ['matched', 0.15]
    """
    compared = full_settings(method, settings_of(method))
    plain = vars(method_of(method, compared))
    return compared, {**compared, **{name: plain[name] for name in (STRENGTH,) if name in plain}}


def usual(points: Mapping[str, Mapping[str, Any]], *defaults: Mapping[str, Any]) -> str | None:
    """The first arm whose values are a method's defaults; None where no arm has them.

    Args:
        points: arm -> the values that tell it from the others.
        defaults: of every setting; the first ones that an arm has count.

    Example:
        >>> usual({"pats@beta=0.5": {"beta": 0.5}, "pats": {}}, {"beta": 0.85})
        'pats'
    """
    fitting = (
        arm
        for default in defaults
        for arm, point in points.items()
        if all(default[key] == point[key] for key in point)
    )
    return next(fitting, None)


def _points(choices: Sequence[Choices]) -> list[dict[str, Any]]:
    names = [one.setting for one in choices]
    return [dict(zip(names, values, strict=True)) for values in product(*(one.values for one in choices))]
