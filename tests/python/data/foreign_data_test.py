"""A data set that h5py wrote by the specification of the format is trained on unchanged, in any layout that the
specification allows, and gives the same results as our own import of the same texts."""

import json
import shutil

import h5py
import numpy as np
import pytest
import sentencepiece

from program import EVERY_KIND, log, run, status, steps, train

OPTIONS = ["--run.steps", 12, "--run.eval_every", 6]
# What h5py may do with every dataset of a shard.
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "gzip": {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True},
}


def ragged(name, sequences, kind):
    return {name + "tokens" if kind != "u1" else name + "text": np.concatenate([np.asarray(s, kind) for s in sequences]),
            name + "offsets" if kind != "u1" else name + "text_offsets": np.cumsum([0] + [len(s) for s in sequences]).astype("u8")}


def target_text(row):
    if "start" in row:
        return row["text"][row["start"]:row["end"]]
    return row["target"] if "target" in row else " ".join(row["tags"])


def columns(spm, kind, rows, labels, wide, texts):
    """The datasets of a shard, as docs/format.md describes them."""
    token = "u4" if wide else "u2"
    if kind == "tagging":
        inputs, tags = [], []
        for row in rows:
            pieces = [spm.encode(word) for word in row["words"]]
            inputs.append([spm.bos_id(), *sum(pieces, []), spm.eos_id()])
            tags += [65535, *sum(([labels.index(tag)] + [65535] * (len(p) - 1) for tag, p in zip(row["tags"], pieces)), []), 65535]
        data = ragged("input/", inputs, token) | {"target/tags": np.array(tags, "u2")}
    elif "features" in rows[0]:
        data = {"input/features": np.concatenate([np.array(row["features"], "f4") for row in rows]),
                "input/offsets": np.cumsum([0] + [len(row["features"]) for row in rows]).astype("u8")}
    else:
        pairs = [(row["question"], row["text"]) if kind == "span" else (row["text"], row.get("second")) for row in rows]
        first = [[spm.bos_id(), *spm.encode(text), spm.eos_id()] for text, _ in pairs]
        second = [[*spm.encode(other), spm.eos_id()] if other else [] for _, other in pairs]
        data = ragged("input/", [a + b for a, b in zip(first, second)], token)
        if any(second):
            data["input/second"] = np.array([len(a) if b else 0 for a, b in zip(first, second)], "u4")
    if kind == "classification":
        data["target/label"] = np.array([labels.index(row["label"]) for row in rows], "u4")
    if kind == "multilabel":
        data["target/labels"] = np.array([[name in row["labels"] for name in labels] for row in rows], "u1")
    if kind == "regression":
        data["target/value"] = np.array([row["value"] for row in rows], "f4")
    if kind == "translation":
        data |= ragged("target/", [[*spm.encode(row["target"]), spm.eos_id()] for row in rows], token)
    if kind == "span":
        spans, characters = [], []
        for row, question in zip(rows, first):
            offsets = spm.encode(row["text"], return_type="offset_mapping")["offsets"]
            places = [(end - len(row["text"][begin:end].lstrip()), end) for begin, end in offsets]
            covering = [at for at, (begin, end) in enumerate(places) if begin < end and end > row["start"] and begin < row["end"]]
            spans.append((len(question) + covering[0], len(question) + covering[-1]))
            characters += [(0, 0)] * len(question) + places + [(0, 0)]
        data["target/span"] = np.array(spans, "u4")
        if texts:
            data["target/characters"] = np.array(characters, "u4")
    if texts:
        data |= ragged("input/", [list(row.get("text", " ".join(row.get("words", []))).encode()) for row in rows], "u1")
        data |= ragged("target/", [list(target_text(row).encode()) for row in rows], "u1")
    return data


def write_data_set(folder, planted, shards=1, wide=False, **layout):
    """The planted texts, tokenized by PyPI's sentencepiece and written by h5py, with the required parts of the format
    only."""
    ours = json.loads((planted / "every_kind" / "dataset.json").read_text())
    folder.mkdir()
    shutil.copy(planted / "every_kind" / "tokenizer.model", folder)
    spm = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    tasks = []
    for task in ours["tasks"]:
        name, kind = task["name"], task["kind"]
        assert EVERY_KIND[name] == kind
        splits = {}
        (folder / name).mkdir()
        for split in ("train", "valid", "test"):
            rows = [json.loads(line) for line in (planted / "jsonl" / f"{name}.{split}.jsonl").read_text().splitlines()]
            splits[split] = {"samples": len(rows), "shards": []}
            for part in range(shards):
                mine = rows[len(rows) * part // shards:len(rows) * (part + 1) // shards]
                file = f"{name}/{split}-{part:05}-of-{shards:05}.h5"
                texts = split != "train" and kind in ("translation", "tagging", "span")
                with h5py.File(folder / file, "w") as f:
                    f.attrs.update({"format": "polyhead-shard", "version": 1, "task": name, "kind": kind, "split": split, "samples": len(mine),
                                    "made by": "a stranger"})
                    for path, values in columns(spm, kind, mine, task.get("labels"), wide, texts).items():
                        f.create_dataset(path, data=values, **layout)
                splits[split]["shards"].append({"file": file, "samples": len(mine)})
        tasks.append({"name": name, "kind": kind, "splits": splits, **({"labels": task["labels"]} if "labels" in task else {})})
    tokenizer = {key: ours["tokenizer"][key] for key in ("kind", "file", "vocab_size", "pad", "unk", "bos", "eos", "mask")}
    (folder / "dataset.json").write_text(json.dumps({"format": "polyhead-dataset", "version": 1, "name": "foreign", "tokenizer": tokenizer,
                                                     "tasks": tasks}))
    return folder


@pytest.fixture(scope="module")
def imported(tmp_path_factory, every_kind):
    folder = tmp_path_factory.mktemp("imported") / "run"
    train(folder, every_kind, *OPTIONS)
    return folder


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_trains_as_on_our_own_import(layout, workers, planted, imported, tmp_path):
    foreign = write_data_set(tmp_path / "data", planted, **LAYOUTS[layout])
    with h5py.File(foreign / "tags" / "train-00000-of-00001.h5") as f:
        assert (f["target/tags"].chunks is None) == (layout == "contiguous")
        assert f["input/tokens"].compression == ("gzip" if layout == "gzip" else None)
    train(tmp_path / "run", foreign, *OPTIONS, workers=workers)
    if workers == 1:
        assert log(tmp_path / "run") == log(imported)  # ids, losses and metrics, every bit
        assert status(tmp_path / "run")["parameter_hash"] == status(imported)["parameter_hash"]
        return
    for x, y in zip(steps(imported), steps(tmp_path / "run"), strict=True):
        assert y["ids_hash"] == x["ids_hash"]
        assert y["loss"] == pytest.approx(x["loss"], rel=1e-4)


def test_several_shards_and_wide_tokens_mean_the_same(planted, imported, tmp_path):
    foreign = write_data_set(tmp_path / "data", planted, shards=3, wide=True)
    train(tmp_path / "run", foreign, *OPTIONS)
    assert log(tmp_path / "run") == log(imported)


def test_evaluate_takes_foreign_data(planted, imported, tmp_path):
    foreign = write_data_set(tmp_path / "data", planted, **LAYOUTS["gzip"])
    scores = []
    for more in ([], ["--data", foreign]):
        done = run("evaluate", "--run-dir", imported, "--json", "--threads", 1, *more)
        assert done.returncode == 0, done.stderr
        scores.append(json.loads(done.stdout)["tasks"])
    assert scores[0] == scores[1] and set(scores[0]) == set(EVERY_KIND)
