"""`polyhead compare --jobs`: several runs at a time, signals to them, and the failure of one."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from comparing import SAVES, compare, compare_words, configuration, start_compare, told_by, without_seconds
from program import command, environment, status, step_count, wait_for


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The table of a comparison that was not interrupted."""
    return told_by(configuration(tmp_path_factory.mktemp("whole"), steps=120), data, *SAVES)


def test_several_jobs_give_the_same_table(whole, data, tmp_path):
    ini = configuration(tmp_path, steps=120)
    done = compare(ini, data, *SAVES, "--jobs", 3, "--json")
    assert without_seconds(json.loads(done.stdout)) == whole
    said = [line.split(": ")[1:] for line in done.stderr.splitlines() if " of 8: " in line]
    assert said[:3] == [[name, "trains"] for name in ("joint-seed1", *(f"single-{task}-seed1" for task in whole_order(tmp_path)[:2]))]
    assert done.stderr.count(": trained in ") == 8


def whole_order(folder):
    """The tasks in the order of the data set."""
    return re.search(r"^tasks = (.*)$", (folder / "out" / "joint-seed1" / "run" / "config.ini").read_text(), re.M)[1].split(", ")


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_reaches_all_running_jobs(which, data, tmp_path):
    ini = configuration(tmp_path, tasks="topic, lines", steps=3000)
    words = ["--seeds", 1, "--run.checkpoint_every", 1000]
    process = start_compare(ini, data, *words, "--jobs", 2)
    out = tmp_path / "out"
    wait_for(lambda: sum(step_count(folder / "run") >= 12 for folder in out.glob("*")) == 2, process, seconds=60)
    running = sorted(folder.name for folder in out.iterdir())
    os.kill(process.pid, which)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == (-which if which == signal.SIGKILL else 75), errors
    end = time.monotonic() + 20
    while any(status(out / name / "run")["state"] == "running" for name in running) and time.monotonic() < end:
        time.sleep(0.02)
    assert running == sorted(folder.name for folder in out.iterdir()) and len(running) == 2
    for name in running:
        assert status(out / name / "run")["state"] == "preempted"
        assert which == signal.SIGKILL or f"{name}: stopped by a signal; the same command resumes from here" in errors
    process = start_compare(ini, data, *words, "--jobs", 2)  # it resumes both
    wait_for(lambda: all("resuming after step" in (out / name / "log").read_text() for name in running), process, seconds=60)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75


def test_an_interrupted_comparison_with_jobs_goes_on_to_the_same_table(whole, data, tmp_path):
    ini = configuration(tmp_path, steps=120)
    process = start_compare(ini, data, *SAVES, "--jobs", 2)
    caught = tmp_path / "out" / "joint-seed2" / "run"
    wait_for(lambda: step_count(caught) >= 12, process, seconds=60)
    os.kill(process.pid, signal.SIGUSR1)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 75, errors
    assert told_by(ini, data, *SAVES) == whole


def script(folder, text):
    file = folder / "launcher"
    file.write_text("#!/bin/sh\n" + text)
    file.chmod(0o755)
    return ["--launcher", str(file)]


def test_a_repeated_interrupt_ends_all_jobs_at_once(data, tmp_path):
    ini = configuration(tmp_path, tasks="topic, lines", steps=4)
    stubborn = script(tmp_path, f"trap '' USR1\ntouch {tmp_path}/$$\nexec sleep 300\n")
    process = start_compare(ini, data, "--jobs", 2, *stubborn)
    started = lambda: [int(file.name) for file in tmp_path.iterdir() if file.name.isdigit()]
    wait_for(lambda: len(started()) == 2, process)
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    end = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}/exe") for pid in started()) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(os.path.exists(f"/proc/{pid}/exe") and "sleep" in os.readlink(f"/proc/{pid}/exe") for pid in started())


def test_the_failure_of_one_job_ends_the_others(data, tmp_path):
    ini = configuration(tmp_path, tasks="topic, lines", steps=2000)
    out = tmp_path / "out"
    # The second run fails as soon as the first one has made some steps.
    broken = script(tmp_path, f"""case "$*" in
  *single-*) while ! grep -q '"step":12,' {out}/joint-seed1/run/metrics.jsonl 2>/dev/null; do sleep 0.05; done
    echo 'no such disk'; exit 73;;
  *) exec "$@";;
esac
""")
    done = compare(ini, data, "--seeds", 1, "--jobs", 2, *broken, code=73)
    name = next(folder.name for folder in out.glob("single-*"))
    assert sorted(folder.name for folder in out.iterdir()) == ["joint-seed1", name]  # the third was not started
    assert f"the run {name} ended with code 73: no such disk" in done.stderr
    assert "joint-seed1: stopped because another run failed; the same command resumes it" in done.stderr
    assert status(out / "joint-seed1" / "run")["state"] == "preempted"
    again = start_compare(ini, data, "--seeds", 1, "--jobs", 2)
    wait_for(lambda: "resuming after step" in (out / "joint-seed1" / "log").read_text() and step_count(out / name / "run") > 0, again, seconds=60)
    os.kill(again.pid, signal.SIGTERM)
    again.communicate(timeout=30)


def test_jobs_share_the_cores(data, tmp_path):
    ini = configuration(tmp_path, tasks="topic, lines", steps=2)
    ini.write_text(ini.read_text().replace("threads = 1\n", ""))
    free = {key: value for key, value in environment().items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(command(*compare_words(ini, data, "--seeds", 1, "--jobs", 2)), env=free, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    for folder in (tmp_path / "out").iterdir():
        assert f"\nthreads = {share}\n" in (folder / "run" / "config.ini").read_text()
