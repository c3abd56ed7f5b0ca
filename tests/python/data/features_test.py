"""Sequences of vectors as input, together with tasks of tokens: they are learned, placed, resumed and predicted in the
same way."""

import json
import shutil

import h5py
import numpy as np
import pytest

from program import fails, files, log, parameters, run, status, steps, train

TASKS = {"signal": ("classification", 6), "level": ("regression", 3), "marks": ("tagging", 6)}
OPTIONS = ["--run.tasks", "topic,signal,level,marks", "--mixture.batch", 40]
PATTERNS = np.eye(3, 6) * 3


def samples(task, split, count):
    """Returns the vectors of each sample, and its targets: which pattern is in one row, 20 times the rows' mean, and
    the sign of each row."""
    rng = np.random.default_rng([*task.encode(), *split.encode()])
    inputs, targets = [], []
    for i in range(count):
        rows = rng.normal(0, 0.3, (rng.integers(2, 9), TASKS[task][1])).astype("f4")
        if task == "signal":
            rows[rng.integers(len(rows))] += PATTERNS[i % 3]
            targets.append(i % 3)
        elif task == "level":
            rows[:, 0] += rng.normal()
            targets.append(500 + 20 * rows[:, 0].mean())
        else:
            targets.append((rows[:, 2] > 0).astype("u2"))
        inputs.append(rows)
    return inputs, targets


