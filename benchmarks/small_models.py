"""Every model type of transformers, built small: its default configuration with fewer layers and narrower."""

import copy
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

_LAYERS = re.compile(r"(^|_)(n|num)_(.*_)?(layers?|blocks)$|_layers$|^depth$|^n_layers?$")
_WIDTH = re.compile(
    r"hidden|embed|ffn|intermediate|inner|model|state|head|rank|proj|channel|width|d_|dim|mlp|lora|_size$"
    r"|filters|features"
)
_NO_WIDTH = re.compile(
    r"image_size|patch|kernel|stride|num_|n_head|token|vocab|window|spatial|merge|_id$|ratio|group|factor"
    r"|max_|sample|chunk|step|batch|mel|theta|fps|duration|length|crop|bins|bits"
)
_POSITIONS = ("max_position_embeddings", "n_positions", "max_source_positions", "max_target_positions")

DIVISORS = (32, 16, 8, 4, 64, 2, 1)
"""By what widths are divided, in the order in which it is tried: what stands in a fixed ratio stays in it."""

SETTINGS: dict[str, dict[str, Any]] = {
    "autoformer": {"prediction_length": 4},
    "informer": {"prediction_length": 4},
    "time_series_transformer": {"prediction_length": 4},
    "dbrx": {"attn_config": {"rope_theta": 10_000.0}},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "ministral": {"head_dim": 128},
    "nemotron": {"head_dim": 128},
}
"""What a type needs beside its defaults."""

LARGEST = 30_000_000
"""Parameters: what stays larger than that counts as not built."""


class NotBuilt(Exception):
    """No small model of a type could be made here; the message says why."""


def model_types() -> list[str]:
    """The names that AutoModel knows."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return sorted(MODEL_MAPPING_NAMES)


def small_model(name: str, *, head: bool = False) -> Any:
    """A model of a type with random weights, on the CPU.

    Args:
        name: such as "bert".
        head: with the first head that transformers has for it, or without one.

    Raises:
        NotBuilt: there is none of at most `LARGEST` parameters, or a package is missing.
    """
    import torch

    problem: Exception | str = "no divisor"
    for layers, divisor in product((2, None), DIVISORS):
        try:
            config = small_config(name, divisor, layers=layers)
            kind = _kind(config, head=head)
            with torch.device("meta"):
                size = sum(parameter.numel() for parameter in kind(copy.deepcopy(config)).parameters())
            if size <= LARGEST:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(0)
                    return _filled(kind(config))
            problem = f"{size} parameters"
        except NotBuilt:
            raise
        except Exception as error:  # whatever a class raises for a size that does not fit it
            problem = error
    raise NotBuilt(f"{name}: {problem}")


def small_config(name: str, divisor: int, *, layers: int | None) -> Any:
    """The default configuration of a type with few layers of each kind, 4 experts, and narrow ones.

    Args:
        name: of the type.
        divisor: of the widths.
        layers: of each kind at most; None for as many as there are, where other settings speak of them.
    """
    from transformers import CONFIG_MAPPING

    config = CONFIG_MAPPING[name](**SETTINGS.get(name, {}))
    for part in _parts(config):
        counts = set()
        for key, value in list(vars(part).items()):
            if type(value) is int and (small := _smaller(key, value, divisor, layers)) != value:
                setattr(part, key, small)
                counts |= {value} if _LAYERS.search(key) else set()
        for key, value in list(vars(part).items()):
            if isinstance(value, list | tuple) and len(value) in counts:  # one entry a layer
                setattr(part, key, value[:layers])
    return type(config).from_dict(copy.deepcopy(config.to_dict()))  # as it is loaded


def _parts(config: Any) -> Iterator[Any]:
    from transformers import PreTrainedConfig

    yield config
    for value in list(vars(config).values()):
        if isinstance(value, PreTrainedConfig):
            yield from _parts(value)


def _smaller(key: str, value: int, divisor: int, layers: int | None) -> int:
    if _LAYERS.search(key):
        return value if layers is None else min(value, layers)
    if "vocab_size" in key:
        return min(value, 128)
    if key in _POSITIONS:
        return min(value, 64)
    if key.endswith("experts") and "per" not in key:
        return min(value, 4)
    if key.endswith("token_id"):
        return value if value < 128 else 1
    narrow = _WIDTH.search(key) and not _NO_WIDTH.search(key) and value >= 16 and value % divisor == 0
    return max(value // divisor, 4) if narrow else value


def _kind(config: Any, *, head: bool) -> Any:
    from transformers.models.auto import modeling_auto as auto

    heads = [
        auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
        auto.MODEL_FOR_CAUSAL_LM_MAPPING,
        auto.MODEL_FOR_MASKED_LM_MAPPING,
        auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
        auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING,
        auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    ]
    for mapping in heads if head else [auto.MODEL_MAPPING]:
        if type(config) in mapping:
            found = mapping[type(config)]
            return found[0] if isinstance(found, tuple | list) else found
    raise NotBuilt("transformers has no such class for it")


def _filled(model: Any) -> Any:
    """Other values in every tensor, also where a class begins with zeros or ones."""
    import torch

    draws = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.add_(torch.randn(parameter.shape, generator=draws).to(parameter.dtype) * 0.02)
    return model.eval()
