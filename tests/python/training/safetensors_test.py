"""We read files by PyPI's safetensors, and it reads ours."""

import json
import subprocess
from pathlib import Path

import numpy as np
import xxhash
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from program import POLYHEAD

TOOL = Path(POLYHEAD).parent / "tests" / "data"


def test_there_and_back(tmp_path):
    rng = np.random.default_rng(1)
    tensors = {
        "encoder.weight": rng.normal(size=(3, 5)).astype("f4"),
        "double": rng.normal(size=(2, 1, 3)),
        "half": rng.normal(size=7).astype("f2"),
        "count": np.array(7, "i8"),
        "bytes": rng.integers(0, 256, 3).astype("u1"),
        "empty": np.zeros((0, 4), "f4"),
        "ü \"quoted\"": np.arange(4, dtype="u4"),
    }
    save_file(tensors, tmp_path / "theirs", {"step": "7", "form": "pre_norm"})
    done = subprocess.run([TOOL, "safetensors", tmp_path / "theirs", tmp_path / "ours"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["__metadata__"] == {"step": "7", "form": "pre_norm"}
    assert {name: said[name]["shape"] for name in tensors} == {name: list(t.shape) for name, t in tensors.items()}
    ours = load_file(tmp_path / "ours")
    assert ours.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert ours[name].dtype == tensor.dtype and np.array_equal(ours[name], tensor), name
    with safe_open(tmp_path / "ours", "numpy") as f:
        assert f.metadata() == {"step": "7", "form": "pre_norm"}
    raw = (tmp_path / "ours").read_bytes()
    assert said["hash"] == f"{xxhash.xxh3_64_intdigest(raw):016x}"
    assert int.from_bytes(raw[:8], "little") % 8 == 0
