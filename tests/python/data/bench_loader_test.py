"""bench/loader.py runs on a tiny data set, and refuses to measure a peer that packs other tensors. Nothing is timed here."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from program import POLYHEAD, ROOT

PROGRAM = Path(POLYHEAD).parent / "bench" / "loader"
TINY = ["--program", PROGRAM, "--bytes", "400000", "--batch", "24", "--seconds", "0.01", "--repetitions", "2", "--peers", "h5py"]

sys.path.insert(0, str(ROOT / "bench"))
import loader


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("loader")


def test_measures_all(work):
    done = subprocess.run([sys.executable, ROOT / "bench/loader.py", work, *TINY, "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert set(runs) == {*loader.COMPILED, "h5py"}
    for turns in runs.values():
        assert len(turns) == 2 and all(turn["tokens"] >= 24 * turn["steps"] * 4 for turn in turns)
    assert [path.name for path in work.iterdir()] == ["data"]


@pytest.mark.parametrize("field", ["tokens", "offsets", "labels", "tags", "target_tokens", "target_offsets", "type", "missing"])
def test_other_tensors_are_refused(work, monkeypatch, field):
    class Wrong(loader.peers.H5py):
        def load(self, rows):
            packed = super().load(rows)
            arrays = {name: array for fields in packed.targets.values() for name, array in fields.items()} | packed._asdict()
            if field == "type":
                return packed._replace(tokens=packed.tokens.astype("i4"))
            if field == "missing":
                return packed._replace(tokens=packed.tokens[:-1])
            arrays[field][len(arrays[field]) // 2] += 1
            return packed

    monkeypatch.setitem(loader.PYTHON, "h5py", ("h5py", Wrong, ["h5py"]))
    with pytest.raises(loader.Mismatch, match="tokens" if field in ("type", "missing") else field):
        loader.main([str(work), *map(str, TINY)])


def test_command_not_understood(work):
    loader.loader_dataset.make(work / "data", 400000, 1)
    done = subprocess.run([PROGRAM, work / "data", "24", "1"], input="time nobody 1 2\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "time nobody 1 2" in done.stderr
