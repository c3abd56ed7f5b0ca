"""Five files in the forms that users have, imported without changes and trained together: reviews.csv with a header,
SST-2 in JSON Lines, CoNLL-2003 columns, SNLI's TSV, and parallel text in an archive."""

import bz2
import csv
import gzip
import json
import random

import h5py
import pytest

from import_formats_test import texts, write
from program import run, steps, train

RNG = random.Random(11)
GOOD, BAD, THINGS = ["great", "lovely", "bright"], ["dull", "broken", "slow"], ["film", "phone", "book, the second one", 'so-called "gift"']


def opinion():
    good = RNG.random() < 0.5
    return f"a {RNG.choice(GOOD if good else BAD)} {RNG.choice(THINGS)} indeed", good


def reviews(folder):
    with open(folder / "reviews.csv", "w", newline="", encoding="utf-8-sig") as file:  # as a spreadsheet saves it
        table = csv.writer(file)
        table.writerow(["id", "Review", "Sentiment"])
        for i in range(120):
            text, good = opinion()
            table.writerow([i, text, "positive" if good else "negative"])


def sst2(folder):
    for split, count in (("train", 100), ("validation", 20)):
        with open(folder / f"sst2-{split}.jsonl", "w") as file:
            for i in range(count):
                text, good = opinion()
                file.write(json.dumps({"sentence": text, "label": int(good), "idx": i}) + "\n")


def conll(folder, name, count):
    """Sentences in IOB1, the scheme of the original CoNLL-2003 files, and their words and BIO tags, computed without
    the program."""
    expected, content = [], "-DOCSTART- -X- O O\n\n"
    for i in range(count):
        if i % 7 == 6:
            content += "-DOCSTART- -X- O O\n\n"
        entities = [("Maria", "PER"), ("Rossi", "PER"), None, ("Turin", "LOC"), None]
        words, tags, before = [], [], "O"
        for entity in entities[: RNG.randint(2, 5)]:
            word, kind = entity or (RNG.choice(["works", "in", "#", "."]), None)
            content += f"{word} NN B-NP {'I-' + kind if kind else 'O'}\n"
            words.append(word)
            tags.append("O" if kind is None else ("I-" if before[2:] == kind else "B-") + kind)
            before = tags[-1]
        content += "\n"
        expected.append((" ".join(words), " ".join(tags)))
    (folder / name).write_text(content)
    return expected


def snli(folder):
    header = ["gold_label", "sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse", "sentence2_parse", "sentence1", "sentence2",
              "captionID", "pairID", "label1", "label2", "label3", "label4", "label5"]
    left_out = 0
    with open(folder / "snli_1.0_train.txt", "w") as file:
        file.write("\t".join(header) + "\n")
        for i in range(90):
            label = RNG.choice(["entailment", "neutral", "contradiction", "-"])
            left_out += label == "-"
            one, two = f"A man {RNG.choice(['sits', 'runs'])} {i}.", f'A "man" {RNG.choice(["rests", "moves"])}.'
            file.write("\t".join([label, "( A man )", "( A man )", "(ROOT (NP))", "(ROOT (NP))", one, two, f"{i}.jpg#0", f"{i}.jpg#0r1n", *[label] * 5]) + "\n")
    return left_out


