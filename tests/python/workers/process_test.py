"""The process of a run: which one holds the run folder, how it ends when it is killed, and how it reacts to its
terminal, disk and memory."""

import json
import os
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pages import missing_line, shown_message
from program import (POLYHEAD, TEXTS, command, environment, fails, interrupt, lines, newest, run, start, status, step_count, steps, survivors, train,
                     train_words, wait_for, whole_status, worker_pid)

BOTH = pytest.mark.parametrize("workers", [1, 2])
SHORT = ["--run.tasks", "topic", "--run.steps", 12, "--run.checkpoint_every", 4]
ENDLESS = ["--run.tasks", "topic", "--run.steps", 1_000_000, "--run.checkpoint_every", 5]


def shell(script, *words, workers=1, **more):
    """Runs the program in a shell that prepares the process: the script ends with the program's command line."""
    launcher = [word for word in command(workers=workers) if word != POLYHEAD]
    return subprocess.run([*launcher, "bash", "-c", script + ' exec "$@"', "bash", POLYHEAD, *map(str, words)], env=environment(), encoding="utf-8",
                          timeout=60, stdin=subprocess.DEVNULL, **more)


# The terminal


def test_a_reader_of_stderr_that_goes_away_ends_nothing(data, tmp_path):
    """For example `polyhead train … 2>&1 | head -1`."""
    read, write = os.pipe()
    process = subprocess.Popen(command(*train_words(tmp_path / "run", data, *SHORT)), env=environment(), stdin=subprocess.DEVNULL, stdout=write, stderr=write)
    os.close(write)
    os.read(read, 1)
    os.close(read)
    assert process.wait(timeout=60) == 0
    assert status(tmp_path / "run")["state"] == "done" and len(steps(tmp_path / "run")) == 12


def test_a_reader_of_stderr_that_was_never_there_ends_nothing(data, tmp_path):
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(command(*train_words(tmp_path / "run", data, *SHORT)), env=environment(), stdin=subprocess.DEVNULL, stdout=write, stderr=write)
    os.close(write)
    assert process.wait(timeout=60) == 0
    assert status(tmp_path / "run")["state"] == "done"


def test_closed_streams_end_nothing_and_take_no_file(data, tmp_path):
    done = shell("exec 0<&- 1>&- 2>&-;", *train_words(tmp_path / "run", data, *SHORT))
    assert done.returncode == 0
    assert status(tmp_path / "run")["state"] == "done" and len(steps(tmp_path / "run")) == 12  # every line is JSON
    # Where the result is what is printed, a closed output is an error.
    assert shell("exec 1>&-;", "inspect", "--data", data, stderr=subprocess.PIPE).returncode == 73


@BOTH
def test_a_terminal_that_closes_saves(workers, data, tmp_path):
    process = start(tmp_path / "run", data, *ENDLESS, workers=workers)
    wait_for(lambda: step_count(tmp_path / "run") > 3, process)
    interrupt(process, worker_pid(tmp_path / "run", 0), signal.SIGHUP)
    assert process.returncode == 75
    assert status(tmp_path / "run")["state"] == "preempted"


