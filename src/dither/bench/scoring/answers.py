"""Answers as the official scorers compare them: SQuAD's rule, and MLQA's, which knows languages."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

Normal = Callable[[str], str]

_ARTICLES = {
    "en": r"\b(a|an|the)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "ar": "ال",  # wherever it stands, as the official scorer has it
}
_ALONE = {"zh": "\u4e00-\u9fa5", "ja": "\u3040-\u30ff\u4e00-\u9fa5", "th": "\u0e00-\u0e7f"}
"""Characters that are a word each, in languages without spaces; the official scorer knows Chinese alone."""


def normalize_answer(text: str) -> str:
    """Return an answer as the SQuAD v1.1 scorer compares it: lower case, no punctuation, no articles.

    Reference:
        Rajpurkar et al., EMNLP 2016, https://aclanthology.org/D16-1264 (steps as in its evaluate-v1.1.py).

    Example:
        >>> normalize_answer("The  Panthers' defense, a team.")
        'panthers defense team'
    """
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def normalize_in(language: str) -> Normal:
    """Return MLQA's rule for one language: Unicode's punctuation, the language's articles and words.

    Where we differ: languages that MLQA lacks have no articles, and are compared by characters in Japanese
    and Thai, by words elsewhere; the official scorer refuses them.

    Reference:
        Lewis et al., ACL 2020, https://aclanthology.org/2020.acl-main.653 (mlqa_evaluation_v1.py).

    Example:
        >>> normalize_in("de")("Der »Rhein«"), normalize_in("zh")("北京 NFL队。")
        ('rhein', '北 京 nfl 队')
    """
    articles, alone = _ARTICLES.get(language), _ALONE.get(language)

    def normalize(text: str) -> str:
        bare = "".join(
            c for c in text.lower() if unicodedata.category(c)[0] != "P" and c not in string.punctuation
        )
        if articles:
            bare = re.sub(articles, " ", bare)
        return " ".join((re.sub(f"([{alone}])", r" \1 ", bare) if alone else bare).split())

    return normalize


def _overlap(true: str, said: str) -> float:
    wanted, given = true.split(), said.split()
    common = sum((Counter(wanted) & Counter(given)).values())
    return 2 * common / (len(wanted) + len(given)) if common else 0.0


def mean_f1(gold: Sequence[Sequence[str]], predicted: Sequence[str], normal: Normal) -> float:
    """The mean over questions of the F1 of words with the best-fitting gold answer."""
    pairs = zip(gold, predicted, strict=True)
    best = [max(_overlap(normal(true), normal(said)) for true in answers) for answers, said in pairs]
    return math.fsum(best) / len(best)


def exact_share(gold: Sequence[Sequence[str]], predicted: Sequence[str], normal: Normal) -> float:
    """The share of predictions that equal a gold answer."""
    pairs = zip(gold, predicted, strict=True)
    return sum(normal(said) in map(normal, true) for true, said in pairs) / len(gold)