def parallel(folder):
    pairs = [(f"the {a} house number {i}", f"la casa {b} numero {i}") for i in range(40) for a, b in (("red", "rossa"), ("old", "vecchia"))]
    (folder / "books.en-it.en.gz").write_bytes(gzip.compress("".join(en + "\n" for en, _ in pairs).encode()))
    (folder / "books.en-it.it.gz").write_bytes(gzip.compress("".join(it + "\n" for _, it in pairs).encode()))
    return pairs


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    reviews(folder)
    sst2(folder)
    left_out, pairs = snli(folder), parallel(folder)
    sentences = [conll(folder, "eng.train", 60), conll(folder, "eng.testa", 20)][1]
    write(folder, {
        "reviews": {"kind": "classification", "train": "reviews.csv", "valid_share": 0.1, "test_share": 0.1},
        "sst2": {"kind": "classification", "train": "sst2-train.jsonl", "valid": "sst2-validation.jsonl"},
        "ner": {"kind": "tagging", "format": "conll", "train": "eng.train", "valid": "eng.testa"},
        "snli": {"kind": "classification", "format": "tsv", "train": "snli_1.0_train.txt", "valid_share": 0.2},
        "en-it": {"kind": "translation", "format": "text", "train": "books.en-it.en.gz", "train_target": "books.en-it.it.gz", "valid_share": 0.2},
    })
    done = run("import", "-c", folder / "d.ini", "--out", folder / "data")
    assert done.returncode == 0, done.stderr
    return folder, done.stderr, left_out, sentences, pairs


def test_five_files_import_without_an_edit(people):
    folder, errors, left_out, sentences, pairs = people
    manifest = json.loads((folder / "data" / "dataset.json").read_text())
    tasks = {task["name"]: task for task in manifest["tasks"]}
    samples = {name: {split: info["samples"] for split, info in task["splits"].items()} for name, task in tasks.items()}
    assert sum(samples["reviews"].values()) == 120 and all(samples["reviews"].values()) and len(samples["reviews"]) == 3
    assert samples["sst2"] == {"train": 100, "valid": 20} and samples["ner"] == {"train": 60, "valid": 20}
    assert sum(samples["snli"].values()) == 90 - left_out and sum(samples["en-it"].values()) == 80
    assert tasks["reviews"]["labels"] == ["negative", "positive"]
    assert tasks["snli"]["labels"] == ["contradiction", "entailment", "neutral"]
    assert tasks["ner"]["labels"] == ["B-LOC", "B-PER", "I-PER", "O"]
    for text in ("task 'reviews': took columns = text:Review, label:Sentiment", "task 'sst2': took columns = text:sentence, label:label",
                 "task 'snli': took columns = text:sentence1, second:sentence2, label:gold_label",
                 f"samples without a label, which are left out: {left_out} of 90", "in the scheme IOB1", "fewer than vocab_size = 16,000"):
        assert text in errors, errors
    with h5py.File(folder / "data" / tasks["ner"]["splits"]["valid"]["shards"][0]["file"]) as file:
        assert list(zip(texts(file, "input"), texts(file, "target"))) == sentences
    with h5py.File(folder / "data" / tasks["en-it"]["splits"]["valid"]["shards"][0]["file"]) as file:
        assert set(zip(texts(file, "input"), texts(file, "target"))) < set(pairs)


def test_and_train_together(people):
    folder = people[0]
    train(folder / "run", folder / "data", "--run.steps", 20, "--mixture.batch", 30)
    assert len(steps(folder / "run")) == 20
    assert {task for step in steps(folder / "run") for task in step["loss"]} == {"reviews", "sst2", "ner", "snli", "en-it"}


def test_the_same_in_other_wrappings(people):
    """Another archive, a JSON array and a pattern give the same samples and shards."""
    folder = people[0]
    rows = [json.loads(line) for line in (folder / "sst2-train.jsonl").read_text().splitlines()]
    (folder / "array.json").write_text(json.dumps(rows))
    (folder / "part-1.jsonl.bz2").write_bytes(bz2.compress("".join(json.dumps(one) + "\n" for one in rows[:50]).encode()))
    (folder / "part-2.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows[50:]))
    found = []
    for value in ("sst2-train.jsonl", "array.json", "part-*.jsonl*"):
        (folder / "one.ini").write_text(f"[dataset]\nname = x\n[task.t]\nkind = classification\ntrain = {value}\n")
        done = run("import", "-c", folder / "one.ini", "--out", folder / f"data-{len(found)}")
        assert done.returncode == 0, done.stderr
        found.append([file.read_bytes() for file in sorted((folder / f"data-{len(found)}").rglob("*.h5"))])
    assert found[0] == found[1] == found[2]