def test_under_nohup_it_continues(data, tmp_path):
    process = subprocess.Popen(["nohup", *command(*train_words(tmp_path / "run", data, *ENDLESS))], env=environment(), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    wait_for(lambda: step_count(tmp_path / "run") > 3, process)
    os.kill(process.pid, signal.SIGHUP)
    before = step_count(tmp_path / "run")
    wait_for(lambda: step_count(tmp_path / "run") > before + 20, process)
    interrupt(process, process.pid)
    assert process.returncode == 75


# The disk


def test_a_file_that_grows_too_large_is_an_error_and_no_signal(data, tmp_path):
    big = ["--encoder.dim", 96, "--run.tasks", "topic", "--run.steps", 3]
    done = shell("ulimit -f 500;", *train_words(tmp_path / "run", data, *big), capture_output=True)
    assert done.returncode == 73, done.stderr
    assert (status(tmp_path / "run")["state"], status(tmp_path / "run")["exit_code"]) == ("failed", 73)


@BOTH
def test_logs_that_cannot_be_written_end_nothing(workers, data, tmp_path):
    run_dir = tmp_path / "run"
    train(run_dir, data, *SHORT, "--run.stop_at", 4, workers=workers)
    for log in [run_dir / "metrics.jsonl", *(run_dir / "logs").iterdir()]:
        log.unlink()
        log.symlink_to("/dev/full")
    (run_dir / "trace").write_text("")  # not a folder
    done = train(run_dir, data, *SHORT, "--run.trace", "steps 5-6", workers=workers)
    for name in ("metrics.jsonl", "logs/rank-0000.log"):
        assert done.stderr.count(f"cannot write {run_dir / name}: No space left on device. The run continues") == 1, done.stderr
    assert "the trace was not written" in done.stderr
    train(tmp_path / "whole", data, *SHORT, workers=workers)
    assert status(run_dir) == status(tmp_path / "whole")


@BOTH
def test_lost_lines_of_the_metrics_are_named(workers, data, tmp_path):
    run_dir = tmp_path / "run"
    train(run_dir, data, *SHORT, "--run.stop_at", 8, workers=workers)
    text = (run_dir / "metrics.jsonl").read_text().splitlines(keepends=True)
    damaged = text[:2] + [text[2].replace("4", "5", 1)] + text[5:]
    (run_dir / "metrics.jsonl").write_text("".join(damaged))
    done = train(run_dir, data, *SHORT, workers=workers)
    assert "warning: " in done.stderr and "it has no lines of the steps 3 to 5; 1 damaged lines are dropped" in done.stderr
    assert [line["step"] for line in steps(run_dir)] == [1, 2, *range(6, 13)]
    assert (run_dir / "metrics.jsonl.damaged").read_text() == "".join(damaged)


def test_a_damaged_status_does_not_block_resuming(data, tmp_path):
    train(tmp_path / "run", data, *SHORT, "--run.stop_at", 4)
    for text in ("", "{", '{"state": 5}', "[" * 100_000):
        (tmp_path / "run" / "status.json").write_text(text)
        assert run("evaluate", "--run-dir", tmp_path / "run", "--split", "valid", "--samples", 5).returncode == 0
        done = train(tmp_path / "run", data, *SHORT, "--run.stop_at", 4)
        assert "status.json" in done.stderr and "The run does not need it" in done.stderr
        assert status(tmp_path / "run")["last_checkpoint"] == "checkpoints/step-000004"


# The folder


@BOTH
def test_a_second_training_is_told_who_holds_the_folder(workers, data, tmp_path):
    process = start(tmp_path / "run", data, *ENDLESS, workers=workers)
    wait_for(lambda: step_count(tmp_path / "run") > 3, process)
    first = worker_pid(tmp_path / "run", 0)
    assert (whole_status(tmp_path / "run")["pid"], whole_status(tmp_path / "run")["host"]) == (first, os.uname().nodename)
    said = fails(78, *train_words(tmp_path / "run", data, *ENDLESS), workers=workers, says=["another training is running"])
    assert f"process {first} on {os.uname().nodename}, started 20" in said
    # A run that runs is no run that was killed.
    done = run("evaluate", "--run-dir", tmp_path / "run", "--split", "valid", "--samples", 5)
    assert "was killed" not in done.stderr, done.stderr
    interrupt(process, first)


def lock_of_another(run_dir, **more):
    owner = json.loads((run_dir / "run.lock").read_text()) | {"host": "node7", "pid": 4711, "token": "another", "released": False} | more
    (run_dir / "run.lock").write_text(json.dumps(owner))


def test_a_folder_that_another_host_trains_in_is_refused(data, tmp_path):
    train(tmp_path / "run", data, *SHORT, "--run.stop_at", 4)
    lock_of_another(tmp_path / "run")
    stop = threading.Event()

    def beat():
        while not stop.wait(0.5):
            os.utime(tmp_path / "run" / "run.lock")

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        said = fails(78, *train_words(tmp_path / "run", data, *SHORT), says=["another training is running", "process 4711 on node7"])
        assert "sign of life" in said
    finally:
        stop.set()
        thread.join()
    # It falls silent, as its host has failed.
    os.utime(tmp_path / "run" / "run.lock", (1e9, 1e9))
    done = train(tmp_path / "run", data, *SHORT)
    assert "did not end properly (process 4711 on node7" in done.stderr


@BOTH
def test_a_training_that_lost_its_folder_publishes_nothing(workers, data, tmp_path):
    """For example after a network partition, when another host has taken over the folder."""
    process = start(tmp_path / "run", data, "--run.tasks", "topic", "--run.steps", 1_000_000, "--run.checkpoint_every", 50, workers=workers)
    wait_for(lambda: step_count(tmp_path / "run") > 60, process)
    lock_of_another(tmp_path / "run")
    (tmp_path / "run" / "status.json").write_text("the other one's")
    before = newest(tmp_path / "run").name
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 73, errors
    assert "now belongs to another training (process 4711 on node7" in errors
    assert int(newest(tmp_path / "run").name[5:]) <= int(before[5:]) + 50
    assert (tmp_path / "run" / "status.json").read_text() == "the other one's"


def test_a_run_that_was_killed_is_told_from_one_that_runs(data, tmp_path):
    process = start(tmp_path / "run", data, *ENDLESS)
    wait_for(lambda: step_count(tmp_path / "run") > 7, process)
    interrupt(process, process.pid, signal.SIGKILL)
    assert status(tmp_path / "run")["state"] == "running"
    words = "was killed, or its host failed: status.json says that it is running, but process"
    (tmp_path / "texts").write_text(json.dumps({"text": "red apple"}) + "\n")
    for more in (["evaluate", "--split", "valid", "--samples", 5], ["predict", "--task", "topic", "--in", tmp_path / "texts"]):
        done = run(*more, "--run-dir", tmp_path / "run")
        assert done.returncode == 0 and words in done.stderr, done.stderr
        assert "Its last checkpoint is checkpoints/step-" in done.stderr
    assert words in run("verify", "--run-dir", tmp_path / "run").stdout
    assert words in json.loads(run("verify", "--run-dir", tmp_path / "run", "--json").stdout)["note"]
    done = train(tmp_path / "run", data, *ENDLESS, "--run.stop_at", 6 + status(tmp_path / "run")["step"])
    assert "the training before this one did not end properly (process" in done.stderr
    assert words not in run("evaluate", "--run-dir", tmp_path / "run", "--split", "valid", "--samples", 5).stderr


# A worker that is killed


@pytest.mark.parametrize("workers, late", [(2, 1), (3, 2), (2, 0), (4, 0)])
def test_the_last_line_names_the_worker_that_was_killed(workers, late, data, tmp_path):
    process = start(tmp_path / "run", data, *ENDLESS, workers=workers)
    wait_for(lambda: step_count(tmp_path / "run") > 7, process)
    pid = worker_pid(tmp_path / "run", late)
    errors = interrupt(process, pid, signal.SIGKILL)
    assert process.returncode == 137, errors
    said = [line for line in errors.splitlines() if line.startswith("polyhead")]
    assert "has ended unexpectedly" in said[-1] and len([line for line in said if "SIGTERM" not in line]) == 1, errors
    said = said[-1:]
    assert f"rank {late} of {workers} (host {os.uname().nodename}, pid {pid}) has ended unexpectedly in step " in said[0]
    shown = shown_message("docs/guides/clusters.md", "has ended unexpectedly", "host vm", "in compute (backward)")
    assert missing_line([shown], said) is None, said
    assert "The same command resumes from checkpoints/step-" in said[0]
    found = status(tmp_path / "run")
    assert (found["state"], found["exit_code"]) == ("failed", 71) and f"rank {late} of {workers}" in found["error"]
    assert survivors(tmp_path / "run") == []
    assert not list((tmp_path / "run").glob(".watchdog*"))
    train(tmp_path / "run", data, *ENDLESS, "--run.stop_at", found["step"] + 2, workers=workers)


# Memory


@pytest.fixture(scope="module")
def long_data(tmp_path_factory):
    """Train and test have one text of 14,000 words, whose attention needs 6 GB; all other texts are short."""
    folder = tmp_path_factory.mktemp("long")
    short = [json.dumps({"text": f"red apple {i % 7}", "label": f"l{i % 2}"}) for i in range(40)]
    long = json.dumps({"text": "red apple " * 7000, "label": "l0"})
    (folder / "short.jsonl").write_text("\n".join(short) + "\n")
    (folder / "long.jsonl").write_text("\n".join([*short, long]) + "\n")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "apple", *map(str, range(10))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "d.ini").write_text("[dataset]\nname = x\ntokenizer = wordpiece\nvocab = vocab.txt\nmax_length = 30000\n"
                                  "[task.t]\nkind = classification\ntrain = short.jsonl\ntest = long.jsonl\n"
                                  "[task.u]\nkind = classification\ntrain = long.jsonl\n")
    done = run("import", "-c", folder / "d.ini", "--out", folder / "data")
    assert done.returncode == 0, done.stderr
    return folder


