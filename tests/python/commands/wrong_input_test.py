"""Wrong input of train and import: one paragraph that names the file, line or task and the cure, the right exit code,
and every worker ends."""

import json
import re
import shutil
import subprocess

import h5py
import numpy as np
import pytest
import xxhash

from program import POLYHEAD, command, environment, fails, flip, newest, run, shard, status, steps, survivors, train, train_words

BOTH = pytest.mark.parametrize("workers", [1, 2])


@pytest.fixture
def copy(data, tmp_path):
    """A copy of the data set that a test may damage."""
    shutil.copytree(data, tmp_path / "data")
    return tmp_path / "data"


def refused(code, folder, data, *more, says, workers):
    steps_given = [] if "--run.steps" in more else ["--run.steps", 5]
    said = fails(code, *train_words(folder, data, *steps_given, *more), says=says, workers=workers)
    assert survivors(folder) == []
    assert len(said) < 1000 and not any(word in said for word in ("internal", "terminate", "Exception", "c10"))
    return said


def edit_manifest(folder, change):
    file = folder / "dataset.json"
    manifest = json.loads(file.read_text())
    change({task["name"]: task for task in manifest["tasks"]}, manifest)
    file.write_text(json.dumps(manifest))


# The data set


@BOTH
def test_no_data_set(workers, tmp_path):
    refused(65, tmp_path / "run", tmp_path / "none", says=[str(tmp_path / "none"), "dataset.json", "import"], workers=workers)
    assert not (tmp_path / "run").exists()


@BOTH
def test_a_broken_manifest(workers, copy, tmp_path):
    (copy / "dataset.json").write_text((copy / "dataset.json").read_text()[:300])
    refused(65, tmp_path / "run", copy, says=[str(copy / "dataset.json")], workers=workers)


@BOTH
def test_a_task_without_train_data(workers, copy, tmp_path):
    edit_manifest(copy, lambda tasks, _: tasks["tags"]["splits"].pop("train"))
    refused(65, tmp_path / "run", copy, says=["task 'tags'", "no training samples", "run.tasks"], workers=workers)
    train(tmp_path / "run", copy, "--run.steps", 1, "--run.tasks", "topic,lines")  # the cure works


@BOTH
def test_a_task_of_0_samples(workers, copy, tmp_path):
    def empty(tasks, _):
        tasks["tags"]["splits"]["train"] = {"samples": 0, "shards": []}
    edit_manifest(copy, empty)
    refused(65, tmp_path / "run", copy, says=["task 'tags'", "no training samples", "run.tasks"], workers=workers)


@BOTH
@pytest.mark.parametrize("harm", ["flipped", "cut", "missing", "empty"])
@pytest.mark.parametrize("task", ["style", "lines"])  # on two workers each is another one's
def test_a_corrupt_shard(task, harm, workers, copy, tmp_path):
    file = shard(copy, task)
    if harm == "flipped":
        flip(file)
    elif harm == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:file.stat().st_size // 2] if harm == "cut" else b"")
    refused(65, tmp_path / "run", copy, says=[str(file)], workers=workers)
    assert status(tmp_path / "run")["state"] == "failed" and status(tmp_path / "run")["exit_code"] == 65
    assert str(file) in status(tmp_path / "run")["error"]


@BOTH
def test_a_corrupt_shard_of_valid_is_found_before_the_first_step(workers, copy, tmp_path):
    flip(shard(copy, "dictionary", "valid"))
    refused(65, tmp_path / "run", copy, says=[str(shard(copy, "dictionary", "valid"))], workers=workers)
    assert not (tmp_path / "run" / "metrics.jsonl").exists() or steps(tmp_path / "run") == []


