"""Timing takes turns, repeats short work, keeps the rounds, and survives a candidate that fails."""

from __future__ import annotations

import time

import pytest
from benchmarks.timing import interleaved, sample, summary


def test_every_candidate_has_its_turn_in_every_round() -> None:
    calls: list[str] = []
    work = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    found = interleaved(work, repeats=4, shortest=0.0)
    rounds = ["".join(calls[-12:][at : at + 3]) for at in range(0, 12, 3)]
    assert [sorted(order) for order in rounds] == [["a", "b", "c"]] * 4
    assert len(set(rounds)) > 1, "the order is the same in every round"
    assert [len(found[name]["rounds"]) for name in "abc"] == [4, 4, 4]


class Clock:
    """A clock that only work moves, so that no load of the machine can."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls = 0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.calls += 1


def test_times_are_those_of_the_work() -> None:
    clock = Clock()
    work = {"short": lambda: clock.work(0.25), "long": lambda: clock.work(2.0)}
    found = interleaved(work, repeats=3, clock=clock)
    assert [found["short"][name] for name in ("q1", "median", "q3")] == [0.25] * 3
    assert [found["long"][name] for name in ("q1", "median", "q3")] == [2.0] * 3


def test_short_work_is_repeated_and_divided() -> None:
    clock = Clock()
    found = interleaved({"tick": lambda: clock.work(0.25)}, repeats=2, shortest=2.0, clock=clock)
    assert clock.calls == 2 + 2 * 8  # two to see how long it takes
    assert found["tick"]["median"] == 0.25


def test_the_clock_is_real_where_none_is_given() -> None:
    found = interleaved({"sleep": lambda: time.sleep(0.002)}, repeats=2)
    assert found["sleep"]["median"] >= 0.002


def test_a_failure_is_a_result() -> None:
    def fails() -> None:
        raise RuntimeError("expected all tensors\non one device")

    found = interleaved({"fails": fails, "works": lambda: None}, repeats=2)
    assert found["fails"] == {"error": "RuntimeError: expected all tensors"}
    assert len(found["works"]["rounds"]) == 2


def test_a_sample_is_the_sum_of_its_calls() -> None:
    assert sample(lambda: time.sleep(0.001), 5, "cpu") >= 0.005


@pytest.mark.parametrize("rounds", [[3.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
def test_a_summary_has_median_and_quartiles(rounds: list[float]) -> None:
    found = summary(rounds)
    assert found["median"] == 3.0
    assert (found["q1"], found["q3"]) == ((3.0, 3.0) if len(rounds) == 1 else (2.0, 4.0))
    assert found["rounds"] == rounds
