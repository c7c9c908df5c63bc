"""What was asked for and does not happen: noise of another dose, no gradient, no step. Each is said once."""

import logging
import math
from collections.abc import Sequence

from dither.core.noise import Change
from dither.methods.pats import PATS
from dither.steps.groups import GroupStates
from dither.steps.step_doses import Doses
from dither.steps.watch import Finding

logger = logging.getLogger("dither")

_OF_THE_NOISE = ("moved", "rewritten", "taken", "rounding", "range")
_UNCHANGED, _LOOKS = 0.75, (8, 32, 128, 512, 2048)  # share of elements; steps after which it is looked at
_CLOSE = 0.02  # relative: how far the dose may be off before it is said


class Notices:
    """Follows the run of one handle and compares it with what was planned.

    Attributes:
        steps: counted so far; where asking the device would wait, skipped ones are among them.
    """

    def __init__(self, method: PATS, groups: GroupStates, total_steps: int | None) -> None:
        self._method = method
        self._groups = groups
        self._total_steps = total_steps
        self._said: dict[str, str] = {}
        self._source: list[object] = []
        self._given: list[float] = []
        self._was_high = False
        self.steps = 0

    @property
    def message(self) -> str:
        """What a record has to say of the noise beside its numbers."""
        return "; ".join(text for what, text in self._said.items() if what in _OF_THE_NOISE)

    def begin(self) -> None:
        """Go on from what the groups hold, and say if no step of the run will add noise."""
        self.follow_state()
        factors = [factor for number, factor in enumerate(self._groups.factors) if number in self._noised()]
        if factors and not any(factor != 0.0 for factor in factors):
            self._say(
                "nothing",
                "no step of this run adds noise: of %d steps those from %s on may, and they are none, or "
                "their learning rates are 0; the first step never does",
                self._total_steps,
                f"{self._method.start}{'' if self._method.stop is None else f' to {self._method.stop - 1}'}",
            )

    def follow_state(self) -> None:
        """Read the state if it is new: at first, and after another one was loaded."""
        held = self._groups.held()
        if len(held) == len(self._source) and all(a is b for a, b in zip(held, self._source, strict=True)):
            return
        self._source = held
        self.steps, self._given = self._groups.step, self._groups.given()
        if self._groups.is_earlier:
            self._say(
                "earlier",
                "the state is of a run that was begun when every schedule was taken for a linear one; it "
                "goes on under that rule, as PATS(schedule='linear') does, and reset=True starts afresh",
            )
        planned = self._groups.planned_steps
        if planned is not None and planned != self._total_steps:
            self._say(
                "total_steps",
                "total_steps is %d, and the run that the state is of was planned for %d: its doses stay as "
                "planned, so noise_lambda is no longer the dose of the whole run; reset=True starts afresh",
                self._total_steps,
                planned,
            )

    def no_gradient(self) -> None:
        """The optimizer stepped and no parameter of it has a gradient."""
        self._say(
            "gradient",
            "the optimizer stepped and no parameter has a gradient, so nothing was noised and the step was "
            "not counted; gradients must still be there when optimizer.step() ends",
        )

    def hear(self, found: Finding) -> None:
        """Say what the sample of weights and gradients shows."""
        if found.moved:
            self._say(
                "moved",
                "the weights were changed by %.0f %% between attach and the first step, and std(W_0), which "
                "scales the noise, is that of before: attach after the weights are loaded, or once more now "
                "with reset=True",
                100.0 * found.moved,
            )
        if found.other:
            self._say(
                "rewritten",
                "something writes into .grad while the optimizer steps: afterwards the gradients differ by "
                "%.0f %% of their size from those that the step began with, so PATS measures the sensitivity "
                "by other numbers than the loss's gradients; use an optimizer that leaves .grad alone",
                100.0 * found.other,
            )
        if found.taken:
            self._say(
                "taken",
                "the noise does not stay in the weights: %.0f %% of what a step adds is gone after the next "
                "one, so the weights hold less noise than the record says. Optimizers that keep a copy of "
                "the weights of their own do so (schedule-free ones, Lookahead, MADGRAD, FTRL); use another "
                "one, or dither.NoisyTune, whose noise is there before any copy is made",
                100.0 * found.taken,
            )

    def hear_rounding(self, dtype: str, changes: Sequence[Change]) -> None:
        """Say if the noise of half-precision tensors is mostly lost: by the tensor in the middle.

        Without rounding about half of the elements of a tensor get no noise at a step, since they matter.
        """
        seen = sorted(1.0 - one.changed / one.elements for one in changes if one.elements)
        if not seen or seen[len(seen) // 2] <= _UNCHANGED:
            return
        asked, left = (sum(getattr(one, what) for one in changes) for what in ("requested", "energy"))
        self._say(
            "rounding",
            "rounding to %s swallows noise: at a step %.0f %% of a tensor's elements stay as they are, where "
            "about half would (the median of %d tensors; `unchanged` in the record), and %.0f %% of the "
            "noise's energy is left; use PATS(rounding='stochastic'), or weights in float32",
            dtype,
            100.0 * seen[len(seen) // 2],
            len(seen),
            100.0 * left / asked if asked else 0.0,
        )

    def hear_range(self, dtype: str, names: Sequence[str]) -> None:
        """Say which tensors got no noise since it might have taken them out of their range."""
        if names:
            self._say(
                "range",
                "tensor %r got no noise at some steps%s: its largest weights and the noise together would "
                "leave the range of %s; use a smaller noise_lambda, weights in float32 or bfloat16, or leave "
                "it out with exclude=%r",
                names[0],
                f", nor did {len(names) - 1} others" if len(names) > 1 else "",
                dtype,
                names[0],
            )

    def looks_at_rounding(self, *, late: bool = False) -> bool:
        """Whether it is time to, or, `late`, whether there is something to see by now."""
        is_time = self.steps >= _LOOKS[0] if late else self.steps in _LOOKS
        return is_time and self._was_high and "rounding" not in self._said

    def count(self, doses: Doses, *, waits: bool) -> None:
        """A step was counted; say once if the run is longer than planned, or its dose another."""
        self.steps = self.steps + 1 if waits else self._groups.step
        shares = zip(doses.values, self._groups.factors, strict=True)
        # The noise of a warm-up is small, and not what most steps get.
        self._was_high |= any(
            not factor or not isinstance(value, float) or value >= 0.5 * factor for value, factor in shares
        )
        if self._total_steps is not None and self.steps == self._total_steps + 1:
            self._say(
                "longer",
                "step %d of a run that was planned for %d optimizer steps; noise_lambda is no longer the "
                "dose of the whole run (total_steps counts optimizer steps, not batches)",
                self.steps,
                self._total_steps,
            )
        if not doses.counted:
            return
        numbers = [math.nan if not isinstance(value, float) else value for value in doses.values]
        if self.steps in self._method.noise_steps(self.steps):
            pairs = zip(self._given, numbers, strict=True)
            self._given = [given + number**2 for given, number in pairs]
        total = self._groups.planned_steps or 0
        if self.steps == total:
            self._say_dose(self._given)
        elif self.steps < total and max(self._given) > (1.0 + _CLOSE) ** 2:  # it can only grow
            ahead = self._left(total)
            ends = [given + ahead * number**2 for given, number in zip(self._given, numbers, strict=True)]
            above = [given if given > 1.0 else math.nan for given in self._given]
            self._say_dose(above, ends)

    def end(self) -> None:
        """The run is over, or nobody listens any more: say what did not happen."""
        self.steps = self._groups.step
        if self.steps == 0:
            self._say(
                "steps",
                "no optimizer step was counted, so nothing was noised; was the optimizer stepped at all?",
            )
        elif self._groups.planned_steps is not None:
            self._say_dose(self._groups.given())

    def _left(self, total: int) -> int:
        """How many steps with noise are to come."""
        steps = self._method.noise_steps(total)
        done = 0 if self.steps < steps.start else 1 + (self.steps - steps.start) // steps.step
        return max(0, len(steps) - done)

    def _say_dose(self, given: list[float], ends: list[float] | None = None) -> None:
        """Say once if the dose is another than noise_lambda, of the group where it is farthest off."""
        noised = [
            number
            for number in self._noised()
            if self._groups.factors[number] and not math.isnan(given[number])
        ]
        if not noised:
            return
        number = max(noised, key=lambda one: abs(math.sqrt(given[one]) - 1.0))
        times = math.sqrt(given[number])
        if abs(times - 1.0) <= _CLOSE:
            return
        ahead = ""
        if ends is not None:
            ahead = (
                f"; if the learning rate stays where it is, {math.sqrt(ends[number]):.2f} times at the end"
            )
        self._say(
            "dose",
            "after step %d of %s the noise has %.2f times the dose that noise_lambda asks for%s. The "
            "learning rates or steps are not those planned, or linear decay where no schedule was given: "
            "dither.attach(..., schedule=scheduler)",
            self.steps,
            self._groups.planned_steps,
            times,
            ahead,
        )

    def _noised(self) -> set[int]:
        return {number for number, _ in self._groups.noised()}

    def _say(self, what: str, text: str, *values: object) -> None:
        if what not in self._said:
            self._said[what] = text % values if values else text
            logger.warning(f"PATS: {text}", *values)
