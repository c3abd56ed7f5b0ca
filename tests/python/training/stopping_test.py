"""Early stopping and the best checkpoint: finished tasks leave the mixture, and decisions are the same after
interruptions and on any number of workers."""

import json
import shutil

import numpy as np
import pytest

from program import fails, files, lines, log, newest, run, start, status, steps, train, train_words, wait_for, interrupt
from safetensors.numpy import load_file

# A learning rate at which valid gets worse within a few evaluations.
OPTIONS = ["--run.tasks", "topic,tags,ornament", "--run.steps", 60, "--run.eval_every", 4, "--run.eval_samples", 0, "--optimizer.lr", 0.02,
           "--optimizer.schedule", "constant", "--run.task_patience", 2, "--task.tags.metric", "accuracy", "--task.ornament.metric", "spearman"]
BEST = ["--run.tasks", "topic,tags,ornament", "--run.steps", 24, "--run.eval_every", 4, "--run.checkpoint_every", 4, "--run.keep", 1,
        "--optimizer.lr", 0.1, "--optimizer.schedule", "constant", "--run.best", "topic:loss"]
METRICS = {"topic": ("loss", -1), "tags": ("accuracy", 1), "ornament": ("spearman", 1)}


def finished(folder):
    return {line["task"]: line["step"] for line in lines(folder) if line["kind"] == "finished"}


def evaluations(folder, task, metric):
    return [(line["step"], line["metrics"][metric]) for line in lines(folder) if line["kind"] == "eval" and line["task"] == task]


def expected_end(values, patience, sign):
    """The step at which this number of evaluations in a row were not better than the best before."""
    best, since = -np.inf, 0
    for step, value in values:
        best, since = (sign * value, 0) if sign * value > best else (best, since + 1)
        if since == patience:
            return step


def test_tasks_leave_when_their_patience_has_run_out(data, whole):
    folder = whole(OPTIONS, 1)
    ends = finished(folder)
    assert ends == {task: expected_end(evaluations(folder, task, metric), 2, sign) for task, (metric, sign) in METRICS.items()}
    assert len(set(ends.values())) >= 2, "the test wants tasks that leave one after another"
    for line in steps(folder):
        assert set(line["loss"]) == {task for task in ends if line["step"] <= ends[task]}
    # All leave: training ends there and says so.
    assert max(ends.values()) < 60
    found = status(folder)
    assert (found["state"], found["exit_code"], found["step"]) == ("done", 0, max(ends.values()))
    again = train(folder, data, *OPTIONS)
    assert "every task is finished" in again.stderr
    assert status(folder)["step"] == max(ends.values())
    # The others share the batch, and streams go on where they were.
    state = json.loads((newest(folder) / "state.json").read_text())
    names = [task["name"] for task in state["model"]["tasks"]]
    for entry, after in zip(state["mixture"], state["mixture"][1:]):
        assert sum(entry["quota"]) == sum(after["quota"]) == 20
        assert after["first"] == [first + quota * (after["step"] - entry["step"]) for first, quota in zip(entry["first"], entry["quota"])]
        assert {name for name, quota in zip(names, after["quota"]) if quota == 0} == {task for task in ends if ends[task] < after["step"]}


def test_a_finished_head_is_frozen(data, whole, tmp_path):
    ends = finished(whole(OPTIONS, 1))
    first = min(ends, key=ends.get)
    train(tmp_path / "run", data, *OPTIONS, "--run.stop_at", ends[first])
    then, now = ({part: load_file(newest(folder) / f"head.{first}{part}.safetensors") for part in ("", ".optimizer")}
                 for folder in (tmp_path / "run", whole(OPTIONS, 1)))
    for part in then:
        for name in then[part]:
            assert np.array_equal(then[part][name], now[part][name])
    other = max(ends, key=ends.get)
    assert (newest(tmp_path / "run") / f"head.{other}.safetensors").read_bytes() != (newest(whole(OPTIONS, 1)) / f"head.{other}.safetensors").read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_and_going_on_equals_never_stopped(workers, data, whole, tmp_path):
    expected = whole(OPTIONS, workers)
    ends = sorted(set(finished(expected).values()))
    for stop in (ends[0] - 1, ends[0], ends[0] + 1, 0):  # 0: to the end
        train(tmp_path / "run", data, *OPTIONS, "--run.stop_at", stop, workers=workers)
    assert files(tmp_path / "run") == files(expected)
    assert log(tmp_path / "run") == log(expected)
    assert status(tmp_path / "run")["parameter_hash"] == status(expected)["parameter_hash"]


def test_decisions_are_the_same_on_any_number_of_workers(whole):
    for workers in (2, 4):
        assert finished(whole(OPTIONS, workers)) == finished(whole(OPTIONS, 1))
        assert [line["ids_hash"] for line in steps(whole(OPTIONS, workers))] == [line["ids_hash"] for line in steps(whole(OPTIONS, 1))]


