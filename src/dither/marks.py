"""The recipe's hash on the model: noise is never applied twice, and never on a half-noised model."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from dither.core.names import unwrapped

_MARKS = "_dither_marks"
_PARTLY = "_dither_partly_noised"

# Models may share one config object; the mark in it belongs to the model that was noised.
_CONFIG_OWNERS: dict[int, tuple[weakref.ref[Any], weakref.ref[nn.Module]]] = {}


@dataclass(frozen=True)
class Mark:
    """One application of noise to a model: the recipe and its hash."""

    hash: str
    recipe: dict[str, Any]


class ModelMarks:
    """Reads and writes the marks of a model, and of its `config` where that is one of transformers.

    They stand on every module of the model, so that a part of it, or a model built around it, is not noised
    a second time. The config travels with `save_pretrained`: a checkpoint of a noised model says so.
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
        if hasattr(self._model, _MARKS) or self._config_is_of_another_model():
            return []
        return list(getattr(self._config, "dither", None) or [])

    @property
    def applied(self) -> int:
        """How often the model was noised: the step of the next draws."""
        return len(self.read())

    def check(self, mark: Mark, *, again: bool) -> str | None:
        """Whether the model may be noised: None for yes, a message where the same recipe is on it already.

        Raises:
            ValueError: another recipe is on the model and `again` is not set, or a write failed half-way.
        """
        for module in self._model.modules():
            if (partly := getattr(module, _PARTLY, None)) is not None:
                raise ValueError(
                    f"this {type(self._model).__name__} is partly noised: writing recipe {partly} failed "
                    "half-way; build the model anew and load its weights afresh"
                )
        hashes = [row["hash"] for row in self.read()]
        if again or not hashes:
            return None
        if mark.hash in hashes:
            return f"already noised with recipe {mark.hash}: nothing was done (again=True adds fresh noise)"
        raise ValueError(
            f"this {type(self._model).__name__} was noised before with recipe {hashes[-1]}, now {mark.hash} "
            "is asked for; pass again=True to add fresh noise on top, or load the original weights"
        )

    def adopt(self, mark: Mark) -> None:
        """Mark a model whose weights came with the noise already in them."""
        if mark.hash not in [row["hash"] for row in self.read()]:
            self._write([*self.read(), asdict(mark)])

    @contextmanager
    def writing(self, mark: Mark) -> Iterator[None]:
        """Around the writes: "partly noised" until they are all done, the mark afterwards."""
        for module in self._model.modules():
            object.__setattr__(module, _PARTLY, mark.hash)
        yield
        self._clear_partly()
        self._write([*self.read(), asdict(mark)])

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Put the marks back as they are now, whatever happens in the block."""
        on_modules = [(module, getattr(module, _MARKS, None)) for module in self._model.modules()]
        in_config = getattr(self._config, "dither", None)
        owner = _CONFIG_OWNERS.get(id(self._config))
        try:
            yield
        finally:
            self._clear_partly()
            for module, marks in on_modules:
                module.__dict__.pop(_MARKS, None)
                if marks is not None:
                    object.__setattr__(module, _MARKS, marks)
            self._write_config(in_config)
            _CONFIG_OWNERS.pop(id(self._config), None)
            if owner is not None:
                _CONFIG_OWNERS[id(self._config)] = owner

    def _write(self, marks: list[dict[str, Any]]) -> None:
        for module in self._model.modules():
            object.__setattr__(module, _MARKS, marks)
        self._write_config(marks)
        if self._config is not None:
            _CONFIG_OWNERS[id(self._config)] = (weakref.ref(self._config), weakref.ref(self._model))

    def _write_config(self, marks: list[dict[str, Any]] | None) -> None:
        if self._config is None:
            return
        if marks:
            self._config.dither = marks
        elif hasattr(self._config, "dither"):
            del self._config.dither

    def _clear_partly(self) -> None:
        for module in self._model.modules():
            module.__dict__.pop(_PARTLY, None)

    def _config_is_of_another_model(self) -> bool:
        config, owner = _CONFIG_OWNERS.get(id(self._config), (lambda: None, lambda: None))
        return config() is self._config and owner() is not self._model
