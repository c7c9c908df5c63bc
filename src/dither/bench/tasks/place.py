"""Where the rows of a task stand, as its TOML file says it: on the Hub, and in which languages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A data set of the Hub; `{language}` may stand in `config`, `rows`, the values of `splits`."""

    path: str
    config: str = ""
    revision: str = ""
    splits: Mapping[str, str] = field(default_factory=dict)  # our name -> the Hub's, where they differ
    spoken: Mapping[str, str] = field(default_factory=dict)  # language -> the Hub's word for it
    renamed: Mapping[str, str] = field(default_factory=dict)  # our column -> the Hub's
    rows: str = ""  # how the `id` of a language's rows begins, where one split holds all languages


def for_each_language(table: Mapping[str, str], languages: Sequence[str]) -> dict[str, str]:
    """Return a table in which a key with `{language}` stands once for each language.

    Example:
        >>> for_each_language({"{language}": "test.{language}", "all": "test"}, ["en", "de"])
        {'en': 'test.en', 'de': 'test.de', 'all': 'test'}
    """
    return {
        key.replace("{language}", language): value.replace("{language}", language)
        for key, value in table.items()
        for language in (languages if "{language}" in key else ("",))
    }
