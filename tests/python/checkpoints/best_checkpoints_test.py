"""run.best with several values: a checkpoint for each is kept and can be chosen by its name."""

import json
import shutil

import pytest

from program import fails, files, lines, log, newest, run, train, train_words

VALUES = ["topic:loss", "topic:accuracy", "tags:loss", "mean"]
# The learning rate is too high, so that the values get worse again.
OPTIONS = ["--run.eval_every", 4, "--run.eval_samples", 20, "--run.keep", 1, "--run.tasks", "topic,tags,dictionary", "--optimizer.lr", 0.2,
           "--optimizer.schedule", "constant"]


def best_of(steps):
    return [*OPTIONS, "--run.best", ", ".join(VALUES), "--run.steps", steps]


BEST = best_of(24)


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("best") / "run"
    train(run_dir, data, *BEST, timeout=200)
    return run_dir


def evaluations(run_dir):
    """step -> task -> metrics"""
    found = {}
    for line in lines(run_dir):
        if line["kind"] == "eval":
            found.setdefault(line["step"], {})[line["task"]] = line["metrics"]
    return found


def expected_best(run_dir):
    """value -> the first step at which it was best"""
    found, best = evaluations(run_dir), {}
    for value in VALUES:
        def score(step, value=value):
            if value == "mean":
                return -sum(metrics["loss"] for metrics in found[step].values()) / len(found[step])
            task, metric = value.split(":")
            return found[step][task][metric] * (-1 if metric == "loss" else 1)

        best[value] = max(found, key=lambda step: (score(step), -step))
    return best


def test_each_is_kept_and_named(folder):
    expected = expected_best(folder)
    names = {"best": expected["topic:loss"], **{f"best-{value}": step for value, step in expected.items()}}
    assert len(set(expected.values()) | {24}) > 2, "the test wants different best steps"
    found = {file.name: file.read_text() for file in (folder / "checkpoints").iterdir() if file.is_file()}
    assert found == {"latest": "step-000024\n", **{name: f"step-{step:06}\n" for name, step in names.items()}}
    assert {file.name for file in (folder / "checkpoints").iterdir() if file.is_dir()} == {f"step-{step:06}" for step in {24, *expected.values()}}
    state = json.loads((newest(folder) / "state.json").read_text())["validation"]
    assert {value: best["step"] for value, best in state["best"].items()} == expected and state["run"] == state["best"]["topic:loss"]


def test_commands_take_them_by_name(folder):
    expected, found = expected_best(folder), evaluations(folder)
    for which, value in [("best", "topic:loss"), ("best:tags", "tags:loss"), ("best:tags:loss", "tags:loss"), ("best:mean", "mean"),
                         ("best:topic:accuracy", "topic:accuracy")]:
        done = run("evaluate", "--run-dir", folder, "--checkpoint", which, "--split", "valid", "--samples", 20, "--json", "--threads", 1)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["step"] == expected[value], which
        assert said["tasks"]["tags"]["loss"] == pytest.approx(found[expected[value]]["tags"]["loss"], rel=1e-6)
    line = json.dumps({"words": ["a", "b"]}) + "\n"
    by_name, by_step = (run("predict", "--run-dir", folder, "--task", "tags", "--checkpoint", which, "--threads", 1, input=line)
                        for which in ("best:tags", expected["tags:loss"]))
    assert by_name.returncode == 0 and by_name.stdout == by_step.stdout != ""


@pytest.mark.parametrize("which, says", [("best:dictionary", ["run.best has no such value", "mean, tags:loss, topic:accuracy, topic:loss"]),
                                         ("best:topic", ["topic:accuracy and topic:loss", "give best: and one of them"]),
                                         ("best:", ["no such value"]), ("best-mean", ["no checkpoint 'best-mean'"])])
def test_other_names_are_refused(which, says, folder):
    fails(78, "evaluate", "--run-dir", folder, "--checkpoint", which, says=says)