def test_every_metric_that_is_offered_is_there(data, tmp_path):
    """A metric that a kind does not have is refused with a list of those that it has, and evaluations have all of
    these."""
    train(tmp_path / "run", data, "--run.steps", 1)
    tasks = {line["task"]: line["metrics"] for line in lines(tmp_path / "run") if line["kind"] == "eval"}
    assert len(tasks) == 9
    for task, metrics in tasks.items():
        said = fails(78, *train_words(tmp_path / "other", data, f"--task.{task}.metric", "nothing"), says=[f"task.{task}.metric", "it has"])
        assert set(said.rsplit("it has ", 1)[1].split(", ")) == set(metrics)
    assert not (tmp_path / "other").exists()


def test_the_best_checkpoint_is_kept_beside_the_latest(data, whole, tmp_path):
    folder = whole(BEST, 1)
    values = evaluations(folder, "topic", "loss")
    best = min(values, key=lambda pair: pair[1])[0]
    assert best < 24, "the test wants a best step before the last"
    assert sorted(f.name for f in (folder / "checkpoints").iterdir()) == ["best", "latest", f"step-{best:06}", "step-000024"]
    assert (folder / "checkpoints" / "best").read_text() == f"step-{best:06}\n"
    said = {}
    for which in ("latest", "best", str(best), "24"):
        done = run("evaluate", "--run-dir", folder, "--split", "valid", "--tasks", "topic", "--json", "--checkpoint", which)
        assert done.returncode == 0, done.stderr
        said[which] = json.loads(done.stdout)
    assert said["best"] == said[str(best)] != said["latest"] == said["24"]
    assert said["best"]["step"] == best
    assert said["best"]["tasks"]["topic"]["loss"] == pytest.approx(dict(values)[best], rel=1e-6)
    predicted = [run("predict", "--run-dir", folder, "--task", "topic", "--checkpoint", which, input='{"text": "a b c"}\n').stdout
                 for which in ("best", "latest")]
    assert predicted[0] != predicted[1] and all(json.loads(line)["label"] for line in predicted)
    # A checkpoint that is not there, or damaged.
    fails(78, "evaluate", "--run-dir", folder, "--checkpoint", 7, says=["no checkpoint '7'", f"step-{best:06}"])
    fails(78, "evaluate", "--run-dir", folder, "--checkpoint", "last", says=["no checkpoint 'last'", "give latest, best"])
    fails(78, "evaluate", "--run-dir", whole(OPTIONS, 1), "--checkpoint", "best", says=["no best checkpoint", "run.best"])
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / f"step-{best:06}" / "head.topic.safetensors").write_bytes(b"")
    fails(65, "evaluate", "--run-dir", tmp_path / "run", "--checkpoint", "best", says=["head.topic.safetensors"])


def test_the_best_survives_interruption(data, whole, tmp_path):
    for stop in (5, 13, 0):
        train(tmp_path / "run", data, *BEST, "--run.stop_at", stop)
    one, two = ({file.relative_to(folder): file.read_bytes() for file in sorted((folder / "checkpoints").rglob("*")) if file.is_file()}
                for folder in (tmp_path / "run", whole(BEST, 1)))
    assert one == two


def test_patience_with_the_whole_run(data, tmp_path):
    done = train(tmp_path / "run", data, *[200 if word == 24 else word for word in BEST], "--run.patience", 2)
    values = evaluations(tmp_path / "run", "topic", "loss")
    end = expected_end(values, 2, -1)
    assert end == values[-1][0] == status(tmp_path / "run")["step"] < 200
    assert f"topic:loss was best after step {end - 8}, 2 evaluations ago" in done.stderr
    assert status(tmp_path / "run")["state"] == "done"


def test_what_decides_is_part_of_the_run(data, whole, tmp_path):
    shutil.copytree(whole(BEST, 1), tmp_path / "run")
    options = [*BEST]
    options[options.index("--run.best") + 1] = "mean"
    fails(78, *train_words(tmp_path / "run", data, *options), says=["another configuration", "run.best"])
    fails(78, *train_words(tmp_path / "run", data, *BEST, "--run.task_patience", 3, "--task.topic.metric", "accuracy"),
          says=["another configuration", "task.topic.metric"])
    fails(78, *train_words(tmp_path / "run", data, *BEST, "--task.topic.metric", "accuracy"), says=["it has no effect without run.best with mean, or run.best with each"])
    fails(78, *train_words(tmp_path / "new", data, "--run.best", "mean"), says=["give run.eval_every"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_while_tasks_leave(workers, data, whole, tmp_path):
    process = start(tmp_path / "run", data, *OPTIONS, workers=workers)
    wait_for(lambda: (tmp_path / "run" / "metrics.jsonl").exists() and '"finished"' in (tmp_path / "run" / "metrics.jsonl").read_text(), process)
    interrupt(process, process.pid)
    train(tmp_path / "run", data, *OPTIONS, workers=workers)
    assert files(tmp_path / "run") == files(whole(OPTIONS, workers))
