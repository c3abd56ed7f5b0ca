"""Options that change how a run trains: schedules, gradient accumulation, stochastic depth, activation checkpointing,
averaged weights. With each of them, updates are the same on any placement, and runs resume bit for bit."""

import json
import math
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from program import BOUND, distance, edit_state, fails, files, log, newest, parameter_hash, parameters, run, status, steps, train, train_words

STEPS = 12
TASKS = ["--run.tasks", "topic,tags,dictionary,lines", "--run.steps", STEPS]


def same_curve(one, two, dtype):
    for x, y in zip(steps(one), steps(two), strict=True):
        assert (x["ids_hash"], x["tokens"], x["lr"]) == (y["ids_hash"], y["tokens"], y["lr"])
        assert y["loss"] == pytest.approx(x["loss"], rel=1e-4 if dtype == "float32" else 1e-9)
        assert y["gradient_norm"] == pytest.approx(x["gradient_norm"], rel=1e-3 if dtype == "float32" else 1e-9)
    assert distance(parameters(one), parameters(two)) <= BOUND[dtype]


def test_every_schedule_reaches_the_metrics(data, tmp_path):
    after = {"cosine": lambda n: 0.5 * (1 + math.cos(math.pi * (n - 1 - 5) / 7)), "linear": lambda n: 1 - (n - 1 - 5) / 7,
             "inverse_sqrt": lambda n: math.sqrt(5 / n), "constant": lambda n: 1}
    for schedule, rate in after.items():
        train(tmp_path / schedule, data, "--run.tasks", "topic", "--run.steps", STEPS, "--optimizer.schedule", schedule)
        assert [line["lr"] for line in steps(tmp_path / schedule)] == pytest.approx(
            [1e-3 * (n / 5 if n <= 5 else rate(n)) for n in range(1, STEPS + 1)], rel=1e-12)


@pytest.mark.parametrize("dtype", BOUND)
def test_accumulation_gives_the_same_update(dtype, data, tmp_path):
    options = [*TASKS, "--mixture.batch", 24, "--run.dtype", dtype]
    train(tmp_path / "whole", data, *options)
    for parts, workers in [(3, 1), (40, 1), (2, 3)]:  # 40: more micro-batches than samples
        run_dir = tmp_path / f"{parts}-{workers}"
        train(run_dir, data, *options, "--run.accumulate", parts, workers=workers)
        same_curve(tmp_path / "whole", run_dir, dtype)


def test_activation_checkpointing_changes_no_bit(data, tmp_path):
    options = [*TASKS, "--encoder.drop_path", 0.3]
    train(tmp_path / "kept", data, *options)
    train(tmp_path / "again", data, *options, "--encoder.activation_checkpointing", "blocks", "--run.stop_at", 5)
    train(tmp_path / "again", data, *options)  # it is no part of what the run is
    assert files(tmp_path / "kept") == files(tmp_path / "again")
    assert log(tmp_path / "kept") == log(tmp_path / "again")


# All that changes the arithmetic of a step, together.
MANY = [*TASKS, "--run.accumulate", 2, "--encoder.drop_path", 0.4, "--optimizer.schedule", "linear", "--optimizer.layer_decay", 0.7,
        "--optimizer.ema", 0.9]


@pytest.mark.parametrize("dtype", BOUND)
def test_any_placement_follows_the_same_curve(dtype, data, tmp_path):
    options = [*MANY, "--run.dtype", dtype]
    train(tmp_path / "one", data, *options)
    for workers in (2, 5):
        train(tmp_path / f"{workers}", data, *options, workers=workers)
        same_curve(tmp_path / "one", tmp_path / f"{workers}", dtype)
    # Stochastic depth is part of the loss.
    train(tmp_path / "deep", data, *[0 if word == 0.4 else word for word in options])
    assert steps(tmp_path / "deep")[0]["loss"]["topic"] != pytest.approx(steps(tmp_path / "one")[0]["loss"]["topic"], rel=1e-3)


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_and_going_on_equals_never_stopped(workers, data, tmp_path):
    train(tmp_path / "whole", data, *MANY, workers=workers)
    for stop in (4, 9, 0):
        train(tmp_path / "run", data, *MANY, "--run.stop_at", stop, workers=workers)
    assert status(tmp_path / "run")["state"] == "done"
    assert files(tmp_path / "run") == files(tmp_path / "whole")
    assert log(tmp_path / "run") == log(tmp_path / "whole")


def test_what_a_run_was_begun_with_it_goes_on_with(data, tmp_path):
    train(tmp_path, data, *MANY, "--run.stop_at", 2)
    for change in (["--run.accumulate", 3], ["--encoder.drop_path", 0.1], ["--optimizer.schedule", "cosine"], ["--optimizer.layer_decay", 1],
                   ["--optimizer.ema", 0]):
        options = [*MANY]
        options[options.index(change[0]) + 1] = change[1]
        fails(78, *train_words(tmp_path, data, *options), says=["another configuration", change[0].removeprefix("--")])


