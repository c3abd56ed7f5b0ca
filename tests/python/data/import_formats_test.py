"""Import from every format reads the same as Python's csv module, the package conllu and h5py, and writes the same
bytes on any number of threads. examples/formats is imported and trained on."""

import csv
import json
import random
import signal
import subprocess
import time

import conllu
import h5py
import numpy as np
import pytest

from program import ROOT, command, environment, fails, run, steps, train

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write(folder, tasks, dataset=""):
    """Writes an import description with a section for each task."""
    text = f"[dataset]\nname = x\n{dataset}\n"
    for name, keys in tasks.items():
        text += f"[task.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
    (folder / "d.ini").write_text(text, encoding="utf-8")
    return folder / "d.ini"


def imported(folder, tasks, dataset="", *more, out="data"):
    done = run("import", "-c", write(folder, tasks, dataset), "--out", folder / out, *more)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / out / "dataset.json").read_text())


def shards(folder, manifest, task, split="train"):
    about = next(one for one in manifest["tasks"] if one["name"] == task)
    return [h5py.File(folder / "data" / shard["file"]) for shard in about["splits"][split]["shards"]]


def texts(file, group):
    flat, offsets = file[f"{group}/text"][()].tobytes(), file[f"{group}/text_offsets"][()]
    return [flat[a:b].decode() for a, b in zip(offsets, offsets[1:])]


def test_csv_reads_as_pythons_module_does(tmp_path):
    rng = random.Random(4)
    words = ["a,b", 'say "yes"', "two\nlines", "crlf\r\nhere", "plain", '"', ",,", "'", "é ü", "tab\there", " padded "]
    rows = [[" ".join(rng.choice(words) for _ in range(rng.randint(1, 5))) + "x", rng.choice(words) + "y"] for _ in range(500)]
    for ending in ("\r\n", "\n"):
        with open(tmp_path / "train.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator=ending, quoting=csv.QUOTE_MINIMAL).writerows([["text", "target"], *rows])
        manifest = imported(tmp_path, {"t": {"kind": "translation", "train": "train.csv", "valid": "train.csv"}}, "vocab_size = 40",
                            out=f"data{len(ending)}")
        (tmp_path / "data").unlink(missing_ok=True)
        (tmp_path / "data").symlink_to(f"data{len(ending)}")
        with open(tmp_path / "train.csv", newline="", encoding="utf-8") as file:
            expected = list(csv.reader(file, strict=True))[1:]
        assert expected == rows
        (file,) = shards(tmp_path, manifest, "t", "valid")
        assert texts(file, "input") == [text for text, _ in rows]
        assert texts(file, "target") == [target for _, target in rows]


@pytest.mark.parametrize("column", ["upos", "xpos"])
def test_conllu_reads_as_the_package_does(tmp_path, column):
    rng = random.Random(5)
    forms = ["casa", "è", "1 000", "«", "_", "Über", "#x"]
    content = ""
    for i in range(200):
        content += f"# sent_id = {i}\n# text = …\n" if i % 3 else ""
        for word in range(1, rng.randint(2, 12)):
            row = [rng.choice(forms), "_", rng.choice(["NOUN", "VERB", "X"]), rng.choice(["S", "V"]), "_", "0", "_", "_", "_"]
            if rng.random() < 0.2:
                content += "\t".join([f"{word}-{word + 1}", "ab", *"________"]) + "\n"
            content += "\t".join([str(word), *row]) + "\n"
            if rng.random() < 0.1:
                content += "\t".join([f"{word}.1", *row]) + "\n"
        content += "\n"
    (tmp_path / "train.conllu").write_text(content, encoding="utf-8")
    manifest = imported(tmp_path, {"t": {"kind": "tagging", "train": "train.conllu", "valid": "train.conllu", "tag_column": column}},
                        "vocab_size = 25\nmax_length = 200")
    expected = [[(token["form"], token[column]) for token in sentence if isinstance(token["id"], int)] for sentence in conllu.parse(content)]
    (file,) = shards(tmp_path, manifest, "t", "valid")
    assert texts(file, "input") == [" ".join(form.replace(" ", "\u00a0") for form, _ in sentence) for sentence in expected]
    assert texts(file, "target") == [" ".join(tag for _, tag in sentence) for sentence in expected]
    tags = file["target/tags"][()]
    assert [manifest["tasks"][0]["labels"][tag] for tag in tags[tags != 65535]] == [tag for sentence in expected for _, tag in sentence]


def test_vectors(tmp_path):
    rng = np.random.default_rng(6)
    samples = [{"features": rng.normal(size=(rng.integers(1, 30), 3)).astype("f4").astype(float).tolist(), "value": float(i)} for i in range(50)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    manifest = imported(tmp_path, {"t": {"kind": "regression", "train": "train.jsonl"}}, "max_length = 20\nshard_size = 2000")
    assert manifest["tasks"][0]["features"] == 3
    assert manifest["tokenizer"]["vocab_size"] == 5
    assert (tmp_path / "data" / "vocab.txt").read_text().split() == SPECIAL
    at = 0
    for file in shards(tmp_path, manifest, "t"):
        assert "tokens" not in file["input"]
        offsets = file["input/offsets"][()].astype(int)
        assert file["input/features"].shape == (offsets[-1], 3) and file["input/features"].dtype == "f4"
        for a, b in zip(offsets, offsets[1:]):
            assert np.array_equal(file["input/features"][a:b], np.array(samples[at]["features"][:20], "f4"))
            at += 1
    assert at == len(samples)


@pytest.mark.parametrize("vocab", [40, 70_000])
def test_chunked_shards(tmp_path, vocab):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL, *map(str, range(vocab - 5))]) + "\n")
    (tmp_path / "train.txt").write_text("".join(f"{i % 30} {i % 7}\n" for i in range(60_000)))
    task = {"t": {"kind": "masked_lm", "train": "train.txt"}}
    dataset = "tokenizer = wordpiece\nvocab = vocab.txt\n"
    imported(tmp_path, task, dataset, out="plain")
    manifest = imported(tmp_path, task, dataset + "storage = chunked\ncompression = deflate\ncompression_level = 4\nshuffle = true\nfletcher32 = true")
    (file,) = shards(tmp_path, manifest, "t")
    tokens = file["input/tokens"]
    assert tokens.dtype == ("u2" if vocab <= 65536 else "u4")
    assert (tokens.compression, tokens.compression_opts, tokens.shuffle, tokens.fletcher32) == ("gzip", 4, True, True)
    assert tokens.chunks[0] * tokens.dtype.itemsize == 256 << 10
    with h5py.File(tmp_path / "plain" / "t" / "train-00000-of-00001.h5") as plain:
        assert plain["input/tokens"].chunks is None
        for name in ("input/tokens", "input/offsets", "integrity/input.tokens"):
            assert np.array_equal(file[name][()], plain[name][()])
    write(tmp_path, task, dataset + "shuffle = true")
    fails(78, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["dataset.shuffle = true", "no effect without dataset.storage = chunked"])


