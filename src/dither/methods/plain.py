"""No noise: what every method is compared with."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Plain:
    """Plain fine-tuning, bit for bit: nothing is read, drawn or written.

    Args:
        seed: accepted like every method's, and without effect.

    Example:
        >>> Plain().when
        'never'
    """

    seed: int | None = None

    family: ClassVar[str] = "none"
    when: ClassVar[str] = "never"
    noise_kind: ClassVar[str] = "none"
