"""Signals at every moment of a run: at its start, before the first step, and during evaluation; once and twice."""

import json
import signal
import subprocess
import time

import pytest

from program import (POLYHEAD, ROOT, command, environment, files, log, newest, run, start, status, step_count, steps, survivors, train, train_words,
                     wait_for, worker_pid)

LONG = ["--run.steps", 100, "--run.checkpoint_every", 30, "--run.eval_samples", 20]


def default_signals():
    """Signals as in a terminal. The tests may have been started by a shell or CI that ignores INT."""
    for which in (signal.SIGINT, signal.SIGHUP):
        signal.signal(which, signal.SIG_DFL)


def held_signals():
    """Blocks signals until the program unblocks them, as a test cannot know when the program is ready for them."""
    default_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])


started = []


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    yield
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
    started.clear()


def begin_line(line, prepare, **more):
    started.append(subprocess.Popen([str(word) for word in line], env=environment(**more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, encoding="utf-8", preexec_fn=prepare))
    return started[-1]


def begin(words, workers=1, prepare=default_signals, **more):
    return begin_line(command(*words, workers=workers), prepare, **more)


def test_ctrl_c_saves_says_so_and_the_run_continues(data, whole, tmp_path):
    run_dir = tmp_path / "run"
    process = begin(train_words(run_dir, data, *LONG))
    wait_for(lambda: step_count(run_dir) >= 5, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert errors.count("polyhead train: SIGINT: ") == 1 and "a second Ctrl-C ends it at once" in errors
    found = status(run_dir)
    assert (found["state"], found["exit_code"]) == ("preempted", 75)
    assert found["last_checkpoint"] == f"checkpoints/step-{found['step']:06}"
    train(run_dir, data, *LONG)
    assert files(run_dir) == files(whole(LONG, 1))
    assert log(run_dir) == log(whole(LONG, 1))


def test_a_second_ctrl_c_ends_at_once(data, tmp_path):
    """A step is long here: the second Ctrl-C comes while the first one waits for the end of the step."""
    run_dir = tmp_path / "run"
    words = train_words(run_dir, data, "--run.steps", 1000, "--mixture.batch", 600, "--encoder.dim", 64)
    process = begin(words)
    wait_for(lambda: step_count(run_dir) >= 1, process, seconds=60)
    process.send_signal(signal.SIGINT)
    assert "SIGINT" in read_until(process, "SIGINT")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert not (run_dir / "checkpoints").exists()


def read_until(process, word):
    while word not in (line := process.stderr.readline()):
        assert line, "the program ended"
    return line


@pytest.mark.parametrize("which", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("after", [0, 0.3, 0.6])
def test_a_signal_before_training_begins_is_75(which, after, data, tmp_path):
    run_dir = tmp_path / "run"
    process = begin(train_words(run_dir, data, *LONG), prepare=held_signals)
    time.sleep(after)
    process.send_signal(which)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    found = status(run_dir)
    assert (found["state"], found["exit_code"]) == ("preempted", 75)
    if found["step"] == 0:
        assert found["last_checkpoint"] == "" and not (run_dir / "checkpoints").exists()


def test_a_signal_before_training_begins_keeps_what_a_run_has(data, whole, tmp_path):
    run_dir = tmp_path / "run"
    train(run_dir, data, *LONG, "--run.stop_at", 7)
    before = status(run_dir)
    process = begin(train_words(run_dir, data, *LONG), prepare=held_signals)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    after = status(run_dir)
    assert after["state"] == "preempted" and after["step"] >= 7
    if after["step"] == 7:
        assert (after["last_checkpoint"], after["parameter_hash"]) == (before["last_checkpoint"], before["parameter_hash"])
    train(run_dir, data, *LONG)
    assert files(run_dir) == files(whole(LONG, 1))


@pytest.mark.parametrize("which", [signal.SIGUSR1, signal.SIGTERM])
def test_a_worker_that_is_signalled_before_mpi_is_there(which, data, tmp_path):
    """One worker gets the signal at its very start."""
    run_dir = tmp_path / "run"
    script = tmp_path / "worker"
    script.write_text("#!/usr/bin/env python3\nimport os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, [%d])\n"
                      "os.kill(os.getpid(), %d)\nos.execv(sys.argv[1], sys.argv[1:])\n" % (which, which))
    script.chmod(0o755)
    words = [str(word) for word in train_words(run_dir, data, *LONG)]
    line = ["mpirun", "--bind-to", "none", "-n", "1", POLYHEAD, *words, ":", "-n", "1", script, POLYHEAD, *words]
    done = subprocess.run(line, env=environment(), capture_output=True, encoding="utf-8", timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 75, done.stderr
    assert status(run_dir)["state"] == "preempted" and status(run_dir)["exit_code"] == 75
    assert survivors(run_dir) == []


def saved_under_mpirun(data, whole, run_dir):
    assert survivors(run_dir) == []
    found = status(run_dir)
    assert (found["state"], found["exit_code"]) == ("preempted", 75)
    assert steps(run_dir)[-1]["step"] == found["step"] == int(newest(run_dir).name.removeprefix("step-"))
    train(run_dir, data, *LONG, workers=2)
    assert files(run_dir) == files(whole(LONG, 2))


def test_an_int_to_mpirun_saves_where_it_leaves_time(data, whole, tmp_path):
    """mpirun waits for a time, sends TERM to its workers after an INT, and kills them after the same time again."""
    run_dir = tmp_path / "run"
    process = begin(train_words(run_dir, data, "--run.steps", 2000, "--run.eval_samples", 20), workers=2, OMPI_MCA_odls_base_sigkill_timeout="4")
    wait_for(lambda: step_count(run_dir) >= 5, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0 and "SIGTERM: " not in errors, errors  # it is also how a launcher ends a failed job
    assert survivors(run_dir) == []
    found = status(run_dir)
    assert (found["state"], found["exit_code"]) == ("preempted", 75)
    assert steps(run_dir)[-1]["step"] == found["step"] == int(newest(run_dir).name.removeprefix("step-"))


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_launch_local_passes_ctrl_c_on(which, data, whole, tmp_path):
    run_dir = tmp_path / "run"
    line = [ROOT / "launch" / "local", "-n", "2", *train_words(run_dir, data, *LONG)]
    process = begin_line(line, default_signals, POLYHEAD_BINARY=POLYHEAD)
    wait_for(lambda: step_count(run_dir) >= 5, process)
    process.send_signal(which)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    saved_under_mpirun(data, whole, run_dir)


def test_work_in_the_background_ignores_ctrl_c(data, tmp_path):
    """nohup and shells start it with INT ignored, and the program does not change that."""
    run_dir = tmp_path / "run"
    process = begin(train_words(run_dir, data, "--run.steps", 20, "--run.eval_samples", 20),
                    prepare=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    wait_for(lambda: step_count(run_dir) >= 2, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert status(run_dir)["state"] == "done"


EVALUATING = ["--run.steps", 20, "--run.eval_every", 10, "--run.eval_samples", 0, "--mixture.batch", 9, "--encoder.dim", 128, "--encoder.layers", 4,
              "--run.best", "mean", "--run.checkpoint_every", 7]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("at", [10, 20])
def test_an_evaluation_is_left_at_once_and_repeated(at, workers, data, whole, tmp_path):
    """An evaluation is as long as many steps here. 20 is the last step."""
    run_dir = tmp_path / "run"
    process = begin(train_words(run_dir, data, *EVALUATING), workers=workers)
    wait_for(lambda: step_count(run_dir) >= at, process, seconds=60)
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    found = status(run_dir)
    state = json.loads((newest(run_dir) / "state.json").read_text())
    assert (found["state"], found["step"], state["step"], state.get("evaluation_due")) == ("preempted", at, at, True)
    assert not [line for line in log(run_dir) if line["kind"] == "eval" and line["step"] == at]
    train(run_dir, data, *EVALUATING, workers=workers)
    assert files(run_dir) == files(whole(EVALUATING, workers))
    assert log(run_dir) == log(whole(EVALUATING, workers))
    assert status(run_dir)["state"] == "done"
