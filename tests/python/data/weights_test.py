"""Weights of samples: how import reads them, how shards hold them, and that a weight of 2 equals the sample twice."""

import csv
import json
import math
import shutil

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from import_formats_test import imported, write
from import_inputs_test import shard_bytes
from import_parquet_test import needs_arrow
from program import fails, files, log, run, steps, train
from verify_test import edit_manifest, verify

WORDS = ["ant", "bee", "cat", "dog", "eel", "fox"]
ROWS = [{"text": f"{WORDS[i % 6]} {WORDS[i * i % 5]} {i}", "label": WORDS[i % 2], "weight": [1, 2, 0.25, 0][i % 4]} for i in range(24)]
TASK = {"kind": "classification", "train": "train.jsonl"}
VOCABULARY = "vocab_size = 60"


def write_jsonl(folder, rows, name="train"):
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def stored(folder, manifest, task=0, split="train"):
    """The weights in the shards; None where there are none."""
    found = []
    for shard in manifest["tasks"][task]["splits"][split]["shards"]:
        with h5py.File(folder / shard["file"]) as file:
            if "input/weight" not in file:
                return None
            assert file["input/weight"].dtype == np.dtype("<f4") and "integrity/input.weight" in file
            found += file["input/weight"][()].tolist()
    return found


def import_says(folder, tasks, *more):
    done = run("import", "-c", write(folder, tasks, VOCABULARY), "--out", folder / "data", *more)
    assert done.returncode == 0, done.stderr
    return done.stderr, json.loads((folder / "data" / "dataset.json").read_text())


# Import


def test_weights_are_stored_for_train_and_reported(tmp_path):
    write_jsonl(tmp_path, ROWS[:20] + [{key: row[key] for key in ("text", "label")} for row in ROWS[20:23]] + [ROWS[23] | {"weight": None}])
    write_jsonl(tmp_path, ROWS[:4], "valid")
    said, manifest = import_says(tmp_path, {"t": TASK | {"valid": "valid.jsonl"}})
    assert stored(tmp_path / "data", manifest) == [row["weight"] for row in ROWS[:20]] + [1] * 4
    assert stored(tmp_path / "data", manifest, split="valid") is None  # metrics do not use them
    assert manifest["tasks"][0]["weights"] is True
    assert "weights of 20 train samples with the sum 20.25" in said and "multiplied by its 'weight'" in said and "weights = no" in said
    verify(tmp_path / "data")


def test_a_task_without_weights_has_the_bytes_of_before(tmp_path):
    write_jsonl(tmp_path, ROWS)
    said, off = import_says(tmp_path, {"t": TASK | {"weights": "no"}})
    assert stored(tmp_path / "data", off) is None and "weights" not in off["tasks"][0] and "weight" not in said
    expected = shard_bytes(tmp_path)
    write_jsonl(tmp_path, [{key: row[key] for key in ("text", "label")} for row in ROWS])
    shutil.rmtree(tmp_path / "data")
    assert import_says(tmp_path, {"t": TASK})[1] == off
    assert shard_bytes(tmp_path) == expected


@pytest.mark.parametrize("ending", ["csv", "tsv", pytest.param("parquet", marks=needs_arrow)])
def test_tables_give_the_same_bytes_as_jsonl(ending, tmp_path):
    write_jsonl(tmp_path, ROWS)
    imported(tmp_path, {"t": TASK}, VOCABULARY, out="expected")
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "train.parquet")
    else:
        with open(tmp_path / f"train.{ending}", "w", newline="") as file:
            writer = csv.writer(file, delimiter="," if ending == "csv" else "\t", lineterminator="\n")
            writer.writerows([ROWS[0].keys(), *((row["text"], row["label"], row["weight"] if row["weight"] != 1 else "") for row in ROWS)])
    imported(tmp_path, {"t": TASK | {"train": f"train.{ending}"}}, VOCABULARY)
    assert shard_bytes(tmp_path) == shard_bytes(tmp_path, "expected")