def test_the_same_bytes_on_any_number_of_threads(tmp_path, planted):
    description = planted / "jsonl" / "synthetic.ini"
    for threads in (1, 3):
        done = run("import", "-c", description, "--out", tmp_path / str(threads), "--threads", threads, "--dataset.shard_size", 3000)
        assert done.returncode == 0, done.stderr
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path / "3") for path in (tmp_path / "3").rglob("*") if path.is_file())
    assert len(files) > 20
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "3" / file).read_bytes(), file


def test_the_examples_train(tmp_path):
    done = run("import", "-c", ROOT / "examples" / "formats" / "formats.ini", "--out", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert {task["name"]: task["splits"]["train"]["samples"] for task in manifest["tasks"]} == {
        "weather": 6, "kitchen": 4, "distance": 4, "en-it": 5, "notes": 5, "words": 3, "reviews": 4, "entailment": 3, "names": 2, "questions": 4,
        "phrases": 3, "answers": 4, "calendar": manifest["tasks"][-1]["splits"]["train"]["samples"]}
    assert sum(split["samples"] for split in manifest["tasks"][-1]["splits"].values()) == 33
    train(tmp_path / "run", tmp_path / "data", "--run.steps", 2, "--mixture.batch", 40)
    assert set(steps(tmp_path / "run")[-1]["loss"]) == {task["name"] for task in manifest["tasks"]}


def test_append_from_the_command_line(tmp_path):
    (tmp_path / "a.txt").write_text("a b c\nd e f\n" * 9 + "g h i j\n")
    (tmp_path / "b.txt").write_text("c b a\n")
    imported(tmp_path, {"a": {"kind": "masked_lm", "train": "a.txt"}}, "vocab_size = 16")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "data").rglob("*.*") if path.name != "dataset.json"}
    manifest = imported(tmp_path, {"a": {"kind": "masked_lm", "train": "b.txt"}, "b": {"kind": "masked_lm", "train": "b.txt"}}, "", "--append")
    assert [task["splits"]["train"]["samples"] for task in manifest["tasks"]] == [20, 1]
    assert all((path.read_bytes(), path.stat().st_mtime_ns) == content for path, content in before.items())
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data", "--append", says=["task 'a'", "in the data set already"])
    assert json.loads((tmp_path / "data" / "dataset.json").read_text()) == manifest
    write(tmp_path, {"c": {"kind": "masked_lm"}})
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data", "--append", says=["'c' has no train data"])


def test_a_killed_append_leaves_the_data_set_as_it_was(tmp_path):
    (tmp_path / "a.txt").write_text("a b c\nd e f\n" * 9 + "g h i j\n")
    (tmp_path / "b.txt").write_text("".join(f"a {i} b\n" for i in range(200_000)))
    before = imported(tmp_path, {"a": {"kind": "masked_lm", "train": "a.txt"}}, "vocab_size = 16")
    write(tmp_path, {"a": {"kind": "masked_lm", "train": "b.txt"}}, "shard_size = 20000")
    words = command("import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data", "--append")
    staging = tmp_path / "data" / ".importing"
    with subprocess.Popen(words, env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(staging.rglob("*.h5")):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and staging.exists()
    assert json.loads((tmp_path / "data" / "dataset.json").read_text()) == before
    assert run("verify", "--data", tmp_path / "data").returncode == 0
    done = run(*words[1:])
    assert done.returncode == 0, done.stderr
    assert not staging.exists()
    after = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert after["tasks"][0]["splits"]["train"]["samples"] == 200_019
    assert len(after["tasks"][0]["splits"]["train"]["shards"]) > 10
