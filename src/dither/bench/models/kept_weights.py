"""The pretrained weights that a process read last, from which its next models are made without the file."""

from dataclasses import dataclass
from typing import Any

_MOST_BYTES = 2**30
"""Weights beyond this are read from the file each time: a process may be one of many."""

_KEPT: dict[tuple[str, str, str], "KeptWeights"] = {}  # one at most


@dataclass(frozen=True)
class KeptWeights:
    """What a model has from its file.

    Attributes:
        kind: the model's class.
        tensors: by the names of that class; what is not in the file, such as a head, is not here.
    """

    kind: Any
    tensors: dict[str, Any]

    def model(self, config: Any) -> tuple[Any, dict[str, Any]]:
        """A model of copies of the weights, and the report on its loading.

        What is missing is drawn from torch's global generator, as when the file is read.

        Args:
            config: of the model; its dtype is that of the weights.
        """
        model, report = self.kind.from_pretrained(
            None,
            config=config,
            dtype=config.dtype,
            # The model takes the tensors themselves, and training changes them.
            state_dict={name: tensor.clone() for name, tensor in self.tensors.items()},
            output_loading_info=True,
        )
        model.config.name_or_path = model.name_or_path = config.name_or_path
        return model, report


def kept_weights(digest: str, dtype: str, kind: str) -> KeptWeights | None:
    """The weights of a model's files as this process read them last, or None.

    Args:
        digest: of the model's files.
        dtype: of the weights.
        kind: the class that reads the file, such as "AutoModelForTokenClassification".
    """
    return _KEPT.get((digest, dtype, kind))


def keep_weights(digest: str, dtype: str, kind: str, *, model: Any, missing: Any) -> None:
    """Keep copies of a fresh model's weights in place of what was kept; large ones are not kept.

    Args:
        digest, dtype, kind: as for `kept_weights`.
        model: as it was read.
        missing: names of what was not in the file.
    """
    _KEPT.clear()
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name not in missing}
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) <= _MOST_BYTES:
        copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        _KEPT[digest, dtype, kind] = KeptWeights(type(model), copies)
