"""Measures doses: what several of them share is computed once."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from dither.core.accumulated_weights import accumulated_weights
from dither.core.draws import check_seed
from dither.core.hidden_states import HiddenStates
from dither.core.selection import Strength
from dither.dose.doses import FunctionalDose, MatchedDose
from dither.dose.search import Search
from dither.dose.whole_noise import Batch, Part, WholeNoise, gradients, share_of_dose, whole_parameters
from dither.marks import Mark, ModelMarks
from dither.methods.noisytune import NoisyTune
from dither.methods.pats import PATS
from dither.methods.plain import Plain
from dither.methods.settings import check_whole, is_unresolved, resolved
from dither.methods.targets import Target, finite_moments, targets

Method = NoisyTune | PATS | Plain
Batches = Iterable[Mapping[str, Any]]
Labelled = Iterable[Batch]

SENSITIVITY_BATCHES = 8
"""How many labelled batches callers use to follow sensitivity, and how many are taken of `batches`."""


class DoseMeter:
    """Measures many doses on one model and the same rows; what they share is computed once.

    The model may not be trained, moved or noised while its meter is used.

    Args:
        model, batches, sensitivity_batches, seed, draws, total_steps: see `functional_dose`.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        *,
        sensitivity_batches: Labelled | None = None,
        seed: int = 0,
        draws: int = 2,
        total_steps: int | None = None,
    ) -> None:
        check_whole("draws", draws, least=1)
        if total_steps is not None:
            check_whole("total_steps", total_steps, least=1)
        self._model, self._seed, self._draws = model, check_seed(seed), draws
        self._total_steps = total_steps
        self._rows = whole_parameters(model)
        ModelMarks(model).check(Mark("", {}), again=True)
        self._batches = _listed(batches, "batches")
        self._labelled: list[Batch] | None = None
        if sensitivity_batches is not None:
            self._labelled = _listed_parts(sensitivity_batches)
        self._states: HiddenStates | None = None
        self._known: dict[str, FunctionalDose] = {}
        self._weights: tuple[str, dict[str, Tensor]] = "", {}

    def dose(self, method: Method) -> FunctionalDose:
        """The dose of a method; see `functional_dose`."""
        found = self._dose(method)
        if not math.isfinite(found.d):
            raise ValueError(
                f"with the noise of {method.family} at noise_lambda {found.noise_lambda} the last hidden "
                "states hold NaN or infinite values; take a smaller one"
            )
        return found

    def match(self, method: Method, reference: Method | FunctionalDose) -> MatchedDose:
        """The λ of a method at which its d is a reference's; see `match_dose`."""
        goal = reference if isinstance(reference, FunctionalDose) else self.dose(reference)
        if goal.d == 0.0:
            raise ValueError(
                f"the reference {goal.method.get('method')} moves nothing at noise_lambda "
                f"{goal.noise_lambda} (d is 0), so there is no dose to match; take a reference with "
                "noise in what the last hidden states depend on"
            )
        start = self._start(method, goal)
        search = Search(lambda factor: self._dose(resolved(method, _scaled(start, factor))), goal.d)
        first = search.at(1.0)
        if first.d == 0.0:
            self._refuse_still(resolved(method, start), first)
        return search.matched(goal)

    def match_energy(self, method: Method, reference: FunctionalDose) -> MatchedDose:
        """The λ of a method at which its energy is a reference's; see `match_energy`."""
        if reference.energy == 0.0:
            raise ValueError(
                f"the reference {reference.method.get('method')} has no noise (energy 0), so there is no "
                "energy to match; take one with noise"
            )
        start = self._start(method, reference)
        energy = self.noise_of(resolved(method, start)).energy
        if energy == 0.0:
            self._refuse_still(resolved(method, start), None)
        found = self.dose(resolved(method, _scaled(start, reference.energy / energy)))
        assert found.noise_lambda is not None
        return MatchedDose(
            noise_lambda=found.noise_lambda, dose=found, reference=reference, by="energy", tried=()
        )

    def _start(self, method: Method, goal: FunctionalDose) -> Strength:
        """Where the search begins: the method's own λ where it has one above 0."""
        if isinstance(method, Plain):
            raise ValueError("plain fine-tuning has no noise at any strength, so its dose is 0 and stays it")
        own = method.noise_lambda
        if is_unresolved(method) or own == 0.0:
            own = (
                goal.noise_lambda if isinstance(goal.noise_lambda, float) and goal.noise_lambda > 0 else 0.15
            )
        assert not isinstance(own, str)
        return own

    def _refuse_still(self, method: Method, dose: FunctionalDose | None) -> None:
        noise = self.noise_of(method)
        reasons = sorted({row.reason or "" for row in noise.skipped})
        why = f"all {len(noise.skipped)} tensors are left alone ({', '.join(reasons)})"
        if noise.parts:
            why = (
                "what it noises does not reach the last hidden states at these weights, such as a head that "
                "was put on top, or the first matrix of a fresh LoRA"
            )
            if noise.energy == 0.0:
                why = "the gradient of what it noises is 0 at these weights, as in a fresh LoRA"
        raise ValueError(
            f"{method.family} moves nothing at any noise_lambda, so no dose can be matched: {why}; change "
            "what it noises (include, exclude, scope, vectors)"
        )

    def _dose(self, method: Method) -> FunctionalDose:
        """The dose, also where it is not finite."""
        key = repr(method)
        if key not in self._known:
            noise = self.noise_of(method)
            draws = (0.0,) * self._draws
            if self._states is None:
                self._states = HiddenStates(self._model, self._batches)
            if noise.parts and noise.energy > 0.0:
                draws = tuple(self._moved(noise, draw) for draw in range(self._draws))
            self._known[key] = self._described(method, noise, draws)
        return self._known[key]

    def _described(self, method: Method, noise: WholeNoise, draws: tuple[float, ...]) -> FunctionalDose:
        assert self._states is not None
        return FunctionalDose(
            d=math.fsum(draws) / len(draws) if all(map(math.isfinite, draws)) else math.nan,
            draws=draws,
            noise_lambda=None if isinstance(method, Plain) else method.noise_lambda,  # type: ignore[arg-type]
            energy=noise.energy,
            kind=method.noise_kind,  # type: ignore[arg-type]
            rows=self._states.rows,
            tokens=self._states.tokens,
            first_left_out=self._states.first_left_out,
            sensitivity_batches=len(self._sensitivity_batches()) if isinstance(method, PATS) else 0,
            seed=self._seed,
            method=noise.recipe,
        )

    def _moved(self, noise: WholeNoise, draw: int) -> float:
        """d of one draw."""
        assert self._states is not None
        with noise.added(self._seed, draw):
            return self._states.displacement()

    def noise_of(self, method: Method) -> WholeNoise:
        """What a run of the method adds to each tensor, all in all."""
        if isinstance(method, Plain):
            return WholeNoise({"method": Plain.family}, [], [], self._size())
        if not isinstance(method, NoisyTune | PATS):
            raise TypeError(
                f"method is {method!r}; a dose can be measured of dither.NoisyTune(...), dither.PATS(...) "
                "and plain fine-tuning"
            )
        recipe = {key: value for key, value in method.recipe(0).items() if key != "seed"}
        rows = targets(self._model, method)
        named = {row.named.name: row for row in rows if row.reason is None}
        found = dict(zip(named, finite_moments(list(named.values())), strict=True))
        if isinstance(method, NoisyTune):
            stds, constant = method.spreads(found)
        else:
            stds = {name: one.std for name, one in found.items()}
            constant = {name for name, std in stds.items() if std == 0.0}
        noised = [row for name, row in named.items() if name not in constant]
        skipped = [row for row in rows if row.reason is not None]
        skipped += [replace(named[name], reason="constant") for name in constant]
        weights: Mapping[str, Tensor] = {}
        share = 1.0
        if isinstance(method, PATS):
            share = share_of_dose(method, self._total_steps)
            weights = self._weights_of(method, noised) if noised else {}
        parts = [
            Part(row, method, stds[row.named.name] * share, weights.get(row.named.name)) for row in noised
        ]
        return WholeNoise(recipe, parts, skipped, self._size())

    def _size(self) -> int:
        return sum(row.parameter.numel() for row in self._rows)

    def _weights_of(self, method: PATS, rows: Sequence[Target]) -> dict[str, Tensor]:
        """R of each tensor, kept for the same rule at another λ."""
        names = [row.named.name for row in rows]
        rule = (method.rule, method.across, method.average, names)
        if self._weights[0] != repr(rule):
            self._weights = "", {}  # frees the old ones first
            parameters = [row.named.parameter for row in rows]
            found = accumulated_weights(
                parameters,
                gradients(self._model, parameters, self._sensitivity_batches()),
                method.rule,
                shared_mean=method.across == "model",
                average=getattr(torch, method.average),
            )
            self._weights = repr(rule), dict(zip(names, found, strict=True))
        return self._weights[1]

    def _sensitivity_batches(self) -> Sequence[Batch]:
        if self._labelled is not None:
            return self._labelled
        return list(islice(self._batches, SENSITIVITY_BATCHES))


