"""Parts of a train split: nested, in proportion, the same everywhere."""

from __future__ import annotations

from collections import Counter

import pytest

from dither.bench.data.loading import load
from dither.bench.tasks.files import load_task
from dither.bench.tasks.subset import Subset, strata

FRACTIONS = (0.03, 0.1, 0.2, 0.5, 0.99, 1.0)
LABELS = [2 if row % 97 == 0 else row % 3 % 2 for row in range(1000)]


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("held_out", [0.0, 0.2])
def test_smaller_fractions_lie_within_greater_ones(seed, held_out):
    inner: set[int] = set()
    for fraction in FRACTIONS:
        subset = Subset(train_fraction=fraction, held_out=held_out, subset_seed=seed)
        kept, held = subset.parts(LABELS)
        assert inner <= set(kept)
        assert len(kept) == round(fraction * (1 - held_out) * len(LABELS))
        assert not set(kept) & set(held)
        inner = set(kept)
    assert len(inner) + len(held) == len(LABELS)


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_every_label_has_its_share(fraction):
    kept, held = Subset(train_fraction=fraction, held_out=0.2).parts(LABELS)
    whole = Counter(LABELS)
    for rows, share in ((kept, 0.8 * fraction), (held, 0.2)):
        for label, count in Counter(LABELS[row] for row in rows).items():
            assert abs(count - share * whole[label]) <= 1.5, (label, count)


def test_a_rare_label_is_among_the_first():
    labels = [0] * 99 + [1]
    kept, held = Subset(train_fraction=0.03, held_out=0.5).parts(labels)
    assert 99 in kept
    assert 99 not in held


def test_another_seed_is_another_subset_and_the_same_seed_the_same():
    one, same, other = (Subset(train_fraction=0.1, subset_seed=seed).parts(LABELS)[0] for seed in (0, 0, 1))
    assert one == same
    assert len(set(one) & set(other)) < len(one) / 2


def test_the_order_is_that_of_every_release():
    assert Subset(train_fraction=0.3).parts([0, 1] * 10)[0] == [1, 4, 6, 7, 14, 17]


def test_numbers_are_in_proportion_by_tenths():
    labels = [float(row * 7 % 100) for row in range(100)]
    kept, _ = Subset(train_fraction=0.2).parts(strata(labels))
    assert Counter(int(labels[row] // 10) for row in kept) == dict.fromkeys(range(10), 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_fraction": 0.0}, r"train_fraction = 0 is outside \(0, 1\]"),
        ({"train_fraction": 1.01}, r"train_fraction = 1.01 is outside \(0, 1\]"),
        ({"train_fraction": float("nan")}, r"train_fraction = nan is outside \(0, 1\]"),
        ({"held_out": 1.0}, r"held_out = 1 is outside \[0, 1\)"),
        ({"held_out": -0.1}, r"held_out = -0.1 is outside \[0, 1\)"),
        ({"subset_seed": -1}, "subset_seed = -1 is no whole number >= 0"),
    ],
)
def test_shares_that_are_none(settings, message):
    with pytest.raises(ValueError, match=message):
        Subset(**settings)


def test_no_row_is_left():
    with pytest.raises(
        ValueError, match=r"builtin/sentiment/train: train_fraction = 0\.0001 and held_out = 0"
    ):
        load(load_task("builtin/sentiment@train_fraction=0.0001"))


def test_a_task_reads_a_part_of_its_rows_in_their_order():
    whole = load(load_task("builtin/similarity"))
    part = load(load_task("builtin/similarity@train_fraction=0.2"))
    rows = iter(whole.splits["train"])
    assert all(row in rows for row in part.splits["train"])
    assert len(part.splits["train"]) == part.sources["train"].rows == 60
    assert part.splits["validation"] == whole.splits["validation"]
    assert part.digest != whole.digest


def test_what_is_held_out_is_all_that_is_evaluated():
    task = load_task("builtin/acceptability@held_out=0.25")
    data, whole = load(task), load(load_task("builtin/acceptability"))
    assert task.evaluation == {"held_out": "held_out"}
    assert data.splits.keys() == {"train", "held_out"}
    both = [repr(row) for split in data.splits.values() for row in split]
    assert sorted(both) == sorted(map(repr, whole.splits["train"]))
