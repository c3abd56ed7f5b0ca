"""HDF5's own tools read our shards, and a data set that h5repack has chunked and compressed trains to the same bits."""

import json
import shutil
import subprocess

import h5py
import pytest

from program import log, run, status, train

OPTIONS = ["--run.steps", 12, "--run.eval_every", 6]


def tool(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "error" not in done.stderr.lower(), (words, done.stderr)
    return done.stdout


def test_h5dump_and_h5py_read_every_file(data):
    files = sorted(data.rglob("*.h5"))
    assert len(files) >= 15
    for file in files:
        with h5py.File(file) as f:
            names = []
            f.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            assert all(f[name][()] is not None for name in names)
        dump = tool("h5dump", file)
        assert dump.count("DATASET ") == len(names) and 'ATTRIBUTE "samples"' in dump


@pytest.mark.parametrize("how", [["-f", "SHUF", "-f", "GZIP=4"], ["-l", "CHUNK=777", "-f", "SHUF", "-f", "GZIP=1", "-f", "FLET"], []],
                         ids=["gzip", "small chunks", "plain"])
def test_repacked_it_trains_to_the_same_bits(how, data, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    for file in sorted(copy.rglob("*.h5")):
        repacked = file.with_suffix(".tmp")
        tool("h5repack", *how, file, repacked)
        repacked.rename(file)
    with h5py.File(copy / "topic" / "train-00000-of-00001.h5") as f:
        tokens = f["input/tokens"]
        assert (tokens.compression, tokens.shuffle) == (("gzip", True) if how else (None, False))
        assert tokens.chunks == ((777,) if "-l" in how else tokens.shape if how else None)
    done = run("verify", "--data", copy)
    assert done.returncode == 65 and "the manifest says" in done.stderr and "verify --rehash" in done.stderr
    done = run("verify", "--data", copy, "--rehash", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["rehashed"], done.stderr
    assert run("verify", "--data", copy).returncode == 0
    train(tmp_path / "run", copy, *OPTIONS)
    train(tmp_path / "before", data, *OPTIONS)
    assert status(tmp_path / "run")["parameter_hash"] == status(tmp_path / "before")["parameter_hash"]
    assert log(tmp_path / "run") == log(tmp_path / "before")
