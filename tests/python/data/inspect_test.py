"""`polyhead inspect`: its counts are those of the texts, and its tables have the right form."""

import collections
import json

import numpy as np
import pytest
import sentencepiece

from program import EVERY_KIND, fails, run


def inspect(data, *more):
    done = run("inspect", "--data", data, *more)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def rows(planted, task, split):
    return [json.loads(line) for line in (planted / "jsonl" / f"{task}.{split}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def found(every_kind):
    return json.loads(inspect(every_kind, "--json", "--split", "all", "--samples", 5))


@pytest.fixture(scope="module")
def spm(data):
    return sentencepiece.SentencePieceProcessor(model_file=str(data / "tokenizer.model"))


def test_counts_and_tasks(found, every_kind):
    manifest = json.loads((every_kind / "dataset.json").read_text())
    assert {name: task["kind"] for name, task in found["tasks"].items()} == EVERY_KIND
    for task in manifest["tasks"]:
        for split, info in task["splits"].items():
            told = found["tasks"][task["name"]]["splits"][split]
            assert {key: told[key] for key in ("samples", "input_tokens", "target_tokens")} == {
                key: info[key] for key in ("samples", "input_tokens", "target_tokens")}
            assert told["looked_at"] == info["samples"] and sum(told["input_lengths"]["bins"]) == info["samples"]


def test_lengths_are_those_of_the_texts(found, planted, spm):
    lengths = np.array([len(spm.encode(row["text"])) + 2 for row in rows(planted, "topic", "train")])
    told = found["tasks"]["topic"]["splits"]["train"]["input_lengths"]
    assert (told["min"], told["max"]) == (lengths.min(), lengths.max())
    assert told["mean"] == pytest.approx(lengths.mean())
    for key, share in (("median", 50), ("p90", 90), ("p99", 99)):
        assert told[key] == np.percentile(lengths, share, method="inverted_cdf")
    assert sum(told["bins"]) == 300 and len(told["bins"]) <= 40


def test_labels_and_tags_are_counted(found, planted):
    labels = collections.Counter(row["label"] for row in rows(planted, "topic", "train"))
    told = found["tasks"]["topic"]["splits"]["train"]["labels"]
    assert dict(map(tuple, told)) == labels and [count for _, count in told] == sorted(labels.values(), reverse=True)
    tags = collections.Counter(tag for row in rows(planted, "tags", "train") for tag in row["tags"])
    assert dict(map(tuple, found["tasks"]["tags"]["splits"]["train"]["labels"])) == tags


def test_samples_are_decoded(found, planted):
    for task, kind in EVERY_KIND.items():
        texts = found["tasks"][task]["splits"]["train"]["texts"]
        assert [text["index"] for text in texts] == [0, 60, 120, 180, 240]
        for text in texts:
            row = rows(planted, task, "train")[text["index"]]
            if kind == "tagging":
                assert text["target"].split() == [f"{word}/{tag}" for word, tag in zip(row["words"], row["tags"])]
                continue
            if kind == "span":
                assert (text["input"], text["second"], text["target"]) == (row["question"], row["text"], row["text"][row["start"]:row["end"]])
                continue
            assert text["input"] == (row["text"] if "text" in row else f"{len(row['features'])} vectors of 4 numbers")
            if kind in ("classification", "translation", "masked_lm"):
                assert text.get("target") == {"classification": row.get("label"), "translation": row.get("target")}.get(kind)


def test_for_a_person(data):
    text = inspect(data)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    for words in ("topic: classification", "median", "90 % ≤", "labels", "#150", "→", "█"):
        assert words in text, text
    assert inspect(data, "--task", "tags,lines", "--samples", 0).count("#") == 0
    one = json.loads(inspect(data, "--task", "lines", "--split", "valid", "--json"))
    assert set(one["tasks"]) == {"lines"}
    assert "texts" in one["tasks"]["lines"]["splits"]["valid"] and "texts" not in one["tasks"]["lines"]["splits"]["train"]


def test_wrong_words(data, tmp_path):
    fails(2, "inspect", says=["--data"])
    fails(65, "inspect", "--data", tmp_path, says=["no dataset.json"])
    fails(78, "inspect", "--data", data, "--task", "topics", says=["topics", "did you mean topic?"])
