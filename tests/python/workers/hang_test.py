"""The watchdog: a worker that hangs is named in time and every process ends; a slow run is not disturbed."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pages import missing_line, shown_message
from program import POLYHEAD, command, environment, fails, start, status, step_count, survivors, train, train_words, wait_for, worker_pid

TIMEOUT = 4  # seconds
TASKS = ["--run.tasks", "topic,style,tags"]
ENDLESS = ["--run.steps", 1_000_000, *TASKS, "--run.hang_timeout", TIMEOUT, "--run.init_timeout", 20]
# Most of a step is computation; one takes far less than the timeout, on a machine that others keep busy too.
HEAVY = ["--encoder.dim", 128, "--encoder.ffn", 512, "--mixture.batch", 60, "--run.prefetch", 2]
STUCK = Path(POLYHEAD).parent / "tests" / "libstuck_read.so"


class Said:
    """A job's standard error, each line with the time of its arrival."""

    def __init__(self, process):
        self.process, self.lines = process, []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append((time.monotonic(), line))

    def hang(self):
        return [(when, line) for when, line in self.lines if "hang: " in line]

    def hang_in(self, since, seconds=TIMEOUT + 2):
        while not self.hang():
            assert time.monotonic() < since + seconds + 20, "".join(line for _, line in self.lines)
            time.sleep(0.02)
        when, line = self.hang()[0]
        assert when - since < seconds, f"after {when - since:.1f} s: {line}"
        print(f"{when - since:.2f} s: {line}")
        return line

    def ends(self, since, seconds=TIMEOUT + 2):
        """The line that names the late worker comes in time, all processes end within 15 s after it, and the code is
        71. Returns the line."""
        line = self.hang_in(since, seconds)
        assert self.process.wait(timeout=15) == 71, "".join(line for _, line in self.lines)
        self.thread.join(5)
        assert len(self.hang()) == 1, self.lines
        return line


def wait_until_stopped(pid):
    while Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "T":
        time.sleep(0.01)


def stop(pid):
    os.kill(pid, signal.SIGSTOP)
    wait_until_stopped(pid)
    return time.monotonic()


def gone(pid, seconds=15):
    end = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()


def named(folder, line, rank, workers, *words):
    for text in (f"rank {rank} of {workers} (host {os.uname().nodename}, pid ", *words):
        assert text in line, line
    found = status(folder)
    assert (found["state"], found["exit_code"]) == ("failed", 71)
    assert f"rank {rank} of {workers}" in found["error"]
    assert survivors(folder, tries=100) == []
    assert not list(Path(folder).glob(".watchdog*"))


def reported(folder, rank):
    text = (Path(folder) / "logs" / f"rank-{rank:04}.log").read_text()
    assert "Last collectives:" in text and "all_reduce counts" in text and "the training thread" in text, text
    return text


@pytest.mark.parametrize("workers, late", [(2, 1), (4, 2), (3, 0)])
def test_stopped_in_compute(workers, late, data, tmp_path):
    process = start(tmp_path / "run", data, *ENDLESS, *HEAVY, workers=workers)
    said = Said(process)
    wait_for(lambda: step_count(tmp_path / "run") > 1, process, 60)
    time.sleep(1)  # until each worker has reported that it computes steps
    pid = worker_pid(tmp_path / "run", late)
    line = said.ends(stop(pid), TIMEOUT + 2)
    named(tmp_path / "run", line, late, workers, "stopped by a signal (state T)", "call ")
    # As the page shows it. Where the worker stops is a matter of chance: in any part of a step, or in a collective.
    shown = shown_message("docs/guides/clusters.md", "polyhead train: hang:", "host vm", "is missing", "all_reduce encoder.gradients 1/2",
                          "3 others have", "in compute (forward)", until=" The same command")
    assert missing_line([shown], [line]) is None, line
    assert gone(pid)
    for rank in range(workers):
        if rank != late:
            assert "polyhead::" in reported(tmp_path / "run", rank)  # frames have names


