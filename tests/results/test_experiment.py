import pytest
from results_samples import TASK, experiment, files, result, spec

from dither.results import Ledger, LedgerError

OTHER = {"task_digest": "t9", "data_digest": "d9"}


def test_tasks_methods_and_seeds_may_be_added_and_are_remembered(tmp_path):
    with Ledger.create_or_resume(tmp_path, experiment(seeds=(0, 1))) as ledger:
        ledger.record_look()
    tasks = {"glue/rte": OTHER, **experiment().tasks}
    methods = {**experiment().methods, "pats": {"beta": 0.85}}
    with Ledger.create_or_resume(
        tmp_path, experiment(seeds=(2, 1, 0), tasks=tasks, methods=methods)
    ) as ledger:
        ledger.record_look()
        ledger.add(result(spec(2)))
    with Ledger.create_or_resume(tmp_path, experiment(seeds=(0, 1, 2, 7), tasks=tasks, methods=methods)):
        pass
    ledger = Ledger.read(tmp_path)
    assert ledger.experiment.seeds == (0, 1, 2, 7)
    assert list(ledger.experiment.tasks) == [TASK, "glue/rte"]
    grown = [(one.tasks, one.methods, one.seeds, one.looks) for one in ledger.extensions]
    assert grown == [(("glue/rte",), ("pats",), (2,), 1), ((), (), (7,), 2)]


def test_the_same_experiment_in_another_order_is_no_extension(tmp_path):
    plan = experiment()
    Ledger.create_or_resume(tmp_path, plan).close()
    methods = dict(reversed(plan.methods.items()))
    same = experiment(seeds=tuple(reversed(plan.seeds)), methods=methods, model="./builtin")
    with Ledger.create_or_resume(tmp_path, same) as ledger:
        assert ledger.extensions == []
        assert ledger.experiment == plan


CHANGES = [
    ({"kind": "sweep"}, "kind: 'compare' there, 'sweep' now"),
    ({"model_digest": "m2", "model": "x/y"}, "(the model was typed as 'builtin' there, 'x/y' now)"),
    ({"threads": 2}, "threads: 1 there, 2 now"),
    ({"dtype": "bfloat16"}, "dtype: 'float32' there, 'bfloat16' now"),
    ({"recipe_version": 2}, "recipe_version: 1 there, 2 now"),
    ({"train_settings": {"learning_rate": 5e-5}}, "train_settings.learning_rate: 3e-05 there, 5e-05 now"),
    ({"train_settings": {}}, "train_settings.learning_rate: 3e-05 there, not set now"),
    (
        {"train_settings": {"learning_rate": 3e-5, "epochs": 3}},
        "train_settings.epochs: not set there, 3 now",
    ),
    (
        {"methods": {"none": {}, "noisytune": {"noise_lambda": 0.2}}},
        "methods[noisytune].noise_lambda: 0.15 there, 0.2 now",
    ),
    ({"methods": {"none": {}}}, "methods: noisytune belongs to the folder's plan and is missing now"),
    ({"tasks": {TASK: {"task_digest": "t1", "data_digest": "d2"}}}, "data_digest: 'd1' there, 'd2' now"),
    ({"tasks": {"glue/rte": OTHER}}, f"tasks: {TASK} belongs to the folder's plan and is missing now"),
    (
        {"seeds": (0, 1, 2, 30)},
        "seeds: 0, 1, 2, 3, 4, 5, 6, 7, 8 there, of which this leaves out 3, 4, 5, 6, 7, 8",
    ),
]


@pytest.mark.parametrize(("change", "line"), CHANGES, ids=[line.split(":")[0] for _, line in CHANGES])
def test_another_experiment_is_refused_and_changes_nothing(tmp_path, change, line):
    Ledger.create_or_resume(tmp_path, experiment()).close()
    before = (tmp_path / "ledger.sqlite").read_bytes()
    with pytest.raises(LedgerError) as caught:
        Ledger.create_or_resume(tmp_path, experiment(**change))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path} holds another experiment:\n")
    assert line in message
    assert "Choose another --out" in message
    assert files(tmp_path) == ["ledger.sqlite"]
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


EARLIER = {"noise_lambda": 0.15, "beta": 0.85}  # of a folder from before PATS had a schedule