# The moving average of the weights


@pytest.fixture(scope="module")
def averaged(tmp_path_factory, data):
    """A run with averaged weights and a checkpoint after each step."""
    folder = tmp_path_factory.mktemp("averaged") / "run"
    train(folder, data, *TASKS, "--optimizer.ema", 0.5, "--run.checkpoint_every", 1, "--run.keep", 100)
    return folder


def test_the_average_is_that_of_the_weights(averaged):
    def load(step, kind):
        return load_file(averaged / "checkpoints" / f"step-{step:06}" / f"head.topic{kind}.safetensors")

    expected = load(1, ".ema")
    for n in range(2, STEPS + 1):
        decay = min(0.5, (1 + n) / (10 + n))
        expected = {name: decay * expected[name] + (1 - decay) * value for name, value in load(n, "").items()}
    found, last = load(STEPS, ".ema"), load(STEPS, "")
    for name in expected:
        assert found[name] == pytest.approx(expected[name], abs=1e-6)
    assert any(np.abs(found[name] - last[name]).max() > 1e-4 for name in found)


def test_evaluate_and_predict_take_the_average_when_asked(averaged, tmp_path):
    def evaluate(folder, *more):
        done = run("evaluate", "--run-dir", folder, "--split", "valid", "--json", *more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["tasks"]

    # The same run with the averages in the place of the weights.
    swapped = tmp_path / "run"
    shutil.copytree(averaged, swapped)
    folder = newest(swapped)
    for file in folder.glob("*.ema.safetensors"):
        plain = file.name.replace(".ema", "")
        file.rename(folder / plain)
        edit_state(folder / "state.json", lambda state: state["files"].update({plain: state["files"].pop(file.name)}))
    edit_state(folder / "state.json", lambda state: state.update(parameter_hash=parameter_hash(swapped)))
    assert evaluate(averaged, "--weights", "average") == evaluate(swapped) != evaluate(averaged)
    said = [run("predict", "--run-dir", run_dir, "--task", "topic", *more, input='{"text": "a b c"}\n').stdout
            for run_dir, more in ((averaged, ["--weights", "average"]), (swapped, []), (averaged, []))]
    assert said[0] == said[1] != said[2] and "label" in said[0]
    fails(78, "evaluate", "--run-dir", swapped, "--weights", "average", says=["no averaged weights", "optimizer.ema"])


# Options that do less than they seem to


@pytest.mark.parametrize("warmup, steps_given, share", [(5, 5, "100"), (9, 3, "33.3"), (4, 5, None), (0, 1, None)])
def test_a_warmup_as_long_as_the_run_is_warned_of(warmup, steps_given, share, data, tmp_path):
    done = train(tmp_path / "run", data, "--run.tasks", "topic", "--run.steps", steps_given, "--optimizer.warmup", warmup)
    said = (f"warning: optimizer.warmup = {warmup} (command line) is not less than run.steps = {steps_given} (command line): "
            f"the learning rate only rises, up to {share} % of optimizer.lr in the last step")
    assert (said in done.stderr) == (share is not None) and ("warm-up" in done.stderr) == (share is not None)
    if share:
        assert steps(tmp_path / "run")[-1]["lr"] == pytest.approx(1e-3 * steps_given / warmup)


@pytest.mark.parametrize("tasks, without, verb, them", [("one,two,three", "one, three", "have", "them"), ("one,two", "one", "has", "it"), ("two", "", "", "")])
def test_tasks_without_a_valid_split_are_named_where_evaluations_are_asked_for(tasks, without, verb, them, tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"red apple {i % 7}", "label": "ab"[i % 2]}) + "\n" for i in range(40)))
    (tmp_path / "d.ini").write_text("[dataset]\nname = x\nvocab_size = 20\n" + "".join(
        f"[task.{task}]\nkind = classification\ntrain = a.jsonl\n" + "valid = a.jsonl\n" * (task == "two") for task in ("one", "two", "three")))
    assert run("import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data").returncode == 0
    words = ["--run.tasks", tasks, "--run.steps", 6]
    assert "valid split" not in train(tmp_path / "quiet", tmp_path / "data", *words).stderr
    done = train(tmp_path / "run", tmp_path / "data", *words, "--run.eval_every", 3)
    said = (f"warning: run.eval_every = 3 (command line) does not evaluate {without}, which {verb} no valid split; import {them} with "
            "'valid = FILE', or with 'valid_share = 0.1' to take it from train\n")
    assert (said in done.stderr) == bool(without) and ("valid split" in done.stderr) == bool(without)
