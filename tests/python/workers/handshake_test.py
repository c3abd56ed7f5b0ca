"""Workers that were not started alike are refused before the first step, with a table of what differs and code 78."""

import json
import shutil
import subprocess

import pytest

from program import POLYHEAD, environment, newest, run, survivors, train, train_words

# Every one changes the run, or what a worker does of it.
DIFFERENT = {
    "run.seed": 2, "run.steps": 7, "run.tasks": "topic,tags", "run.eval_every": 1, "run.eval_samples": 3, "run.checkpoint_every": 1,
    "run.checkpoint_seconds": 0.5, "run.keep": 1, "run.stop_at": 1, "run.best": "topic:loss", "run.task_patience": 3, "run.threads": 2,
    "run.accumulate": 2, "run.reproducible": "world", "run.dtype": "float64", "run.prefetch": 0, "run.data_access": "pread", "run.trace": "steps 1-2",
    "encoder.form": "bert", "encoder.layers": 1, "encoder.dim": 64, "encoder.heads": 2, "encoder.ffn": 96, "encoder.dropout": 0.2,
    "encoder.share": "adapters", "attention.mode": "mean", "attention.heads": 2, "attention.temperature": 2, "optimizer.lr": 1e-4,
    "optimizer.warmup": 3, "optimizer.schedule": "linear", "optimizer.weight_decay": 0.1, "optimizer.beta2": 0.9, "optimizer.ema": 0.9,
    "optimizer.shard": "world", "mixture.kind": "uniform", "mixture.batch": 40, "task.topic.weight": 2, "task.topic.dropout": 0.3,
    "task.topic.label_smoothing": 0.2, "task.dictionary.decoder_layers": 1,
}


def start_two(first, second, launcher=((), ()), **more):
    line = ["mpirun", "--bind-to", "none", "-n", "1", *launcher[0], *map(str, first), ":", "-n", "1", *launcher[1], *map(str, second)]
    return subprocess.run(line, env=environment(**more), capture_output=True, encoding="utf-8", timeout=60, stdin=subprocess.DEVNULL)


def two(folder, data, first=(), second=(), **more):
    words = [POLYHEAD, *train_words(folder, data, "--run.steps", 5)]
    return start_two([*words, *first], [*words, *second], **more)


def refused(done, folder, *says):
    assert done.returncode == 78, done.stderr
    assert "the workers were not started alike; this differs:\n" in done.stderr
    assert done.stderr.count("this differs") == 1, "one worker says it for all"
    table = done.stderr.split("this differs:\n")[1]
    for text in says:
        assert text in table, done.stderr
    assert not (folder / "metrics.jsonl").exists() and not (folder / "config.ini").exists()
    assert survivors(folder) == []
    return table


def row(table, name):
    return [line for line in table.splitlines() if line.split("  ")[0] == name]


def test_every_option_is_compared(data, tmp_path):
    """Workers that differ in all options at once: the table has a row for each."""
    words = [word for key, value in DIFFERENT.items() for word in (f"--{key}", value)]
    base = train_words(tmp_path / "run", data)
    usual = [word for key, value in zip(base[1::2], base[2::2]) if key.removeprefix("--") not in DIFFERENT for word in (key, value)]
    other = tmp_path / "other.ini"  # a worker that reads another file of options
    sections = {}
    for key, value in DIFFERENT.items():
        sections.setdefault(key.rsplit(".", 1)[0], []).append(f"{key.rsplit('.', 1)[1]} = {value}")
    other.write_text("".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items()))
    done = start_two([POLYHEAD, "train", *usual], [POLYHEAD, "train", *usual, "-c", other])
    table = refused(done, tmp_path / "run")
    assert len(DIFFERENT) >= 25 and len(words) == 2 * len(DIFFERENT)
    named = sum(bool(row(table, key)) for key in DIFFERENT)
    left = [int(line.split()[1]) for line in table.splitlines() if line.endswith("more that differ")]
    assert named >= 18 and named + sum(left) == len(DIFFERENT), table


@pytest.mark.parametrize("key", ["optimizer.lr", "run.seed", "encoder.dropout", "task.topic.weight", "mixture.batch", "run.threads"])
def test_one_option_is_named_with_both_values(key, data, tmp_path):
    default = {"optimizer.lr": "0.001", "run.seed": "1", "encoder.dropout": "0.1", "task.topic.weight": "not given", "mixture.batch": "20",
               "run.threads": "1"}[key]
    words = [POLYHEAD, *train_words(tmp_path / "run", data, "--run.steps", 5)]
    other = list(words)
    if f"--{key}" in other:
        other[other.index(f"--{key}") + 1] = DIFFERENT[key]
    else:
        other += [f"--{key}", DIFFERENT[key]]
    table = refused(start_two(words, other), tmp_path / "run")
    assert row(table, key) and default in row(table, key)[0] and row(table, key)[0].endswith("0")
    assert str(DIFFERENT[key]) in table or "0.0001" in table


def test_equal_values_written_differently_are_the_same(data, tmp_path):
    done = two(tmp_path / "run", data, ["--optimizer.epsilon", "1e-8", "--task.topic.weight", 1],
               ["--optimizer.epsilon", "0.00000001", "--task.tags.weight", "1.0"])
    assert done.returncode == 0, done.stderr