def test_a_corrupt_shard_is_found_without_checksums(copy, tmp_path):
    """A label that the task does not have, in a shard that is correct otherwise."""
    def unstated(tasks, _):
        for info in tasks["topic"]["splits"].values():
            for part in info["shards"]:
                del part["sha256"], part["bytes"]
    edit_manifest(copy, unstated)
    with h5py.File(shard(copy, "topic", "valid"), "a") as f:
        del f["integrity"]
        f["target/label"][7] = 4
    refused(65, tmp_path / "run", copy, says=[str(shard(copy, "topic", "valid")), "/target/label", "7"], workers=1)


@BOTH
def test_a_tokenizer_that_is_missing_or_another(workers, copy, tmp_path):
    flip(copy / "tokenizer.model")
    refused(65, tmp_path / "run", copy, says=[str(copy / "tokenizer.model")], workers=workers)
    (copy / "tokenizer.model").unlink()
    refused(65, tmp_path / "run2", copy, says=[str(copy / "tokenizer.model")], workers=workers)


# The configuration


@BOTH
def test_an_unknown_key_in_the_file(workers, data, tmp_path):
    (tmp_path / "c.ini").write_text("[run]\nseed = 1\n\n[encoder]\nlayer = 2\n")
    refused(78, tmp_path / "run", data, "-c", tmp_path / "c.ini", says=["c.ini:5: [encoder] has no key 'layer'", "did you mean layers?"],
            workers=workers)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words, says", [
    (["--run.tasks", "tags,topics"], ["run.tasks", "topics", "did you mean topic?"]),
    (["--task.topics.dropout", 0.1], ["topics", "did you mean topic?"]),
    (["--mixture.batch", 3], ["mixture.batch", "3", "9 tasks"]),
    (["--encoder.dim", 30], ["encoder.dim", "30", "4"]),
    (["--mixture.kind", "explicit"], ["task.topic.rate"]),
    (["--run.steps", 0], ["run.steps", "'0'", ">= 1"]),
    (["--optimizer.lr", 0], ["optimizer.lr", "'0'", "> 0"]),
    (["--optimizer.lr", "nan"], ["optimizer.lr", "'nan'", "> 0"]),
    (["--run.dtype", "float16"], ["run.dtype", "float32, float64"]),
])
def test_values_that_cannot_be(words, says, data, tmp_path):
    refused(78, tmp_path / "run", data, *words, says=says, workers=1)
    assert not (tmp_path / "run").exists()


@BOTH
def test_a_batch_smaller_than_the_tasks(workers, data, tmp_path):
    refused(78, tmp_path / "run", data, "--mixture.batch", 3, says=["mixture.batch", "9 tasks"], workers=workers)


def test_no_gpu_is_said(data, tmp_path):
    refused(78, tmp_path / "run", data, "--run.device", "cuda", says=["cuda"], workers=1)


# A place that cannot be written


@BOTH
def test_a_run_folder_that_cannot_be_made(workers, data, tmp_path):
    (tmp_path / "file").write_text("")
    refused(73, tmp_path / "file" / "run", data, says=[str(tmp_path / "file" / "run")], workers=workers)


