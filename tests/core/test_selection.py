"""Which tensors: patterns, strengths, and the messages for those that fit nothing."""

from __future__ import annotations

import pytest

from dither.core.selection import as_patterns, check_patterns_used, check_strength, matches, strength_of


@pytest.mark.parametrize(
    ("given", "listed"),
    [(None, ()), ("a.*", ("a.*",)), (["a", "b"], ("a", "b")), (("a",), ("a",)), ([], ())],
)
def test_patterns_in_every_form(given: object, listed: tuple[str, ...]) -> None:
    assert as_patterns(given) == listed  # type: ignore[arg-type]


def test_an_iterator_of_patterns_is_read_once() -> None:
    assert as_patterns(pattern for pattern in ("a", "b")) == ("a", "b")


@pytest.mark.parametrize("given", [[""], [1], [None], ""])
def test_what_is_no_pattern_is_refused(given: object) -> None:
    with pytest.raises(
        TypeError, match=r"a pattern is .*; it must be a glob such as 'encoder\.layer\.0\.\*'"
    ):
        as_patterns(given)  # type: ignore[arg-type]


def test_what_is_no_list_of_patterns_is_refused() -> None:
    with pytest.raises(TypeError, match="patterns are 5; give a glob"):
        as_patterns(5)  # type: ignore[arg-type]


def test_matching_is_of_the_whole_name_and_knows_case() -> None:
    assert matches("encoder.layer.10.bias", ["encoder.layer.1?.bias"])
    assert matches("head:classifier.weight", ["head:*"])
    assert not matches("encoder.layer.10.bias", ["layer.*"])
    assert not matches("Encoder.bias", ["encoder.*"])
    assert not matches("encoder.bias", [])


def test_a_pattern_that_fits_nothing_names_the_nearest() -> None:
    names = ["encoder.layer.0.weight", "embeddings.weight"]
    message = r"include='embedding\.weight' fits none of the 2 tensors; nearest name: 'embeddings\.weight'"
    with pytest.raises(ValueError, match=message):
        check_patterns_used(["encoder.*", "embedding.weight"], names, "include")
    with pytest.raises(ValueError, match=r"exclude='a' fits none of the 0 tensors$"):
        check_patterns_used(["a"], [], "exclude")


@pytest.mark.parametrize("value", [0, 0.0, 1, 0.15, 1e9])
def test_strengths_become_floats(value: float) -> None:
    assert check_strength(value) == value
    assert isinstance(check_strength(value), float)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_strength_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"noise_lambda is .*; it must be a finite number >= 0"):
        check_strength(value)
    with pytest.raises(ValueError, match=r"noise_lambda\['a'\] is .*; it must be a finite number >= 0"):
        check_strength({"a": value})


@pytest.mark.parametrize("value", [True, "0.1", None, [0.1]])
def test_a_strength_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"noise_lambda is .*; it must be a finite number"):
        check_strength(value)


def test_an_empty_map_is_refused() -> None:
    with pytest.raises(ValueError, match="noise_lambda is an empty map"):
        check_strength({})


def test_the_map_is_copied() -> None:
    given = {"a": 0.1}
    kept = check_strength(given)
    given["a"] = 9.0
    assert kept == {"a": 0.1}


def test_the_first_pattern_that_fits_gives_the_strength() -> None:
    strengths = {"a.*": 0.1, "*.weight": 0.2}
    assert strength_of("a.weight", strengths) == 0.1
    assert strength_of("b.weight", strengths) == 0.2
    assert strength_of("b.bias", strengths) is None
    assert strength_of("anything", 0.3) == 0.3


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_a_whole_number_beyond_every_float_is_refused(value):
    with pytest.raises(ValueError, match=r"noise_lambda is -?10+; it must be a finite number"):
        check_strength(value)
