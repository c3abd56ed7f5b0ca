"""A fault of one rank ends all ranks within seconds, with the right code and message. Runs faults.cpp with the stand-in
for NCCL."""

import os
import subprocess
import time

import pytest

TOOL = os.environ["POLYHEAD_NCCL_FAULTS"]


def run(ranks, fault, rank):
    command = ["mpirun", "--bind-to", "none", "-n", str(ranks), TOOL, fault, str(rank)]
    start = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return result, time.monotonic() - start


def survivors():
    return subprocess.run(["pgrep", "-f", f"^{TOOL} "], capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_without_a_fault_nothing_is_left(ranks):
    result, _ = run(ranks, "none", 0)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("ranks, fault, rank, code, words", [
    (2, "version", 1, 78, "worker 1: built with NCCL"),
    (3, "devices", 1, 78, "worker 1: its CUDA device would be number 1, but"),
    (3, "never connects", 2, 71, "NCCL is still connecting after 2 s"),
    (2, "async", 1, 70, 'worker 1 of 2: synchronize "gradients" (call 15 of its group, rank 1 of 2): '
                          'NCCL reports "unhandled system error"'),
    (4, "async", 0, 70, "worker 0 of 4: "),
    (2, "abort hangs", 1, 70, 'NCCL reports "unhandled system error"'),
    (3, "call", 2, 70, 'worker 2 of 3: all_reduce "encoder.gradients"'),
    (2, "throws", 0, 65, "worker 0 of 2: a sample of this worker is damaged"),
    (3, "throws", 2, 65, "worker 2 of 3: a sample of this worker is damaged"),
    (4, "sleeps", 3, 71, "collectives on device"),
    (2, "dies", 1, 9, "exit"),
])
def test_all_ranks_end(ranks, fault, rank, code, words):
    result, seconds = run(ranks, fault, rank)
    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert seconds < 15
    assert survivors() == []
