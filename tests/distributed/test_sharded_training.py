"""FSDP2 and DTensors in use: wrapping, evaluating, training, checkpoints, what is sent, bad input."""

from __future__ import annotations

from typing import Any

import pytest
import sharded_training as there

SIZES = (1, 2, 4)


@pytest.mark.parametrize("size", SIZES)
def test_before_and_after_wrapping_is_the_same(ranks: Any, size: int) -> None:
    answers = ranks.run(size, there.before_and_after_wrapping, size)
    assert sum(elements for elements, _ in answers) == 4490
    assert sum(wrong for _, wrong in answers) == 0


@pytest.mark.parametrize("size", SIZES)
def test_perturbed_reaches_gathered_weights_and_is_undone(ranks: Any, size: int) -> None:
    assert ranks.run(size, there.evaluated_with_noise, size) == [(True, True, True)] * size


@pytest.mark.parametrize("size", [2, 4])
def test_noise_after_a_forward_pass_is_not_lost(ranks: Any, size: int) -> None:
    answers = ranks.run(size, there.noised_after_forward, size)
    assert sum(wrong for _, wrong in answers) == 0


@pytest.mark.parametrize("own_batches", [False, True])
def test_real_steps_with_fully_shard(ranks: Any, own_batches: bool) -> None:
    (losses, steps, asked, made), *others = ranks.run(2, there.trained, 2, own_batches)
    assert steps == 6
    assert asked > 0.0
    assert made == pytest.approx(asked, rel=0.01)
    assert [other[1:] for other in others] == [(steps, asked, made)]
    assert all(other[0] != losses if own_batches else other[0] == losses for other in others)


@pytest.mark.parametrize("way", ["Shard(0)", "fully_shard"])
@pytest.mark.parametrize("size", [2, 4])
def test_steps_of_rate_0_where_some_processes_see_no_gradient(ranks: Any, way: str, size: int) -> None:
    answers = ranks.run(size, there.warm_up, way, size)
    assert sum(wrong for _, wrong, _ in answers) == 0
    # Of the three steps of rate 0, that whose gradients were all zero is none.
    assert [steps for _, _, steps in answers] == [6] * size


@pytest.mark.parametrize("width", [33, 333])
def test_messages_do_not_grow_with_the_elements(ranks: Any, width: int) -> None:
    """One for each process group, of 34 numbers a tensor for statistics and 17 at a step."""
    for count, noisytune, attach, step in ranks.run(2, there.messages, 2, False, width):
        assert count == 6
        assert noisytune == [6 * 34 * 8, 6 * 4 * 8]
        assert attach == [6 * 34 * 8]
        assert step == [6 * 17 * 8]
    for _, noisytune, attach, step in ranks.run(4, there.messages, 4, True, width):
        assert (len(noisytune), len(attach), len(step)) == (4, 2, 2)
        assert step == [6 * 17 * 8, 3 * 17 * 8]
