"""run.reproducible = world: the same bits on any number of workers and any placement. Options that would break it are
refused."""

import re
import shutil
import subprocess

import pytest

from program import KINDS, POLYHEAD, command, environment, fails, files, log, newest, parameter_hash, steps, train, train_words

STEPS = 20
WORLD = ["--run.reproducible", "world", "--run.micro_batch", 3, "--run.steps", STEPS, "--run.eval_every", 10, "--run.eval_samples", 0,
         "--mixture.batch", 100, "--encoder.attention_dropout", 0.1, "--encoder.drop_path", 0.1]


def world(*more):
    """If an option is given twice, the later one applies."""
    options = dict(zip(*[iter([*WORLD, *more])] * 2))
    return [word for pair in options.items() for word in pair]


def without(words, key):
    """A command line without this option."""
    at = words.index(key)
    return [*words[:at], *words[at + 2:]]


# name: options, workers, what the placement must say
PLACEMENTS = {
    "all tasks": ([], [1, 2, 8], []),
    "several workers a task": (["--run.tasks", "tags,dictionary"], [1, 3, 8], ["tags (1/", "dictionary (1/"]),
    "one task": (["--run.tasks", "lines", "--run.micro_batch", 8], [1, 2, 8], ["lines (1/"]),
    "experts and an entropy bonus": (["--encoder.share", "ple", "--encoder.experts", 2, "--attention.entropy_bonus", 0.1,
                                      "--attention.heads", 2], [1, 2, 4], []),
    "doubles, averages, layer decay, checkpointing": (["--run.dtype", "float64", "--optimizer.ema", 0.9, "--optimizer.layer_decay", 0.8,
                                                       "--encoder.activation_checkpointing", "blocks", "--encoder.form", "bert"], [1, 3], []),
    "early stopping": (["--run.eval_every", 2, "--run.task_patience", 1, "--run.best", "mean"], [1, 4], []),
}