def test_other_names(tmp_path):
    write_jsonl(tmp_path, [{"sentence": row["text"], "label": row["label"], "importance": row["weight"], "weight": "heavy"} for row in ROWS])
    said, manifest = import_says(tmp_path, {"t": TASK | {"columns": "weight:importance"}})
    assert stored(tmp_path / "data", manifest) == [row["weight"] for row in ROWS]
    assert "weight:importance" in said and "multiplied by its 'importance'" in said
    fails(78, "import", "-c", write(tmp_path, {"t": TASK | {"columns": "weight:importance", "weights": "no"}}, VOCABULARY), "--out", tmp_path / "none",
          says=["task.t.weights = no", "task.t.columns names the weight"])
    # A key `weight` that is another part of the sample is no weight.
    write_jsonl(tmp_path, [{"text": row["text"], "weight": 70 + i} for i, row in enumerate(ROWS)])
    shutil.rmtree(tmp_path / "data")
    said, manifest = import_says(tmp_path, {"t": {"kind": "regression", "train": "train.jsonl", "columns": "value:weight"}})
    assert stored(tmp_path / "data", manifest) is None and "multiplied" not in said


@pytest.mark.parametrize("value, says", [(-1, "weight -1,"), (1e-9, "from 1e-06 to 1e+06"), (1e9, "from 1e-06 to 1e+06"), ("2", "not a number"), (True, "not a number"),
                                         ([1, 2], "2 numbers in 'weight', expected one"), (math.inf, ""), (math.nan, ""), (1e300, "32-bit float")])
def test_a_wrong_weight_is_an_error_with_file_and_line(value, says, tmp_path):
    write_jsonl(tmp_path, [*ROWS[:6], ROWS[6] | {"weight": value}, *ROWS[7:]])
    fails(65, "import", "-c", write(tmp_path, {"t": TASK}, VOCABULARY), "--out", tmp_path / "data", says=["task 't'", "train.jsonl, line 7", says, *(["weights = no"] if says else [])])
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("value, says", [("-1", "weight -1,"), ("heavy", "'heavy' in 'weight'"), ("nan", "'nan' in 'weight'"), ("1 2", "2 numbers in 'weight'")])
def test_so_it_is_in_a_table(value, says, tmp_path):
    (tmp_path / "train.csv").write_text("text,label,weight\n" + "".join(f"{row['text']},{row['label']},1\n" for row in ROWS) + f"ant,ant,{value}\n")
    fails(65, "import", "-c", write(tmp_path, {"t": TASK | {"train": "train.csv"}}, VOCABULARY), "--out", tmp_path / "data",
          says=["task 't'", "train.csv, line 26", says, "weights = no"])


def test_weights_that_are_all_0_are_an_error(tmp_path):
    write_jsonl(tmp_path, [row | {"weight": 0} for row in ROWS])
    fails(65, "import", "-c", write(tmp_path, {"t": TASK}, VOCABULARY), "--out", tmp_path / "data", says=["weights are all 0"])


