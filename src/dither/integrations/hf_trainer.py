"""NoiseCallback: NoisyTune and PATS in the Hugging Face Trainer, by one line.

The logic is `dither.apply_` and `dither.attach`; this file only says when. Do without it: call `apply_`
before training, and `attach` on the optimizer once its scheduler is made.
"""

import json
import logging
import os
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn
from transformers import TrainerCallback

from dither.apply import Plan, apply_
from dither.attachment import Handle, attach
from dither.core.schedules import EARLIER_SCHEDULE
from dither.marks import ModelMarks
from dither.methods.noisytune import NoisyTune
from dither.methods.pats import PATS
from dither.methods.plain import Plain
from dither.methods.settings import recipe_hash, seed_of, strength
from dither.record import Record
from dither.steps import KEY
from dither.steps.optimizers import base_optimizer
from dither.steps.rates import UnknownRatesError

logger = logging.getLogger("dither")

Method = NoisyTune | PATS | Plain

RECORD_FILE = "dither.json"
"""In every checkpoint: the records, by family. An adapter's checkpoint has no other place for them."""


_APPLIED = "dither_noisytune_applied"  # in the log history, where the model was noised before, too
_JOINED = "_dither_callbacks"  # on the Trainer's state while it trains: the callback of each family
_TITLES = {"noisytune": "NoisyTune", "pats": "PATS"}
_OF_REFERENCES = ("ref_model_init_kwargs", "precompute_ref_log_probs", "sync_ref_model")

PROCESSES = "dither_processes"
"""In the log history, at each change from one process: how many train. Each has its part of a checkpoint."""


