"""A run that was interrupted in any way and resumed equals one that was not, bit for bit. A run that cannot be resumed
says why."""

import json
import shutil
import signal
import time

import pytest
import xxhash

from program import (fails, files, flip, interrupt, lines, log, newest, parameter_hash, run, start, status, step_count, steps, survivors, train,
                     train_words, wait_for, worker_pid)

STEPS = 24
# 20 of 300 samples a task: an epoch is 15 steps. eval_every and checkpoint_every make boundaries of their own.
OPTIONS = ["--run.steps", STEPS, "--mixture.batch", 100, "--run.eval_every", 8, "--run.eval_samples", 20, "--run.checkpoint_every", 10]
LONG = ["--run.steps", 100, "--run.checkpoint_every", 30, "--run.eval_samples", 20]  # seconds, so that a signal finds it training


def same(folder, expected):
    """Everything is bitwise equal: parameters, optimizer states, metrics. The hash is computed as the contract defines
    it."""
    one, two = status(folder), status(expected)
    assert (one["state"], one["exit_code"], one["step"]) == ("done", 0, two["step"])
    assert one["parameter_hash"] == two["parameter_hash"] == parameter_hash(folder)
    assert files(folder) == files(expected)
    assert log(folder) == log(expected)


def ends_preempted(process, errors, folder):
    assert process.returncode == 75, errors
    found = status(folder)
    assert (found["state"], found["exit_code"]) == ("preempted", 75)
    assert found["last_checkpoint"] == f"checkpoints/step-{found['step']:06}"
    assert steps(folder)[-1]["step"] == found["step"]
    assert survivors(folder) == []


# Going on


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_in_mid_epoch_and_going_on_equals_never_stopped(workers, data, whole, tmp_path):
    run_dir = tmp_path / "run"
    for stop in (7, 16, 17):  # 16 is a boundary of eval_every
        train(run_dir, data, *OPTIONS, "--run.stop_at", stop, workers=workers)
        found = status(run_dir)
        assert (found["state"], found["exit_code"], found["step"]) == ("stopped", 0, stop)
        assert found["parameter_hash"] == parameter_hash(run_dir)
        assert steps(run_dir)[-1]["step"] == stop
    done = train(run_dir, data, *OPTIONS, workers=workers)
    assert "resuming after step 17" in done.stderr
    same(run_dir, whole(OPTIONS, workers))


@pytest.mark.parametrize("workers, to, which", [(1, "it", signal.SIGUSR1), (1, "it", signal.SIGTERM), (2, "mpirun", signal.SIGUSR1),
                                                (2, "worker 1", signal.SIGTERM)])
def test_a_signal_saves_and_going_on_equals_never_interrupted(workers, to, which, data, whole, tmp_path):
    run_dir = tmp_path / "run"
    process = start(run_dir, data, *LONG, workers=workers)
    wait_for(lambda: step_count(run_dir) >= 5, process)
    pid = process.pid if to in ("it", "mpirun") else worker_pid(run_dir, int(to[-1]))
    errors = interrupt(process, pid, which)
    ends_preempted(process, errors, run_dir)
    assert 5 <= status(run_dir)["step"] < 100
    train(run_dir, data, *LONG, workers=workers)
    same(run_dir, whole(LONG, workers))


def test_a_second_term_does_not_lose_the_checkpoint(data, whole, tmp_path):
    """For example when a launcher and a scheduler each send one."""
    run_dir = tmp_path / "run"
    process = start(run_dir, data, *LONG)
    wait_for(lambda: step_count(run_dir) >= 5, process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.01)  # two pending signals of a kind are one
    ends_preempted(process, interrupt(process, process.pid, signal.SIGTERM), run_dir)
    train(run_dir, data, *LONG)
    same(run_dir, whole(LONG, 1))


@pytest.mark.parametrize("before, after", [(1, 3), (2, 1)])
def test_going_on_with_other_workers_reads_the_same_samples(before, after, data, whole, tmp_path):
    run_dir = tmp_path / "run"
    train(run_dir, data, *OPTIONS, "--run.stop_at", 10, workers=before)
    train(run_dir, data, *OPTIONS, workers=after)
    expected = steps(whole(OPTIONS, 1))
    found = steps(run_dir)
    assert [line["ids_hash"] for line in found] == [line["ids_hash"] for line in expected]
    for x, y in zip(expected, found):
        assert y["loss"] == pytest.approx(x["loss"], rel=1e-4)


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_going_on_equals_never_killed(workers, data, whole, tmp_path):
    run_dir = tmp_path / "run"
    process = start(run_dir, data, *LONG, workers=workers)
    wait_for(lambda: step_count(run_dir) >= 40, process)
    assert survivors(run_dir, tries=1) != []
    errors = interrupt(process, process.pid if workers == 1 else worker_pid(run_dir, 1), signal.SIGKILL)
    assert process.returncode != 0, errors
    assert survivors(run_dir) == []
    saved = int(newest(run_dir).name.removeprefix("step-"))
    assert 30 <= saved < 100
    (run_dir / "checkpoints" / f"step-{saved + 30:06}.tmp").mkdir(exist_ok=True)  # what a death while saving leaves
    done = train(run_dir, data, *LONG, workers=workers)
    assert f"resuming after step {saved}\n" in done.stderr
    same(run_dir, whole(LONG, workers))


