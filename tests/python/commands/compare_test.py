"""`polyhead compare` on planted tasks: what it trains, that it resumes where it stopped, and that its numbers follow
from the runs."""

import json
import os
import re
import signal
import subprocess
import time

import numpy as np
import pytest

from comparing import METRICS, SAVES, check_generalization, compare, compare_words, configuration, rolled_ids, start_compare, told_by, without_seconds, without_split
from program import command, environment, fails, flip, newest, status, step_count, steps, wait_for


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory):
    """A finished comparison of three tasks alone and together, and the JSON that it printed."""
    folder = tmp_path_factory.mktemp("compared")
    ini = configuration(folder)
    return ini, json.loads(compare(ini, data, "--json").stdout)


def test_each_task_takes_the_same_samples_alone_and_together(compared):
    ini, _ = compared
    out = ini.parent / "out"
    assert sorted(folder.name for folder in out.iterdir()) == sorted(
        f"{name}-seed{seed}" for seed in (1, 2) for name in ("joint", "single-topic", "single-ornament", "single-lines"))
    for seed in (1, 2):
        joint = status(out / f"joint-seed{seed}" / "run")["epochs"]
        for task in ("topic", "ornament", "lines"):
            folder = out / f"single-{task}-seed{seed}" / "run"
            assert len(steps(folder)) == 12
            assert status(folder)["epochs"] == {task: joint[task]}
        batch = {task: int(re.search(r"^batch = (\d+)$", (out / f"single-{task}-seed{seed}" / "run.ini").read_text(), re.M)[1]) for task in ("topic", "ornament", "lines")}
        for name, quotas in {"joint": batch, **{f"single-{task}": {task: quota} for task, quota in batch.items()}}.items():
            assert [line["ids_hash"] for line in steps(out / f"{name}-seed{seed}" / "run")] == list(rolled_ids(quotas, 12))


def test_the_numbers_follow_from_the_runs(compared, data):
    ini, told = compared
    assert (told["first"], told["second"], told["seeds"], told["split"], told["until"]) == ("single", "joint", [1, 2], "test", "steps")
    relative = []
    for task, (key, sign) in METRICS.items():
        one = told["tasks"][task]
        for side, name in (("first", f"single-{task}"), ("second", "joint")):
            check_generalization(one, side, task, [ini.parent / "out" / f"{name}-seed{seed}" / "run" for seed in (1, 2)])
        assert one["metric"] == {"accuracy": "accuracy", "mse": "mean squared error", "perplexity": "log-perplexity"}[key]
        assert one["samples"] == 60 and one["lower_is_better"] == (sign < 0)
        assert one["difference"] == pytest.approx(sign * (one["second"] - one["first"]))
        assert one["difference_low"] <= one["difference"] <= one["difference_high"]
        assert one["relative"] == pytest.approx(one["difference"] / one["first"])
        assert (task in told["lost"]) == (one["difference_high"] < 0) and (task in told["gained"]) == (one["difference_low"] > 0)
        relative.append(one["relative"])
    assert told["delta_m"] == pytest.approx(np.mean(relative))
    assert told["delta_m_low"] <= told["delta_m"] <= told["delta_m_high"]
    assert told["lost_share"] == pytest.approx(len(told["lost"]) / 3)
    assert told["worst"]["relative"] == min(relative)


def test_the_table_says_the_same_and_nothing_is_repeated(compared, data):
    ini, told = compared
    before = {file: file.stat().st_mtime_ns for file in (ini.parent / "out").rglob("*") if file.is_file()}
    done = compare(ini, data)
    assert {file: file.stat().st_mtime_ns for file in (ini.parent / "out").rglob("*") if file.is_file()} == before
    assert done.stderr.count("is already trained") == 8
    _, table, _, gaps, note = done.stdout.split("\n\n")
    rows = {line.split()[0]: line for line in table.splitlines()}
    for task, one in told["tasks"].items():
        for key in ("first", "second", "difference"):
            assert f"{one[key]:.4f}" in rows[task]
        verdict = "lost" if task in told["lost"] else "gained" if task in told["gained"] else "not apart"
        assert rows[task].endswith(verdict)
        for system, key in (("single", "first"), ("joint", "second")):
            cells = next(line.split() for line in gaps.splitlines() if line.split()[:2] == [task, system])
            assert cells[2:7] == [f"{one[key + '_train']:.4f}", f"{one[key]:.4f}", f"{one[key + '_gap']:+.4f}", "12", f"{one[key + '_samples']:.0f}"]
    assert max(len(line) for line in gaps.splitlines()) <= 100
    assert "to the last step" in note
    assert f"Δm, the mean relative difference: {100 * told['delta_m']:+.2f} %" in done.stdout
    assert f"lost (negative transfer): {len(told['lost'])} of 3 tasks" in done.stdout
    assert "where lower is better, single - joint" in done.stdout