class NoiseCallback(TrainerCallback):
    """Fine-tune with noise: add it to the Trainer's callbacks.

    NoisyTune noises the weights once, before the first step, and never again: not on resume, not when
    `train()` is called again, not when `auto_find_batch_size` starts over. PATS adds noise after each
    optimizer step; a run that starts over starts its averages over. Both resume exactly from the Trainer's
    own checkpoints, with the settings and the seed of the first start; anything else is refused. Under DDP
    every process adds the same noise to its replica.

    The noise of PATS is divided among the steps by the Trainer's own scheduler, so `noise_lambda` is the dose
    of the whole run under any `lr_scheduler_type`; where a scheduler follows a metric, linear decay is taken,
    and the log says so.

    What was noised, and how much, goes into the Trainer's log history (`dither_<family>_...`), into
    `dither.json` of each checkpoint, and to the reporters that come after this callback. The Trainer puts
    those of `report_to` before it; to have the numbers there, too, pass the reporter itself in `callbacks`,
    after this one. Several NoiseCallbacks in one Trainer work together, with at most one method of a family.

    A trainer that compares with a reference model (TRL's DPO and its like) has made it before this callback
    runs, so it gets no noise; the log says so.

    With PEFT and `NoisyTune(frozen=True)` an adapter's checkpoint lacks the noise of the frozen base. Resume
    adds it again; before using the adapter elsewhere, call `dither.noisytune_` with the same settings on the
    base model, then load the adapter.

    Args:
        *methods: at most one `dither.NoisyTune` and one `dither.PATS`; none at all is plain training. A
            method whose seed is None takes `TrainingArguments.seed`.
        again: NoisyTune noises also a model that an earlier stage of fine-tuning noised: once, with fresh
            draws, and not again on resume. Otherwise its own recipe does nothing a second time, and another
            one is refused.

    Attributes:
        records: the `dither.Record` of each method that is at work, by family ("noisytune", "pats").

    Example:
        >>> import dither
        >>> callback = NoiseCallback(dither.NoisyTune(noise_lambda=0.15), dither.PATS())
        >>> # trainer = Trainer(..., callbacks=[callback])
    """

    def __init__(self, *methods: Method, again: bool = False) -> None:
        for method in methods:
            if not isinstance(method, Method):
                raise TypeError(
                    f"NoiseCallback takes dither.NoisyTune and dither.PATS objects one by one, not {method!r}"
                )
            if not isinstance(method, Plain):
                strength(method)  # refuses what has no number yet
        self._methods = methods
        self._again = again
        self.noisytune: NoisyTune | None = _only([row for row in methods if isinstance(row, NoisyTune)])
        self.pats: PATS | None = _only([row for row in methods if isinstance(row, PATS)])
        self.handle: Handle | None = None
        self._noisytune_record: Record | None = None
        self._noised: weakref.ref[nn.Module] | None = None
        self._untold: dict[str, float] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Searches with Ray copy the Trainer; no weak reference and no other run's optimizer may go along.
        return self.__dict__ | {"handle": None, "_noised": None}

    @property
    def records(self) -> dict[str, Record]:
        """What was noised so far, by the family of the method."""
        found = {
            "noisytune": self._noisytune_record,
            "pats": None if self.handle is None else self.handle.record(),
        }
        return {family: record for family, record in found.items() if record is not None}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Noise the weights, or adopt what a checkpoint brought, and attach to the optimizer."""
        model, optimizer, resumed = kwargs["model"], kwargs["optimizer"], state.global_step > 0
        _join(self, self._families, state)
        if not self._methods:
            logger.warning("NoiseCallback has no methods: this is plain training")
        if self.pats is not None:
            base_optimizer(optimizer)  # refuses what it cannot serve before a weight is written
        if resumed:
            self._check_resumed(args.seed, state, optimizer)
        if self.noisytune is not None:
            again = self._again and not self._is_kept(model)
            if resumed:
                record = _adopt(model, self.noisytune, args.seed, again, _history(state).get(_APPLIED, 1))
            else:
                record = apply_(model, self.noisytune, seed=args.seed, again=again)
            self._keep(record, model)
            _say_if_a_reference_has_no_noise(args)
        if self.pats is not None:
            planned = {"total_steps": state.max_steps, "seed": args.seed, "reset": not resumed}
            self.handle = _attached(self.pats, optimizer, model, kwargs.get("lr_scheduler"), **planned)
        self._untold = {}
        if not resumed and state.is_world_process_zero and self.records:
            self._untold = self._entries("noisytune")
            entry = self._first_entry(args.seed, state) | {"step": state.global_step}
            if self.noisytune is not None and (applied := ModelMarks(model).applied) > 1:
                entry[_APPLIED] = applied
            state.log_history.append(entry)
        _note_processes(args.world_size, state)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuse a resumed run that lacks a method of the first start: by now all callbacks have begun."""
        if state.global_step == 0:
            return
        for family, title in _TITLES.items():
            theirs = _history(state).get(f"dither_{family}_recipe")
            if theirs is not None and family not in state.__dict__[_JOINED]:
                raise _other_recipe(state.global_step, title, theirs, None)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take up parameter groups that were added since, as by gradual unfreezing."""
        if self.handle is not None and self.pats is not None and self.handle.is_outgrown:
            planned = {"total_steps": state.max_steps, "seed": args.seed}
            model, optimizer, scheduler = (kwargs.get(key) for key in ("model", "optimizer", "lr_scheduler"))
            self.handle = _attached(self.pats, optimizer, model, scheduler, **planned)  # type: ignore[arg-type]

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Add the noise so far to what the Trainer logs of training; evaluations stay as they are."""
        if not logs or not {"loss", "train_loss"} & logs.keys() or not state.is_world_process_zero:
            return
        told = ("noise_rms", "dose_given")
        entries = {key: value for key, value in self._entries("pats").items() if key.endswith(told)}
        logs.update(self._untold | entries)
        self._untold = {}
        if state.log_history and state.log_history[-1].get("step") == state.global_step:
            state.log_history[-1].update(entries)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put the records into the checkpoint."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if not state.is_world_process_zero or not folder.is_dir():
            return
        callbacks = {id(one): one for one in state.__dict__.get(_JOINED, {}).values()}
        records = {
            family: record.to_json()
            for callback in callbacks.values()
            for family, record in callback.records.items()
        }
        if not records:
            return
        partial = folder / f"{RECORD_FILE}.partial"
        partial.write_text(json.dumps(records, indent=1), encoding="utf-8")
        os.replace(partial, folder / RECORD_FILE)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop listening; the records stay."""
        if self.handle is not None:
            self.handle.detach()

    @property
    def _families(self) -> dict[str, Any]:
        methods = [method for method in (self.noisytune, self.pats) if method is not None]
        return {method.family: method for method in methods}

    def _recipes(self, seed: int) -> dict[str, str]:
        methods = self._families.items()
        return {family: recipe_hash(method.recipe(seed_of(method, seed))) for family, method in methods}

    def _earlier_recipe(self, seed: int) -> str | None:
        """That of a run of the same settings from before the schedule counted; it goes on as it began."""
        if self.pats is None:
            return None
        earlier = replace(self.pats, schedule=EARLIER_SCHEDULE)
        return recipe_hash(earlier.recipe(seed_of(earlier, seed)))

    def _first_entry(self, seed: int, state: Any) -> dict[str, Any]:
        """What the log history keeps of the start; a resumed run is checked against it."""
        entry: dict[str, Any] = {f"dither_{name}_recipe": text for name, text in self._recipes(seed).items()}
        if self.pats is not None and not self.pats.per_step:
            entry["dither_pats_total_steps"] = state.max_steps
        return entry | self._entries("noisytune") | self._entries("pats")

    def _check_resumed(self, seed: int, state: Any, optimizer: Any) -> None:
        """Refuse a checkpoint of other methods, settings or seed: its log history tells them."""
        first, earlier = _history(state), self._earlier_recipe(seed)
        for family, ours in self._recipes(seed).items():
            theirs = first.get(f"dither_{family}_recipe")
            if theirs != ours and not (family == "pats" and theirs is not None and theirs == earlier):
                raise _other_recipe(state.global_step, _TITLES[family], theirs, ours)
        if self.pats is None:
            return
        if not all("std" in group.get(KEY, {}) for group in base_optimizer(optimizer).param_groups):
            raise ValueError(
                f"training resumes at step {state.global_step} from a checkpoint without the optimizer's "
                "state, where PATS keeps its averages; it was saved with save_only_model=True. Resume from a "
                "whole checkpoint, or start afresh"
            )
        planned = first.get("dither_pats_total_steps", state.max_steps)
        # Where the state itself says for how many steps it was planned, `attach` compares them.
        told = all("total_steps" in group[KEY] for group in base_optimizer(optimizer).param_groups)
        if planned != state.max_steps and not told:
            logger.warning(
                "PATS: the run was planned for %d optimizer steps and goes on as one of %d, so its dose per "
                "step changes here and noise_lambda is no longer the dose of the whole run",
                planned,
                state.max_steps,
            )

    def _keep(self, record: Record, model: nn.Module) -> None:
        """Keep the record, but not that of a repetition instead of the first one's."""
        earlier, same = self._noisytune_record, self._is_kept(model)
        if not (record.message and same and earlier and earlier.recipe_hash == record.recipe_hash):
            self._noisytune_record, self._noised = record, weakref.ref(model)

    def _is_kept(self, model: nn.Module) -> bool:
        """Whether this callback noised the model before."""
        return self._noised is not None and self._noised() is model and self._noisytune_record is not None

    def _entries(self, family: str) -> dict[str, float]:
        record = self.records.get(family)
        if record is None:
            return {}
        counts = record.counts()
        entries = {
            f"dither_{family}_tensors": float(counts["noised"]),
            f"dither_{family}_skipped": float(counts["skipped"]),
            f"dither_{family}_noise_rms": record.root_mean_square("effective"),
        }
        if record.dose_given is not None:
            entries[f"dither_{family}_dose_given"] = record.dose_given
        return entries


