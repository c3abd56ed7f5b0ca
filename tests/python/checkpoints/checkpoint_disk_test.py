"""Saving on a disk that fails (tests/tools/failing_disk.c). One failure is a warning, and the next save is attempted;
three in a row end training. The last good checkpoint is kept, no incomplete one remains, and no worker hangs."""

import errno
import subprocess
from pathlib import Path

import pytest

from program import POLYHEAD, command, environment, files, newest, run, status, survivors, train, train_words

DISK = Path(POLYHEAD).parent / "tests" / "libfailing_disk.so"
SHORT = ["--run.tasks", "topic,tags", "--run.checkpoint_every", 10, "--run.eval_samples", 20]
OPTIONS = [*SHORT, "--run.steps", 50]
BEST = [*SHORT, "--run.eval_every", 10, "--run.best", "topic:loss"]


# Worker 1 writes a head.
PLACED = ["--task.topic.workers", 0, "--task.tags.workers", 1]


def train_on(disk, folder, data, *more, workers=1, options=OPTIONS):
    fails = {f"FAIL_{key.upper()}": str(value) for key, value in disk.items()}
    return subprocess.run(command(*train_words(folder, data, *options, *more), workers=workers), env=environment(LD_PRELOAD=str(DISK), **fails),
                          stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=60)