def test_stopped_in_a_collective(data, tmp_path):
    process = start(tmp_path / "run", data, *ENDLESS, workers=2)
    said = Said(process)
    wait_for(lambda: step_count(tmp_path / "run") > 3, process)
    first, second = (worker_pid(tmp_path / "run", rank) for rank in (0, 1))
    # While rank 0 is stopped rank 1 comes to a collective and waits there; then it is rank 1 that is stopped.
    stop(first)
    time.sleep(1)
    since = stop(second)
    os.kill(first, signal.SIGCONT)
    line = said.ends(since)
    named(tmp_path / "run", line, 1, 2, "stopped by a signal (state T)")
    # In small sums rank 0 has what rank 1 had sent before, and waits for it in the next.
    assert re.search(r"it (makes no progress|is missing) in all_reduce", line), line
    assert gone(second)
    reported(tmp_path / "run", 0)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_asleep_in_its_loader(prefetch, data, tmp_path):
    """A file system stops answering for one worker: a preloaded library makes pread() block for ever."""
    words = train_words(tmp_path / "run", data, *ENDLESS, "--run.data_access", "pread", "--run.prefetch", prefetch)
    process = subprocess.Popen(command(*words, workers=3), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
                               env=environment(LD_PRELOAD=str(STUCK), STUCK_WHEN=str(tmp_path / "now"), STUCK_RANK="1"))
    said = Said(process)
    wait_for(lambda: step_count(tmp_path / "run") > 3, process)
    (tmp_path / "now").touch()
    line = said.ends(time.monotonic(), TIMEOUT + 2)
    named(tmp_path / "run", line, 1, 3, "in its loader", "missing in all_reduce counts", "2 others have waited")
    assert "OpenFile::read" in reported(tmp_path / "run", 1)
    assert "mpi" in reported(tmp_path / "run", 0).lower()


def test_a_world_of_one_is_watched_too(data, tmp_path):
    words = train_words(tmp_path / "run", data, *ENDLESS, "--run.data_access", "pread", "--run.prefetch", 0)
    process = subprocess.Popen(command(*words), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
                               env=environment(LD_PRELOAD=str(STUCK), STUCK_WHEN=str(tmp_path / "now"), STUCK_RANK="0",
                                               OMPI_COMM_WORLD_RANK="0"))
    said = Said(process)
    wait_for(lambda: step_count(tmp_path / "run") > 3, process)
    (tmp_path / "now").touch()
    named(tmp_path / "run", said.ends(time.monotonic()), 0, 1, "in its loader")


@pytest.mark.parametrize("late", [1, 0])
def test_a_rank_that_never_starts(late, data, tmp_path):
    """mpirun starts a shell that sleeps instead of one worker."""
    words = [str(word) for word in train_words(tmp_path / "run", data, *TASKS, "--run.steps", 2, "--run.init_timeout", 3)]
    script = f'[ "$OMPI_COMM_WORLD_RANK" = {late} ] && exec sleep 600; exec "$@"'
    since = time.monotonic()
    process = subprocess.Popen(["mpirun", "--bind-to", "none", "-n", "3", "bash", "-c", script, "bash", POLYHEAD, *words],
                               env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
    # The timeout counts from the others' start, which mpirun takes a second or two to make.
    line = Said(process).ends(since, 3 + 2 + 2)
    assert f"rank {late} of 3 has not started on host {os.uname().nodename}" in line and "MPI_Init" in line
    assert (status(tmp_path / "run")["state"], status(tmp_path / "run")["exit_code"]) == ("failed", 71)
    assert survivors(tmp_path / "run", tries=100) == []
    # The same command can be given again: what the watchdog left is no other run.
    train(tmp_path / "run", data, *TASKS, "--run.steps", 2, workers=2)
    assert status(tmp_path / "run")["state"] == "done"


@pytest.fixture
def two_hosts(tmp_path):
    """Two network namespaces that are connected by a cable, each with a host name. Returns the words that start a
    command on the first, mpirun's options, and a function that sets the cable down or up. Needs root and ip(8)."""
    hosts = [f"ph{os.getpid()}{letter}" for letter in "ab"]
    try:
        for host in hosts:
            subprocess.run(["ip", "netns", "add", host], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', error)}")
    try:
        subprocess.run(["ip", "link", "add", "v0", "netns", hosts[0], "type", "veth", "peer", "name", "v1", "netns", hosts[1]], check=True)
        for i, host in enumerate(hosts):
            for words in (["addr", "add", f"10.99.7.{i + 1}/24", "dev", f"v{i}"], ["link", "set", f"v{i}", "up"], ["link", "set", "lo", "up"]):
                subprocess.run(["ip", "-n", host, *words], check=True)
        (tmp_path / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"10.99.7.{i + 1} {host}\n" for i, host in enumerate(hosts)))
        agent = tmp_path / "agent"
        agent.write_text('#!/bin/bash\nhost="$1"; shift\nexec ip netns exec "$host" unshare --uts --mount bash -c '
                         f'"hostname $host; mount --bind {tmp_path}/hosts /etc/hosts; $*"\n')
        agent.chmod(0o755)
        inside = ["ip", "netns", "exec", hosts[0], "unshare", "--uts", "--mount", "bash", "-c",
                  f'hostname {hosts[0]}; mount --bind {tmp_path}/hosts /etc/hosts; exec "$@"', "bash"]
        options = ["--mca", "plm", "rsh", "--mca", "plm_rsh_agent", str(agent), "--mca", "pml", "ob1", "--mca", "btl", "self,vader,tcp",
                   "--mca", "btl_tcp_if_include", "10.99.7.0/24", "--mca", "oob_tcp_if_include", "10.99.7.0/24", "-H", f"{hosts[0]}:1,{hosts[1]}:1"]
        yield inside, options, lambda state: subprocess.run(["ip", "-n", hosts[0], "link", "set", "v0", state], check=True)
    finally:
        for host in hosts:
            for pid in subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True).stdout.split():
                os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", host])


