"""The default number of threads of a process, that a run keeps the number, and how idle threads wait."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from program import POLYHEAD, environment, train, train_words

CPUS = len(os.sched_getaffinity(0))


def start_with(words, more=(), without=("OMP_NUM_THREADS",), **options):
    env = {key: value for key, value in environment(**dict(more)).items() if key not in without}
    return subprocess.Popen([POLYHEAD, *map(str, words)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", **options)


def train_with(folder, data, *words, more=(), without=("OMP_NUM_THREADS",)):
    """Trains without --run.threads. Returns stderr, and the number of threads in the log and in config.ini."""
    given = list(map(str, train_words(folder, data, *words)))
    at = given.index("--run.threads")
    process = start_with(given[:at] + given[at + 2:], more, without)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    log = re.findall(r", (\d+) threads, ", (folder / "logs" / "rank-0000.log").read_text())
    return errors, int(log[-1]), int(re.search(r"^threads = (\d+)", (folder / "config.ini").read_text(), re.M)[1])


@pytest.mark.skipif(CPUS < 2, reason="one CPU: there is nothing to choose")
def test_threads_are_measured_and_a_run_keeps_them(data, tmp_path):
    errors, used, kept = train_with(tmp_path / "run", data, "--run.steps", 4, "--run.stop_at", 2)
    told = re.search(r"computing with (\d+) of (\d+) threads", errors)
    assert told and int(told[1]) == used == kept <= int(told[2]) == CPUS, errors
    other = 3 - min(used, 2)  # as if the machine had been otherwise at the beginning
    file = tmp_path / "run" / "config.ini"
    file.write_text(re.sub(r"^threads = \d+", f"threads = {other}", file.read_text(), flags=re.M))
    errors, used, kept = train_with(tmp_path / "run", data, "--run.steps", 4, "--run.stop_at", 3)
    assert used == kept == other and "computing with" not in errors


def test_the_environment_says_how_many(data, tmp_path):
    for threads in ("1", "2", "2,1"):
        errors, used, kept = train_with(tmp_path / threads, data, "--run.steps", 2, more={"OMP_NUM_THREADS": threads}, without=())
        assert used == kept == int(threads[0]) and "computing with" not in errors
    one, two = (train_with(tmp_path / f"{threads}-r", data, "--run.steps", 2, "--run.reproducible", "world", more={"OMP_NUM_THREADS": threads}, without=())[1]
                for threads in "12")
    assert one == two == 1, "a part of what the bits of reproducible = world depend on"


def test_threads_that_wait_do_not_spin(data, tmp_path):
    train(tmp_path / "run", data, "--run.steps", 1)
    words = ["predict", "--run-dir", tmp_path / "run", "--task", "topic"]
    text = '{"text": "sule"}\n'

    def spins(more=(), without=("OMP_NUM_THREADS",)):
        process = start_with(words, more, without)
        process.stdin.write(text)
        process.stdin.flush()
        assert process.stdout.readline()
        variables = Path(f"/proc/{process.pid}/environ").read_text().split("\0")
        command = Path(f"/proc/{process.pid}/comm").read_text().strip()
        process.communicate(timeout=60)
        assert process.returncode == 0 and command == Path(POLYHEAD).name[:15]
        return [variable for variable in variables if variable.startswith(("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"))]

    assert spins() == ["GOMP_SPINCOUNT=1000", "KMP_BLOCKTIME=0"]
    assert spins({"OMP_WAIT_POLICY": "active"}) == ["OMP_WAIT_POLICY=active"], "who says how to wait is heard"
    assert spins(without=()) == [], "one thread does not wait"
