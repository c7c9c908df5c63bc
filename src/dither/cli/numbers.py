"""How numbers and verdicts stand in tables."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dither.stats import Verdict

WIDE = 120  # columns of a terminal that has room for every number
_LONG = 48  # characters of a verdict that stands in a row; a longer one is explained below
_COLOURS = {"better": "green", "worse": "red"}


class Reasons:
    """The long explanations of verdicts, numbered, each once."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def cell(self, verdict: "Verdict") -> str:
        """A verdict for a row: whole where it is short, else its head and the number of its reason."""
        text = verdict.text.partition("; looked ")[0]
        colour = _COLOURS.get(verdict.kind)
        if len(text) > _LONG:
            head, _, reason = text.partition(": " if ": " in text else "; ")
            if reason not in self._texts:
                self._texts.append(reason)
            text = f"{head} ({self._texts.index(reason) + 1})"
        return f"[{colour}]{text}[/{colour}]" if colour else text

    def listed(self) -> list[str]:
        """The explanations, to stand below the tables."""
        return [f"({number}) {text}" for number, text in enumerate(self._texts, start=1)]


def number(value: float, form: str) -> str:
    """A number in a form such as ".1f"; a dash where there is none."""
    return format(value, form) if math.isfinite(value) else "–"


def signed(value: float) -> str:
    """A difference with its sign; a dash where there is none."""
    return number(value, "+.2f")


def interval_text(interval: Sequence[float]) -> str:
    """Both ends with their signs; a dash where there are none."""
    low, high = interval
    return f"{signed(low)} … {signed(high)}" if math.isfinite(low) else "–"


def spread(mean: float, deviation: float) -> str:
    """A mean and the standard deviation over seeds; a dash where there is none."""
    if math.isnan(mean):
        return "–"
    return f"{mean:.1f}" if math.isnan(deviation) else f"{mean:.1f} ±{deviation:.1f}"


def p_text(value: float) -> str:
    """Three decimals; a dash where there is none."""
    return number(value, ".3f")
