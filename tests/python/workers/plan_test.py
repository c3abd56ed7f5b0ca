"""`polyhead plan` agrees with what training does, and with a simulation that shares no code with it."""

import json
import re
import resource

import pytest

from plan_simulation import Simulation
from program import KINDS, SMALL, run, train

ALL = ",".join(KINDS)


def plan_words(data, *more):
    words, given = [], [str(word) for word in more]
    for key, value in zip(SMALL[::2], SMALL[1::2]):
        if key not in given:
            words += [key, value]
    return ["plan", "--data", data, *words, *more]


def plan(data, *more):
    done = run(*plan_words(data, *more, "--json"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(data, *more, code=78, **how):
    done = run(*plan_words(data, *more), **how)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr


def placement_of(text):
    """The placement that training prints at the start: for each worker, its tasks and the sizes of their groups."""
    found = {}
    for worker, held in re.findall(r"^worker (\d+): (.*), [\d.]+ % of the load$", text, re.M):
        found[int(worker)] = [(task.split(" (1/")[0], int(task.rstrip(")").split(" (1/")[1]) if " (1/" in task else 1)
                              for task in held.split(", ")]
    return found


@pytest.mark.parametrize("workers, options", [
    (1, []), (2, []), (3, ["--run.tasks", "topic,dictionary,lines,wind"]), (4, []),
    (4, ["--run.tasks", "dictionary,lines"]),
    (2, ["--task.dictionary.workers", "0", "--task.lines.workers", "0-1"]),
    (2, [word for task in KINDS for word in (f"--task.{task}.cost", "1e-2" if task == "style" else "1e-4")]),
], ids=["1", "2", "3, four tasks", "4", "4, two tasks", "2, pinned", "2, costs given"])
def test_it_is_what_training_does(workers, options, data, tmp_path):
    trained = train(tmp_path / "run", data, *options, "--run.steps", 2, workers=workers).stderr
    planned = plan(data, *options, "--run.steps", 2, "--workers", workers)
    tasks = planned["tasks"]
    assert placement_of(trained) == {rank: [(tasks[task]["name"], len(tasks[task]["workers"])) for task in worker["tasks"]]
                                     for rank, worker in enumerate(planned["workers"])}
    assert {task["name"]: task["samples"] for task in tasks} == {name: int(taken) for name, taken in
                                                                 re.findall(r"^  (\S+): (\d+) \(", trained, re.M)}
    encoder, heads = (int(number.replace(",", "")) for number in re.search(r"encoder ([\d,]+) parameters, heads ([\d,]+)", trained).groups())
    assert sum(task["parameters"] for task in tasks) == heads
    # Only the shards tell that reply has pairs of texts, and thus the encoder a vector for each of the two.
    assert encoder - planned["encoder_parameters"] == (2 * 32 if any(task["name"] == "reply" for task in tasks) else 0)
    if "--task.dictionary.workers" in options:
        assert [task["workers"] for task in tasks if task["name"] in ("dictionary", "lines")] == [[0], [0, 1]]
    if workers == 2 and len(options) > 10:
        assert [task["name"] for task in tasks if len(task["workers"]) == 2] == ["style"]  # most of the cost: shared by both


def test_a_table_for_people(data):
    done = run(*plan_words(data, "--workers", 2))
    assert done.returncode == 0, done.stderr
    for part in ("worker", "activations", "step ", "efficiency", "limit: ", "figures are assumed"):
        assert part in done.stdout
    assert run(*plan_words(data, "--workers", 2, "--device-flops", 1e9)).stdout != done.stdout
    many = run(*plan_words(data, "--workers", 900, "--mixture.batch", 1800)).stdout
    assert "900 workers, 8 on a node" in many and len(many.splitlines()) < 60


def test_mixtures_of_later_steps(data):
    phases = ["--mixture.phases", "5 explicit style=1 tags=1", "--run.steps", 8, "--workers", 2]
    at = {step: {task["name"]: task["samples"] for task in plan(data, *phases, "--step", step)["tasks"]} for step in (4, 5)}
    assert at[4]["topic"] > 0 and at[5]["topic"] == 0 and at[5]["style"] == 10


def test_wrong_input(data, tmp_path):
    assert "--workers N is not given" in refused(data, code=2)
    assert "'polyhead plan' is one process, but the launcher started 2" in refused(data, "--workers", 4, code=2, workers=2)
    assert "step = 9 (command line): run.steps is 8" in refused(data, "--workers", 1, "--step", 9, "--run.steps", 8)
    assert "task.lines.workers names worker 2, but there are 2 workers, from 0 to 1" in \
        refused(data, "--workers", 2, "--task.lines.workers", "0,2")
    assert "task.lines.workers" in refused(data, "--workers", 4, "--task.lines.workers", "0,")
    for wrong in ("one", "3-1", "-1", "0,0-1"):
        words = refused(data, "--workers", 4, f"--task.lines.workers={wrong}")
        assert "task.lines.workers" in words and ("is not a worker" in words or "listed twice" in words), wrong
    assert "task.topic.cost is not given; costs are given for all tasks of the run or for none" in \
        refused(data, "--workers", 2, "--task.lines.cost", 1)
    pinned = [word for task in KINDS for word in (f"--task.{task}.workers", 0)]
    assert "leaves 1 of 2 workers without a task" in refused(data, "--workers", 2, *pinned)
    machine = tmp_path / "machine.ini"
    machine.write_text("[machine]\nslots = 2\nbandwith = 1e9\n")
    assert "machine.ini:3" in refused(data, "--workers", 2, "--machine", machine)
    assert "lines.workers" in train(tmp_path / "run", data, "--task.lines.workers", 1, code=78).stderr


def test_large_worlds_take_no_time(tmp_path):
    """10,000 workers and 1,000 tasks: 5 s of the processor, whatever else runs; a second on a machine of 2026."""
    tasks = [{"name": f"task-{i}", "kind": ["classification", "tagging", "translation", "masked_lm"][i % 4],
              "splits": {"train": {"samples": 1000 + 37 * i, "input_tokens": (1000 + 37 * i) * (8 + i % 90),
                                   **({"target_tokens": (1000 + 37 * i) * 20} if i % 4 == 2 else {}),
                                   "shards": [{"file": f"task-{i}.h5", "samples": 1000 + 37 * i}]}},
              **({"labels": ["a", "b"]} if i % 4 < 2 else {})} for i in range(1000)]
    (tmp_path / "dataset.json").write_text(json.dumps({
        "format": "polyhead-dataset", "version": 1, "name": "wide", "tasks": tasks,
        "tokenizer": {"kind": "sentencepiece", "file": "tokenizer.model", "sha256": "0" * 64, "vocab_size": 32000, "pad": 0, "unk": 1,
                      "bos": 2, "eos": 3, "mask": 4}}))
    for workers in (10_000, 2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        planned = plan(tmp_path, "--workers", workers, "--mixture.batch", 50_000)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5
        assert len(planned["workers"]) == workers and all(worker["tasks"] for worker in planned["workers"])
        assert sum(sum(worker["samples"]) for worker in planned["workers"]) == 50_000


FAST = ["--encoder.dim", 256, "--encoder.ffn", 1024, "--encoder.layers", 4]


@pytest.mark.parametrize("workers, options", [
    (2, ["--per-node", 2]),
    (4, ["--per-node", 1, *FAST]),
    (6, ["--per-node", 4, "--device-flops", 1e9]),
    (64, ["--per-node", 8, "--mixture.batch", 1024, *FAST]),
    (96, ["--per-node", 8, "--mixture.batch", 4096, "--bandwidth", 1e8, *FAST]),
    (256, ["--per-node", 8, "--mixture.batch", 1024, "--latency", 1e-3]),
    (512, ["--per-node", 32, "--mixture.batch", 8192, "--run.tasks", "dictionary,lines,wind", *FAST]),
    (1024, ["--per-node", 8, "--mixture.batch", 16384, *FAST]),
    (1024, ["--per-node", 1, "--mixture.batch", 4096, "--bandwidth", 1e9, *FAST]),
    (1024, ["--per-node", 16, "--mixture.batch", 32768, "--device-flops", 1e13, "--bandwidth", 2.5e10, *FAST]),
], ids=lambda value: str(value) if isinstance(value, int) else "")
def test_a_simulation_of_the_same_schedule_agrees(workers, options, data):
    planned = plan(data, "--workers", workers, *options)
    simulated = Simulation(planned).run(steps=2)
    seconds = planned["step"]["seconds"]
    print(f"{workers} workers: plan {1000 * seconds:.3f} ms, simulation {1000 * simulated:.3f} ms, {100 * (seconds / simulated - 1):+.1f} %")
    assert seconds == pytest.approx(simulated, rel=0.1)


def test_the_simulation_would_disagree(data):
    """With a placement, bandwidth or number of nodes other than that of the plan, the simulation differs by far."""
    options = ["--workers", 64, "--per-node", 8, "--mixture.batch", 1024, *FAST]
    planned = plan(data, *options)
    seconds = planned["step"]["seconds"]
    planned["machine"]["bandwidth"] /= 3
    assert Simulation(planned).run(steps=2) > 1.2 * seconds
    planned = plan(data, *options)
    busy = max(planned["workers"], key=lambda worker: worker["compute"])
    busy["samples"] = [4 * samples for samples in busy["samples"]]
    assert Simulation(planned).run(steps=2) > 1.2 * seconds


@pytest.mark.parametrize("workers", [1, 2])
def test_calibration(workers, data, tmp_path):
    """The file and the costs that it writes are read again, and they are those of real steps."""
    machine = tmp_path / "machine.ini"
    words = [*plan_words(data, "--run.tasks", "topic,dictionary,wind"), "--calibrate", machine]
    done = run(*words, workers=workers)
    assert done.returncode == 0, done.stderr
    assert "is written" in done.stderr
    costs = dict(re.findall(r"^\[task\.(\S+)\]\ncost = (\S+)$", done.stdout, re.M))
    assert set(costs) == {"topic", "dictionary", "wind"} and all(0 < float(cost) < 1 for cost in costs.values())
    config = tmp_path / "run.ini"
    config.write_text(done.stdout)
    planned = plan(data, "-c", config, "--run.tasks", "topic,dictionary,wind", "--machine", machine, "--workers", 2, "--per-node", 2)
    assert {task["name"]: task["seconds"] for task in planned["tasks"]} == pytest.approx({name: float(cost) for name, cost in costs.items()})
    text = machine.read_text()
    assert ("assumed" in done.stderr) and "[machine]" in text
    if workers == 2:
        assert planned["machine"]["node_bandwidth"] != 2e9 and planned["machine"]["window_bandwidth"] != 4e9
    assert 0 < planned["step"]["seconds"] < 1
    missing = run(*words[:-1], tmp_path / "missing" / "machine.ini")
    assert missing.returncode == 73