def _attached(method: PATS, optimizer: Any, model: nn.Module, scheduler: Any, **planned: Any) -> Handle:
    """PATS with the doses of the scheduler's learning rates, or, said aloud, of linear decay."""
    if not method.is_normalised:
        return attach(method, optimizer, model, **planned)
    try:
        return attach(method, optimizer, model, **planned, schedule=scheduler)
    except UnknownRatesError as error:
        logger.warning(
            "PATS: %s. Linear decay is taken instead: under a constant learning rate the noise has 1.73 "
            "times the dose that noise_lambda asks for. Where the learning rate may rise, give the highest "
            "of the run: PATS(lr_max=...)",
            error,
        )
        return attach(method, optimizer, model, **planned)


def _note_processes(processes: int, state: Any) -> None:
    """Keep how many processes train from here on, and say what another number changes."""
    before = next((row[PROCESSES] for row in reversed(state.log_history) if PROCESSES in row), 1)
    if processes == before:
        return
    if state.global_step > 0:
        logger.warning(
            "%d processes trained so far, now %d: same noise, other order of data", before, processes
        )
    if state.is_world_process_zero:
        state.log_history.append({PROCESSES: processes, "step": state.global_step})


def _join(callback: NoiseCallback, families: dict[str, Any], state: Any) -> None:
    """Tell the callbacks of one training of each other, by what they all see and no checkpoint keeps."""
    joined = state.__dict__.setdefault(_JOINED, {})
    for family, method in families.items():
        other = joined.setdefault(family, callback)
        if other is not callback:
            raise ValueError(
                f"two NoiseCallbacks of this Trainer have a {type(method).__name__} each, and the second "
                f"would replace the first: {other._families[family]} and {method}; give it to one of them"
            )