def machine_free(folder):
    """The newest checkpoint without the number of workers that wrote it, and without the hash that covers this
    number."""
    found = files(folder)
    found["state.json"] = found["state.json"].replace(b'"workers": %d' % len(list((folder / "logs").glob("rank-*.log"))), b"")
    found["state.json"] = re.sub(rb'"state_hash": "[0-9a-f]{16}"', b"", found["state.json"])
    return found


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """A run on one worker."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    train(folder, data, *WORLD)
    return folder


@pytest.mark.parametrize("case", PLACEMENTS)
def test_same_bits_on_any_number_of_workers(case, data, tmp_path):
    options, worlds, says = PLACEMENTS[case]
    expected = None
    for workers in worlds:
        run_dir = tmp_path / str(workers)
        done = train(run_dir, data, *world(*options), workers=workers)
        if workers == worlds[-1]:
            for text in says:
                assert text in done.stderr
        found = machine_free(run_dir), log(run_dir)  # optimizer states, losses, norms, metrics of valid: everything
        expected = expected or found
        assert found == expected, f"{workers} workers"
    assert len(steps(run_dir)) == STEPS or case == "early stopping"


@pytest.mark.parametrize("shard", ["none", "world"])
def test_same_bits_in_any_placement(shard, alone, data, tmp_path):
    """Three workers with a given placement: groups of one to three members, with different leaders."""
    everything = KINDS.keys()
    placements = [{task: "0-2" for task in everything}, {task: str(n % 3) for n, task in enumerate(everything)},
                  {"topic": "2", "tags": "0, 2", "lines": "1-2"}, {"wind": "0", "reply": "0", "dictionary": "0-1"}]
    found = set()
    for number, pins in enumerate(placements if shard == "none" else placements[1:3]):
        words = [word for task, workers in pins.items() for word in (f"--task.{task}.workers", workers)]
        train(tmp_path / str(number), data, *WORLD, *words, "--optimizer.shard", shard, workers=3)
        found.add(parameter_hash(tmp_path / str(number)))
    assert found == {parameter_hash(alone)}


def test_the_same_curve_as_without_up_to_rounding(alone, data, tmp_path):
    train(tmp_path / "run", data, *without(world("--run.reproducible", "run"), "--run.micro_batch"), workers=2)
    assert parameter_hash(alone) != parameter_hash(tmp_path / "run")
    for one, two in zip(steps(tmp_path / "run"), steps(alone), strict=True):
        assert one["ids_hash"] == two["ids_hash"]
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert two["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-3)
    train(tmp_path / "other", data, *world("--run.micro_batch", 4), workers=2)
    assert parameter_hash(tmp_path / "other") != parameter_hash(alone), "shapes matter"


def test_going_on_with_other_workers_changes_no_bit(alone, data, tmp_path):
    for stop, workers in ((7, 2), (16, 3), (0, 1)):
        train(tmp_path / "parts", data, *world("--run.stop_at", stop), workers=workers)
    assert parameter_hash(tmp_path / "parts") == parameter_hash(alone)
    assert log(tmp_path / "parts") == log(alone)


# What would break it


def two_workers(folder, data, first, second, **more):
    """Worker 0 and worker 1, each with its own options of mpirun and its own program."""
    words = [str(word) for word in train_words(folder, data, *WORLD)]
    if first[2]:
        words = without(words, first[2][0])
    line = ["mpirun", "--bind-to", "none"]
    for i, (launcher, program, own) in enumerate((first, second)):
        line += [*([":"] if i else []), "-n", "1", *launcher, str(program), *words, *map(str, own)]
    return subprocess.run(line, env=environment(**more), capture_output=True, encoding="utf-8", timeout=60, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("what", ["program", "threads", "instructions"])
def test_workers_that_differ_are_refused(what, data, tmp_path):
    usual, other = ([], POLYHEAD, []), {}
    if what == "program":
        copy = tmp_path / "polyhead"
        shutil.copy(POLYHEAD, copy)
        with open(copy, "ab") as file:
            file.write(b"\0")
        other = ([], copy, [])
    elif what == "threads":
        usual, other = ([], POLYHEAD, ["--run.threads", 1]), ([], POLYHEAD, ["--run.threads", 2])
    else:
        other = (["-x", "ATEN_CPU_CAPABILITY=default"], POLYHEAD, [])
    done = two_workers(tmp_path / "run", data, usual, other)
    assert done.returncode == 78, done.stderr
    table = done.stderr.split("the workers were not started alike; this differs:\n")[1]
    assert any(line.startswith((what, f"run.{what}")) and line.rstrip().endswith("  0") for line in table.splitlines()), done.stderr


def test_a_checkpoint_of_another_machine_is_refused(data, tmp_path):
    train(tmp_path / "run", data, *world("--run.stop_at", 3))
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    fails(78, *train_words(tmp_path / "run", data, *world("--run.threads", 2)), workers=2,
          says=[str(newest(tmp_path / "run")), "threads: 1 there, 2 here", "run.reproducible = run"])
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    train(tmp_path / "run", data, *WORLD, workers=2)


def test_options_that_do_not_go_with_it(data, tmp_path):
    words = train_words(tmp_path / "run", data, *WORLD)
    fails(78, *words, "--run.accumulate", 2, says=["run.accumulate = 2", "run.micro_batch"])
    fails(78, *words, "--run.device", "cuda", says=["run.device = cuda", "CPUs"])
    assert not (tmp_path / "run").exists()


def test_gradients_that_are_too_large_to_add_end_the_run(data, tmp_path):
    done = train(tmp_path / "run", data, *world("--run.tasks", "ornament", "--optimizer.lr", 100, "--optimizer.warmup", 0,
                                                "--optimizer.clip", 0, "--optimizer.head_clip", 0), workers=2, code=76)
    assert "4096 or more, which is too large for run.reproducible = world" in done.stderr
    found = steps(tmp_path / "run")
    assert len(found) == 11 and all(step["skipped"] and step["loss"]["ornament"] < 1e30 for step in found[1:])


def test_threads_are_one_where_none_are_asked_for(data, tmp_path):
    words = without(train_words(tmp_path / "run", data, *world("--run.steps", 1)), "--run.threads")
    done = subprocess.run(command(*words), env=environment(), capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    assert ", 1 threads, cpu" in (tmp_path / "run" / "logs" / "rank-0000.log").read_text()
