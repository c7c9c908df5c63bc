"""Names that loading changes one to one: a backbone's prefix missing or too much, LayerNorm's old names.

Published checkpoints of GPT-2 have no `transformer.`, those of BERT have `LayerNorm.gamma`. Which parameter a
tensor becomes is asked of transformers itself, and believed where it is one of these two changes.
"""

from collections.abc import Mapping
from typing import Any

from dither.checkpoint.headers import StoredTensor

_OLD = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


class Loading:
    """What transformers does with names while it loads a model.

    Args:
        model: of a class of transformers, without its weights.
    """

    def __init__(self, model: Any) -> None:
        from transformers.conversion_mapping import get_model_conversion_mapping

        self.state: Mapping[str, Any] = model.state_dict()
        self._prefix = model.base_model_prefix
        self._steps = get_model_conversion_mapping(model)

    def under_model_names(self, tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
        """The tensors of a file by their paths in the loaded model; others keep the names of the file."""
        found: dict[str, StoredTensor] = {}
        for name, row in tensors.items():
            path = self._plain_path(name)
            taken = path in tensors or path in found
            found[name if taken or path != self.path(name) else path] = row
        return found

    def path(self, name: str) -> str | None:
        """Where transformers puts a tensor; None where it computes another one from it."""
        from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

        renamings = [step for step in self._steps if isinstance(step, WeightRenaming)]
        converters = [step for step in self._steps if isinstance(step, WeightConverter)]
        path, pattern = rename_source_key(name, renamings, converters, self._prefix, self.state)
        if path not in self.state and name in self.state:
            path, pattern = rename_source_key(name, [], [], self._prefix, self.state)
        return path if pattern is None else None

    def _plain_path(self, name: str) -> str:
        """The parameter or buffer that a name means, but for the prefix and the old names of LayerNorm."""
        head, dot, leaf = name.rpartition("LayerNorm.")
        new = head + _OLD.get(dot + leaf, dot + leaf)
        inside = new.removeprefix(f"{self._prefix}.")
        return next((path for path in (new, inside, f"{self._prefix}.{new}") if path in self.state), name)
