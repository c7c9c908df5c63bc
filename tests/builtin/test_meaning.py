"""Entailment labels against brute force: every small world, no shortcut."""

from __future__ import annotations

import re
from itertools import combinations, combinations_with_replacement
from typing import NamedTuple

import pytest
from recognizer import ADJECTIVES, DETERMINERS, NAMES, TABLE

from dither.builtin import rows

NOUN = {form: row[0] for row in TABLE["noun"] for form in row[2:4]}
VERB = {form: row[0] for row in TABLE["intransitive"] for form in row[2:7]}
SENSE_OF_ADJECTIVE = {row[2]: row[0] for row in TABLE["adjective"]}
OPPOSITE = {row[0]: row[1] for row in TABLE["adjective"]}
ABOVE = {row[0]: row[1] for row in [*TABLE["noun"], *TABLE["intransitive"]] if row[1]}
QUANTIFIER = {"every": "every", "all": "every", "some": "some", "no": "no"}

Individual = frozenset[str]


class Said(NamedTuple):
    quantifier: str
    who: Individual
    what: Individual
    negated: bool

    def true_in(self, world: tuple[Individual, ...]) -> bool:
        spoken_of = [x for x in world if self.who <= x]
        holds = [(self.what <= x) != self.negated for x in spoken_of]
        return {"every": all(holds), "some": any(holds), "no": not any(holds), "name": all(holds)}[
            self.quantifier
        ]


def read(sentence: str) -> Said:
    """Read a statement from its English."""
    words = re.findall(r"\w+", sentence.lower())
    if words[0] in NAMES:
        quantifier, who, rest = "name", {words[0]}, words[1:]
    else:
        quantifier = QUANTIFIER[words[0]]
        end = 2 + (words[1] in ADJECTIVES)
        who = {SENSE_OF_ADJECTIVE.get(x) or NOUN[x] for x in words[1:end]}
        rest = words[end:]
    negated = "not" in rest
    content = [x for x in rest if x in VERB or x in SENSE_OF_ADJECTIVE or x in NOUN]
    what = {VERB.get(x) or SENSE_OF_ADJECTIVE.get(x) or "at " + NOUN[x] for x in content}
    assert what, sentence
    return Said(quantifier, frozenset(who), frozenset(what), negated)


def above(sense: str) -> set[str]:
    chain = {sense}
    if sense in NAMES:
        chain |= {"person"}
    while ABOVE.get(sense):
        sense = ABOVE[sense]
        chain.add(sense)
    return chain


def individuals(senses: set[str]) -> list[Individual]:
    """Return every combination of senses that one individual can have."""
    subsets = [frozenset(c) for n in range(len(senses) + 1) for c in combinations(sorted(senses), n)]
    return [
        x
        for x in subsets
        if all(above(sense) & senses <= x for sense in x) and not any(OPPOSITE.get(sense) in x for sense in x)
    ]


def label_of(premise: Said, hypothesis: Said) -> int:
    senses = set(premise.who | premise.what | hypothesis.who | hypothesis.what)
    # A statement needs at most one witness beside the other's, so two individuals are enough.
    verdicts = set()
    for world in combinations_with_replacement(individuals(senses), 2):
        bearers = {x for x in world if x & NAMES}
        exist = all(any(said.who <= x for x in world) for said in (premise, hypothesis))
        if exist and len(bearers) <= 1 and premise.true_in(world):
            verdicts.add(hypothesis.true_in(world))
    assert verdicts, (premise, hypothesis)
    return {(True,): 0, (False, True): 1, (False,): 2}[tuple(sorted(verdicts))]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_labels_hold_in_every_small_world(split: str) -> None:
    for row in rows("entailment", split):
        assert label_of(read(row["premise"]), read(row["hypothesis"])) == row["label"], row


@pytest.mark.parametrize(
    ("premise", "hypothesis", "label"),
    [
        ("Every animal sleeps.", "All dogs rest.", 0),
        ("Some dogs sleep.", "Some animals sleep.", 0),
        ("Some animals sleep.", "Some dogs sleep.", 1),
        ("No child is old.", "Every girl is old.", 2),
        ("Mira sleeps in the garden.", "Mira rests.", 0),
        ("Every dog is big.", "No dog is small.", 0),
    ],
)
def test_brute_force_judges_as_people_do(premise: str, hypothesis: str, label: int) -> None:
    assert label_of(read(premise), read(hypothesis)) == label


def test_quantifiers_read_are_those_of_the_language() -> None:
    assert set(QUANTIFIER) <= set(DETERMINERS)
