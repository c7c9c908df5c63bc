"""Canonical names of paths and of plain torch modules in their wrappers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from dither.core.names import canonical_name, named_parameters, unwrapped

PATHS = [
    ("bert.pooler.dense.weight", "bert", "pooler.dense.weight"),
    ("classifier.weight", "bert", "head:classifier.weight"),
    ("module.bert.pooler.dense.weight", "bert", "pooler.dense.weight"),
    ("_orig_mod.bert.pooler.dense.weight", "bert", "pooler.dense.weight"),
    ("module._orig_mod.bert.pooler.dense.weight", "bert", "pooler.dense.weight"),
    ("_forward_module.module.classifier.bias", "bert", "head:classifier.bias"),
    ("_fsdp_wrapped_module.bert.layer.0._fsdp_wrapped_module.weight", "bert", "layer.0.weight"),
    ("bert.layer.0._checkpoint_wrapped_module.weight", "bert", "layer.0.weight"),
    ("base_model.model.bert.q.base_layer.weight", "bert", "q.weight"),
    ("base_model.model.bert.q.lora_A.default.weight", "bert", "q.lora_A.weight"),
    ("base_model.model.bert.q.lora_A.other.weight", "bert", "q.lora_A.other.weight"),
    ("module.base_model.model.model.layers.0.weight", "model", "layers.0.weight"),
    ("base_model.model.lm_head.weight", "model", "head:lm_head.weight"),
    ("model.model.weight", "model", "model.weight"),
    ("models.weight", "model", "head:models.weight"),
    ("bertha.weight", "bert", "head:bertha.weight"),
    ("layers.0.weight", "", "layers.0.weight"),
    ("scale.default", "", "scale.default"),
]


@pytest.mark.parametrize(("path", "prefix", "name"), PATHS)
def test_paths(path: str, prefix: str, name: str) -> None:
    assert canonical_name(path, prefix) == name


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))


class DataParallelLike(nn.Module):
    """What DDP and the DeepSpeed engine do to names."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class LightningLike(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._forward_module = module


WRAPPERS = [
    DataParallelLike,
    LightningLike,
    torch.compile,
    lambda inner: DataParallelLike(torch.compile(inner)),
    lambda inner: torch.optim.swa_utils.AveragedModel(inner),
]


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrapping_changes_neither_names_nor_the_inner_model(wrap) -> None:
    inner = net()
    wrapped = wrap(inner)
    assert [row.name for row in named_parameters(wrapped)] == [row.name for row in named_parameters(inner)]
    assert type(unwrapped(wrapped)) is nn.Sequential


def test_checkpoint_wrappers_inside_a_model_change_no_names() -> None:
    inner = net()
    before = [row.name for row in named_parameters(inner)]
    inner[0] = checkpoint_wrapper(inner[0])
    assert "_checkpoint_wrapped_module" in next(iter(dict(inner.named_parameters())))
    assert [row.name for row in named_parameters(inner)] == before


def test_a_child_called_model_is_no_wrapper() -> None:
    holder = nn.Module()
    holder.model = net()
    assert unwrapped(holder) is holder
    assert named_parameters(holder)[0].name == "model.0.weight"


def test_a_collision_is_refused_with_both_paths() -> None:
    holder = nn.Module()
    holder.a = nn.Module()
    holder.a.weight = nn.Parameter(torch.ones(2))
    holder.a.module = nn.Module()
    holder.a.module.weight = nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match=r"'a\.weight' and 'a\.module\.weight' have one canonical name"):
        named_parameters(holder)


def test_of_tied_parameters_the_first_counts() -> None:
    pair = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    pair[1].weight = pair[0].weight
    assert [(row.name, row.tied_to) for row in named_parameters(pair)] == [
        ("0.weight", None),
        ("0.bias", None),
        ("1.weight", "0.weight"),
        ("1.bias", None),
    ]


@pytest.mark.parametrize("view", [lambda w: w, torch.t])
def test_two_parameters_on_one_memory_are_tied(view) -> None:
    pair = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    pair[1].weight = nn.Parameter(view(pair[0].weight.detach()))
    assert pair[1].weight is not pair[0].weight
    assert [row.tied_to for row in named_parameters(pair)] == [None, None, "0.weight", None]


def test_pieces_of_one_buffer_are_not_tied() -> None:
    buffer, holder = torch.zeros(8), nn.Module()
    holder.a, holder.b = nn.Parameter(buffer[:4]), nn.Parameter(buffer[4:])
    holder.c, holder.d = nn.Parameter(torch.empty(0)), nn.Parameter(torch.empty(0))
    assert [row.tied_to for row in named_parameters(holder)] == [None] * 4


def test_a_module_under_two_names_is_tied_not_a_collision() -> None:
    shared, holder = nn.Linear(3, 3), nn.Module()
    holder.first, holder.second = shared, shared
    assert [row.tied_to for row in named_parameters(holder)] == [None, None, "first.weight", "first.bias"]


def test_meta_parameters_have_no_memory_to_share() -> None:
    with torch.device("meta"):
        pair = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    assert [row.tied_to for row in named_parameters(pair)] == [None] * 4
