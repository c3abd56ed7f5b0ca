"""A mixture that changes in phases gives the same samples on any number of workers, after any interruption, and with
any number of prefetched batches."""

import json
import re

import pytest
import xxhash

from program import KINDS, fails, lines, log, newest, status, steps, train, train_words

STEPS = 24
BATCH = 20
PHASES = "7 uniform, 11 explicit topic=1 lines=3.5 tags=0, 19 temperature 5"
OPTIONS = ["--run.steps", STEPS, "--mixture.batch", BATCH, "--mixture.cap", 300, "--mixture.phases", PHASES, "--run.eval_every", 12, "--run.eval_samples", 5]
ACTIVE = {step: {"topic", "lines"} if 11 <= step < 19 else set(KINDS) for step in range(1, STEPS + 1)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("mixture") / "run"
    return folder, train(folder, data, *OPTIONS).stderr


def entries(folder):
    return json.loads((newest(folder) / "state.json").read_text())["mixture"]


def test_tasks_leave_and_come_back(whole, data):
    folder, said = whole
    for line in steps(folder):
        assert line["loss"].keys() == line["weight"].keys() == ACTIVE[line["step"]]
    for text in ["steps 1 to 6: temperature 2, cap 300,", "steps 7 to 10: uniform,", "steps 11 to 18: explicit,", "steps 19 to 24: temperature 5, cap 300,"]:
        assert f"mixture of {text} {BATCH} samples a step" in said
    left_out = set(KINDS) - {"topic", "lines"}
    assert set(re.findall(r"^  (\S+): takes no part$", said, re.M)) == left_out

    mixture = entries(folder)
    assert [entry["step"] for entry in mixture] == [1, 7, 11, 19]
    assert all(sum(entry["quota"]) == BATCH for entry in mixture)
    names = [task["name"] for task in json.loads((data / "dataset.json").read_text())["tasks"]]
    assert {names[i] for i, quota in enumerate(mixture[2]["quota"]) if quota == 0} == left_out
    taken = [0] * len(names)
    rolled = 0
    for line in steps(folder):
        entry = [entry for entry in mixture if entry["step"] <= line["step"]][-1]
        step_sum = 0
        for i, (name, quota) in enumerate(zip(names, entry["quota"])):
            assert taken[i] == entry["first"][i] + (line["step"] - entry["step"]) * quota  # goes on where it stopped
            step_sum += sum(xxhash.xxh3_64_intdigest(name.encode(), seed=position) for position in range(taken[i], taken[i] + quota))
            taken[i] += quota
        rolled = xxhash.xxh3_64_intdigest(rolled.to_bytes(8, "little") + (step_sum % 2**64).to_bytes(8, "little"))
        assert line["ids_hash"] == f"{rolled:016x}"
    samples = {task["name"]: task["splits"]["train"]["samples"] for task in json.loads((data / "dataset.json").read_text())["tasks"]}
    expected = {name: taken[i] / samples[name] for i, name in enumerate(names)}
    last = lines(folder)[-1]
    assert last == {"kind": "epochs", "step": STEPS, "epochs": pytest.approx(expected), "check": last["check"]}
    assert status(folder)["epochs"] == pytest.approx(expected)
    planned, made = re.search(r"^epochs in 24 steps: (.*)$", said, re.M)[1], re.search(r"^epochs: (.*)$", said, re.M)[1]
    assert set(planned.split(", ")) == set(made.split(", ")) == {f"{name} {expected[name]:.2f}" for name in names}


@pytest.mark.parametrize("stop_at, before, after", [(8, 2, 3), (15, 3, 1), (18, 1, 2)])
def test_stopped_and_resumed_on_another_number_of_workers(whole, data, tmp_path, stop_at, before, after):
    folder = tmp_path / "run"
    train(folder, data, *OPTIONS, "--run.stop_at", stop_at, workers=before)
    assert entries(folder) == entries(whole[0])
    train(folder, data, *OPTIONS, workers=after)
    assert [line["ids_hash"] for line in steps(folder)] == [line["ids_hash"] for line in steps(whole[0])]
    assert [line["tokens"] for line in steps(folder)] == [line["tokens"] for line in steps(whole[0])]
    assert entries(folder) == entries(whole[0])
    assert lines(folder)[-1] == lines(whole[0])[-1]


@pytest.mark.parametrize("ahead", [0, 1, 50])
def test_any_number_of_batches_made_ahead_is_the_same_run(whole, data, tmp_path, ahead):
    train(tmp_path / "run", data, *OPTIONS, "--run.prefetch", ahead)
    assert log(tmp_path / "run") == log(whole[0])
    assert status(tmp_path / "run")["parameter_hash"] == status(whole[0])["parameter_hash"]


def test_wrong_phases(data, tmp_path):
    for phases, says in [("5 temprature 3", ["mixture.phases", "'5 temprature 3'", "did you mean temperature?"]),
                         ("5 uniform, 4 uniform", ["'4 uniform'", "sort the phases by step"]),
                         ("5 explicit topik=1", ["'topik'", "did you mean topic?"]),
                         (f"{STEPS + 1} uniform", ["never begins", "run.steps"])]:
        fails(78, *train_words(tmp_path / "run", data, "--run.steps", STEPS, "--mixture.phases", phases), says=says)
    fails(78, *train_words(tmp_path / "run", data, "--mixture.kind", "explicit", "--run.tasks", "topic,lines", "--task.topic.rate", 0,
                           "--task.lines.rate", 1), says=["task 'topic' takes part in no phase", "run.tasks"])
    assert not (tmp_path / "run").exists()
