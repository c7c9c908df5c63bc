"""The noise is a recipe: the same whatever the order, selection, layout, wrapping or threads."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from zoo import METHODS, NOISY, STEPS, Zoo, adamw, create, plain, run, same, train, weights

import dither

OWN_SCALE = [name for name in NOISY if create(name).across == "tensor"]


class Wrapped(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def noised(name: str, model: nn.Module, **settings: object) -> dict[str, Tensor]:
    run(name, model, **settings)
    return weights(model)


@pytest.mark.parametrize("name", METHODS)
def test_it_is_deterministic(name: str) -> None:
    assert same(noised(name, Zoo()), noised(name, Zoo()))


@pytest.mark.parametrize("name", NOISY)
def test_the_seed_counts(name: str) -> None:
    one, other = noised(name, Zoo(), seed=1), noised(name, Zoo(), seed=2)
    assert not any(torch.equal(one[key], other[key]) for key in ("wide", "square", "kernel", "first.weight"))


@pytest.mark.parametrize("name", NOISY)
def test_a_seed_of_none_is_the_seed_of_the_call(name: str) -> None:
    model, method = Zoo(), create(name, seed=None)
    optimizer = adamw(model)
    if METHODS[name].needs_gradients:
        dither.attach(method, optimizer, model, total_steps=STEPS, seed=9)
    else:
        dither.apply_(model, method, seed=9)
    train(model, optimizer, range(STEPS))
    assert same(weights(model), noised(name, Zoo(), seed=9))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.usefixtures("unmoved_random_state")
def test_no_global_random_state_is_moved(name: str) -> None:
    run(name, Zoo(torch.bfloat16), rounding="stochastic")


@pytest.mark.parametrize("name", METHODS)
def test_no_global_random_state_is_read(name: str) -> None:
    found = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found.append(noised(name, Zoo()))
    assert same(*found)


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_the_parameters_does_not_matter(name: str) -> None:
    def backwards() -> nn.Module:
        model = Zoo()
        model._parameters = dict(reversed(model._parameters.items()))
        # the tied pair keeps its order: of tied parameters the first gives the name
        rest = [row for row in model._modules.items() if row[0] not in ("first", "again")]
        model._modules = dict([*model._modules.items()][-2:] + rest) if rest else model._modules
        return model

    assert [*dict(backwards().named_parameters())] != [*dict(Zoo().named_parameters())]
    assert same(noised(name, backwards()), noised(name, Zoo()))


@pytest.mark.parametrize("name", OWN_SCALE)
@pytest.mark.parametrize("chosen", [["wide"], ["first.weight", "k*"]])
def test_a_selection_gets_the_noise_that_it_gets_in_the_whole(name: str, chosen: list[str]) -> None:
    whole, part, none = noised(name, Zoo()), noised(name, Zoo(), include=chosen), plain()
    inside = [key for key in whole if key in chosen or (key.startswith("k") and "k*" in chosen)]
    assert same(part, whole, inside)
    assert same(part, none, set(whole) - set(inside))
    assert same(noised(name, Zoo(), exclude=inside), none, inside)


@pytest.mark.parametrize("name", METHODS)
def test_a_smaller_model_gets_the_noise_of_the_larger_one(name: str) -> None:
    if name not in OWN_SCALE:
        assert create(name).__class__.__name__ in ("NoisyTune", "Plain")
        return
    small = nn.Module()
    small.wide = Zoo().wide
    assert torch.equal(noised(name, small)["wide"], noised(name, Zoo())["wide"])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("depth", [1, 2])
def test_wrapping_does_not_matter(name: str, depth: int) -> None:
    model: nn.Module = Zoo()
    for _ in range(depth):
        model = Wrapped(model)
    assert same(noised(name, model), noised(name, Zoo()))


def transposed(value: Tensor) -> Tensor:
    return value.transpose(0, -1).contiguous().transpose(0, -1)


def sliced(value: Tensor) -> Tensor:
    store = torch.full([2 * size for size in value.shape], 9.0, dtype=value.dtype)
    view = store[tuple(slice(None, None, 2) for _ in value.shape)]
    view.copy_(value)
    return view


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("layout", [transposed, sliced])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_layout_of_a_tensor_does_not_matter(name: str, layout, dtype: torch.dtype) -> None:
    model = Zoo(dtype)
    for key in ("wide", "square", "kernel", "vector"):
        setattr(model, key, nn.Parameter(layout(getattr(model, key).detach())))
    assert not model.wide.is_contiguous()
    strides = model.wide.stride()
    assert same(noised(name, model), noised(name, Zoo(dtype)))
    assert model.wide.stride() == strides


@pytest.mark.parametrize("name", METHODS)
def test_the_gaps_of_a_sliced_parameter_are_not_written(name: str) -> None:
    store, model = torch.full((12, 10), 9.0), nn.Module()
    model.wide = nn.Parameter(store[::2, ::2])
    with torch.no_grad():
        model.wide.copy_(Zoo().wide)
    run(name, model)
    assert bool((store[1::2] == 9.0).all())
    assert bool((store[:, 1::2] == 9.0).all())


@pytest.mark.parametrize("name", METHODS)
def test_threads_do_not_matter(name: str) -> None:
    found, threads = [], torch.get_num_threads()

    def big() -> nn.Module:
        model = nn.Module()
        generator = torch.Generator().manual_seed(0)
        model.wide = nn.Parameter(torch.randn(182, 181, generator=generator))  # torch splits beyond 2^15
        return model

    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(noised(name, big()))
    finally:
        torch.set_num_threads(threads)
    assert same(*found)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("zero", [0, {"*": 0.0}])
def test_strength_0_and_no_method_are_plain_training(name: str, zero: object) -> None:
    assert same(noised(name, Zoo(), noise_lambda=zero), plain())


@pytest.mark.parametrize("name", METHODS)
def test_a_deep_copy_gets_the_same_noise(name: str) -> None:
    model = Zoo()
    twin = copy.deepcopy(model)
    assert same(noised(name, twin), noised(name, model))
