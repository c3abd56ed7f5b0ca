"""Training on files that an attacker made ends with code 65 and one paragraph that names the file. Nothing hangs,
crashes or reads outside of the file."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest

from program import fails, flip, shard, survivors, train_words
from shards_test import attribute, external_storage, huge_and_contiguous, rebuild, relink, retype, variable_length


@pytest.fixture
def copy(data, tmp_path):
    """A copy of the data set that a test may damage, without sizes and hashes, as the attacker also writes the
    manifest."""
    shutil.copytree(data, tmp_path / "data")
    edit(tmp_path / "data", lambda part: (part.pop("bytes"), part.pop("sha256")))
    return tmp_path / "data"


def edit(folder, change):
    """Applies `change` to the manifest's entry of every shard."""
    manifest = json.loads((folder / "dataset.json").read_text())
    for task in manifest["tasks"]:
        for split in task["splits"].values():
            for part in split["shards"]:
                change(part)
    (folder / "dataset.json").write_text(json.dumps(manifest))


def refused(folder, *says):
    said = fails(65, *train_words(folder.parent / "run", folder, "--run.steps", 5), says=says)
    assert survivors(folder.parent / "run") == []
    assert len(said) < 1500 and "root:" not in said and "internal" not in said and "\x1b" not in said
    return said


def bomb(name, dtype, size):
    def change(f, folder):
        del f[name]
        f.create_dataset(name, (size,), dtype, chunks=(1 << 20,), compression="gzip")
    return change


def set_to(name, index, value):
    return lambda f, folder: f[name].__setitem__(index, value)


HARMS = {
    "external link": (relink("target/label", h5py.ExternalLink("/etc/passwd", "/x")), "external link"),
    "soft link": (relink("target/label", h5py.SoftLink("/elsewhere")), "/target/label is a soft link"),
    "soft link on the way": (relink("target", h5py.SoftLink("/elsewhere")), "/target is a soft link"),
    "external storage": (external_storage, "external storage"),
    "unknown filter": (rebuild("target/label", chunks=True, compression="lzf"), "lzf"),
    "variable length": (variable_length, "another type than u32"),
    "compound": (retype("target/label", np.zeros(300, [("a", "u2"), ("b", "u2")])), "another type than u32"),
    "bomb": (bomb("input/tokens", "u2", 1 << 40), "/input/tokens declares"),
    "huge and contiguous": (huge_and_contiguous, "stores none"),
    "offsets decrease": (set_to("input/offsets", 7, 1 << 60), "/input/offsets decreases at sample 7"),
    "offsets start late": (set_to("input/offsets", 0, 1), "/input/offsets starts at 1"),
    "offsets end elsewhere": (set_to("input/offsets", 300, 1 << 60), "/input/offsets reaches"),
    "id out of range": (set_to("input/tokens", 5, 65535), "the id 65535 at 5"),
    "label out of range": (set_to("target/label", 9, 4_000_000_000), "of sample 9 is 4000000000"),
    "negative samples": (attribute("samples", -1), "'samples' is negative"),
    "escape sequences": (attribute("task", np.bytes_(b"\xff\x1b[31mred")), "'task' is '\ufffd\ufffd[31mred'"),
    "an odd attribute": (attribute("task", 3.5), "'task' is not a string"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_training_refuses(harm, copy):
    change, says = HARMS[harm]
    with h5py.File(shard(copy, "topic"), "r+") as f:
        del f["integrity"]
        change(f, copy)
    refused(copy, str(shard(copy, "topic")), says)


@pytest.mark.parametrize("cut", [100, 3000, 20000])
def test_training_refuses_a_file_that_was_cut(cut, copy):
    file = shard(copy, "topic")
    file.write_bytes(file.read_bytes()[:-cut])
    refused(copy, str(file))


def test_training_refuses_a_pipe_instead_of_waiting(copy):
    file = shard(copy, "topic")
    file.unlink()
    os.mkfifo(file)
    refused(copy, str(file))


def test_a_manifest_that_claims_more(copy):
    """Both the manifest and the shard say that there are 10^9 samples."""
    with h5py.File(shard(copy, "topic"), "r+") as f:
        attribute("samples", 10**9)(f, copy)
    manifest = json.loads((copy / "dataset.json").read_text())
    task, = [task for task in manifest["tasks"] if task["name"] == "topic"]
    split = task["splits"]["train"]
    split["samples"] = split["shards"][0]["samples"] = 10**9
    (copy / "dataset.json").write_text(json.dumps(manifest))
    refused(copy, str(shard(copy, "topic")), "expected samples + 1 = 1000000001")


@pytest.mark.parametrize("content, says", [
    (b'{"a":' * 100_000, "is not JSON"),
    (b"[" * 1_000_000 + b"]" * 1_000_000, "is not an object"),
    (b'{"format": "\xff\xfe"}', "is not JSON"),
    (b"", "is not JSON"),
    (b'{"format": "polyhead-dataset", "version": 1e400}', "is not JSON"),
    (b'{"format": "polyhead-dataset", "version": 18446744073709551617}', "'version' that is not a whole number"),
    (b'{"format": "polyhead-dataset", "version": 1, "name": "x", "tokenizer": null}', "tokenizer is not an object"),
], ids=["nested objects", "nested arrays", "no UTF-8", "empty", "a number too large", "an integer too large", "null"])
def test_manifests_of_a_stranger(content, says, copy):
    (copy / "dataset.json").write_bytes(content)
    refused(copy, str(copy / "dataset.json"), says)


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.h5", "topic/../../secret.h5", "topic/\0.h5"])
def test_no_shard_lies_outside(path, copy):
    (copy.parent / "secret.h5").write_bytes(shard(copy, "topic").read_bytes())
    edit(copy, lambda part: part.update(file=path))
    refused(copy, str(copy / "dataset.json"), "does not lie inside")


# One bit


@pytest.mark.parametrize("mode", ["blocks", "open"])
@pytest.mark.parametrize("task, path", [
    ("topic", "input/tokens"), ("topic", "input/offsets"), ("topic", "target/label"), ("tags", "target/tags"),
    ("dictionary", "target/tokens"), ("dictionary", "target/offsets"), ("topic", "integrity/input.tokens"),
])
def test_training_finds_a_flipped_bit_in_what_it_reads(task, path, mode, data, tmp_path):
    """The manifest has the shard's hash. If it is not compared, the block's checksum is, when the block is first
    read."""
    shutil.copytree(data, tmp_path / "data")
    file = shard(tmp_path / "data", task)
    with h5py.File(file) as f:
        flip(file, f[path].id.get_offset() + f[path].id.get_storage_size() // 2)
    said = fails(65, *train_words(tmp_path / "run", tmp_path / "data", "--run.steps", 30, "--run.tasks", task, "--run.verify_data", mode),
                 says=[str(file), "SHA-256" if mode == "open" else f"/{path.replace('integrity/input.', 'input/')} "])
    assert mode == "open" or "checksum in block 0" in said