TINY = ["--encoder.layers", 1, "--encoder.dim", 32, "--encoder.heads", 4, "--encoder.ffn", 64, "--encoder.dropout", 0, "--run.threads", 1, "--run.steps", 20,
        "--mixture.batch", 8]


def limited(*words, workers=1, gib=3):
    return shell(f"ulimit -v {gib << 20};", *words, workers=workers, capture_output=True)


def told(done, *parts):
    assert done.returncode == 78, (done.returncode, done.stderr[-2000:])
    said = [line for line in done.stderr.splitlines() if line.startswith("polyhead")]
    assert len(said) == 1 and "internal error" not in said[0], done.stderr[-2000:]
    for part in ("out of memory", "an allocation of ", " bytes (", "Less memory is needed with", "the longest of 14,00", *parts):
        assert part in said[0], said[0]


@BOTH
@pytest.mark.parametrize("prefetch", [0, 2])
def test_training_without_memory(workers, prefetch, long_data, tmp_path):
    words = ["train", "--run-dir", tmp_path / "run", "--data", long_data / "data", "--run.tasks", "u", *TINY, "--run.prefetch", prefetch]
    done = limited(*words, workers=workers)
    told(done, "in step ", "a smaller mixture.batch")
    found = status(tmp_path / "run")
    assert (found["state"], found["exit_code"]) == ("failed", 78) and "out of memory" in found["error"]
    assert survivors(tmp_path / "run") == []


def test_the_other_commands_without_memory(long_data, tmp_path):
    train_words = ["train", "--run-dir", tmp_path / "run", "--data", long_data / "data", "--run.tasks", "t", *TINY]
    assert run(*train_words).returncode == 0
    told(limited("evaluate", "--run-dir", tmp_path / "run", "--threads", 1))
    (tmp_path / "texts").write_text(json.dumps({"text": "red apple " * 7000}) + "\n")
    told(limited("predict", "--run-dir", tmp_path / "run", "--task", "t", "--in", tmp_path / "texts", "--threads", 1), "--batch")
    (tmp_path / "c.ini").write_text(f"[run]\ndata = {long_data / 'data'}\ntasks = t,u\n")
    done = limited("compare", "-c", tmp_path / "c.ini", "--out", tmp_path / "out", *TINY, "--split", "test", "--seeds", 1)
    assert done.returncode == 78 and "out of memory" in done.stderr, done.stderr[-2000:]