def test_other_draws_and_splits_need_no_training(compared, data):
    ini, told = compared
    other = json.loads(compare(ini, data, "--json", "--split", "valid", "--draws", 200).stdout)
    assert other["split"] == "valid" and other["draws"] == 200
    assert other["tasks"]["lines"]["first"] != told["tasks"]["lines"]["first"]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The table of a comparison that was not interrupted."""
    return told_by(configuration(tmp_path_factory.mktemp("whole"), steps=120), data, *SAVES)


# TERM is what a scheduler sends, INT is Ctrl-C; both are caught alike (signals_test.py).
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_goes_on_to_the_same_table(which, whole, data, tmp_path):
    ini = configuration(tmp_path, steps=120)
    process = start_compare(ini, data, *SAVES)
    caught = ini.parent / "out" / "single-ornament-seed1" / "run"
    wait_for(lambda: step_count(caught) >= 12, process, seconds=60)
    os.kill(process.pid, which)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == (-which if which == signal.SIGKILL else 75), errors
    # Killed, it takes the run that it has started along.
    end = time.monotonic() + 20
    while status(caught)["state"] == "running" and time.monotonic() < end:
        time.sleep(0.02)
    assert status(caught)["state"] == "preempted" and 12 <= status(caught)["step"] < 120
    assert not (ini.parent / "out" / "joint-seed2").exists()
    if which != signal.SIGKILL:
        assert "single-ornament-seed1: stopped by a signal; the same command resumes from here" in errors
    again = compare(ini, data, *SAVES, "--json")
    assert without_seconds(json.loads(again.stdout)) == whole
    assert "resuming after step" in (caught.parent / "log").read_text()
    assert again.stderr.count("is already trained") == 3


def test_two_configurations_and_a_launcher(data, tmp_path):
    wide = configuration(tmp_path, "wide.ini", tasks="topic, tags", more="[task.topic]\ndropout = 0.5\n")
    narrow = configuration(tmp_path, "narrow.ini", tasks="topic, style")
    words = ["--against", narrow, "--run.steps", 6, "--run.seed", 7, "--launcher", "mpirun -n 2 --bind-to none"]
    told = json.loads(compare(wide, data, *words, "--json").stdout)
    assert (told["first"], told["second"], told["seeds"]) == ("narrow", "wide", [7, 8])
    assert list(told["tasks"]) == ["topic"]
    for name, tasks in (("wide", {"topic", "tags"}), ("narrow", {"topic", "style"})):
        for seed in (7, 8):
            folder = tmp_path / "out" / f"{name}-seed{seed}"
            assert set(status(folder / "run")["epochs"]) == tasks and len(steps(folder / "run")) == 6
            assert "2 workers, 2 tasks" in (folder / "log").read_text()
    assert "wide against narrow: seeds 7 to 8" in compare(wide, data, *words).stdout


def test_a_configuration_against_itself_has_no_difference(data, tmp_path):
    ini = configuration(tmp_path, tasks="topic, lines", steps=4)
    (tmp_path / "there").mkdir()
    same = configuration(tmp_path / "there", tasks="topic, lines", steps=4)
    told = json.loads(compare(ini, data, "--against", same, "--json").stdout)
    assert (told["first"], told["second"]) == ("run-against", "run")
    for one in told["tasks"].values():
        assert (one["difference"], one["difference_low"], one["difference_high"]) == (0, 0, 0)
    assert (told["delta_m"], told["lost"], told["gained"]) == (0, [], [])


# Refusals


@pytest.mark.parametrize("more, code, says", [
    (["--mixture.phases", "5 uniform"], 78, ["mixture.phases = 5 uniform", "--against"]),
    (["--run.task_patience", 2, "--run.eval_every", 2], 78, ["task.topic.patience = 2", "early stopping"]),
    (["--run.best", "mean", "--run.patience", 2, "--run.eval_every", 2], 78, ["run.patience = 2", "early stopping"]),
    (["--run.stop_at", 5], 78, ["run.stop_at = 5", "leave it out"]),
    (["--run-dir", "here"], 2, ["--out DIR"]),
    (["--seeds", 0], 78, ["seeds is '0'"]),
    (["--against", "none.ini"], 78, ["none.ini", "there is no such file"]),
    (["--launcher", "no-such-launcher -n 2"], 78, ["cannot start 'no-such-launcher'", "No such file"]),
    (["--launcher", "false"], 70, ["joint-seed1 ended with code 1"]),
    (["--pairs", "--against", "none.ini"], 2, ["--pairs", "--against", "leave one of them out"]),
    (["--tasks", "topic, none"], 78, ["topic, none", "none"]),
    (["--tasks", "topic, topic"], 78, ["topic is listed twice"]),
    (["--tasks", "topic, tags"], 78, ["does not train tags, only topic", "lines"]),
    (["--pairs", "--tasks", "lines"], 78, ["there is only lines", "at least two"]),
    (["--pairs", "--until", "best", "--mixture.phases", "5 uniform"], 78, ["mixture.phases = 5 uniform", "--pairs"]),
    (["--until", "best", "--run.eval_every", 0], 78, ["run.eval_every = 0", "give run.eval_every"]),
    (["--until", "best", "--run.best", "style:accuracy"], 78, ["run.best = style:accuracy", "not a task of the run"]),
    (["--until", "first"], 78, ["until is 'first'", "steps", "best"]),
    (["--jobs", 0], 78, ["jobs is '0'"]),
    (["--jobs", 257], 78, ["jobs is '257'"]),
])
def test_wrong_usage(more, code, says, data, tmp_path):
    fails(code, *compare_words(configuration(tmp_path), data, *more), says=says)
    assert not list(tmp_path.glob("out/*/run"))


def test_no_data_and_no_out(data, tmp_path):
    ini = configuration(tmp_path)
    fails(78, "compare", "-c", ini, "--out", tmp_path / "out", says=["run.data is not given", "--data DIR"])
    fails(2, "compare", "-c", ini, "--data", data, says=["--out is missing"])


def test_under_mpirun_it_says_how(data, tmp_path):
    done = subprocess.run(["mpirun", "-n", "1", *command(*compare_words(configuration(tmp_path), data))], env=environment(),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--launcher 'mpirun -n 4'" in done.stderr


def test_configurations_that_cannot_be_paired(data, tmp_path):
    ini = configuration(tmp_path)
    other = configuration(tmp_path, "other.ini", tasks="style")
    fails(78, *compare_words(ini, data, "--against", other), says=["no task in common", "style"])
    (tmp_path / "apart.ini").write_text(f"[run]\ndata = {tmp_path}\n")
    (tmp_path / "run.ini").write_text(f"[run]\ndata = {data}\n")
    fails(78, "compare", "-c", ini, "--against", tmp_path / "apart.ini", "--out", tmp_path / "out", says=["different data sets", "--data DIR"])


def test_another_configuration_in_the_same_folder_is_refused(compared, data):
    ini, _ = compared
    fails(78, *compare_words(ini, data, "--encoder.dim", 8), says=["joint-seed1/run", "encoder.dim: 16 there, 8 here"])
    fails(78, *compare_words(ini, data, "--run.steps", 24), says=["joint-seed1/run", "run.steps: 12 there, 24 here", "another --out"])
    fails(78, *compare_words(ini, data, "--until", "best"), says=["joint-seed1/run", "run.best:", "each here"])
    fails(78, *compare_words(ini, data, "--tasks", "topic,lines"), says=["joint-seed1/run", "another configuration", "run.data_hash"])


def test_a_run_that_fails_is_told_and_repeated(data, tmp_path):
    ini = configuration(tmp_path, tasks="topic, tags", steps=60)
    said = fails(76, *compare_words(ini, data, "--optimizer.lr", 1e30, "--optimizer.warmup", 0), says=["the run joint-seed1 ended with code 76"])
    assert "not finite" in said and str(tmp_path / "out" / "joint-seed1" / "log") in said
    fails(76, *compare_words(ini, data, "--optimizer.lr", 1e30, "--optimizer.warmup", 0), says=["joint-seed1"])
    assert (tmp_path / "out" / "joint-seed1" / "log").read_text().count("polyhead train: ") == 2


def test_a_damaged_checkpoint_is_not_replaced_by_an_older_one(data, tmp_path):
    ini = configuration(tmp_path, tasks="topic, tags", steps=4)
    words = ["--seeds", 1, "--run.checkpoint_every", 2]
    compare(ini, data, *words)
    folder = tmp_path / "out" / "single-tags-seed1"
    (folder / "test.rows.json").write_text("{}")  # of another program: evaluated anew
    flip(newest(folder / "run") / "encoder.safetensors")
    fails(65, *compare_words(ini, data, *words), says=["single-tags-seed1", "damaged", "encoder.safetensors", "to train it again"])


def test_tasks_without_test_samples_are_trained_and_not_compared(data, tmp_path):
    other = without_split(data, tmp_path / "data", "tags", "test")
    ini = configuration(tmp_path, tasks="topic, tags", steps=2)
    done = compare(ini, other, "--json")
    assert list(json.loads(done.stdout)["tasks"]) == ["topic"]
    assert "tags: is not compared" in done.stderr
    assert done.stderr.count("warning: optimizer.warmup = 5 ") == 1  # once for all runs
    assert {folder.name for folder in (tmp_path / "out").iterdir()} == {f"{name}-seed{seed}" for name in ("joint", "single-topic") for seed in (1, 2)}
    assert set(status(tmp_path / "out" / "joint-seed1" / "run")["epochs"]) == {"topic", "tags"}
    (tmp_path / "alone.ini").write_text((tmp_path / "run.ini").read_text().replace("topic, tags", "tags"))
    fails(78, *compare_words(tmp_path / "alone.ini", other), says=["no task to compare with test samples", "--split"])
