"""Experiments as TOML: those of the package are whole, and a broken one says where."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_encoder import write_task

from dither.bench.experiments.files import available_reproductions, load_reproduction
from dither.bench.experiments.reproduction import comparable
from dither.bench.tasks.files import load_task

NAMES = (
    "noisytune-glue",
    "noisytune-lambda",
    "noisytune-low-data",
    "noisytune-noise-types",
    "noisytune-xtreme",
    "pats-glue",
)
SPEC = """\
name = "mine"
summary = "Mine."
paper = "Nobody, 2026"
model = "nobody/encoder"
tasks = ["builtin/sentiment", "builtin/entailment"]
methods = ["none", "noisytune"]
seeds = "0-2"
"""
FIGURES = """
[[published]]
model = "nobody/encoder"
label = "Encoder"
source = "table 1"

[published.scores]
"builtin/sentiment" = { none = 80.0, noisytune = 81 }
"""


@pytest.fixture
def spec(tmp_path):
    def write(*replaced: tuple[str, str], more: str = FIGURES) -> Path:
        text = SPEC + more
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


def test_the_package_has_the_experiments_of_both_papers():
    assert tuple(available_reproductions()) == NAMES
    for name in NAMES:
        found = load_reproduction(name)
        assert found.name == name
        assert found.methods[0] == "none"
        assert found.claim
        assert found.differs
        assert found.url.startswith("https://doi.org/")
        assert bool(found.published) != bool(found.missing), "figures, or why there are none"


def test_the_published_table_is_whole_and_every_gain_is_positive():
    found = load_reproduction("noisytune-glue")
    assert [row.label for row in found.published] == ["BERT-base", "RoBERTa-base"]
    for row in found.published:
        assert row.scores.keys() == set(found.tasks)
        gains = [scores["noisytune"] - scores["none"] for scores in row.scores.values()]
        assert all(0.19 < gain < 1.75 for gain in gains)  # as the paper prints them
    rte = found.published[0].scores["glue/rte"]
    assert (rte["none"], rte["noisytune"]) == (67.7, 68.8)


def test_fractions_are_tasks_also_of_tasks_chosen_instead():
    found = load_reproduction("noisytune-low-data")
    names = [load_task(name).name for name in found.tasks_of(["glue/rte"])]
    assert names == [*(f"glue/rte@train_fraction={share}" for share in (0.1, 0.2, 0.5)), "glue/rte"]


def test_figures_are_those_of_the_model_or_else_of_all():
    found = load_reproduction("noisytune-glue")
    assert [row.label for row in found.figures_for("FacebookAI/roberta-base")] == ["RoBERTa-base"]
    assert [row.label for row in found.figures_for("/models/bert-base-uncased")] == ["BERT-base"]
    assert len(found.figures_for("builtin")) == 2


def test_a_file_of_ones_own_may_have_tasks_of_ones_own_beside_it(spec, tmp_path):
    write_task(tmp_path)
    figure = FIGURES.replace("builtin/sentiment", "mine/films@train_fraction=0.5")
    found = load_reproduction(spec(('"builtin/entailment"', '"films.toml@train_fraction=0.50"'), more=figure))
    assert found.tasks == ("builtin/sentiment", f"{tmp_path}/films.toml@train_fraction=0.50")
    assert found.published[0].scores == {"mine/films@train_fraction=0.5": {"none": 80.0, "noisytune": 81.0}}


BROKEN = {
    "unknown key": (("summary", "sumary"), "key 'sumary': is unknown; did you mean 'summary'?"),
    "missing key": (('seeds = "0-2"\n', ""), "key 'seeds': is missing"),
    "kind": (('seeds = "0-2"', "seeds = 3"), "key 'seeds': 3 is not a string"),
    "list": (('tasks = ["builtin/sentiment"', 'tasks = [1, "x"'), "is not a list of strings"),
    "empty": (('methods = ["none", "noisytune"]', "methods = []"), "key 'methods': is empty"),
    "task": (
        ('"builtin/entailment"', '"builtin/entailmen"'),
        "key 'tasks': unknown task 'builtin/entailmen'",
    ),
    "twice": (('"builtin/entailment"', '"builtin/sentiment"'), "key 'tasks': one stands twice in"),
    "arm": (('["none", "noisytune"]', '["none", "noisytun"]'), "key 'methods': unknown method 'noisytun'"),
    "setting": (('"noisytune"]', '"noisytune@lamda=1"]'), "method 'noisytune' has no setting 'lamda'"),
    "plain": (('"none", "noisytune"]', '"aa", "noisytune"]'), "key 'methods': needs 'none'"),
    "seeds": (("0-2", "2-0"), "key 'seeds': --seeds 2-0: the range '2-0' runs backwards"),
    "figure task": (
        ('"builtin/sentiment" =', '"glue/rte" ='),
        "published[1].scores.glue/rte': is no task of",
    ),
    "figure arm": (
        ("noisytune = 81", "pats = 81"),
        "scores.builtin/sentiment.pats': is no arm of the experi",
    ),
    "points": (("noisytune = 81", "noisytune = 810"), "noisytune': 810 is not in points, -100 to 100"),
    "truth": (("noisytune = 81", "noisytune = true"), "noisytune': True is not in points"),
    "table": (("{ none = 80.0, noisytune = 81 }", "81"), "81 is not a table of arm = points"),
    "source": (('source = "table 1"\n', ""), "key 'published[1].source': is missing"),
    "name": (('name = "mine"', 'name = "mi ne"'), "key 'name': 'mi ne' is not like"),
    "toml": (('name = "mine"', "name = mine"), "Invalid value"),
}


@pytest.mark.parametrize("case", list(BROKEN))
def test_a_broken_file_is_named_with_its_key(spec, case):
    replaced, message = BROKEN[case]
    path = spec(replaced)
    with pytest.raises(ValueError, match=r"mine\.toml: ") as caught:
        load_reproduction(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train_fractions = [0.1, 2]", "key 'train_fractions': 2 is outside (0, 1]"),
        ('train_fractions = ["a"]', "key 'train_fractions': ['a'] is not a list of numbers"),
        ("[recipe]\nepoch = 3", "key 'recipe.epoch': is unknown; did you mean 'epochs'"),
        ("[recipe]\nepochs = -3", "key 'recipe.epochs': epochs = -3 is outside"),
        ("recipe = 3", "key 'recipe': 3 is not a table"),
        ("published = 3", "key 'published': is no list of tables; write [[published]]"),
    ],
)
def test_a_broken_addition_is_named_too(spec, line, message):
    with pytest.raises(ValueError, match=r"mine\.toml: ") as caught:
        load_reproduction(spec(more=line))
    assert message in str(caught.value)


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(
        ValueError, match="unknown experiment 'noisytune-gleu'; did you mean 'noisytune-glue'"
    ):
        load_reproduction("noisytune-gleu")
    with pytest.raises(ValueError, match=r"there is no experiment file nowhere.toml; `dither reproduce"):
        load_reproduction("nowhere.toml")


def test_a_figure_is_looked_up_by_what_is_trained_on():
    assert comparable("glue/rte@held_out=0.2,epochs=3") == "glue/rte@held_out=0.2"