def test_another_data_set(data, tmp_path):
    other = tmp_path / "other"
    for words in (["synthetic", "--out", tmp_path / "jsonl", "--train", 120, "--valid", 30, "--test", 30, "--seed", 5],
                  ["import", "-c", tmp_path / "jsonl" / "synthetic.ini", "--out", other]):
        assert run(*words).returncode == 0
    words = train_words(tmp_path / "run", data, "--run.steps", 5)
    there = [other if word == data else word for word in words]
    refused(start_two([POLYHEAD, *words], [POLYHEAD, *there]), tmp_path / "run", "run.data_hash")


def test_the_same_data_set_in_another_place_is_the_same(data, tmp_path):
    shutil.copytree(data, tmp_path / "copy")
    words = train_words(tmp_path / "run", data, "--run.steps", 3)
    there = [tmp_path / "copy" if word == data else word for word in words]
    done = start_two([POLYHEAD, *words], [POLYHEAD, *there])
    assert done.returncode == 0, done.stderr


def test_another_run_folder(data, tmp_path):
    words = train_words(tmp_path / "run", data, "--run.steps", 5)
    there = [tmp_path / "elsewhere" if word == tmp_path / "run" else word for word in words]
    refused(start_two([POLYHEAD, *words], [POLYHEAD, *there]), tmp_path / "run", "run.run_dir", str(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere" / "config.ini").exists()


@pytest.mark.parametrize("other", [["plan"], ["train", "--help"], ["train", "--print-config"], ["doctor"]])
def test_another_command(other, data, tmp_path):
    words = train_words(tmp_path / "run", data, "--run.steps", 5)
    there = [*other, *words[1:]] if other != ["doctor"] else ["doctor"]
    refused(start_two([POLYHEAD, *words], [POLYHEAD, *there]), tmp_path / "run")


@pytest.mark.parametrize("bad, code", [(["--run.seed", "x"], 78), (["--no-such-option", 1], 2), (["-c", "/no/such/file"], 78)])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_that_cannot_read_its_options_ends_all(rank, bad, code, data, tmp_path):
    words = [POLYHEAD, *train_words(tmp_path / "run", data, "--run.steps", 5)]
    done = start_two([*words, *(bad if rank == 0 else [])], [*words, *(bad if rank == 1 else [])])
    assert done.returncode == code, done.stderr
    assert f"worker {rank} of 2" in done.stderr
    assert survivors(tmp_path / "run") == []


def test_a_command_for_one_process_on_one_worker_ends_all(data, tmp_path):
    words = [POLYHEAD, *train_words(tmp_path / "run", data, "--run.steps", 5)]
    done = start_two(words, [POLYHEAD, "evaluate", "--run-dir", tmp_path / "run"])
    assert done.returncode == 2, done.stderr
    assert "run it without mpirun" in done.stderr and survivors(tmp_path / "run") == []


def test_another_program(data, tmp_path):
    copy = tmp_path / "polyhead"
    shutil.copy(POLYHEAD, copy)
    with open(copy, "ab") as file:
        file.write(b"\0")
    words = train_words(tmp_path / "run", data, "--run.steps", 5)
    refused(start_two([POLYHEAD, *words], [copy, *words]), tmp_path / "run", "program")


def test_another_instruction_set(data, tmp_path):
    done = two(tmp_path / "run", data, launcher=([], ["-x", "ATEN_CPU_CAPABILITY=default"]))
    refused(done, tmp_path / "run", "instructions", "ATEN_CPU_CAPABILITY")


def test_calibration_compares_too(data, tmp_path):
    words = [POLYHEAD, "plan", "--data", data, "--calibrate", tmp_path / "machine.ini", "--encoder.dim", 32, "--encoder.layers", 1]
    done = start_two(words, [*words, "--mixture.batch", 40])
    assert done.returncode == 78 and "mixture.batch" in done.stderr, done.stderr
    assert not (tmp_path / "machine.ini").exists()


def test_other_numbers_of_threads_are_one_warning(data, tmp_path):
    """If no number is given, as on nodes of different size, the run is valid, but its bits depend on the numbers."""
    words = train_words(tmp_path / "run", data, "--run.steps", 3)
    at = words.index("--run.threads")
    words = [*words[:at], *words[at + 2:]]
    done = start_two([POLYHEAD, *words], [POLYHEAD, *words], launcher=(["-x", "OMP_NUM_THREADS=2"], ["-x", "OMP_NUM_THREADS=1"]))
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "different numbers of threads" in line]
    assert len(warnings) == 1 and "2 on worker 0, 1 on worker 1" in warnings[0], done.stderr
    assert json.loads((newest(tmp_path / "run") / "state.json").read_text())["threads"] == [2, 1]


def test_another_number_of_threads_on_resuming_is_one_warning(data, tmp_path):
    folder = tmp_path / "run"
    train(folder, data, "--run.steps", 4, "--run.stop_at", 2)
    assert json.loads((newest(folder) / "state.json").read_text())["threads"] == [1]
    done = train(folder, data, "--run.steps", 4, "--run.stop_at", 3, "--run.threads", 2)
    said = [line for line in done.stderr.splitlines() if "number of threads" in line]
    assert len(said) == 1 and "1 before, 2 now" in said[0], done.stderr
    done = train(folder, data, "--run.steps", 4, "--run.threads", 2)
    assert "threads per worker" not in done.stderr