def names(folder):
    return sorted(entry.name for entry in (folder / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def good(tmp_path_factory, data):
    runs = {}

    def get(workers, *more):
        if (workers, more) not in runs:
            runs[workers, more] = tmp_path_factory.mktemp("good") / "run"
            train(runs[workers, more], data, *OPTIONS, *more, workers=workers)
        return runs[workers, more]
    return get


@pytest.mark.parametrize("call, code", [("write", errno.ENOSPC), ("write", errno.EIO), ("fsync", errno.EIO), ("rename", errno.EIO), ("mkdir", errno.ENOSPC)])
def test_one_failure_is_a_warning(call, code, data, good, tmp_path):
    run_dir = tmp_path / "run"
    done = train_on({"call": call, "path": "step-000020.tmp", "errno": code, "count": 1}, run_dir, data)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "could not be saved" in line]
    assert len(said) == 1 and "step 20" in said[0] and "1 of 3" in said[0] and "step-000010" in said[0] and "tries again" in said[0]
    assert names(run_dir) == ["latest", "step-000040", "step-000050"]
    assert files(run_dir) == files(good(1)) and status(run_dir)["state"] == "done"


def test_damage_right_after_the_rename_is_found(data, tmp_path):
    """The checkpoint of step 20 is damaged as soon as others can see it, and must not count as the one that is kept."""
    run_dir = tmp_path / "run"
    disk = {"call": "rename", "path": "step-000020.tmp", "damage": run_dir / "checkpoints" / "step-000020" / "encoder.safetensors"}
    done = train_on(disk, run_dir, data, "--run.keep", 1)
    assert done.returncode == 0 and "renamed to step-000020.damaged" in done.stderr, done.stderr
    assert names(run_dir) == ["latest", "step-000020.damaged", "step-000050"]
    assert run("verify", "--run-dir", run_dir).returncode == 0


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("more", [[], ["--optimizer.shard", "world"]], ids=["whole", "sharded"])
def test_one_worker_fails_and_all_agree(rank, more, data, good, tmp_path):
    more = [*PLACED, *more]
    run_dir = tmp_path / "run"
    done = train_on({"call": "write", "path": "step-000020.tmp", "errno": errno.ENOSPC, "rank": rank}, run_dir, data, *more, workers=2)
    assert done.returncode == 0, done.stderr
    assert f"worker {rank}: cannot write" in done.stderr and "No space left" in done.stderr
    assert names(run_dir) == ["latest", "step-000040", "step-000050"]
    assert files(run_dir) == files(good(2, *more))


@pytest.mark.parametrize("workers, rank", [(1, 0), (2, 1)])
def test_three_failures_in_a_row_end_training_and_the_last_good_stays(workers, rank, data, good, tmp_path):
    run_dir, full, more = tmp_path / "run", tmp_path / "full", PLACED if workers == 2 else []
    train(run_dir, data, *OPTIONS, *more, "--run.stop_at", 10, workers=workers)
    before = files(run_dir)
    full.touch()
    disk = {"call": "write", "path": ".tmp-", "errno": errno.ENOSPC, "rank": rank, "when": full}
    done = train_on(disk, run_dir, data, *more, workers=workers)
    assert done.returncode == 73, done.stderr
    last = [line for line in done.stderr.splitlines() if line.startswith("polyhead train")]
    assert len(last) == 1, done.stderr
    assert "3 checkpoints in a row" in last[0] and "step-000010" in last[0] and "Free disk space" in last[0]
    assert done.stderr.count("could not be saved (") == 2
    assert names(run_dir) == ["latest", "step-000010"] and files(run_dir) == before  # and nothing half-written
    assert (status(run_dir)["state"], status(run_dir)["exit_code"]) == ("failed", 73) and survivors(run_dir) == []
    full.unlink()
    train(run_dir, data, *OPTIONS, *more, workers=workers)
    assert files(run_dir) == files(good(workers, *more))


def test_the_last_save_is_tried_again(data, good, tmp_path):
    run_dir = tmp_path / "run"
    done = train_on({"call": "fsync", "path": "step-000050.tmp", "errno": errno.EIO, "count": 2}, run_dir, data)
    assert done.returncode == 0 and done.stderr.count("it will be tried again") == 2, done.stderr
    assert files(run_dir) == files(good(1))
    done = train_on({"call": "fsync", "path": "step-000005.tmp", "errno": errno.EIO}, tmp_path / "other", data, "--run.stop_at", 5)
    assert done.returncode == 73 and "No checkpoint has been saved yet" in done.stderr and names(tmp_path / "other") == []


def test_a_best_that_could_not_be_saved_is_not_named(data, tmp_path):
    run_dir = tmp_path / "run"
    done = train_on({"call": "write", "path": "step-000010.tmp", "errno": errno.EIO}, run_dir, data, "--run.steps", 20, options=BEST)
    assert done.returncode == 0, done.stderr
    assert (run_dir / "checkpoints" / "best").read_text() == "step-000020\n"
    assert run("verify", "--run-dir", run_dir).returncode == 0


@pytest.mark.parametrize("pointer", ["latest", "best"])
def test_a_name_that_cannot_be_written_is_a_warning(pointer, data, tmp_path):
    run_dir = tmp_path / "run"
    done = train_on({"call": "write", "path": f"checkpoints/{pointer}.tmp", "errno": errno.EIO, "count": 1}, run_dir, data, "--run.steps", 30, options=BEST)
    assert done.returncode == 0 and "the checkpoint of step 10 is saved, but" in done.stderr, done.stderr
    assert newest(run_dir).name == "step-000030" and run("verify", "--run-dir", run_dir).returncode == 0


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_death_at_any_call_of_a_save_loses_nothing(call, data, good, tmp_path):
    """The process ends at the n-th write, fsync or rename below checkpoints/ after its first checkpoint."""
    first = tmp_path / "first"
    train(first, data, *OPTIONS, "--run.stop_at", 10)
    for n in (1, 2, 5, 8, 9, 10, 11):
        run_dir = tmp_path / f"run-{n}"
        subprocess.run(["cp", "-r", first, run_dir], check=True)
        done = train_on({"call": call, "path": "/checkpoints", "errno": 0, "first": n}, run_dir, data, "--run.stop_at", 30, "--run.keep", 1)
        assert done.returncode == 137, (n, done.stderr)
        train(run_dir, data, *OPTIONS)
        assert files(run_dir) == files(good(1)), n
        assert names(run_dir) == ["latest", "step-000040", "step-000050"], n
