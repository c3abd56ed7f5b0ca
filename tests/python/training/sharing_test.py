"""encoder.share from the command line: the same update on any number of workers, resuming, and the commands that read a
run."""

import json

import pytest

from program import distance, fails, files, lines, log, parameters, run, status, train

TASKS = "topic,tags,dictionary,lines,wind"
# What is not the default; the encoder has two blocks.
FORMS = {
    "adapters": ["--encoder.adapter_dim", 8],
    "mtan": ["--encoder.adapter_dim", 8, "--encoder.form", "bert", "--run.accumulate", 2],
    "mmoe": ["--encoder.experts", 2, "--attention.entropy_bonus", 0.1],
    "ple": ["--encoder.expert_layers", 2, "--encoder.drop_path", 0.2, "--encoder.attention_dropout", 0.2],
}
OWN = {"adapters": "adapter.up.weight", "mtan": "mask.up.weight", "mmoe": "gate", "ple": "experts.up.weight"}


def options(form, dtype="float64"):
    return ["--run.steps", 12, "--run.tasks", TASKS, "--run.dtype", dtype, "--encoder.share", form, *FORMS[form]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    """A run of each form on one worker."""
    folder = tmp_path_factory.mktemp("sharing")

    def get(form):
        if not (folder / form).exists():
            train(folder / form, data, *options(form))
        return folder / form

    return get


@pytest.mark.parametrize("workers", [2, 7])  # seven: more than tasks, so that a task lies on several
@pytest.mark.parametrize("form", FORMS)
def test_any_number_of_workers_trains_the_same(form, workers, runs, data, tmp_path):
    done = train(tmp_path / "run", data, *options(form), workers=workers)
    assert ("(1/" in done.stderr) == (workers == 7)
    one, many = parameters(runs(form)), parameters(tmp_path / "run")
    assert f"encoder.layers.1.{OWN[form]}" in one["head.tags"]
    apart = distance(one, many)
    assert apart < 1e-10
    print(f"{form}: {apart:.1e}")


def test_tasks_parts_move_and_share_is_part_of_what_a_run_is(runs, data, tmp_path):
    train(tmp_path / "other", data, *options("adapters"), "--optimizer.lr", 1e-12)
    start, end = parameters(tmp_path / "other"), parameters(runs("adapters"))
    for task in TASKS.split(","):
        name = "encoder.layers.0.adapter.up.weight"
        assert abs(start[f"head.{task}"][name]).max() < 1e-9 < 1e-4 < abs(end[f"head.{task}"][name]).max()
    fails(78, "train", "--run-dir", tmp_path / "other", "--data", data, "--encoder.share", "mtan", says=["encoder.share: adapters there, mtan here"])


@pytest.mark.parametrize("form", ["mtan", "ple"])
def test_interrupted_and_going_on_equals_never_interrupted(form, data, tmp_path):
    more = [*options(form, "float32"), "--optimizer.ema", 0.9, "--optimizer.layer_decay", 0.8]
    train(tmp_path / "whole", data, *more, workers=2)
    for stop in (["--run.stop_at", 5], []):
        train(tmp_path / "parts", data, *more, *stop, "--encoder.activation_checkpointing", "blocks", workers=2)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert log(tmp_path / "parts") == log(tmp_path / "whole")
    assert status(tmp_path / "parts")["parameter_hash"] == status(tmp_path / "whole")["parameter_hash"]


@pytest.mark.parametrize("form", FORMS)
def test_a_run_is_read_task_by_task(form, runs, planted):
    """A task's predictions depend neither on the other heads that are loaded nor on the batch."""
    folder = runs(form)

    def evaluate(*more):
        done = run("evaluate", "--run-dir", folder, "--json", "--threads", 1, "--split", "valid", *more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["tasks"]

    every = evaluate()
    assert set(every) == set(TASKS.split(","))
    logged = {line["task"]: line["metrics"]["loss"] for line in lines(folder) if line["kind"] == "eval"}
    assert evaluate("--tasks", "wind") == {"wind": every["wind"]}
    assert {task: every[task]["loss"] for task in every} == pytest.approx(logged, rel=1e-9)

    texts = [json.loads(line) for line in (planted / "jsonl" / "topic.test.jsonl").read_text().splitlines()[:5]]

    def predict(samples):
        done = run("predict", "--run-dir", folder, "--task", "topic", "--threads", 1, "--attention",
                   input="".join(json.dumps({"text": sample["text"]}) + "\n" for sample in samples))
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    together = predict(texts)
    assert len(together) == 5 and set(together[0]["attention"]["weights"]) == set(TASKS.split(","))
    assert predict(texts[3:4])[0]["probability"] == pytest.approx(together[3]["probability"], rel=1e-9)


@pytest.mark.parametrize("words, says", [
    (["--encoder.share", "mmoe", "--encoder.experts", 3], ["encoder.experts = 3 with encoder.ffn = 64", "divide"]),
    (["--encoder.share", "ple", "--encoder.expert_layers", 3], ["encoder.expert_layers = 3 with encoder.layers = 2"]),
    (["--encoder.share", "soft"], ["encoder.share", "hard, adapters, mtan, mmoe, ple"]),
])
def test_options_that_do_not_fit_are_named(words, says, data, tmp_path):
    fails(78, "train", "--run-dir", tmp_path / "run", "--data", data, "--encoder.layers", 2, "--encoder.dim", 32, "--encoder.ffn", 64, *words,
          says=says)