def test_adding_samples(tmp_path):
    half = {"with": ROWS[:12], "more": ROWS[12:]}
    for name, rows in half.items():
        write_jsonl(tmp_path, rows, name)
        write_jsonl(tmp_path, [{key: row[key] for key in ("text", "label")} for row in rows], f"{name}out")
    import_says(tmp_path, {"t": TASK | {"train": "with.jsonl"}})
    _, manifest = import_says(tmp_path, {"t": TASK | {"train": "moreout.jsonl"}}, "--append")
    assert stored(tmp_path / "data", manifest) == [row["weight"] for row in ROWS[:12]] + [1] * 12
    verify(tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    import_says(tmp_path, {"t": TASK | {"train": "without.jsonl"}})
    before = shard_bytes(tmp_path)
    fails(65, "import", "-c", write(tmp_path, {"t": TASK | {"train": "more.jsonl"}}, VOCABULARY), "--out", tmp_path / "data", "--append",
          says=["more.jsonl, line 1", "has a weight, but the task's train samples in the data set have none", "weights = no", "new data set"])
    assert shard_bytes(tmp_path) == before
    _, manifest = import_says(tmp_path, {"t": TASK | {"train": "more.jsonl", "weights": "no"}}, "--append")
    assert stored(tmp_path / "data", manifest) is None


# Inspect and verify


@pytest.fixture
def weighted_data(tmp_path):
    write_jsonl(tmp_path, ROWS)
    write_jsonl(tmp_path, ROWS[:8], "valid")
    imported(tmp_path, {"t": TASK | {"valid": "valid.jsonl"}}, VOCABULARY)
    return tmp_path / "data"


def test_inspect_shows_the_sum(weighted_data):
    done = run("inspect", "--data", weighted_data)
    assert "weights       sum 19.5, mean 0.8125" in done.stdout, done.stdout
    splits = json.loads(run("inspect", "--data", weighted_data, "--split", "all", "--json").stdout)["tasks"]["t"]["splits"]
    assert splits["train"]["weights"] == {"sum": 19.5} and "weights" not in splits["valid"]


def change_weights(folder, values):
    def forget(manifest):
        for shard in manifest["tasks"][0]["splits"]["train"]["shards"]:
            del shard["bytes"], shard["sha256"]

    edit_manifest(folder, forget)
    with h5py.File(folder / "t" / "train-00000-of-00001.h5", "r+") as file:
        del file["integrity/input.weight"], file["input/weight"]
        if values is not None:
            file["input/weight"] = values


@pytest.mark.parametrize("values, says", [
    (np.full(24, -1, np.float32), "/input/weight of sample 0 is -1"), (np.full(24, np.nan, np.float32), "/input/weight of sample 0 is nan"),
    (np.full(24, np.inf, np.float32), "/input/weight of sample 0 is inf"), (np.full(24, 1e-20, np.float32), "expected 0 or a number from 1e-06 to 1e+06"),
    (np.ones(23, np.float32), "/input/weight has 23 entries, expected 24"), (np.ones(24), "/input/weight has another type than f32"),
    (None, "it has no /input/weight, but the manifest says")])
def test_verify_checks_the_column(values, says, weighted_data):
    change_weights(weighted_data, values)
    assert says in verify(weighted_data, code=65)["faults"][0]


def test_the_manifest_says_which_tasks_have_weights(weighted_data):
    edit_manifest(weighted_data, lambda manifest: manifest["tasks"][0].pop("weights"))
    assert "it has /input/weight, but by the manifest" in verify(weighted_data, code=65)["faults"][0]
    edit_manifest(weighted_data, lambda manifest: manifest["tasks"][0].update(weights=1))
    fails(65, "inspect", "--data", weighted_data, says=["'weights' that are not true or false"])


# Training


KINDS = ["topic", "tags", "dictionary", "subjects", "ornament", "answer"]
WEIGHTS = [1, 2, 1, 0, 2, 1]


@pytest.fixture(scope="module")
def twice(every_kind, planted, tmp_path_factory):
    """Two data sets of all kinds but masked_lm, whose masks differ by position: one has weights, in the other a sample of weight 2 is
    there twice and one of weight 0 is not. Each batch has all samples."""
    folder = tmp_path_factory.mktemp("twice")
    text = (planted / "jsonl" / "every-kind.ini").read_text() + (planted / "jsonl" / "synthetic.ini").read_text()
    tasks = {}
    for task in KINDS:
        section = text.split(f"[task.{task}]\n")[1].split("[")[0]
        tasks[task] = {key: value for key, value in (line.split(" = ", 1) for line in section.splitlines() if " = " in line) if key not in ("train", "valid", "test")}
        rows = [json.loads(line) for line in (planted / "jsonl" / f"{task}.train.jsonl").read_text().splitlines()][:12]
        if task == "ornament":  # the same mean and deviation in both data sets
            for i, row in enumerate(rows):
                row["value"] = (-1) ** (i // 6)
        write_jsonl(folder, [row | {"weight": WEIGHTS[i % 6]} for i, row in enumerate(rows)], f"{task}.weights")
        write_jsonl(folder, [row for i, row in enumerate(rows) for _ in range(WEIGHTS[i % 6])], f"{task}.copies")
    for form in ("weights", "copies"):
        tasks_of_form = {task: keys | {"train": f"{task}.{form}.jsonl"} for task, keys in tasks.items()}
        manifest = imported(folder, tasks_of_form, f"vocab = {every_kind / 'tokenizer.model'}\nmax_length = 64", out=form)
        assert [one["splits"]["train"]["samples"] for one in manifest["tasks"]] == [12 if form == "weights" else 14] * len(KINDS)
    return folder


def options(form, *more):
    return ["--mixture.batch", (12 if form == "weights" else 14) * len(KINDS), "--mixture.kind", "uniform", "--run.dtype", "float64", "--run.steps", 6,
            "--encoder.dropout", 0, "--task.topic.label_smoothing", 0.1, *more]


def losses(folder):
    return [(line["loss"], line.get("plain_loss"), line["gradient_norm"]) for line in steps(folder)]


@pytest.mark.parametrize("workers, more", [(1, []), (2, []), (1, ["--run.accumulate", 3]), (2, ["--run.reproducible", "world", "--run.micro_batch", 4])])
def test_a_weight_of_2_equals_the_sample_twice(workers, more, twice, tmp_path):
    for form in ("weights", "copies"):
        train(tmp_path / form, twice / form, *options(form, *more), workers=workers, timeout=200)
    for one, two in zip(losses(tmp_path / "weights"), losses(tmp_path / "copies")):
        for found, expected in zip(one, two):
            assert found == pytest.approx(expected, rel=1e-5 if "--run.reproducible" in more else 1e-9)


def test_the_teacher_is_followed_by_weight_too(twice, tmp_path):
    train(tmp_path / "teacher", twice / "copies", *options("copies", "--run.seed", 5), timeout=200)
    for form in ("weights", "copies"):
        teachers = [word for task in KINDS for word in (f"--task.{task}.teacher", tmp_path / "teacher")]
        train(tmp_path / form, twice / form, *options(form, *teachers), timeout=200)
    for one, two in zip(losses(tmp_path / "weights"), losses(tmp_path / "copies")):
        for found, expected in zip(one, two):
            assert found == pytest.approx(expected, rel=1e-9)


def test_only_ratios_count(tmp_path, weighted_data):
    write_jsonl(tmp_path, [row | {"weight": 4 * row["weight"]} for row in ROWS])
    imported(tmp_path, {"t": TASK | {"valid": "valid.jsonl"}}, VOCABULARY, out="scaled")
    for name in ("data", "scaled"):
        train(tmp_path / f"run-{name}", tmp_path / name, "--run.steps", 4, "--mixture.batch", 6)
    one, two = (log(tmp_path / f"run-{name}") for name in ("data", "scaled"))
    assert one == two  # a factor of 4 changes no bit


@pytest.mark.parametrize("more", [[], ["--run.reproducible", "world", "--run.micro_batch", 2]])
def test_resuming_and_any_number_of_workers(more, weighted_data, tmp_path):
    words = ["--run.steps", 8, "--mixture.batch", 6, *more]
    train(tmp_path / "whole", weighted_data, *words)
    train(tmp_path / "parts", weighted_data, *words, "--run.stop_at", 3)
    train(tmp_path / "parts", weighted_data, *words)
    assert files(tmp_path / "parts") == files(tmp_path / "whole") and log(tmp_path / "parts") == log(tmp_path / "whole")
    train(tmp_path / "two", weighted_data, *words, workers=2)
    if more:
        assert log(tmp_path / "two") == log(tmp_path / "whole")
    for one, two in zip(losses(tmp_path / "two"), losses(tmp_path / "whole")):
        assert one[0] == pytest.approx(two[0], rel=1e-4)


def test_a_task_takes_no_part_in_a_step_whose_weights_are_all_0(tmp_path):
    write_jsonl(tmp_path, [row | {"weight": 1 if i == 5 else 0} for i, row in enumerate(ROWS)])
    write_jsonl(tmp_path, [{"text": row["text"], "label": row["label"]} for row in ROWS], "plain")
    data = imported(tmp_path, {"t": TASK, "u": TASK | {"train": "plain.jsonl"}}, VOCABULARY) and tmp_path / "data"
    train(tmp_path / "run", data, "--run.steps", 12, "--mixture.batch", 4, "--mixture.kind", "uniform", workers=2)
    active = ["t" in line["loss"] for line in steps(tmp_path / "run")]
    assert active.count(True) == 1  # an epoch, in which the sample is drawn once
    assert all("u" in line["loss"] and None not in line["loss"].values() for line in steps(tmp_path / "run"))


def test_metrics_do_not_use_them(weighted_data, tmp_path):
    train(tmp_path / "run", weighted_data, "--run.steps", 2, "--mixture.batch", 6)
    write_jsonl(tmp_path, [{key: row[key] for key in ("text", "label")} for row in ROWS])
    imported(tmp_path, {"t": TASK | {"valid": "valid.jsonl"}}, VOCABULARY, out="plain")
    said = [run("evaluate", "--run-dir", tmp_path / "run", "--data", data, "--split", "train", "--json", "--threads", 1) for data in (weighted_data, tmp_path / "plain")]
    assert said[0].returncode == 0 and said[0].stdout == said[1].stdout
