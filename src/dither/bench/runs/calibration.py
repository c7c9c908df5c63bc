"""The functional dose of a task's arms, measured before its first run; and λ where it was asked for in words.

The model has its pretrained weights and a head of a seed that no run has. What is measured on are rows of the
train split alone, chosen by `dither.bench.plans.matching`; no evaluation split comes this far.
"""

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dither.bench.data.rows import Row
from dither.bench.heads import HEADS
from dither.bench.models.loading import ModelSource, load_model, load_tokenizer
from dither.bench.plans.settings import STRENGTH
from dither.bench.tasks.task import Task
from dither.bench.tasks.variations import base_of, settings_of, spelled
from dither.methods.registry import MATCHED, create_method, method_info

if TYPE_CHECKING:
    from dither.dose import FunctionalDose

BATCHES = 8
"""On which sensitivities are measured."""
_READ = 32  # inputs that are read at a time, without gradients
_HEAD_SEED = 2**40  # of the new head; runs have seeds below 2^32


@dataclass(frozen=True)
class Calibration:
    """What is to be measured on one task.

    Attributes:
        task: whose training it is.
        source: the model.
        states: rows on which outputs are read.
        labelled: other rows, in their order, on which sensitivities are measured; after the last one the
            first comes again, as in the next epoch of a run.
        batch_size: inputs in a batch of the latter.
        parts: in which a run computes its batches, on one device or several.
        max_length: to which inputs are cut.
        steps: of a run's optimizer, about.
        arms: name -> all settings; λ is a number, or a word.
        references: word -> what it refers to: a name of the registry and all settings.
        threads: of torch.
        dtype: of the weights.
        matches: for arms whose λ is a number, find the λ that "matched" would stand for, too.
        head_weights: "new" for a head of a seed that no run has, "file" for that of the model's file.
    """

    task: Task
    source: ModelSource
    states: Sequence[Row]
    labelled: Sequence[Row]
    batch_size: int
    parts: int
    max_length: int
    steps: int
    arms: Mapping[str, dict[str, Any]]
    references: Mapping[str, tuple[str, dict[str, Any]]]
    threads: int
    dtype: str
    matches: bool = False
    head_weights: str = "new"

    def __str__(self) -> str:
        return f"measuring doses on {self.task.name}"


def calibrate(request: Calibration) -> dict[str, dict[str, Any]]:
    """Measure the arms of a task, and find λ where it is asked for in words.

    The global random state and the number of threads are afterwards what they were.

    Returns:
        Arm -> `noise_lambda`, `d`, `draws`, `energy`, `rows`; and, where λ was a word, `reference`: `method`,
        `settings`, `noise_lambda`, `d` and `energy` of what it refers to. Or `error`: why there is none. If
        `matches` is asked for, `matched`: that λ, or None with `why` there is none.
    """
    with _threads(request.threads):
        meter = _Meter(request)
        found = {}
        for arm, settings in request.arms.items():
            found[arm] = meter.dose(arm, settings)
            if request.matches:
                found[arm] |= meter.match(arm, settings)
        return found


def number_instead(arm: str) -> str:
    """How to give an arm a number for its λ, as users type it.

    Example:
        >>> number_instead("pats"), number_instead("pats@noise_lambda=matched,beta=0.9")
        ('--set pats.noise_lambda=0.15', 'pats@noise_lambda=0.15,beta=0.9')
    """
    settings, number = settings_of(arm), method_info(base_of(arm)).settings[STRENGTH]
    if STRENGTH in settings:
        return spelled(base_of(arm), {**settings, STRENGTH: number})
    return f"--set {base_of(arm)}.{STRENGTH}={number}"


