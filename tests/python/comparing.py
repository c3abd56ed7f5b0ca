"""What the tests of `polyhead compare` share: configurations of small models, the command, and checks of its numbers."""

import functools
import json
import signal
import subprocess

import numpy as np
import pytest
import xxhash

from program import command, environment, lines, run, steps

CONFIG = """
[run]
steps = {steps}
threads = 1
eval_samples = 100
tasks = {tasks}
[encoder]
layers = 1
dim = 16
heads = 2
ffn = 32
[optimizer]
lr = 3e-3
warmup = 5
[mixture]
batch = 20
"""


def configuration(folder, name="run.ini", tasks="topic, ornament, lines", steps=12, more=""):
    (folder / name).write_text(CONFIG.format(steps=steps, tasks=tasks) + more)
    return folder / name


def compare_words(ini, data, *more):
    defaults = {"--seeds": 2, "--draws": 500, "--out": ini.parent / "out"}
    return ["compare", "-c", ini, "--data", data, *(word for key, value in defaults.items() if key not in more for word in (key, value)), *more]


def compare(ini, data, *more, code=0, timeout=60):
    done = run(*compare_words(ini, data, *more), timeout=timeout)
    assert done.returncode == code, done.stderr
    return done


def without_seconds(value):
    """The JSON without measured times, which differ from one training to the next."""
    if not isinstance(value, dict):
        return value
    return {key: without_seconds(part) for key, part in value.items() if not key.endswith("_seconds")}


def told_by(ini, data, *more, **options):
    return without_seconds(json.loads(compare(ini, data, *more, "--json", **options).stdout))


def start_compare(ini, data, *more):
    return subprocess.Popen(command(*compare_words(ini, data, *more)), env=environment(), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def rolled_ids(quotas, count):
    """ids_hash after each step of a run whose tasks take these quotas from the beginning of their streams."""
    rolled = 0
    for step in range(count):
        total = sum(xxhash.xxh3_64_intdigest(task.encode(), seed=step * quota + i) for task, quota in quotas.items() for i in range(quota))
        rolled = xxhash.xxh3_64_intdigest(rolled.to_bytes(8, "little") + (total % 2**64).to_bytes(8, "little"))
        yield f"{rolled:016x}"


SAVES = ["--run.checkpoint_every", 10]
METRICS = {"topic": ("accuracy", 1), "ornament": ("mse", -1), "lines": ("perplexity", -1)}


@functools.cache
def measured(folder, task, split, *more):
    """The headline metric as evaluate reports it; the logarithm of a perplexity."""
    key = METRICS[task][0]
    done = run("evaluate", "--run-dir", folder, "--tasks", task, "--split", split, "--json", "--threads", 1, *more)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)["tasks"][task][key]
    return np.log(value) if key == "perplexity" else value


def check_generalization(one, side, task, folders, checkpoint="latest"):
    """Compares a system's metrics, gap, steps, samples and seconds with its run folders, one for each seed."""
    sign = METRICS[task][1]
    train, test = ([measured(folder, task, split, "--checkpoint", checkpoint, *more) for folder in folders]
                   for split, more in (("train", ["--samples", 100]), ("test", [])))
    assert one[side] == pytest.approx(np.mean(test), rel=1e-6)
    assert one[f"{side}_train"] == pytest.approx(np.mean(train), rel=1e-6)
    assert one[f"{side}_gap"] == pytest.approx(sign * (np.mean(train) - np.mean(test)), rel=1e-4, abs=1e-9)
    pointer = f"best-{task}:loss" if checkpoint.startswith("best:") else checkpoint
    last = [int((folder / "checkpoints" / pointer).read_text().strip().removeprefix("step-")) for folder in folders]
    assert one[f"{side}_steps"] == np.mean(last)
    taken = [next(line["epochs"][task] for line in lines(folder) if line["kind"] == "epochs" and line["step"] == step)
             for folder, step in zip(folders, last)]
    assert one[f"{side}_samples"] == pytest.approx(300 * np.mean(taken))  # 300 samples of train
    seconds = [sum(line["seconds"] for line in steps(folder) if line["step"] <= step) for folder, step in zip(folders, last)]
    assert one[f"{side}_seconds"] == pytest.approx(np.mean(seconds))


def without_split(data, folder, task, split):
    """A copy of the data set whose task does not have the split."""
    manifest = json.loads((data / "dataset.json").read_text())
    folder.mkdir()
    for entry in data.iterdir():
        if entry.name != "dataset.json":
            (folder / entry.name).symlink_to(entry)
    for entry in manifest["tasks"]:
        if entry["name"] == task:
            del entry["splits"][split]
    (folder / "dataset.json").write_text(json.dumps(manifest))
    return folder
