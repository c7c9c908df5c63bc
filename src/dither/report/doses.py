"""How much noise each arm had: λ, what it does to the outputs, and its energy, beside each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from dither.report.content import Column, Section, Table

_COLUMNS = (
    Column("task", "task"),
    Column("method", "method"),
    Column("asked", "λ asked for"),
    Column("noise_lambda", "λ"),
    Column("d", "functional dose d", ".4f"),
    Column("d_low", "its draws: from", ".4f"),
    Column("d_high", "to", ".4f"),
    Column("energy", "energy (rms of the noise)", ".3e"),
    Column("reference", "matched to"),
)


def doses(rows: Sequence[Mapping[str, Any]]) -> Section | None:
    """A table of the doses that a plan knows; None where it knows none.

    Args:
        rows: from `dither.results.dose_rows`.
    """
    if not rows:
        return None
    text = (
        "The same λ is not the same dose for every method. The functional dose d says what noise does: how "
        "far the last hidden states move, relative to their own spread, when a method's whole noise is added "
        "to the pretrained weights. The energy is the root mean square of the noise over all weights. Arms "
        "with λ “matched” have the d of their reference, arms with “energy” the energy of PATS. Equal d goes "
        "with unequal energy, since methods put their noise in different places. λ was found before the "
        "first run, on rows of the train split alone, and holds for all seeds. A dash: no noise that stays "
        "in the weights, or not measured."
    )
    shown = [
        {**row, "asked": _text(row["asked"]), "noise_lambda": _text(row["noise_lambda"])} for row in rows
    ]
    table = Table("doses", "Doses", _COLUMNS, tuple(shown))
    return Section("doses", "How much noise", (text,), tables=(table,))


def _text(value: Any) -> str | None:
    """A λ: a number, a word, or the values of several patterns."""
    if isinstance(value, Mapping):
        return ", ".join(f"{pattern} {number:g}" for pattern, number in value.items())
    return f"{value:g}" if isinstance(value, (int, float)) else value