class _Meter:
    """Measures methods on the model of a request."""

    def __init__(self, request: Calibration) -> None:
        import torch

        from dither.dose import DoseMeter

        self._request, learned = request, request.task.learned
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model, tokenizer, head = (
            _model(request).to(device),
            load_tokenizer(request.source),
            HEADS[learned.head],
        )
        states, labelled = (
            head.encode(learned, rows, tokenizer, request.max_length)[:]
            for rows in (request.states, request.labelled)
        )
        by_length = sorted(states, key=lambda one: len(one["input_ids"]))  # so that they pad little
        read = [by_length[at : at + _READ] for at in range(0, len(states), _READ)]
        taken, collate = inspect.signature(model.forward).parameters, head.collator(tokenizer)

        def batch(inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
            # Tokenizers may give more than a model takes, as for the Trainer.
            return dict(collate([{key: one[key] for key in one if key in taken} for one in inputs]))

        self._meter = DoseMeter(
            model,
            list(map(batch, read)),
            sensitivity_batches=[
                list(map(batch, _parted(rows, request.parts)))
                for rows in _rounds(labelled, request.batch_size)
            ],
            total_steps=request.steps,
        )

    def dose(self, arm: str, settings: dict[str, Any]) -> dict[str, Any]:
        """What one arm does; see `calibrate`."""
        method, asked = create_method(base_of(arm), **settings), settings[STRENGTH]
        try:
            if asked not in self._request.references:
                return {"noise_lambda": asked, **_numbers(self._meter.dose(method))}
            name, own = self._request.references[asked]
            if asked == MATCHED:
                found = self._meter.match(method, create_method(name, **own))
            else:
                found = self._meter.match_energy(method, self._energetic(name, own))
        except ValueError as error:
            return {"error": f"task {self._request.task.name!r}, method {arm!r}: {error}"}
        strength, goal = found.noise_lambda, found.reference
        reference = {"method": name, "settings": own, "noise_lambda": goal.noise_lambda}
        reference |= {"d": goal.d, "energy": goal.energy}
        return {"noise_lambda": strength, **_numbers(found.dose), "reference": reference}

    def match(self, arm: str, settings: dict[str, Any]) -> dict[str, Any]:
        """The λ of an arm that has the d of the reference."""
        name, own = self._request.references[MATCHED]
        if not isinstance(settings[STRENGTH], Mapping):  # whose proportions stay
            settings = {**settings, STRENGTH: MATCHED}
        method, reference = create_method(base_of(arm), **settings), create_method(name, **own)
        try:
            return {"matched": self._meter.match(method, reference).noise_lambda}
        except ValueError as error:
            return {"matched": None, "why": f"task {self._request.task.name!r}, method {arm!r}: {error}"}

    def _energetic(self, name: str, settings: dict[str, Any]) -> "FunctionalDose":
        """The dose whose energy is asked for, at the λ that its method has."""
        method = create_method(name, **settings)
        if settings[STRENGTH] != MATCHED:
            return self._meter.dose(method)
        goal, own = self._request.references[MATCHED]
        return self._meter.match(method, create_method(goal, **own)).dose


def _numbers(found: "FunctionalDose") -> dict[str, Any]:
    """All that was measured; the method's settings stand elsewhere."""
    return {name: value for name, value in found.to_json().items() if name not in ("method", STRENGTH)}


def _rounds(inputs: Sequence[Any], size: int) -> list[list[Any]]:
    """So many batches, from the first input on; after the last one the first comes again.

    Example:
        >>> _rounds("abc", 2)[:3], _rounds("", 2)
        ([['a', 'b'], ['c', 'a'], ['b', 'c']], [])
    """
    size = min(size, len(inputs))
    places = range(BATCHES * size)
    return [
        [inputs[place % len(inputs)] for place in places[at : at + size]]
        for at in range(0, len(places), size or 1)
    ]


def _parted(inputs: Sequence[Any], parts: int) -> list[Sequence[Any]]:
    """Parts of one size of a batch; a batch that cannot be cut so is its only part.

    Example:
        >>> _parted("abcd", 2), _parted("abc", 2)
        (['ab', 'cd'], ['abc'])
    """
    size, left = divmod(len(inputs), parts)
    return [inputs] if left or not size else [inputs[at : at + size] for at in range(0, len(inputs), size)]


def _model(request: Calibration) -> Any:
    """The pretrained weights under a head that is the same for every calibration of them."""
    import torch

    with torch.random.fork_rng(devices=[]):  # the head is drawn on the CPU
        torch.default_generator.manual_seed(_HEAD_SEED)
        return load_model(
            request.source, request.task.learned, request.dtype, head_weights=request.head_weights
        )


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