def _history(state: Any) -> dict[str, Any]:
    """What the log history tells of the noise."""
    found: dict[str, Any] = {}
    for entry in state.log_history:
        found |= {key: value for key, value in entry.items() if key.startswith("dither_")}
    return found


def _other_recipe(step: int, title: str, theirs: str | None, ours: str | None) -> ValueError:
    return ValueError(
        f"training resumes at step {step} from a checkpoint "
        f"{f'with {title} recipe {theirs}' if theirs else f'without {title}'}, now "
        f"{f'recipe {ours}' if ours else f'no {title}'} is asked for; resume with the methods, "
        "the settings and the seed of the first start, or start afresh"
    )


def _say_if_a_reference_has_no_noise(args: Any) -> None:
    """The reference model of TRL's trainers is made before training begins, and no callback is shown it."""
    if any(name in vars(args) for name in _OF_REFERENCES):
        logger.warning(
            "NoisyTune noised the model that is trained; a reference model that the trainer made before, as "
            "for DPO, has no noise, so the two differ from the first step on. For equal ones call "
            "dither.noisytune_ on both with the same settings and seed before the trainer is made, pass "
            "ref_model=, and leave NoisyTune out of NoiseCallback"
        )


def _adopt(model: nn.Module, method: NoisyTune, seed: int, again: bool, applied: int) -> Record:
    """Mark weights that came with their noise; add it again to what an adapter's checkpoint lacks."""
    plan, marks = Plan(model, method, seed), ModelMarks(model)
    is_adapter = hasattr(model, "peft_config")
    lost = [row for row in plan.noised if is_adapter and not row.named.parameter.requires_grad]
    if lost and not marks.check(plan.mark, again=again):
        if method.across == "model":
            raise ValueError(
                "NoisyTune(frozen=True, across='model') cannot be resumed with an adapter: the noise of its "
                "frozen base would have to be drawn again, and the one std over all weights is gone with the "
                "adapter's first values; start afresh, or use across='tensor'"
            )
        plan.rows = [row if row in lost else _came(row) for row in plan.rows]
        plan.measure()
        return plan.write(marks)
    if plan.noised:
        marks.adopt(plan.mark, applied)
    return plan.record(message="resumed: the checkpoint's weights carry the noise, nothing was done")


def _came(row: Any) -> Any:
    return row if row.reason else replace(row, reason="came with the checkpoint")


def _only(methods: list[Any]) -> Any:
    if len(methods) > 1:
        raise ValueError(
            f"NoiseCallback takes one {type(methods[0]).__name__}, {len(methods)} were given: {methods}"
        )
    return methods[0] if methods else None