def test_killed_before_the_first_checkpoint_begins_anew(data, whole, tmp_path):
    run_dir = tmp_path / "run"
    process = start(run_dir, data, *LONG)
    wait_for(lambda: step_count(run_dir) >= 3, process)
    interrupt(process, process.pid, signal.SIGKILL)
    assert status(run_dir)["state"] == "running"
    train(run_dir, data, *LONG)
    same(run_dir, whole(LONG, 1))


def test_a_finished_run_started_again_ends_at_once(data, whole, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(whole(OPTIONS, 2), run_dir)
    before = (run_dir / "metrics.jsonl").read_bytes()
    begin = time.monotonic()
    train(run_dir, data, *OPTIONS, workers=2)
    assert time.monotonic() - begin < 30
    assert (run_dir / "metrics.jsonl").read_bytes() == before
    same(run_dir, whole(OPTIONS, 2))


def test_boundaries_and_outputs_may_change_while_going_on(data, whole, tmp_path):
    run_dir = tmp_path / "run"
    train(run_dir, data, *OPTIONS, "--run.stop_at", 5)
    train(run_dir, data, "--run.steps", STEPS, "--mixture.batch", 100, "--run.eval_every", 3, "--run.checkpoint_every", 4, "--run.keep", 3)
    assert status(run_dir)["parameter_hash"] == status(whole(OPTIONS, 1))["parameter_hash"]
    assert len(steps(run_dir)) == STEPS and len(list((run_dir / "checkpoints").glob("step-*"))) == 3


# Damage


@pytest.mark.parametrize("name, workers", [("encoder.safetensors", 1), ("encoder.safetensors", 2), ("head.tags.optimizer.safetensors", 1),
                                           ("state.json", 1)])
def test_a_damaged_newest_checkpoint_is_passed_over(name, workers, data, whole, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(whole(OPTIONS, workers), run_dir)
    flip(newest(run_dir) / name, at=1 if name == "state.json" else None)
    done = train(run_dir, data, *OPTIONS, workers=workers)
    assert "a checkpoint is passed over" in done.stderr and f"step-{STEPS:06}/{name}" in done.stderr
    assert "resuming after step 20" in done.stderr
    same(run_dir, whole(OPTIONS, workers))


@pytest.mark.parametrize("harm", ["truncated", "missing"])
def test_so_is_one_with_a_file_cut_short_or_gone(harm, data, whole, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(whole(OPTIONS, 1), run_dir)
    file = newest(run_dir) / "head.topic.safetensors"
    file.write_bytes(file.read_bytes()[:-4]) if harm == "truncated" else file.unlink()
    done = run("evaluate", "--run-dir", run_dir, "--tasks", "style", "--json", "--threads", 1)
    assert done.returncode == 0 and json.loads(done.stdout)["step"] == 20
    assert "passed over" in done.stderr and "head.topic.safetensors" in done.stderr
    train(run_dir, data, *OPTIONS)
    same(run_dir, whole(OPTIONS, 1))


@pytest.mark.parametrize("workers", [1, 2])
def test_when_every_checkpoint_is_damaged_the_run_is_refused(workers, data, whole, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(whole(OPTIONS, workers), run_dir)
    for checkpoint in (run_dir / "checkpoints").glob("step-*"):
        flip(checkpoint / "encoder.safetensors")
    fails(65, *train_words(run_dir, data, *OPTIONS), workers=workers,
          says=["no checkpoint is whole", f"step-{STEPS:06}/encoder.safetensors", "in another run folder"])
    assert survivors(run_dir) == []
    assert status(run_dir)["state"] == "failed" and status(run_dir)["exit_code"] == 65
    fails(65, "predict", "--run-dir", run_dir, "--task", "tags", says=["no checkpoint is whole"])


# Refusals


@pytest.mark.parametrize("workers", [1, 2])
def test_another_configuration_is_refused_with_its_keys(workers, data, whole, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(whole(OPTIONS, 1), run_dir)
    before = {file: file.read_bytes() for file in run_dir.rglob("*") if file.is_file()}
    said = fails(78, *train_words(run_dir, data, *OPTIONS, "--optimizer.lr", 0.5, "--task.tags.dropout", 0.3, "--run.tasks", "tags,topic"),
                 workers=workers, says=[str(run_dir), "optimizer.lr", "0.5", "run.tasks"])
    assert "encoder.dim" not in said and "run.eval_every" not in said
    assert survivors(run_dir) == []
    assert {file: file.read_bytes() for file in run_dir.rglob("*") if file.is_file()} == before


def test_another_data_set_is_refused(planted, data, whole, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(data, other)
    manifest = json.loads((other / "dataset.json").read_text())
    manifest["tasks"][0]["splits"]["train"]["shards"][0]["sha256"] = "0" * 64
    (other / "dataset.json").write_text(json.dumps(manifest))
    run_dir = tmp_path / "run"
    shutil.copytree(whole(OPTIONS, 1), run_dir)
    fails(78, *train_words(run_dir, other, *OPTIONS), says=["run.data_hash"])


def test_the_data_set_may_move(data, whole, tmp_path):
    moved, run_dir = tmp_path / "moved", tmp_path / "run"
    shutil.copytree(data, moved)
    train(run_dir, data, *OPTIONS, "--run.stop_at", 9)
    train(run_dir, moved, *OPTIONS)
    assert status(run_dir)["parameter_hash"] == status(whole(OPTIONS, 1))["parameter_hash"]


@pytest.mark.parametrize("workers", [1, 2])
def test_resume_never_and_a_folder_that_is_no_run(workers, data, whole, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(whole(OPTIONS, 1), run_dir)
    fails(78, *train_words(run_dir, data, *OPTIONS, "--run.resume", "never"), workers=workers, says=[str(run_dir), "run.resume", "--run-dir"])
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "letter.txt").write_text("dear all")
    fails(78, *train_words(stranger, data, *OPTIONS), workers=workers, says=[str(stranger), "letter.txt", "--run-dir"])
    assert [file.name for file in stranger.iterdir()] == ["letter.txt"]
    fails(78, *train_words(stranger / "letter.txt", data, *OPTIONS), workers=workers, says=["is a file"])
    (run_dir / "config.ini").unlink()  # copied without it: nobody knows what the checkpoints' run was
    fails(78, *train_words(run_dir, data, *OPTIONS), workers=workers, says=["no config.ini"])
    assert survivors(run_dir) == []


def test_an_empty_folder_is_taken(data, tmp_path):
    train(tmp_path, data, "--run.steps", 1, "--run.resume", "never")
    assert status(tmp_path)["state"] == "done"


# Divergence


@pytest.mark.parametrize("workers", [1, 2])
def test_divergence_ends_with_76_and_names_the_cause(workers, data, tmp_path):
    run_dir = tmp_path / "run"
    words = train_words(run_dir, data, "--run.steps", 60, "--optimizer.lr", 1e30, "--optimizer.warmup", 0)
    said = fails(76, *words, workers=workers, says=["not finite", "optimizer.lr", "steps in a row"])
    assert "tags" in said
    assert survivors(run_dir) == []
    found = status(run_dir)
    assert (found["state"], found["exit_code"]) == ("failed", 76) and "optimizer.lr" in found["error"]
    skipped = [line for line in steps(run_dir) if line.get("skipped")]
    assert len(skipped) >= 2 and len(skipped) < 60
    assert [line["step"] for line in skipped] == list(range(skipped[0]["step"], skipped[0]["step"] + len(skipped)))
    assert steps(run_dir)[-1]["step"] == skipped[-1]["step"]
    assert any(value is None for value in skipped[-1]["loss"].values())


# Hashes


def test_ids_hash_follows_from_names_and_stream_positions(data, whole):
    folder = whole(OPTIONS, 2)
    assert {line["kind"] for line in lines(folder)} == {"step", "eval", "attention", "epochs"}
    state = json.loads((newest(folder) / "state.json").read_text())
    quotas = dict(zip((task["name"] for task in state["model"]["tasks"]), state["mixture"][0]["quota"]))
    assert sum(quotas.values()) == 100 and min(quotas.values()) >= 11
    rolled = 0
    for line in steps(folder):
        step_sum = sum(xxhash.xxh3_64_intdigest(task.encode(), seed=(line["step"] - 1) * quota + i)
                       for task, quota in quotas.items() for i in range(quota))
        rolled = xxhash.xxh3_64_intdigest(rolled.to_bytes(8, "little") + (step_sum % 2**64).to_bytes(8, "little"))
        assert line["ids_hash"] == f"{rolled:016x}"
    assert len(steps(folder)) == STEPS
    assert state["ids_hash"] == f"{rolled:016x}"