def start_on(two_hosts, data, tmp_path):
    inside, options, cable = two_hosts
    words = [str(word) for word in train_words(tmp_path / "run", data, *ENDLESS)]
    process = subprocess.Popen([*inside, "mpirun", "--bind-to", "none", *options, "-n", "2", POLYHEAD, *words], env=environment(),
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
    return process, Said(process), cable


def test_a_cut_link_between_two_hosts(two_hosts, data, tmp_path):
    process, said, cable = start_on(two_hosts, data, tmp_path)
    wait_for(lambda: step_count(tmp_path / "run") > 3, process)
    pids = [worker_pid(tmp_path / "run", rank) for rank in (0, 1)]
    cable("down")
    since = time.monotonic()
    line = said.hang_in(since)
    assert f"rank 1 of 2 (host ph{os.getpid()}b, pid {pids[1]}) is late" in line and "no report of it has arrived" in line, line
    assert [pid for pid in pids if not gone(pid)] == []
    assert (status(tmp_path / "run")["state"], status(tmp_path / "run")["exit_code"]) == ("failed", 71)
    for rank in (0, 1):
        reported(tmp_path / "run", rank)


def test_an_outage_shorter_than_the_timeout_is_none(two_hosts, data, tmp_path):
    """The cable is down for half of the timeout, twice. The watchdogs connect again."""
    process, said, cable = start_on(two_hosts, data, tmp_path)
    wait_for(lambda: step_count(tmp_path / "run") > 3, process)
    for _ in range(2):
        cable("down")
        time.sleep(TIMEOUT / 2)
        cable("up")
        before = step_count(tmp_path / "run")
        wait_for(lambda: step_count(tmp_path / "run") > before + 3, process)
        time.sleep(TIMEOUT + 1)
    os.kill(worker_pid(tmp_path / "run", 0), signal.SIGUSR1)
    assert process.wait(timeout=30) == 75, said.lines
    assert said.hang() == []


def test_a_pause_shorter_than_the_timeout_is_none(data, tmp_path):
    process = start(tmp_path / "run", data, *ENDLESS, workers=2)
    said = Said(process)
    wait_for(lambda: step_count(tmp_path / "run") > 3, process)
    for rank in (1, 0):
        pid = worker_pid(tmp_path / "run", rank)
        stop(pid)
        time.sleep(TIMEOUT / 2)
        os.kill(pid, signal.SIGCONT)
        before = step_count(tmp_path / "run")
        wait_for(lambda: step_count(tmp_path / "run") > before + 3, process)
    # All at once, as when a laptop sleeps: nobody's clock went on.
    pids = [worker_pid(tmp_path / "run", rank) for rank in (0, 1)]
    for pid in pids:
        stop(pid)
    time.sleep(TIMEOUT + 1)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    before = step_count(tmp_path / "run")
    wait_for(lambda: step_count(tmp_path / "run") > before + 3, process)
    time.sleep(TIMEOUT + 1)
    os.kill(pids[0], signal.SIGUSR1)
    assert process.wait(timeout=30) == 75
    assert said.hang() == []


@pytest.mark.parametrize("workers", [1, 3])
def test_no_false_alarm(workers, data, tmp_path):
    """Evaluations over all of valid, and checkpoints, keep only some of the workers busy."""
    done = train(tmp_path / "run", data, "--run.hang_timeout", TIMEOUT, "--run.init_timeout", 20, "--run.steps", 30, "--run.eval_every", 10,
                 "--run.eval_samples", 0, "--run.checkpoint_every", 10, "--mixture.batch", 60, workers=workers, timeout=120)
    assert "hang" not in done.stderr and "polyhead train: warning" not in done.stderr
    assert status(tmp_path / "run")["state"] == "done"
    assert not list((tmp_path / "run").glob(".watchdog*"))


def test_never(data, tmp_path):
    process = start(tmp_path / "run", data, *TASKS, "--run.steps", 1_000_000, "--run.hang_timeout", 0, "--run.init_timeout", 0, workers=2)
    said = Said(process)
    wait_for(lambda: step_count(tmp_path / "run") > 3, process)
    pid = worker_pid(tmp_path / "run", 1)
    stop(pid)
    time.sleep(TIMEOUT + 2)
    assert process.poll() is None and said.hang() == []
    os.kill(pid, signal.SIGCONT)
    os.kill(pid, signal.SIGUSR1)
    assert process.wait(timeout=30) == 75


@pytest.mark.parametrize("workers", [1, 2])
def test_trace(workers, data, tmp_path):
    train(tmp_path / "run", data, "--run.steps", 12, "--run.trace", "steps 3-6", "--run.accumulate", 2, workers=workers)
    assert [file.name for file in (tmp_path / "run" / "trace").iterdir()] == ["steps-3-6.json"]
    events = json.loads((tmp_path / "run" / "trace" / "steps-3-6.json").read_text())
    assert {event["pid"] for event in events} == set(range(workers))
    for rank in range(workers):
        mine = [event for event in events if event["pid"] == rank]
        assert [event["ph"] for event in mine].count("M") == 1
        count = {name: sum(event["name"] == name for event in mine) for name in {event["name"] for event in mine}}
        for name, expected in {"step": 4, "loader": 4, "forward": 8, "backward": 8, "optimizer": 4, "all_reduce counts": 4, "all_reduce losses": 4}.items():
            assert count[name] == expected, (name, count)
        buckets = {name: n for name, n in count.items() if name.startswith("all_reduce encoder.gradients")}
        assert buckets and set(buckets.values()) == {4}, count
        timed = [event for event in mine if event["ph"] == "X"]
        assert abs(timed[0]["ts"] / 1e6 - time.time()) < 600
        whole = sorted((event["ts"], event["ts"] + event["dur"]) for event in timed if event["name"] == "step")
        for event in timed:
            assert event["dur"] >= 0
            assert any(begin - 1 <= event["ts"] and event["ts"] + event["dur"] <= end + 1 for begin, end in whole), event
        reduce = next(event for event in timed if event["name"] in buckets)
        assert reduce["cat"] == "collective" and reduce["args"]["bytes"] > 1000


def test_a_trace_that_the_run_ends_in_is_written(data, tmp_path):
    train(tmp_path / "run", data, "--run.steps", 12, "--run.trace", "steps 3-60", "--run.stop_at", 5)
    events = json.loads((tmp_path / "run" / "trace" / "steps-3-60.json").read_text())
    assert sum(event["name"] == "step" for event in events) == 3


@pytest.mark.parametrize("words", ["10-20", "steps 10", "steps 20-10", "steps 0-3", "steps 1-2 3"])
def test_a_trace_is_asked_for_in_one_form(words, data, tmp_path):
    fails(78, *train_words(tmp_path / "run", data, "--run.trace", words), says=["run.trace", "steps 10-20"])
