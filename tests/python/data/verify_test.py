"""`polyhead verify` names what breaks the format with file, place and cure, also if libhdf5 itself would crash. Also
--rehash, --json, and a run's checkpoints."""

import json
import os
import shutil

import h5py
import pytest

from program import fails, flip, newest, run, shard, train
from shards_test import BROKEN, write_manifest


def verify(folder, *more, code=0, timeout=60):
    done = run("verify", "--data", folder, "--json", *more, timeout=timeout)
    assert done.returncode == code, (done.returncode, done.stderr)
    paragraphs = [line for line in done.stderr.splitlines() if line]
    assert len(paragraphs) == (code != 0), done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] == (code == 0) == (found["faults"] == [])
    return found


@pytest.fixture
def copy(data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    return tmp_path / "data"


def edit_manifest(folder, change):
    manifest = json.loads((folder / "dataset.json").read_text())
    change(manifest)
    (folder / "dataset.json").write_text(json.dumps(manifest))


def unstated(folder):
    """Removes bytes and sha256 from the manifest, so that only the shards' content is checked."""
    def change(manifest):
        for task in manifest["tasks"]:
            for split in task["splits"].values():
                for part in split["shards"]:
                    part.pop("bytes", None), part.pop("sha256", None)
    edit_manifest(folder, change)


def test_a_whole_data_set(data):
    done = run("verify", "--data", data)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    rows = [line.split() for line in lines[2:] if line.endswith(" ok")]
    assert {(row[0], row[1]) for row in rows} >= {("topic", "train"), ("tags", "valid"), ("lines", "test")}
    assert "every hash and every rule of the format holds" in lines[-1]
    assert not any("warning" in line for line in lines) and max(map(len, lines[:-1])) <= 120
    found = verify(data)
    assert found["warnings"] == [] and not found["rehashed"]
    manifest = json.loads((data / "dataset.json").read_text())
    assert {(s["file"], s["samples"], s["bytes"]) for s in found["shards"]} == {
        (s["file"], s["samples"], s["bytes"]) for t in manifest["tasks"] for p in t["splits"].values() for s in p["shards"]}


def test_every_broken_rule_is_named_with_its_file(tmp_path):
    """All broken files of shards_test are shards of one data set. Each is reported as a separate fault."""
    kinds, wanted = {}, {}
    for number, (name, (build, words)) in enumerate(BROKEN.items()):
        part = tmp_path / f"part{number}"
        build(part)
        for task in json.loads((part / "dataset.json").read_text())["tasks"]:
            for one in task["splits"]["train"]["shards"]:
                one["file"] = f"{part.name}/{one['file']}"
                wanted[one["file"]] = words
                kinds.setdefault(task["name"], task | {"splits": {"train": {"shards": []}}})["splits"]["train"]["shards"].append(one)
    write_manifest(tmp_path, [])
    shutil.copy(tmp_path / "dataset.json", tmp_path / "none")  # no tokenizer either
    edit_manifest(tmp_path, lambda manifest: manifest.update(tasks=list(kinds.values())))
    found = verify(tmp_path, "--threads", 2, code=65)
    assert "none" in found["faults"][0]
    faults = {one["file"]: one.get("fault", "") for one in found["shards"]}
    assert faults.keys() == wanted.keys() and len(faults) > 50
    for file, words in wanted.items():
        assert words in faults[file] and str(tmp_path / file) in faults[file], (file, words, faults[file])
        assert "import the data set again" in faults[file]


def test_the_first_fault_is_the_error_and_the_others_are_listed(copy):
    flip(shard(copy, "style"))
    flip(shard(copy, "lines", "valid"))
    done = run("verify", "--data", copy)
    assert done.returncode == 65
    assert str(shard(copy, "style")) in done.stderr and "SHA-256" in done.stderr and "2 faults in all" in done.stderr
    assert done.stderr.count("\n") == 1
    assert f"fault: shard {shard(copy, 'lines', 'valid')}" in done.stdout and "1 of 1 at fault" in done.stdout


def test_the_hash_is_compared_before_the_file_is_parsed(copy):
    file = shard(copy, "style")
    file.write_bytes(os.urandom(file.stat().st_size))
    assert "SHA-256" in verify(copy, code=65)["faults"][0]


def test_what_only_the_whole_shows(copy):
    def change(manifest):
        tasks = {task["name"]: task for task in manifest["tasks"]}
        tasks["topic"]["splits"]["train"]["input_tokens"] += 1
        twice = tasks["style"]["splits"]["valid"]
        twice["samples"] *= 2
        twice["shards"] *= 2
        del twice["input_tokens"]
    edit_manifest(copy, change)
    faults = verify(copy, code=65)["faults"]
    assert len(faults) == 2 and all(str(copy / "dataset.json") in fault for fault in faults)
    assert "task style, valid: lists the shard style/valid-00000-of-00001.h5" in faults[0]
    assert "task topic, train: says input_tokens" in faults[1]


def test_warnings(copy, tmp_path):
    (copy / "topic" / "train-00000-of-00001.h5.tmp").write_bytes(b"left over")
    outside = tmp_path / "outside.h5"
    shard(copy, "style").rename(outside)
    shard(copy, "style").symlink_to(outside)
    unstated(copy)
    with h5py.File(shard(copy, "lines"), "r+") as f:
        del f["integrity"]
        f["input/tokens"][0] = 4
    warnings = verify(copy)["warnings"]
    assert len(warnings) == 3
    assert str(outside) in warnings[0] and "outside" in warnings[0]
    assert warnings[1] == "dataset.json does not list topic/train-00000-of-00001.h5.tmp"
    assert "lines/train-00000-of-00001.h5: 1 of 300 inputs are not 'bos … eos'" == warnings[2]


def test_the_tokenizer(copy):
    flip(copy / "tokenizer.model")
    assert str(copy / "tokenizer.model") in verify(copy, code=65)["faults"][0]


@pytest.mark.parametrize("harm", ["pipe", "folder", "missing"])
def test_what_is_no_file(harm, copy):
    file = shard(copy, "style")
    file.unlink()
    os.mkfifo(file) if harm == "pipe" else file.mkdir() if harm == "folder" else None
    fault, = verify(copy, code=65)["faults"]
    assert str(file) in fault and ("cannot open" in fault if harm == "missing" else "no regular file" in fault)


def test_rehash_writes_what_was_changed_on_purpose_and_nothing_else(copy):
    edit_manifest(copy, lambda manifest: manifest.update({"mine": {"kept": [1, 2.5, "é"]}}))
    before = json.loads((copy / "dataset.json").read_text())
    file = shard(copy, "style")
    with h5py.File(file, "r+") as f:
        f.attrs["note"] = "by hand"
    verify(copy, code=65)
    assert verify(copy, "--rehash")["rehashed"]
    after = json.loads((copy / "dataset.json").read_text())
    assert verify(copy)["ok"] and after != before
    for manifest in (before, after):
        for task in manifest["tasks"]:
            for part in task["splits"]["train"]["shards"]:
                if task["name"] == "style":
                    del part["bytes"], part["sha256"]
    assert after == before
    # Not while anything else is wrong.
    with h5py.File(file, "r+") as f:
        f["target/label"][0] = 99
    text = (copy / "dataset.json").read_text()
    assert not verify(copy, "--rehash", code=65)["rehashed"]
    assert (copy / "dataset.json").read_text() == text


def test_a_run(data, tmp_path):
    train(tmp_path / "run", data, "--run.steps", 4, "--run.checkpoint_every", 2, "--run.tasks", "topic,style")
    done = run("verify", "--run-dir", tmp_path / "run")
    assert done.returncode == 0 and done.stdout.count("every hash holds") == 2, done
    flip(newest(tmp_path / "run") / "head.topic.safetensors")
    done = run("verify", "--run-dir", tmp_path / "run", "--data", data, "--json")
    assert done.returncode == 65 and "head.topic.safetensors" in done.stderr
    found = json.loads(done.stdout)
    assert found["checkpoints"] == ["step-000002"] and len(found["faults"]) == 1
    fails(65, "verify", "--run-dir", tmp_path, says=[str(tmp_path), "no checkpoint"])


def test_usage(data, tmp_path):
    fails(2, "verify", says=["--data", "--run-dir"])
    fails(2, "verify", "--run-dir", tmp_path, "--rehash", says=["--rehash"])
    done = run("verify", "--data", tmp_path)
    assert done.returncode == 65 and "no dataset.json" in done.stderr and done.stdout == ""
    assert "no dataset.json" in verify(tmp_path, code=65)["faults"][0]
