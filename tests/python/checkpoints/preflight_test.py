"""Checks before the first step that checkpoints can be saved: room on the disk, writing and renaming, one folder for
all hosts, names and paths."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import h5py
import pytest

from program import (POLYHEAD, command, environment, fails, files, log, newest, run, status, survivors, train, train_words)

BIG = ["--encoder.dim", 96, "--run.steps", 8]  # a checkpoint of 3 MB


def may_mount():
    return subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode == 0


needs_mounts = pytest.mark.skipif(not may_mount(), reason="a namespace of mounts needs root")


def train_in_tmpfs(folder, size, words, keep):
    """Trains with a file system of this size as the run folder. Its content is then copied to `keep`."""
    folder.mkdir(exist_ok=True)
    script = f'mount -t tmpfs -o size={size} tmpfs "{folder}" && shift && "$@"; code=$?; cp -r "{folder}" "{keep}"; exit $code'
    return subprocess.run(["unshare", "--mount", "bash", "-c", script, "bash", "x", *map(str, words)], env=environment(), capture_output=True,
                          encoding="utf-8", timeout=60, stdin=subprocess.DEVNULL)


@needs_mounts
def test_too_little_room_is_said_before_the_first_step(data, tmp_path):
    words = command(*train_words(tmp_path / "run", data, *BIG))
    done = train_in_tmpfs(tmp_path / "run", "6m", words, tmp_path / "left")
    assert done.returncode == 73, done.stderr
    for text in ("free, but needs room for 3 checkpoints of", "MiB (run.keep, run.best", "Make room"):
        assert text in done.stderr
    assert (status(tmp_path / "left")["state"], status(tmp_path / "left")["exit_code"]) == ("failed", 73)
    assert '"kind":"step"' not in (tmp_path / "left" / "metrics.jsonl").read_text() if (tmp_path / "left" / "metrics.jsonl").exists() else True
    enough = train_in_tmpfs(tmp_path / "run", "30m", words, tmp_path / "enough")
    assert enough.returncode == 0, enough.stderr
    assert sorted(entry.name for entry in (tmp_path / "enough" / "checkpoints").iterdir()) == ["latest", "step-000008"]


@needs_mounts
def test_checkpoints_that_are_there_count_as_room(data, tmp_path):
    """A resumed run replaces its old checkpoints, so a disk that was large enough before still is."""
    words = command(*train_words(tmp_path / "run", data, *BIG, "--run.checkpoint_every", 2))
    (tmp_path / "run").mkdir()
    script = f'mount -t tmpfs -o size=20m tmpfs "{tmp_path}/run" && shift && "$@" --run.stop_at 6 && "$@"'
    done = subprocess.run(["unshare", "--mount", "bash", "-c", script, "bash", "x", *words], env=environment(), capture_output=True,
                          encoding="utf-8", timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr


@needs_mounts
@pytest.mark.parametrize("rank", [0, 1])
def test_a_folder_that_not_all_workers_share(rank, data, tmp_path):
    """For one worker, the run folder is another file system, like a local disk of its host."""
    words = [POLYHEAD, *map(str, train_words(tmp_path / "runs" / "run", data, *BIG))]
    (tmp_path / "runs").mkdir()
    script = tmp_path / "alone"
    script.write_text(f'#!/bin/bash\nexec unshare --mount bash -c \'mount -t tmpfs tmpfs "{tmp_path}/runs" && exec "$@"\' bash "$@"\n')
    script.chmod(0o755)
    line = ["mpirun", "--bind-to", "none", "-n", "1", *([script] if rank == 0 else []), *words, ":", "-n", "1", *([script] if rank == 1 else []), *words]
    done = subprocess.run(line, env=environment(), capture_output=True, encoding="utf-8", timeout=90, stdin=subprocess.DEVNULL)
    assert done.returncode == 78, done.stderr
    assert "worker 1" in done.stderr and "is not the one that worker 0 sees" in done.stderr and "file system that all hosts share" in done.stderr
    assert survivors(tmp_path / "runs" / "run") == []


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_left_of_the_trial(workers, data, tmp_path):
    train(tmp_path / "run", data, "--run.steps", 2, workers=workers)
    left = [entry for entry in (tmp_path / "run").rglob("*") if entry.name.startswith(".polyhead")]
    assert left == []


# Names and paths


def renamed(data, folder, names):
    """A data set as another tool might write it: docs/format.md does not restrict names."""
    shutil.copytree(data, folder)
    manifest = json.loads((folder / "dataset.json").read_text())
    manifest["tasks"] = [task for task in manifest["tasks"] if task["name"] in names]
    for task in manifest["tasks"]:
        task["name"] = names[task["name"]]
        for split in task["splits"].values():
            for shard in split["shards"]:
                del shard["sha256"], shard["bytes"]
                with h5py.File(folder / shard["file"], "r+") as file:
                    file.attrs["task"] = task["name"]
    (folder / "dataset.json").write_text(json.dumps(manifest))
    return folder


KINDS = {"topic": "nli/mnli", "tags": "my task", "ornament": "a, b", "dictionary": "x=y", "lines": "naïve %2F", "subjects": "..",
         "style": "a]b", "wind": "n" * 230}


@pytest.fixture(scope="module")
def foreign(data, tmp_path_factory):
    return renamed(data, tmp_path_factory.mktemp("foreign") / "data", KINDS)


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_named_as_no_file_can_be(workers, foreign, tmp_path):
    options = ["--run.steps", 8, "--run.eval_every", 4, "--run.eval_samples", 10, "--mixture.batch", 24, "--optimizer.ema", 0.5]
    train(tmp_path / "whole", foreign, *options, workers=workers)
    for stop in (5, 0):
        train(tmp_path / "run", foreign, *options, "--run.stop_at", stop, workers=workers)
    assert files(tmp_path / "run") == files(tmp_path / "whole")
    assert log(tmp_path / "run") == log(tmp_path / "whole")
    names = set(files(tmp_path / "run"))
    assert {"head.nli%2Fmnli.safetensors", "head.my task.ema.safetensors", "head.naïve %252F.optimizer.safetensors"} <= names
    assert all(len(name.encode()) < 250 for name in names)
    done = run("evaluate", "--run-dir", tmp_path / "run", "--split", "valid", "--json")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["tasks"]) == set(KINDS.values())
    for name in ("nli/mnli", "my task", "a, b", "x=y", ".."):
        done = run("predict", "--run-dir", tmp_path / "run", "--task", name, "--weights", "average", input='{"text": "a b c"}\n')
        assert done.returncode == 0, (name, done.stderr)
    for what in (["--run-dir", tmp_path / "run"], ["--data", foreign]):
        done = run("verify", *what)
        assert done.returncode == 0, done.stderr
    done = run("evaluate", "--run-dir", tmp_path / "run", "--split", "valid", "--json", "--tasks", "a, b, my task")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["tasks"]) == {"a, b", "my task"}
    train(tmp_path / "some", foreign, "--run.tasks", "nli/mnli, a, b", "--run.steps", 1)
    assert status(tmp_path / "some")["state"] == "done"
    for stop in (1, 0):  # a run whose only task has a comma in its name is resumed
        train(tmp_path / "comma", foreign, "--run.tasks", "a, b", "--run.steps", 2, "--run.stop_at", stop)
    assert status(tmp_path / "comma")["state"] == "done"


@pytest.mark.parametrize("name, code, says", [("a ", 78, "rename it"), ("a # b", 78, "rename it"), ("a ; b", 78, "rename it"),
                                              ("a\nb", 65, "control character"), ("\ta", 65, "control character")])
def test_names_that_a_configuration_cannot_hold_are_refused_at_the_start(name, code, says, data, tmp_path):
    folder = renamed(data, tmp_path / "data", {"topic": name})
    fails(code, *train_words(tmp_path / "run", folder, "--run.steps", 2), says=[says])
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_paths_that_are_not_utf8(workers, data, tmp_path):
    """The data set, run folder and teacher are below a home directory whose name is in Latin-1."""
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/donn\xe9es"))
    shutil.copytree(data, strange / "data")
    options = ["--run.tasks", "topic,tags", "--run.steps", 6, "--run.eval_samples", 10]
    train(tmp_path / "usual", data, *options, workers=workers)
    train(strange / "run", strange / "data", *options, "--run.stop_at", 3, workers=workers)
    train(strange / "run", strange / "data", *options, workers=workers)
    assert status(strange / "run")["parameter_hash"] == status(tmp_path / "usual")["parameter_hash"]
    json.loads((newest(strange / "run") / "state.json").read_text(encoding="utf-8"))
    done = run("evaluate", "--run-dir", strange / "run", "--split", "valid", "--json")  # without --data: from state.json
    assert done.returncode == 0, done.stderr
    for words in (["evaluate", "--run-dir", strange / "run", "--split", "valid"], ["verify", "--run-dir", strange / "run"],
                  ["inspect", "--data", strange / "data", "--json"], ["verify", "--data", strange / "data", "--json"],
                  ["plan", "--data", strange / "data", "--workers", 2, "--json"]):
        done = subprocess.run(command(*words), env=environment(), capture_output=True, timeout=60)
        assert done.returncode == 0, (words, done.stderr)
    done = run("predict", "--run-dir", strange / "run", "--task", "topic", input='{"text": "a b c"}\n')
    assert done.returncode == 0, done.stderr
    train(tmp_path / "pupil", data, *options, "--task.topic.teacher", strange / "run", workers=workers)
