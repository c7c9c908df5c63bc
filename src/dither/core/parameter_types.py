"""What a parameter is for, by its canonical name: word embeddings, attention query, biases, ...

A small table of patterns knows the names of BERT, RoBERTa, DistilBERT, GPT-2, Llama, T5 and of models that
are named like them. What fits no pattern is "other".
"""

import re
from collections.abc import Iterable

from dither.core.names import HEAD

OTHER = "other"

_ATTENTION = r"(?:^|\.)[^.]*(?:attn|attention)[^.]*\.(?:.*\.)?"
_END = r"\.(?:weight|lora_\w+.*)$"

# In this order; the first that fits counts. A component is what stands between two dots.
_PATTERNS: tuple[tuple[str, str], ...] = (
    ("head", rf"^{HEAD}"),
    ("pooler", r"(?:^|\.)pooler\."),
    ("biases", r"(?:^|[._])(?:bias|beta)$"),
    ("norm gains", r"(?:^|\.)(?:[^.]*norm[^.]*|ln_[^.]*|ln)\.(?:weight|gamma|scale)$"),
    ("word embeddings", r"(?:^|\.)(?:word_embeddings?|wte|embed_tokens|shared|tok_embeddings|embed_in)\."),
    ("other embeddings", r"(?:^|\.)(?:wpe|relative_attention_bias|[^.]*embed[^.]*)\.(?:.*\.)?weight$"),
    (
        "attention query+key+value",
        _ATTENTION + r"(?:c_attn|query_key_value|wqkv|qkv_proj|qkv|in_proj)(?:\.|_)weight$",
    ),
    ("attention query", rf"{_ATTENTION}(?:query|query_proj|q_proj|q_lin|q_attn|q){_END}"),
    ("attention key", rf"{_ATTENTION}(?:key|key_proj|k_proj|k_lin|k){_END}"),
    ("attention value", rf"{_ATTENTION}(?:value|value_proj|v_proj|v_lin|v){_END}"),
    ("attention output", rf"{_ATTENTION}(?:dense|o|wo|o_proj|c_proj|out_proj|out_lin){_END}"),
    (
        "feed-forward in",
        r"(?:^|\.)(?:intermediate\.dense|c_fc|fc_in|fc1|lin1|dense_h_to_4h|gate_proj|up_proj|gate_up_proj"
        rf"|wi|wi_\d|w1|w3|ffn){_END}",
    ),
    (
        "feed-forward out",
        r"(?:^|\.)(?:output\.dense|mlp\.c_proj|fc_out|fc2|lin2|dense_4h_to_h|down_proj|wo|w2|ffn_output)"
        + _END,
    ),
)
_TABLE = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _PATTERNS)

TYPES = (*(kind for kind, _ in _PATTERNS[4:]), "norm gains", "biases", "pooler", "head", OTHER)
"""Every type, in the order of tables."""

_OF_EVERY_MODEL = {OTHER, "biases", "norm gains", "head"}  # names that tell nothing of an architecture


def type_place(kind: str) -> int:
    """Where a type stands in tables; the types of a model of which nothing is known come last.

    Example:
        >>> type_place("word embeddings"), type_place("mixer") == len(TYPES)
        (0, True)
    """
    return TYPES.index(kind) if kind in TYPES else len(TYPES)


def parameter_type(name: str) -> str:
    """The type of one parameter, one of `TYPES`.

    Everything outside the backbone is "head", everything of the pooler "pooler"; the biases of all other
    modules are "biases". GPT-2 and others keep query, key and value in one matrix, which is a type of its
    own. Gains of RMSNorm count as LayerNorm's.

    Args:
        name: canonical (`dither.core.names`).

    Example:
        >>> parameter_type("encoder.layer.0.attention.self.query.weight")
        'attention query'
        >>> parameter_type("layers.3.mlp.down_proj.weight"), parameter_type("head:classifier.bias")
        ('feed-forward out', 'head')
        >>> parameter_type("conv.weight")
        'other'
    """
    return next((kind for kind, pattern in _TABLE if pattern.search(name)), OTHER)


def parameter_types(names: Iterable[str]) -> dict[str, str]:
    """The type of each parameter of a model, by name.

    Where the table knows no matrix of the model, it knows nothing of its architecture: then what is "other"
    goes by the last component of its module's name instead.

    Args:
        names: canonical, all of one model.

    Example:
        >>> parameter_types(["blocks.0.mixer.weight", "blocks.1.mixer.weight", "blocks.1.mixer.bias"])
        {'blocks.0.mixer.weight': 'mixer', 'blocks.1.mixer.weight': 'mixer', 'blocks.1.mixer.bias': 'biases'}
    """
    types = {name: parameter_type(name) for name in names}
    if set(types.values()) <= _OF_EVERY_MODEL:
        return {name: _module(name) if kind == OTHER else kind for name, kind in types.items()}
    return types


def layer_of(name: str) -> int | None:
    """The number of the layer that a parameter belongs to: the first integer among its name's components.

    An encoder's and a decoder's layers of one number count as one; experts and the sublayers of T5 stand
    deeper, and count to their layer.

    Args:
        name: canonical.

    Returns:
        None outside layers: embeddings, the pooler, the head, the last norm.

    Example:
        >>> layer_of("encoder.layer.3.output.dense.bias"), layer_of("decoder.block.0.layer.1.wo.weight")
        (3, 0)
        >>> layer_of("embeddings.word_embeddings.weight"), layer_of("head:classifier.0.weight")
        (None, None)
    """
    if parameter_type(name) in ("head", "pooler"):
        return None
    return next((int(part) for part in name.split(".") if part.isdecimal()), None)


def _module(name: str) -> str:
    """The last component of a module's name; of a parameter of the model itself, the parameter's name."""
    components = name.split(".")
    return components[-2] if len(components) > 1 else name


def type_label(kind: str, shape: str) -> str:
    """A type of parameter as tables have it: its vectors say so, where its name does not.

    Args:
        kind: as of `parameter_type`.
        shape: "vectors" or another word for the parameters that are meant.

    Example:
        >>> type_label("pooler", "vectors"), type_label("biases", "vectors"), type_label("pooler", "matrices")
        ('pooler, vectors', 'biases', 'pooler')
    """
    return f"{kind}, vectors" if shape == "vectors" and kind not in ("biases", "norm gains") else kind