@pytest.fixture(scope="session")
def vectors(tmp_path_factory, data):
    """The planted data set with three tasks of vectors, written by h5py."""
    folder = tmp_path_factory.mktemp("vectors") / "data"
    shutil.copytree(data, folder)
    manifest = json.loads((folder / "dataset.json").read_text())
    for name, (kind, _) in TASKS.items():
        task = {"name": name, "kind": kind, "splits": {}}
        if kind != "regression":
            task["labels"] = ["a", "b", "c"] if kind == "classification" else ["below", "above"]
        (folder / name).mkdir()
        for split, count in (("train", 300), ("valid", 60), ("test", 60)):
            inputs, targets = samples(name, split, count)
            with h5py.File(folder / name / f"{split}.h5", "w") as f:
                f.attrs.update({"format": "polyhead-shard", "version": 1, "task": name, "kind": kind, "split": split, "samples": count})
                f["input/features"] = np.concatenate(inputs)
                f["input/offsets"] = np.cumsum([0] + [len(rows) for rows in inputs]).astype("u8")
                if kind == "classification":
                    f["target/label"] = np.array(targets, "u4")
                elif kind == "regression":
                    f["target/value"] = np.array(targets, "f4")
                else:
                    f["target/tags"] = np.concatenate(targets)
            task["splits"][split] = {"samples": count, "shards": [{"file": f"{name}/{split}.h5", "samples": count}]}
        manifest["tasks"].append(task)
    (folder / "dataset.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory, vectors):
    folder = tmp_path_factory.mktemp("vectors-run") / "run"
    train(folder, vectors, *OPTIONS, "--run.steps", 200, "--optimizer.lr", 5e-3, "--optimizer.warmup", 20)
    return folder


def predict(folder, task, rows, code=0):
    done = run("predict", "--run-dir", folder, "--task", task, "--threads", 1, input="".join(json.dumps(row) + "\n" for row in rows))
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if code == 0 else done.stderr


def test_one_projection_a_width_where_a_trained_task_has_vectors(run_dir, vectors, tmp_path):
    found = {name: value.shape for name, value in parameters(run_dir)["encoder"].items() if name.startswith(("features", "segment"))}
    assert found == {"features.3.weight": (32, 3), "features.3.bias": (32,), "features.6.weight": (32, 6), "features.6.bias": (32,)}
    train(tmp_path / "run", vectors, "--run.tasks", "topic,reply", "--run.steps", 1)
    found = {name for name in parameters(tmp_path / "run")["encoder"] if name.startswith(("features", "segment"))}
    assert found == {"segment.weight"}


def test_what_was_planted_is_learned(run_dir):
    done = run("evaluate", "--run-dir", run_dir, "--json", "--threads", 1)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["tasks"]
    assert scores["signal"]["accuracy_low"] > 0.6 and scores["marks"]["accuracy_low"] > 0.75
    assert scores["level"]["mse_high"] < scores["level"]["mean_mse"] / 2
    for task in TASKS:
        inputs, targets = samples(task, "test", 60)
        found = predict(run_dir, task, [{"features": rows.tolist(), "n": i} for i, rows in enumerate(inputs)])
        assert [row["n"] for row in found] == list(range(60))
        if task == "signal":
            assert np.mean([row["label"] == "abc"[t] for row, t in zip(found, targets)]) == pytest.approx(scores[task]["accuracy"])
        elif task == "level":
            assert np.mean([(row["value"] - t) ** 2 for row, t in zip(found, targets)]) == pytest.approx(scores[task]["mse"], rel=1e-4)
        else:
            right = [tag == ("above" if t else "below") for row, tags in zip(found, targets) for tag, t in zip(row["tags"], tags, strict=True)]
            assert np.mean(right) == pytest.approx(scores[task]["accuracy"])


@pytest.mark.parametrize("bad, says", [({"text": "a"}, "\"features\""), ({"features": []}, "vectors of 6 numbers"),
                                       ({"features": [[1, 2, 3]]}, "vectors of 6 numbers"), ({"features": [1]}, "vectors of 6 numbers"),
                                       ({"features": [[1, 2, 3, 4, 5, "6"]]}, "numbers"), ({"features": [[0, 0, 0, 0, 0, 1e99]]}, "32-bit")])
def test_predict_names_what_is_wrong(run_dir, bad, says):
    errors = predict(run_dir, "signal", [{"features": [[0] * 6]}, bad], code=65)
    assert errors.startswith("polyhead predict: standard input:2: ") and says in errors


def test_any_placement_follows_the_same_curve(vectors, tmp_path):
    options = [*OPTIONS, "--run.dtype", "float64", "--run.steps", 15]
    train(tmp_path / "one", vectors, *options)
    for workers in (2, 3):
        train(tmp_path / str(workers), vectors, *options, workers=workers)
        for x, y in zip(steps(tmp_path / "one"), steps(tmp_path / str(workers)), strict=True):
            assert (x["ids_hash"], x["tokens"]) == (y["ids_hash"], y["tokens"])
            assert y["loss"] == pytest.approx(x["loss"], rel=1e-9)
        one, many = parameters(tmp_path / "one"), parameters(tmp_path / str(workers))
        for owner in one:
            for name, value in one[owner].items():
                np.testing.assert_allclose(many[owner][name], value, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_and_going_on_equals_never_stopped(workers, vectors, tmp_path):
    options = [*OPTIONS, "--run.steps", 16]
    train(tmp_path / "whole", vectors, *options, workers=workers)
    train(tmp_path / "run", vectors, *options, "--run.stop_at", 7, workers=workers)
    train(tmp_path / "run", vectors, *options, workers=workers)
    assert status(tmp_path / "run")["parameter_hash"] == status(tmp_path / "whole")["parameter_hash"]
    assert files(tmp_path / "run") == files(tmp_path / "whole")
    assert log(tmp_path / "run") == log(tmp_path / "whole")


def test_valid_of_another_width_is_refused_before_the_first_step(vectors, tmp_path):
    shutil.copytree(vectors, tmp_path / "data")
    with h5py.File(tmp_path / "data" / "level" / "valid.h5", "a") as f:
        rows = f["input/features"][:]
        del f["input/features"]
        f["input/features"] = np.concatenate([rows, rows], axis=1)
    fails(65, "train", "--data", tmp_path / "data", "--run-dir", tmp_path / "run", "--run.tasks", "level", "--run.steps", 1, "--encoder.dim", 32,
          says=["task level", "valid", "vectors of 6 numbers", "vectors of 3 numbers"])
