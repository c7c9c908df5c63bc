"""The recipe's hash on the model: noise is never applied twice, and never on a half-noised model."""

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from dither.core.names import unwrapped

_MARKS = "_dither_marks"
_PARTLY = "_dither_partly_noised"


@dataclass(frozen=True)
class Mark:
    """One application of noise to a model: the recipe and its hash."""

    hash: str
    recipe: dict[str, Any]


def clear_marks(model: nn.Module) -> None:
    """Say that a model holds no noise: forget what was noised, and what was left half-way.

    For a model into which its original weights were loaded again: nothing tells them from others, so nothing
    does this by itself. No weight is touched.

    Args:
        model: any torch module; wrapped or not.

    Example:
        >>> import dither
        >>> net = nn.Linear(4, 4)
        >>> original = {name: one.clone() for name, one in net.state_dict().items()}
        >>> _ = dither.noisytune_(net, seed=0)
        >>> _ = net.load_state_dict(original)
        >>> clear_marks(net)
        >>> dither.noisytune_(net, seed=1).counts()
        {'noised': 2, 'skipped': 0}
    """
    ModelMarks(model).clear()


class ModelMarks:
    """Reads and writes the marks of a model, and of its `config` where that is one of transformers.

    They stand on the modules that own the noised parameters, so that a part of the model, or a model built
    around it, is not noised a second time, and what shares nothing but modules without weights is another
    model. The config travels with `save_pretrained`: a checkpoint of a noised model says so.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = unwrapped(model)
        config = getattr(self._model, "config", None)
        self._config = config if hasattr(config, "save_pretrained") else None

    def read(self) -> list[dict[str, Any]]:
        """The marks, oldest first."""
        found: list[list[dict[str, Any]]] = [
            getattr(row, _MARKS, None) or [] for row in self._model.modules()
        ]
        if longest := max(found, key=len):
            return list(longest)
        marks = getattr(self._config, "dither", None) or []
        # Models may share one config object; the marks in it belong to the model that was noised.
        return [] if isinstance(marks, _ConfigMarks) and not marks.are_of(self._model) else list(marks)

    @property
    def applied(self) -> int:
        """How often the model was noised: the step of the next draws."""
        return len(self.read())

    def check(self, mark: Mark, *, again: bool, parameters: Sequence[Tensor] = ()) -> str | None:
        """Whether the model may be noised: None for yes, a message where the same recipe is on it already.

        Args:
            mark: of the noise that is asked for.
            again: fresh noise on top is meant.
            parameters: that are to be noised.

        Raises:
            ValueError: another recipe is on the model, or this one on some of the parameters alone, and
                `again` is not set; or a write failed half-way.
        """
        kind = type(self._model).__name__
        for module in self._model.modules():
            if (partly := getattr(module, _PARTLY, None)) is not None:
                raise ValueError(
                    f"this {kind} is partly noised: {partly} failed half-way; build the model anew and load "
                    "its weights afresh (into this one, too, and then call dither.clear_marks(model))"
                )
        hashes = [row["hash"] for row in self.read()]
        if again or not hashes:
            return None
        if mark.hash not in hashes:
            raise ValueError(
                f"this {kind} was noised before with recipe {hashes[-1]}, now {mark.hash} is asked for; pass "
                "again=True to add fresh noise on top, or load the original weights and call "
                "dither.clear_marks(model)"
            )
        self._refuse_fresh(mark, parameters)
        return (
            f"already noised with recipe {mark.hash}: nothing was done (again=True adds fresh noise; "
            "dither.clear_marks(model) is for original weights that were loaded again)"
        )

    def _refuse_fresh(self, mark: Mark, parameters: Sequence[Tensor]) -> None:
        """Refuse parameters without noise among others that carry it."""
        marked = [row for row in self._model.modules() if getattr(row, _MARKS, None)]
        carrying = {id(one) for row in marked for one in row.parameters(recurse=False)}
        fresh = {id(one) for one in parameters} - carrying
        if not marked or not fresh:
            return
        paths = [path for path, one in self._model.named_parameters() if id(one) in fresh]
        raise ValueError(
            f"this {type(self._model).__name__} was noised before with recipe {mark.hash}, but for "
            f"{len(paths)} of {len(parameters)} parameters that are to be noised (first: {paths[0]!r}), "
            "which came to it later; pass again=True to add fresh noise, with include= to those alone"
        )

    def adopt(self, mark: Mark, applied: int = 1) -> None:
        """Mark a model whose weights came with the noise already in them.

        Args:
            mark: of the noise.
            applied: how often the model was noised in all.
        """
        missing = max(0, applied - self.applied)
        if mark.hash not in [row["hash"] for row in self.read()]:
            missing = max(1, missing)
        if missing:
            self._write([*self.read(), *[asdict(mark)] * missing], self._owners(None))

    @contextmanager
    def writing(self, mark: Mark, parameters: Iterable[Tensor] | None = None) -> Iterator[None]:
        """Around the writes: "partly noised" until they are all done and the mark stands.

        Args:
            mark: of the noise.
            parameters: that get it; None for all.
        """
        owners = self._owners(parameters)
        self._set_partly(f"writing recipe {mark.hash}", owners)
        yield
        self._write([*self.read(), asdict(mark)], owners)
        self._clear_partly()

    def kept(self) -> "KeptMarks":
        """The marks as they are now, to be put back."""
        return KeptMarks(self)

    def clear(self) -> None:
        """See `clear_marks`."""
        for module in self._model.modules():
            module.__dict__.pop(_MARKS, None)
        marks = getattr(self._config, "dither", None)
        if not isinstance(marks, _ConfigMarks) or marks.are_of(self._model):
            self._write_config(None)
        self._clear_partly()

    def _owners(self, parameters: Iterable[Tensor] | None) -> list[nn.Module]:
        """The modules that hold some of these parameters themselves."""
        wanted = {id(one) for one in (self._model.parameters() if parameters is None else parameters)}
        return [
            row
            for row in self._model.modules()
            if any(id(one) in wanted for one in row.parameters(recurse=False))
        ]

    def _write(self, marks: list[dict[str, Any]], owners: Iterable[nn.Module]) -> None:
        for module in self._model.modules():
            if getattr(module, _MARKS, None):
                object.__setattr__(module, _MARKS, marks)
        for module in owners:
            object.__setattr__(module, _MARKS, marks)
        self._write_config(marks)

    def _write_config(self, marks: list[dict[str, Any]] | None) -> None:
        if self._config is None:
            return
        if marks:
            self._config.dither = _ConfigMarks(marks, self._config, self._model)
        elif hasattr(self._config, "dither"):
            del self._config.dither

    def _set_partly(self, what: str, owners: Iterable[nn.Module]) -> None:
        for module in owners:
            object.__setattr__(module, _PARTLY, what)

    def _clear_partly(self) -> None:
        for module in self._model.modules():
            module.__dict__.pop(_PARTLY, None)


class KeptMarks:
    """The marks of a model at some time; while noise is taken back the model counts as partly noised."""

    def __init__(self, marks: ModelMarks) -> None:
        self._of = marks
        self._on_modules = [(row, getattr(row, _MARKS, None)) for row in marks._model.modules()]
        self._in_config = getattr(marks._config, "dither", None)

    def begin(self, mark: Mark, parameters: Iterable[Tensor]) -> None:
        """Say that the noise is being taken back."""
        self._of._set_partly(f"taking back recipe {mark.hash}", self._of._owners(parameters))

    def put_back(self) -> None:
        """Say that it has been: last of all."""
        kept = {id(module): found for module, found in self._on_modules}
        for module in {row for row, _ in self._on_modules}.union(self._of._model.modules()):
            module.__dict__.pop(_MARKS, None)
            if (found := kept.get(id(module))) is not None:
                object.__setattr__(module, _MARKS, found)
        config = self._of._config
        if config is not None and getattr(config, "dither", None) is not self._in_config:
            if self._in_config is None:
                del config.dither
            else:
                config.dither = self._in_config
        for module, _ in self._on_modules:  # modules may have left the model meanwhile
            module.__dict__.pop(_PARTLY, None)
        self._of._clear_partly()


class _ConfigMarks(list[dict[str, Any]]):
    """The marks in the config of a live model. They are this model's: a copy of the config alone has none."""

    def __init__(self, marks: Iterable[dict[str, Any]], config: Any, model: nn.Module) -> None:
        super().__init__(marks)
        self._config, self._model = weakref.ref(config), weakref.ref(model)

    def are_of(self, model: nn.Module) -> bool:
        """Whether they are of this model."""
        return self._model() is model

    def __deepcopy__(self, memo: dict[int, Any]) -> list[dict[str, Any]]:
        plain: list[dict[str, Any]] = deepcopy(list(self), memo)
        config, model = memo.get(id(self._config())), memo.get(id(self._model()))
        if config is not None and model is not None:  # the model is copied, with its config
            return _ConfigMarks(plain, config, model)
        # The config alone is copied, for other weights; or its values, on their way to a file.
        return plain if config is None else []

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return list, (list(self),)
