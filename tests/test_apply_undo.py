"""perturbed: what interrupts the undo, and what happens to parameters in the block."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import dither
from dither import apply, marks


def net() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def kept(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    now = model.state_dict()
    return now.keys() == before.keys() and all(torch.equal(now[name], before[name]) for name in before)


def is_marked(model: nn.Module) -> bool:
    return any("_dither" in name for module in model.modules() for name in vars(module))


class Interrupts:
    """Raises KeyboardInterrupt before certain lines that apply.py and marks.py run after a block."""

    def __init__(self, *lines: int) -> None:
        self.lines, self.seen = lines, 0

    def __call__(self, frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in (apply.__file__, marks.__file__):
            return None
        if event == "line":
            self.seen += 1
            if self.seen in self.lines:
                raise KeyboardInterrupt
        return self


def interrupted(model: nn.Module, *lines: int) -> Interrupts:
    """Noise a model for a block, and interrupt the undo before some of its lines."""
    interrupts = Interrupts(*lines)
    before = sys.gettrace()
    try:
        with dither.perturbed(model, dither.NoisyTune(seed=0)):
            sys.settrace(interrupts)
    finally:
        sys.settrace(before)
    return interrupts


def test_an_interrupt_before_any_line_of_the_undo_leaves_nothing_undone() -> None:
    """A trace function that raises is taken off, so each run has one interrupt."""
    model = net()
    before, lines = kept(model), interrupted(model).seen
    assert lines > 50
    for line in range(1, lines + 1):
        with pytest.raises(KeyboardInterrupt):
            interrupted(model, line)
        assert same(model, before), f"interrupted before line {line} of {lines}"
        assert not is_marked(model), f"interrupted before line {line} of {lines}"


def test_one_interrupt_after_the_other_leaves_the_model_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = net(), [0]
    before, overwrite = kept(model), apply.overwrite

    def impatient(*args: Any) -> None:
        calls[0] += 1
        if calls[0] < 8:
            raise KeyboardInterrupt
        overwrite(*args)

    monkeypatch.setattr(apply, "overwrite", impatient)
    with pytest.raises(KeyboardInterrupt), dither.perturbed(model, dither.NoisyTune()):
        pass
    assert same(model, before)
    assert not is_marked(model)


def test_what_cannot_be_undone_leaves_the_model_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()

    def broken(*args: Any) -> None:
        raise OSError("the device is gone")

    with monkeypatch.context() as patch:
        patch.setattr(apply, "overwrite", broken)
        with pytest.raises(OSError, match="the device is gone"), dither.perturbed(model, dither.NoisyTune()):
            original = kept(model)
    assert same(model, original)
    message = r"this Sequential is partly noised: taking back recipe \w{16} failed half-way; build the model"
    with pytest.raises(ValueError, match=message):
        dither.noisytune_(model, again=True)
    model.load_state_dict(net().state_dict())  # as the message advises
    dither.clear_marks(model)
    assert dither.noisytune_(model).counts()["noised"] == 4


def replaced(model: Any) -> None:
    model[0].weight = nn.Parameter(model[0].weight.detach().clone())


REPLACED: dict[str, Callable[[Any], Any]] = {
    "by a copy": replaced,
    "by a copy of the module": lambda model: model.__setitem__(0, copy.deepcopy(model[0])),
    "by loading": lambda model: model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True),
}


@pytest.mark.parametrize("case", REPLACED)
def test_a_parameter_that_was_replaced_is_undone_and_said(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = net()
    before, old = kept(model), model[0].weight
    with caplog.at_level(logging.WARNING, "dither"), dither.perturbed(model, dither.NoisyTune()):
        REPLACED[case](model)
    assert model[0].weight is not old
    assert same(model, before)
    assert torch.equal(old, before["0.weight"])
    assert "parameter '0.weight' was replaced in the block: the new one got the old values" in caplog.text
    assert not is_marked(model)


def test_a_tie_that_was_cut_in_the_block_is_undone_on_both_sides() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    before = kept(model)
    with dither.perturbed(model, dither.NoisyTune()):
        model[1].weight = nn.Parameter(model[0].weight.detach().clone())
    assert same(model, before)


def moved(model: Any) -> None:
    model[2] = nn.Sequential(model[2])


@pytest.mark.parametrize("change", [nn.Module.double, moved])
def test_what_only_moves_or_widens_is_undone_without_a_word(
    change: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = net()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with dither.perturbed(model, dither.NoisyTune()):
        change(model)
    for parameter, kept_one in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, kept_one.to(parameter.dtype))
    assert not caplog.text


def resized(model: Any) -> None:
    model[2].weight = nn.Parameter(torch.cat([model[2].weight.detach()] * 2))


def removed(model: Any) -> None:
    del model[2]


def swapped(model: Any) -> None:
    model[2].weight.data = torch.cat([model[2].weight.detach()] * 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (resized, r"1 parameters .*: '2\.weight' had shape \(2, 3\) and has \(4, 3\) now"),
        (swapped, r"1 parameters .*: '2\.weight' had shape \(2, 3\) and has \(4, 3\) now"),
        (removed, r"2 parameters .*: '2\.weight' is no longer in the model; '2\.bias' is no longer in"),
    ],
)
def test_a_parameter_that_cannot_be_undone_is_named_and_the_others_are(change: Any, said: str) -> None:
    model = net()
    before = kept(model[0])
    with pytest.raises(RuntimeError, match=said), dither.perturbed(model, dither.NoisyTune()):
        change(model)
    assert same(model[0], before)
    with pytest.raises(ValueError, match="this Sequential is partly noised"):
        dither.noisytune_(model)


def removed_with_an_error(model: Any) -> None:
    removed(model)
    raise KeyError("of the block")


def test_the_error_of_the_block_is_not_lost() -> None:
    model = net()
    noise = dither.perturbed(model, dither.NoisyTune())
    with pytest.raises(RuntimeError, match="could not be taken back") as caught, noise:
        removed_with_an_error(model)
    assert isinstance(caught.value.__context__, KeyError)


def test_a_model_of_inference_mode_is_undone() -> None:
    with torch.inference_mode():
        model = net()
    before = kept(model)
    with dither.perturbed(model, dither.NoisyTune()):
        assert not same(model, before)
    assert same(model, before)
