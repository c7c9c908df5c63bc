"""Which floating-point tensors are parts of quantised ones: scales, zero points, codebooks, signs."""

import re
from collections.abc import Iterable

PART = "scale of a quantised tensor"
"""Why they are left alone: noise on one of them is noise on every weight that is made of it."""

# Whole numbers that no weight is made of: positions, counters, masks.
_NO_WEIGHT = re.compile(
    r"(^|[._])(ids?|index|idxs?|masks?|bias|positions?|num_batches_tracked|steps?|counts?|num_updates)$|_indices$"
)
_PART = re.compile(
    r"(^|[._])(scales?|scale_inv|absmax|quant_map|SCB|zeros?|zero_points?|amax|centroids?|code_?books?|luts?|"
    r"lookup_tables?|tables?)\d*([._]|$)"
)
_ANYWHERE = re.compile(r"^(scales|(k|v|q|kv|prob|input|output|act|weight)_scales?)$")
_PLAIN = re.compile(r"^(?!weight_bias$)(.*_)?bias$|^weight$")


def quantised_parts(floats: Iterable[str], integers: Iterable[str]) -> set[str]:
    """The floating-point tensors of a model that belong to quantised weights.

    What stands beside whole numbers in one module is taken for a part of them, but for `weight` and biases:
    formats come and go, and what is left alone is not destroyed. Scales of activations count wherever they
    stand.

    Args:
        floats: dotted names of the floating-point tensors.
        integers: of those of whole numbers with more than one element; positions, counters and masks among
            them are known by their names.

    Example:
        >>> sorted(quantised_parts(["up.codebooks", "up.bias", "norm.weight"], ["up.codes"]))
        ['up.codebooks']
        >>> quantised_parts(["embeddings.class_embedding"], ["embeddings.position_ids"])
        set()
    """
    codes = {name for name in integers if not _NO_WEIGHT.search(name)}
    homes = {name.rpartition(".")[0] for name in codes} - {""}
    return {name for name in floats if codes and _is_part(name, codes, homes)}


def _is_part(name: str, codes: set[str], homes: set[str]) -> bool:
    home, _, leaf = name.rpartition(".")
    parts = name.split(".")
    above = [".".join(parts[:count]) for count in range(1, len(parts))]
    if any(place in codes for place in above) or (home in homes and not _PLAIN.search(leaf)):
        return True
    inside = next((place for place in above if place in homes), None)
    is_inner = inside is not None and _PART.search(name.removeprefix(f"{inside}."))
    return bool(is_inner or _ANYWHERE.search(leaf))
