"""`polyhead compare --until best`: early stopping, the checkpoint that is tested, and how far it generalizes."""

import json
import re

import numpy as np
import pytest

from comparing import METRICS, check_generalization, compare, compare_words, configuration, without_split
from program import fails, flip, lines, status, steps

BEST = ["--until", "best", "--optimizer.lr", 0.02, "--optimizer.schedule", "constant"]


@pytest.fixture(scope="module")
def best(data, tmp_path_factory):
    """The same comparison until the best checkpoints."""
    ini = configuration(tmp_path_factory.mktemp("best"), steps=120)
    done = compare(ini, data, *BEST, "--jobs", 2, "--json")
    return ini, json.loads(done.stdout), done.stderr


def best_steps(folder):
    """The step of each task's lowest loss on valid, the first one of several, and the steps that were evaluated."""
    losses = {}
    for line in lines(folder):
        if line["kind"] == "eval":
            losses.setdefault(line["task"], {})[line["step"]] = line["metrics"]["loss"]
    return {task: min(values, key=lambda step: (values[step], step)) for task, values in losses.items()}, list(next(iter(losses.values())))


def test_until_best_stops_early_and_tests_the_best_checkpoint(best, data):
    ini, told, said = best
    assert told["until"] == "best"
    assert "every 6 steps (run.eval_every), ends after 5 evaluations without a better one (run.patience), after 120 steps" in said
    out, ended = ini.parent / "out", []
    for name in ("joint", *(f"single-{task}" for task in METRICS)):
        for seed in (1, 2):
            folder = out / f"{name}-seed{seed}" / "run"
            by_task, evaluated = best_steps(folder)
            assert evaluated == list(range(6, max(evaluated) + 1, 6))
            for task, step in by_task.items():
                pointer = f"best-{task}:loss" if name == "joint" else "best"
                assert (folder / "checkpoints" / pointer).read_text().strip() == f"step-{step:06}"
            assert len(steps(folder)) == min(120, max(by_task.values()) + 5 * 6)
            ended.append(len(steps(folder)))
            if name != "joint":  # it has the whole batch
                assert status(folder)["epochs"][name.removeprefix("single-")] == pytest.approx(20 * ended[-1] / 300)
    assert min(ended) < 120
    for task in METRICS:
        for side, name in (("first", f"single-{task}"), ("second", "joint")):
            check_generalization(told["tasks"][task], side, task, [out / f"{name}-seed{seed}" / "run" for seed in (1, 2)],
                                 f"best:{task}" if name == "joint" else "best")
    again = compare(ini, data, *BEST)
    assert again.stderr.count("is already trained") == 8 and "to the best step" in again.stdout


def test_the_users_own_values_apply_until_best(data, tmp_path):
    ini = configuration(tmp_path, tasks="topic, lines", steps=8, more="[task.lines]\nmetric = accuracy\n")
    done = compare(ini, data, "--until", "best", "--seeds", 1, "--run.eval_every", 4, "--run.patience", 0, "--run.best", "topic:accuracy", code=78)
    assert "task.lines.metric = accuracy" in done.stderr  # without effect, as run.best does not use it
    ini = configuration(tmp_path, tasks="topic, lines", steps=8, more="phases = 5 explicit topic=1\n")
    done = compare(ini, data, "--until", "best", "--seeds", 1, "--run.eval_every", 4, "--run.patience", 0, "--run.best", "topic:accuracy", "--json")
    assert "every 4 steps (run.eval_every), ends when all of its tasks are finished (run.patience = 0)" in done.stderr
    chosen = {name: re.search(r"^best = (.*)$", (tmp_path / "out" / f"{name}-seed1" / "run.ini").read_text(), re.M)[1]
              for name in ("joint", "single-topic", "single-lines")}
    assert chosen == {"joint": "topic:accuracy", "single-topic": "topic:accuracy", "single-lines": "each"}
    assert len(steps(tmp_path / "out" / "single-lines-seed1" / "run")) == 8


def test_until_best_of_two_configurations(data, tmp_path):
    wide = configuration(tmp_path, "wide.ini", tasks="topic, tags, lines", steps=8)
    narrow = configuration(tmp_path, "narrow.ini", tasks="topic, tags", steps=8)
    words = ["--against", narrow, "--until", "best", "--tasks", "topic,tags", "--seeds", 1]
    told = json.loads(compare(wide, data, *words, "--encoder.ffn", 16, "--json").stdout)
    assert sorted(told["tasks"]) == ["tags", "topic"] and told["until"] == "best"
    for name in ("wide", "narrow"):
        assert set(status(tmp_path / "out" / f"{name}-seed1" / "run")["epochs"]) == {"topic", "tags"}
    assert all(one["difference"] == 0 for one in told["tasks"].values())


def test_a_run_with_more_tasks_is_tested_at_the_best_checkpoint_of_each(data, tmp_path):
    wide = configuration(tmp_path, "wide.ini", steps=120)
    for task in ("topic", "ornament"):
        narrow = configuration(tmp_path, f"{task}.ini", tasks=task, steps=120)
        told = json.loads(compare(wide, data, *BEST, "--against", narrow, "--seeds", 1, "--json").stdout)
        assert list(told["tasks"]) == [task]
        check_generalization(told["tasks"][task], "second", task, [tmp_path / "out" / "wide-seed1" / "run"], f"best:{task}")
        check_generalization(told["tasks"][task], "first", task, [tmp_path / "out" / f"{task}-seed1" / "run"], "best")
    chosen = best_steps(tmp_path / "out" / "wide-seed1" / "run")[0]
    assert chosen["topic"] != chosen["ornament"] and "lines" in chosen  # lines is the first value of the run


def test_tasks_without_valid_samples_have_no_best_checkpoint(data, tmp_path):
    other = without_split(data, tmp_path / "data", "tags", "valid")
    done = compare(configuration(tmp_path, tasks="topic, tags", steps=2), other, "--until", "best", "--seeds", 1, "--json")
    assert list(json.loads(done.stdout)["tasks"]) == ["topic"]
    assert "tags: is not compared, as --until best needs valid samples" in done.stderr


def test_other_early_stopping_in_the_same_folder_is_refused(best, data):
    ini, _, _ = best
    for option, value, says in (("--run.patience", 7, "run.patience: 5 there, 7 here"), ("--run.eval_every", 4, "run.eval_every: 6 there, 4 here"),
                                ("--run.eval_samples", 50, "run.eval_samples: 100 there, 50 here"), ("--run.steps", 90, "run.steps: 120 there, 90 here")):
        more = [option, value] if option != "--run.steps" else [option, value, "--run.eval_every", 6]
        fails(78, *compare_words(ini, data, *BEST, *more), says=["joint-seed1/run", says])
    fails(78, *compare_words(ini, data, *BEST[2:], "--until", "steps"), says=["joint-seed1/run", "run.best: each there"])


def test_a_damaged_best_checkpoint_is_not_replaced_by_another(data, tmp_path):
    ini = configuration(tmp_path, tasks="topic, tags", steps=4)
    words = ["--seeds", 1, "--until", "best"]
    compare(ini, data, *words)
    folder = tmp_path / "out" / "single-tags-seed1"
    (folder / "test.rows.json").write_text("no JSON")
    flip(folder / "run" / "checkpoints" / (folder / "run" / "checkpoints" / "best").read_text().strip() / "encoder.safetensors")
    fails(65, *compare_words(ini, data, *words), says=["single-tags-seed1", "best checkpoint", "encoder.safetensors", "to train it again"])