def test_a_run_with_one_value_keeps_one(data, tmp_path):
    train(tmp_path / "run", data, *OPTIONS, "--run.steps", 4, "--run.best", "topic:loss")
    assert sorted(file.name for file in (tmp_path / "run" / "checkpoints").iterdir()) == ["best", "latest", "step-000004"]
    assert "best" not in json.loads((newest(tmp_path / "run") / "state.json").read_text())["validation"]
    fails(78, "evaluate", "--run-dir", tmp_path / "run", "--checkpoint", "best:topic", says=["one value", "give best"])


def test_resuming_changes_nothing(folder, data, tmp_path):
    run_dir = tmp_path / "run"
    for stop in (6, 12, 13):
        train(run_dir, data, *BEST, "--run.stop_at", stop, timeout=200)
    train(run_dir, data, *BEST, timeout=200)
    assert files(run_dir) == files(folder) and log(run_dir) == log(folder)
    names = ["best", *(f"best-{value}" for value in VALUES)]
    assert [(run_dir / "checkpoints" / name).read_text() for name in names] == [(folder / "checkpoints" / name).read_text() for name in names]
    fails(78, *train_words(run_dir, data, *OPTIONS, "--run.steps", 24, "--run.best", "topic:loss"), says=["another configuration", "run.best"])


def test_another_run_starts_from_one_and_learns_from_one(folder, data, tmp_path):
    step = expected_best(folder)["tags:loss"]
    other = ["--run.tasks", "tags", "--run.steps"]
    for name, which in (("by-name", "best:tags"), ("by-step", step)):
        train(tmp_path / name, data, *other, 1, "--init-from", folder, "--run.init_checkpoint", which)
        train(tmp_path / f"taught-{name}", data, *other, 1, "--task.tags.teacher", folder, "--task.tags.teacher_checkpoint", which)
    assert files(tmp_path / "by-name") == files(tmp_path / "by-step")
    assert files(tmp_path / "taught-by-name") == files(tmp_path / "taught-by-step")
    assert f"init_checkpoint = {step}" in (tmp_path / "by-name" / "config.ini").read_text()
    train(tmp_path / "by-name", data, *other, 2, "--init-from", folder, "--run.init_checkpoint", "best:tags")


def test_training_ends_when_no_value_improves(data, tmp_path):
    done = train(tmp_path / "run", data, *best_of(200), "--run.patience", 2, timeout=200)
    found = evaluations(tmp_path / "run")
    last = max(found)
    assert last < 200 and max(expected_best(tmp_path / "run").values()) == last - 8
    assert "none of topic:loss, topic:accuracy, tags:loss, mean has become better in the last 2 evaluations" in done.stderr
    for value, step in expected_best(tmp_path / "run").items():
        assert f"the best checkpoint by {value} is that of step {step}" in done.stderr


def test_names_of_nothing_are_found(folder, data, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "best-mean").write_text("step-000999\n")
    done = run("verify", "--run-dir", tmp_path / "run")
    assert done.returncode == 65 and "best-mean: it names 'step-000999'" in done.stdout + done.stderr
    (tmp_path / "run" / "checkpoints" / "best-mean").unlink()
    (tmp_path / "run" / "checkpoints" / "best-mean").mkdir()
    fails(73, *train_words(tmp_path / "run", data, *best_of(28)), says=["best-mean is a folder"])


@pytest.mark.parametrize("value, says", [("topic:loss,topic:loss", "listed twice"), ("topic:loss,tags", "run.best = tags: expected mean, each or TASK:METRIC"),
                                         ("mean,topic:bleu", "no metric 'bleu'"), ("topic:loss,nobody:loss", "'nobody' is not a task")])
def test_wrong_values(value, says, data, tmp_path):
    fails(78, *train_words(tmp_path / "run", data, *OPTIONS, "--run.best", value), says=[says])
    assert not (tmp_path / "run").exists()