def _listed(batches: Batches, option: str) -> list[Mapping[str, Any]]:
    with torch.random.fork_rng(devices=[]):  # a DataLoader draws when it begins
        listed = [batches] if isinstance(batches, Mapping) else list(batches)
    for number, batch in enumerate(listed):
        if not isinstance(batch, Mapping):
            raise TypeError(
                f"{option}[{number}] is a {type(batch).__name__}; each batch is a mapping of the model's "
                "inputs, such as {'input_ids': ..., 'attention_mask': ...}"
            )
    if not listed:
        raise ValueError(f"{option} is empty; give batches of the train split, 96 to 128 rows in all")
    return listed


def _listed_parts(batches: Labelled) -> list[Batch]:
    """The batches; those in parts are lists."""
    listed: list[Batch] = []
    with torch.random.fork_rng(devices=[]):
        listed += [batches] if isinstance(batches, Mapping) else batches
    parts: list[Any] = [one if isinstance(one, list | tuple) else [one] for one in listed]
    _listed([part for own in parts for part in own], "sensitivity_batches")
    return listed


def _scaled(strength: Strength, factor: float) -> Strength:
    """λ times a factor, to three significant digits."""
    if isinstance(strength, Mapping):
        return {pattern: _three_digits(value * factor) for pattern, value in strength.items()}
    return _three_digits(strength * factor)


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")