def test_a_folder_of_before_there_was_a_schedule_counts_as_linear(tmp_path):
    arms = {"none": {}, "pats": EARLIER, "pats@beta=0.9": EARLIER | {"beta": 0.9}}
    Ledger.create_or_resume(tmp_path, experiment(methods=arms)).close()
    assert Ledger.read(tmp_path).experiment.methods == arms
    Ledger.create_or_resume(tmp_path, experiment(methods=arms)).close()
    now = {name: settings and settings | {"schedule": "run"} for name, settings in arms.items()}
    with pytest.raises(LedgerError) as caught:
        Ledger.create_or_resume(tmp_path, experiment(methods=now))
    for name in ("pats", "pats@beta=0.9"):
        assert f"\n  methods[{name}].schedule: 'linear' there, 'run' now\n" in str(caught.value)
    assert "linear one; --set pats.schedule=linear goes on with it)" in str(caught.value)
    assert "noise_lambda" not in str(caught.value)


def test_a_folder_of_the_schedule_of_the_run_is_not_one_of_before(tmp_path):
    now = EARLIER | {"schedule": "run"}
    Ledger.create_or_resume(tmp_path, experiment(methods={"pats": now})).close()
    with pytest.raises(LedgerError, match=r"methods\[pats\]\.schedule: 'run' there, 'linear' now"):
        Ledger.create_or_resume(tmp_path, experiment(methods={"pats": EARLIER}))
    Ledger.create_or_resume(tmp_path, experiment(methods={"pats": now})).close()


def test_all_differences_are_named_at_once(tmp_path):
    Ledger.create_or_resume(tmp_path, experiment()).close()
    with pytest.raises(LedgerError) as caught:
        Ledger.create_or_resume(tmp_path, experiment(threads=2, dtype="bfloat16", train_settings={}))
    for name in ("threads", "dtype", "train_settings.learning_rate"):
        assert f"\n  {name}: " in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": ()}, r"Experiment.seeds is \[\]; it must be one or more seeds"),
        ({"seeds": (1, 1)}, r"Experiment.seeds is \[1, 1\]; .* all different"),
        ({"seeds": (-1,)}, r"Experiment.seeds is -1"),
        (
            {"tasks": {"a": {}}},
            r"Experiment.tasks\['a'\] is \{\}; it must be a dict with the keys task_digest",
        ),
        ({"methods": {"none": None}}, r"Experiment.methods\['none'\] is a NoneType; it must be a dict"),
        ({"train_settings": {"x": float("inf")}}, r"Experiment.train_settings.x is inf"),
        ({"kind": ""}, r"Experiment.kind is ''"),
        ({"threads": 0}, r"Experiment.threads is 0"),
    ],
)
def test_bad_experiments_are_refused_by_name(change, message):
    with pytest.raises(LedgerError, match=message):
        experiment(**change)


def test_the_number_of_processes_stays_and_one_is_not_written(tmp_path):
    with Ledger.create_or_resume(tmp_path / "one", experiment()) as ledger:
        assert "processes" not in ledger.experiment.to_json()
        with pytest.raises(LedgerError, match=r"has processes 2, but the plan of this folder says 1"):
            ledger.add(result(spec(processes=2)))
    with Ledger.create_or_resume(tmp_path / "two", experiment(processes=2)) as ledger:
        ledger.add(result(spec(processes=2)))
    assert Ledger.read(tmp_path / "two").experiment.processes == 2
    with pytest.raises(LedgerError, match="processes: 2 there, 1 now"):
        Ledger.create_or_resume(tmp_path / "two", experiment())


DOSE = {"asked": "matched", "noise_lambda": 0.356, "d": 0.13}


def test_doses_are_added_to_the_plan_and_are_no_extension(tmp_path):
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        assert "doses" not in ledger.experiment.document()  # as before there were any
        ledger.record_doses({TASK: {"pats": DOSE}})
        ledger.record_doses({TASK: {"noisytune": {**DOSE, "asked": 0.15}}})
    with Ledger.create_or_resume(tmp_path, experiment(seeds=tuple(range(12)))) as ledger:
        assert ledger.experiment.doses == {TASK: {"pats": DOSE, "noisytune": {**DOSE, "asked": 0.15}}}
        assert [one.seeds for one in ledger.extensions] == [(9, 10, 11)]


def test_another_number_is_another_experiment(tmp_path):
    with Ledger.create_or_resume(tmp_path, experiment(doses={TASK: {"pats": DOSE}})):
        pass
    other = experiment(doses={TASK: {"pats": {**DOSE, "noise_lambda": 0.357}, "noisytune": DOSE}})
    with pytest.raises(
        LedgerError, match=r"doses\[builtin/sentiment\]\[pats\]\.noise_lambda: 0\.356 there, 0\.357"
    ):
        Ledger.create_or_resume(tmp_path, other)
    with pytest.raises(
        LedgerError, match=r"Experiment\.doses\['a'\]\['pats'\] is \{'d': 1\}; it must have a noise"
    ):
        experiment(doses={"a": {"pats": {"d": 1}}})
