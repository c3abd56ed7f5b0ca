"""How training reads shards: every way gives the same bits, and a file that is truncated during training ends every
worker with a message."""

import os
import shutil

import h5py
import pytest

from program import fails, flip, log, start, status, step_count, steps, survivors, train, train_words, wait_for

BOTH = pytest.mark.parametrize("workers", [1, 2])


@pytest.fixture
def copy(data, tmp_path):
    """A copy of the data set that a test may damage."""
    shutil.copytree(data, tmp_path / "data")
    return tmp_path / "data"


@BOTH
def test_every_way_of_reading_gives_the_same_bits(workers, data, tmp_path):
    words = [[], ["--run.data_access", "pread"], ["--run.data_access", "map", "--run.verify_data", "open"], ["--run.verify_data", "off"]]
    for way, more in enumerate(words):
        train(tmp_path / str(way), data, "--run.steps", 6, *more, workers=workers)
        assert log(tmp_path / str(way)) == log(tmp_path / "0") and len(steps(tmp_path / "0")) == 6
    train(tmp_path / "0", data, "--run.steps", 6, "--run.verify_data", "off", workers=workers)  # no part of the run's identity


@BOTH
@pytest.mark.parametrize("verify, says", [("blocks", "differs from its checksum in block 0"), ("open", "SHA-256")])
def test_damage_is_found_when(verify, says, workers, copy, tmp_path):
    file = copy / "topic" / "train-00000-of-00001.h5"
    with h5py.File(file) as f:
        at = f["input/tokens"].id.get_offset()
    flip(file, at)
    fails(65, *train_words(tmp_path / "run", copy, "--run.steps", 5, "--run.verify_data", verify), says=[str(file), says], workers=workers)
    assert status(tmp_path / "run")["exit_code"] == 65 and survivors(tmp_path / "run") == []


@BOTH
@pytest.mark.parametrize("access, says", [("map", "became shorter"), ("pread", "become shorter")])
def test_a_shard_that_is_cut_while_it_is_read(access, says, workers, copy, tmp_path):
    process = start(tmp_path / "run", copy, "--run.steps", 100000, "--run.data_access", access, workers=workers)
    wait_for(lambda: step_count(tmp_path / "run") > 3, process)
    file = copy / "lines" / "train-00000-of-00001.h5"
    assert file.stat().st_size > 2 * 4096
    os.truncate(file, 4096)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 65, errors
    assert str(file) in errors and says in errors
    ended = status(tmp_path / "run")
    assert (ended["state"], ended["exit_code"]) == ("failed", 65) and says in ended["error"]
    assert survivors(tmp_path / "run") == []
