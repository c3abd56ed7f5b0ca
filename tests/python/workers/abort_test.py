"""abort(code) ends every process of a job with that code, through tests/tools/abort_ranks.cpp."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from program import POLYHEAD

TOOL = Path(POLYHEAD).parent / "tests" / "abort_ranks"


def run(ranks, *arguments):
    command = ["mpirun", "--bind-to", "none", "-n", str(ranks), TOOL, *arguments] if ranks else [TOOL, *arguments]
    start = time.monotonic()
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    return result, time.monotonic() - start


def survivors():
    return subprocess.run(["pgrep", "-f", str(TOOL)], capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("ranks, rank, code", [(1, 0, 65), (2, 0, 76), (2, 1, 78), (3, 2, 75), (4, 1, 70)])
def test_all_ranks_end_with_the_code(ranks, rank, code):
    assert shutil.which("mpirun")
    result, seconds = run(ranks, rank, code)
    assert result.returncode == code, result.stderr
    assert "unflushed, and still said" in result.stdout
    assert seconds < 15
    assert survivors() == []


def test_a_world_of_one_ends_with_the_code():
    result, _ = run(0, "local", 73)
    assert result.returncode == 73
    assert result.stdout == "unflushed, and still said"


def test_an_exception_that_unwinds_the_group_does_not_hang():
    result, seconds = run(2, "throw", 70)
    assert result.returncode == 70, result.stderr
    assert seconds < 15
    assert survivors() == []
