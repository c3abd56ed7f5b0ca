"""Forward, losses and every gradient of the packed model equal a padded PyTorch reference that is written from the formulas
(tests/parity/reference.py), for both forms of the encoder, all modes of task attention, all forms of sharing and all kinds of heads;
those of the form bert also where torch.nn's blocks stand in the reference."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from program import POLYHEAD, ROOT

TOOL = Path(POLYHEAD).parent / "tests" / "parity"
CASES = ["competitive", "competitive-given", "competitive-fixed", "independent", "mean", "first",
         "bert-competitive", "bert-independent", "bert-mean", "bert-first", "bert-torch", "adapters", "mtan", "mmoe", "ple", "ple-one-level",
         "bert-adapters", "bert-mtan", "bert-mmoe", "bert-ple", "distilled"]
ZERO = {"float64": 1e-14, "float32": 1e-6}  # absolute, for gradients that are 0 by their formula
BOUND = {"float64": 1e-10, "float32": 1e-5}


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    done = subprocess.run([sys.executable, ROOT / "tests" / "parity" / "reference.py", folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert sorted(file.stem for file in folder.glob("*.json")) == sorted(CASES)
    return folder


def without_effect(case):
    """The gradients of span's head that are 0: adding a number to all scores of a softmax changes nothing. In `mean` the
    weights are the same everywhere, and in `first` they are 0 in the text that has the answer."""
    names = ["out.bias"]
    if case.endswith(("mean", "first")):
        names.append("value.bias")
    if case.endswith("first"):
        names.append("value.weight")
    return {f"gradient/head.answer/{name}" for name in names}


def compare(case, expected, dtype, out):
    """The error of each tensor: max|a - b| / max(max|b|, 1e-3 max|b| over all gradients)."""
    done = subprocess.run([TOOL, case, dtype, out], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = load_file(out)
    assert found.keys() == expected.keys()
    largest = max(np.abs(value).max() for name, value in expected.items() if name.startswith("gradient/"))
    errors = {}
    for name, b in expected.items():
        assert found[name].shape == b.shape and np.isfinite(b).all(), name
        floor = 1e-3 * largest if name.startswith("gradient/") else 0
        errors[name] = np.abs(found[name] - b).max() / max(np.abs(b).max(), floor)
    return errors


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("case", CASES)
def test_parity(case, dtype, fixtures, tmp_path):
    expected = load_file(fixtures / f"{case}.expected.safetensors")
    errors = compare(fixtures / case, expected, dtype, tmp_path / "found")
    found = load_file(tmp_path / "found")
    for name in without_effect(case):
        assert np.abs(expected.pop(name)).max() < ZERO["float64"] and np.abs(found[name]).max() < ZERO[dtype], name
        errors.pop(name)
    worst = max(errors, key=errors.get)
    print(f"{case}, {dtype}: {len(errors)} tensors, worst {worst} {errors[worst]:.1e}")
    assert errors[worst] <= BOUND[dtype], worst
    for name, gradient in expected.items():  # nothing passes by being zero
        assert np.abs(gradient).max() > 1e-7, name
    if case.startswith("bert"):  # moving all scores of a query alike changes nothing
        found_bias = 0
        for name in found:
            if name.startswith("gradient/encoder/layers.") and name.endswith("attention.qkv.bias"):
                query, key, value = np.split(np.abs(found[name]), 3)
                assert key.max() < ZERO[dtype] and query.max() > 1e-4 and value.max() > 1e-4, name
                found_bias += 1
        assert found_bias == 2


@pytest.mark.parametrize("change", [{"temperature": 1.31}, {"floor": 0.021}, {"mode": "independent", "heads": 2}, {"entropy_bonus": 0.01}])
def test_the_comparison_sees_another_model(change, fixtures, tmp_path):
    case = json.loads((fixtures / "competitive.json").read_text())
    case["model"]["attention"] |= change
    (tmp_path / "case.json").write_text(json.dumps(case))
    os.symlink(fixtures / "competitive.parameters.safetensors", tmp_path / "case.parameters.safetensors")
    expected = load_file(fixtures / "competitive.expected.safetensors")
    if "mode" in change:  # it has other parameters
        assert subprocess.run([TOOL, tmp_path / "case", "float64", tmp_path / "found"], capture_output=True).returncode != 0
        return
    assert max(compare(tmp_path / "case", expected, "float64", tmp_path / "found").values()) > 1e-5
