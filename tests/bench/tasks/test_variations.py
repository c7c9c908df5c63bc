"""Tasks and methods with settings in their names: one spelling, one run."""

from __future__ import annotations

import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench.data.loading import load
from dither.bench.plans.names import parse_arms, parse_fractions
from dither.bench.plans.settings import parse_settings
from dither.bench.tasks.files import available_tasks, load_task
from dither.bench.tasks.variations import settings_of, spelled, with_settings


@pytest.mark.parametrize("settings", [{"a": 1}, {"a": 0.1, "b": True, "c": "backbone"}, {"a": 1e-05}])
def test_what_is_spelled_is_read_again(settings):
    assert settings_of(spelled("pats", settings)) == settings


@pytest.mark.parametrize("value", [["a"], {"a": 1}, "a,b", "a@b", None])
def test_what_no_name_can_hold(value):
    with pytest.raises(ValueError, match="cannot stand in a name; give it by --set"):
        spelled("pats", {"include": value})


def test_one_variation_has_one_name():
    names = (
        "glue/rte@learning_rate=3e-5,train_fraction=0.10",
        "glue/rte@train_fraction=0.1,learning_rate=0.00003",
    )
    assert {load_task(name).name for name in names} == {"glue/rte@train_fraction=0.1,learning_rate=3e-05"}
    assert load_task("glue/rte@train_fraction=1.0,subset_seed=0") == load_task("glue/rte")


@pytest.mark.parametrize("name", sorted(available_tasks()))
def test_every_task_can_be_varied(name):
    task = load_task(name)
    varied = load_task(f"{name}@{'train_fraction' if task.trained else 'held_out'}=0.1,epochs=1")
    assert varied.base == name
    assert varied.digest != task.digest
    assert load_task(varied.name) == varied
    assert varied.folder == task.folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("glue/rte@", "'' is not like setting=value; write @a=1,b=2"),
        ("glue/rte@epochs", "'epochs' is not like setting=value"),
        ("glue/rte@epoch=3", "task 'glue/rte' has no setting 'epoch'; did you mean 'epochs'"),
        ("glue/rte@epochs=3,epochs=4", "'epochs' stands there twice"),
        ("glue/rte@epochs=0", r"epochs = 0 is outside \[0.001, 10000\]"),
        ("glue/rte@train_fraction=much", "train_fraction = 'much' is no number"),
        ("glue/rtee@epochs=3", "unknown task 'glue/rtee'; did you mean 'glue/rte'"),
        ("none.toml@epochs=3", "there is no task file none.toml"),
    ],
)
def test_variations_that_are_none(name, message):
    with pytest.raises(ValueError, match=message):
        load_task(name)


def test_a_task_that_is_not_trained_on_its_own_rows_holds_nothing_out():
    with pytest.raises(ValueError, match="held_out: builtin/retrieval trains on builtin/entailment and is"):
        load_task("builtin/retrieval@held_out=0.1")


def test_each_train_split_is_cut_alike():
    data = load(load_task("builtin/translate_train/entailment@train_fraction=0.5,held_out=0.2"))
    assert {split: len(rows) for split, rows in data.splits.items()} == {
        "train.en": 160,
        "train.xx": 160,
        "held_out.en": 80,
        "held_out.xx": 80,
    }


def test_a_file_cannot_name_a_task_like_a_variation(tmp_path):
    path = tmp_path / "task.toml"
    text = (available_tasks()["glue/rte"]).read_text().replace('"glue/rte"', '"glue/rte@epochs=3"')
    path.write_text(text)
    with pytest.raises(ValueError, match="'glue/rte@epochs=3' holds an @, which begins settings"):
        load_task(path)


@pytest.mark.parametrize(
    ("text", "arms"),
    [
        ("none", ("none",)),
        ("pats@beta=0.98,gamma=2,none", ("pats@beta=0.98,gamma=2.0", "none")),
        ("noisytune@noise_lambda=0.10, noisytune", ("noisytune@noise_lambda=0.1", "noisytune")),
        ("noisytune@scope=backbone", ("noisytune@scope=backbone",)),
    ],
)
def test_arms(text, arms):
    assert parse_arms(text) == arms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("noisetune@noise_lambda=1", "unknown method 'noisetune'; did you mean 'noisytune'"),
        ("pats@bta=0.9", "method 'pats' has no setting 'bta'; did you mean 'beta'"),
        ("pats@beta=0.9,pats@beta=0.90", "one or more names, each once"),
        ("pats,pats", "--methods 'pats,pats' must hold one or more names, each once"),
        ("pats@seed=1", "'pats@seed=1': the seed of a run seeds its noise; choose runs by --seeds"),
        ("pats@beta=2", "beta is 2"),
        ("noisytune-gaussian@law=uniform", "is what it is by law='gaussian'"),
    ],
)
def test_arms_that_are_none(text, message):
    with pytest.raises(ValueError, match=message):
        parse_arms(text)


def test_settings_reach_every_arm_of_a_method():
    arms = ("none", "pats@beta=0.98", "pats@beta=0.5")
    settings, _ = parse_settings(["pats.noise_lambda=0.2"], arms)
    assert settings["pats@beta=0.5"] == {"beta": 0.5, "noise_lambda": 0.2}
    with pytest.raises(ValueError, match=r"pats@beta=0\.98 sets it otherwise already"):
        parse_settings(["pats.beta=0.9"], arms)


@pytest.mark.parametrize("text", ["", "0", "1.5", "nan", "0.1,0.1", "a", "-0.1"])
def test_fractions_that_are_none(text):
    with pytest.raises(ValueError, match="--train-fraction"):
        parse_fractions(text)


def test_a_task_gets_further_settings():
    assert with_settings("a.toml", train_fraction=0.5) == "a.toml@train_fraction=0.5"
    assert with_settings("a@epochs=3", train_fraction=0.5) == "a@epochs=3,train_fraction=0.5"


def test_the_path_of_a_task_may_hold_an_at(tmp_path):
    task = str(write_task(tmp_path / "me@home" / "task"))
    assert load_task(task).name == "mine/films"
    half = with_settings(task, train_fraction=0.5)
    assert load_task(half).name == "mine/films@train_fraction=0.5"
    assert load_task(with_settings(half, epochs=3)).name == "mine/films@train_fraction=0.5,epochs=3.0"


def test_a_plan_of_variations(tmp_path):
    task, model = write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")
    plan = plan_of(f"{task}@train_fraction=0.5", model, methods=("none", "pats@noise_lambda=0.3"), seeds=(0,))
    plain, noisy = plan.requests()
    assert noisy.spec.method == "pats@noise_lambda=0.3"
    assert noisy.spec.method_settings["noise_lambda"] == 0.3
    assert plain.spec.task == "mine/films@train_fraction=0.5"
    (planned,) = plan.experiment("compare").tasks.values()
    assert planned["rows"]["train"] == len(plan.data[plain.spec.task].splits["train"])


def test_a_setting_stands_in_one_place(tmp_path):
    task, model = write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")
    with pytest.raises(
        ValueError, match=r"--set train\.epochs would undo what 'mine/films@epochs=2\.0' says"
    ):
        plan_of(f"{task}@epochs=2", model, "train.epochs=1")
