"""With any number of workers and any placement, losses are the same up to rounding, with dropout and masks enabled."""

import subprocess

import pytest

from program import BOUND, POLYHEAD, distance, environment, lines, parameters, status, steps, train, train_words

STEPS = 20
ALL = "topic,style,tags,dictionary,lines,subjects,ornament,reply,wind"

# name: tasks, samples a step, workers to compare with one, what the placement must say
CASES = {
    "all tasks on two": (ALL, 20, 2, ["worker 0: ", "worker 1: "]),
    "all tasks on three": (ALL, 20, 3, ["worker 0: ", "worker 1: ", "worker 2: "]),
    "three tasks on two": ("topic,tags,dictionary", 20, 2, ["worker 0: ", "worker 1: "]),
    "label sets, values, pairs and vectors on four": ("subjects,ornament,reply,wind", 20, 4, ["worker 3: "]),
    "two tasks on four": ("dictionary,lines", 20, 4, ["dictionary (1/", "worker 3: "]),
    # One sample a task a step, and every task on every worker: at least two workers have no tokens in each step.
    "workers without tokens": ("style,lines", 2, 4, [f"worker {rank}: style (1/4), lines (1/4)" for rank in range(4)]),
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory, data):
    """A case's run on one worker."""
    runs = {}

    def get(tasks, batch, dtype):
        key = tasks, batch, dtype
        if key not in runs:
            runs[key] = tmp_path_factory.mktemp("alone") / "run"
            train(runs[key], data, *options(tasks, batch, dtype))
        return runs[key]

    return get


def options(tasks, batch, dtype):
    return ["--run.tasks", tasks, "--mixture.batch", batch, "--run.dtype", dtype, "--run.steps", STEPS]


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("case", CASES)
def test_same_curve(case, dtype, data, alone, tmp_path):
    tasks, batch, workers, says = CASES[case]
    one, many = alone(tasks, batch, dtype), tmp_path / "run"
    done = train(many, data, *options(tasks, batch, dtype), workers=workers)
    assert f"{workers} workers" in done.stderr
    for text in says:
        assert text in done.stderr
    a, b = steps(one), steps(many)
    assert [line["step"] for line in a] == [line["step"] for line in b] == list(range(1, STEPS + 1))
    assert [line["ids_hash"] for line in a] == [line["ids_hash"] for line in b]
    assert [line["tokens"] for line in a] == [line["tokens"] for line in b]
    for x, y in zip(a, b):
        assert set(x["loss"]) == set(tasks.split(","))
        assert y["loss"] == pytest.approx(x["loss"], rel=1e-4 if dtype == "float32" else 1e-9)
    if dtype == "float64":
        evaluations = [{line["task"]: line["metrics"] for line in lines(run) if line["kind"] == "eval"} for run in (one, many)]
        assert evaluations[0].keys() == set(tasks.split(","))
        for task, metrics in evaluations[0].items():
            assert evaluations[1][task] == pytest.approx(metrics, rel=1e-7, abs=1e-9), task
    found = parameters(many)
    assert all(value.dtype == dtype for owner in found.values() for value in owner.values())
    apart = distance(parameters(one), found)
    assert apart <= BOUND[dtype]
    print(f"{case}, {dtype}: {apart:.1e}")


def test_the_curve_is_not_a_still_life(data, alone, tmp_path):
    """The comparison above is not empty: training changes the parameters, and dropout changes the loss."""
    one = alone(ALL, 20, "float32")
    train(tmp_path / "still", data, *options(ALL, 20, "float32"), "--optimizer.lr", 1e-12)
    assert distance(parameters(one), parameters(tmp_path / "still")) > 1e-3
    train(tmp_path / "dry", data, *options(ALL, 20, "float32"), "--encoder.dropout", 0)
    dry, wet = steps(tmp_path / "dry")[0], steps(one)[0]
    assert dry["ids_hash"] == wet["ids_hash"]
    for task in wet["loss"]:
        assert abs(dry["loss"][task] / wet["loss"][task] - 1) > 1e-3
    train(tmp_path / "seed", data, *options(ALL, 20, "float32"), "--run.seed", 2)
    assert status(tmp_path / "seed")["parameter_hash"] != status(one)["parameter_hash"]
    assert steps(tmp_path / "seed")[0]["ids_hash"] == wet["ids_hash"]  # positions in the stream, not samples


def test_one_process_under_mpirun_is_one_without(data, alone, tmp_path):
    words = train_words(tmp_path / "run", data, *options(ALL, 20, "float32"))
    done = subprocess.run(["mpirun", "-n", "1", POLYHEAD, *map(str, words)], env=environment(), capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert status(tmp_path / "run")["parameter_hash"] == status(alone(ALL, 20, "float32"))["parameter_hash"]
