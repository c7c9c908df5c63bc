"""How verdicts stand in tables."""

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