@BOTH
def test_a_checkpoint_that_cannot_be_written(workers, data, tmp_path):
    """A limit on the size of files is found before the first step: exit code 73, and the run can be resumed from the
    checkpoint before."""
    run_dir = tmp_path / "run"
    big = ["--encoder.dim", 96, "--run.steps", 12]  # 0.8 MB of encoder
    train(run_dir, data, *big, "--run.stop_at", 4, workers=workers)
    launcher = [word for word in command(workers=workers) if word != POLYHEAD]
    words = ["bash", "-c", "trap '' XFSZ; ulimit -f 500; exec \"$@\"", "bash", POLYHEAD, *map(str, train_words(run_dir, data, *big))]
    done = subprocess.run([*launcher, *words], env=environment(), capture_output=True, encoding="utf-8", timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 73, done.stderr
    assert "a file of a checkpoint takes" in done.stderr and "ulimit -f unlimited" in done.stderr
    assert len(steps(run_dir)) == 4
    assert survivors(run_dir) == []
    assert (status(run_dir)["state"], status(run_dir)["exit_code"]) == ("failed", 73)
    assert newest(run_dir).name == "step-000004"
    train(run_dir, data, *big, workers=workers)
    train(tmp_path / "whole", data, *big, workers=workers)
    assert status(run_dir) == status(tmp_path / "whole")


# Import


def test_a_line_is_named_even_in_a_large_file(tmp_path):
    good = json.dumps({"text": "red apples and green pears", "label": "a"}) + "\n"
    other = json.dumps({"text": "blue plums and dark grapes", "label": "b"}) + "\n"
    (tmp_path / "d.ini").write_text("[dataset]\nname = d\nvocab_size = 25\n[task.fruit]\nkind = classification\n"
                                    "train = train.jsonl\nvalid = valid.jsonl\n")
    (tmp_path / "valid.jsonl").write_text(good)
    for bad, says in ((b'{"text": "a", "label": [3]}\n', "label"), (b'{"label": "a"}\n', "text"), (b'{"text": "\xff", "label": "a"}\n', "UTF-8"),
                      (b'["a"]\n', "object"), (b'{"text": "a", "label": "a"} x\n', "JSON")):
        (tmp_path / "train.jsonl").write_bytes((good + other).encode() * 5000 + bad + good.encode() * 100)
        said = fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "out", says=["fruit", "train.jsonl", "10001", says])
        assert len(said) < 1000 and not (tmp_path / "out").exists()


# Batches made ahead


@pytest.mark.parametrize("ahead", [0, 2, 30])
def test_a_damaged_block_ends_training_at_the_step_that_first_reads_it(ahead, copy, tmp_path):
    """Whether the training thread or the prefetching thread makes the batch: the steps before it count, and the message
    is the same."""
    path = shard(copy, "lines", "train")
    with h5py.File(path) as f:
        tokens, offsets, attributes = f["input/tokens"][:], f["input/offsets"][:], dict(f.attrs)
    times = (2 << 20) // tokens.nbytes + 2  # a little more than two blocks: the third holds few samples
    lengths = np.tile(np.diff(offsets), times)
    tokens, offsets = np.tile(tokens, times), np.concatenate([[0], np.cumsum(lengths)]).astype("u8")
    with h5py.File(path, "w") as f:
        f.attrs.update(attributes | {"samples": len(lengths)})
        for name, values in (("tokens", tokens), ("offsets", offsets)):
            raw = values.tobytes()
            f[f"input/{name}"] = values
            f[f"integrity/input.{name}"] = np.array([xxhash.xxh3_64_intdigest(raw[i:i + (1 << 20)]) for i in range(0, len(raw), 1 << 20)], "u8")
        assert f["integrity/input.tokens"].shape == (3,)
        f["input/tokens"][1 << 20] ^= 1  # the third block's first

    def enlarged(tasks, _):
        train = tasks["lines"]["splits"]["train"]
        train.pop("input_tokens", None)
        train["samples"] = len(lengths)
        train["shards"] = [{"file": "lines/" + path.name, "samples": len(lengths)}]
    edit_manifest(copy, enlarged)
    options = ["--run.tasks", "lines", "--run.steps", 300, "--run.prefetch", ahead]
    done = train(tmp_path / "run", copy, *options, code=65)
    assert re.search(rf"{path}: /input/tokens differs from its checksum in block 2 of 1 MiB", done.stderr), done.stderr
    assert status(tmp_path / "run")["exit_code"] == 65
    made = [line["step"] for line in steps(tmp_path / "run")]
    assert made == list(range(1, len(made) + 1)) and 0 < len(made) < 300
    # Unchecked, the run is the same and goes on; the damaged block is first read in the step after.
    train(tmp_path / "unchecked", copy, *options, "--run.verify_data", "off", "--run.stop_at", len(made) + 1)
    assert [line["loss"] for line in steps(tmp_path / "unchecked")[:-1]] == [line["loss"] for line in steps(tmp_path / "run")]
