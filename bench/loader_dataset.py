"""Makes the loader's benchmark data: a data set of the format (docs/format.md) of eight tasks, with lengths like those of
real text and random tokens, written by h5py in a few seconds. The same arguments give the same bytes."""

import json
from pathlib import Path

import h5py
import numpy as np
import xxhash

VOCAB, BOS, EOS, SPECIAL = 32000, 2, 3, 5
CLASSES = 20
MEAN, SPREAD, SHORTEST, LONGEST = 50, 0.6, 4, 128  # tokens: log-normal, cut as import cuts to a mean of 48.3
SHARD = 64 << 20  # bytes
NOT_SCORED = 65535
# Task, kind, share of the bytes: sizes as uneven as real collections'.
TASKS = [("topics", "classification", 0.22), ("languages", "classification", 0.12), ("reviews", "classification", 0.06),
         ("intents", "classification", 0.02), ("words", "tagging", 0.16), ("names", "tagging", 0.04),
         ("en-de", "translation", 0.26), ("en-it", "translation", 0.12)]


def lengths(rng, samples):
    drawn = rng.lognormal(np.log(MEAN) - SPREAD**2 / 2, SPREAD, samples)
    return np.clip(drawn, SHORTEST, LONGEST).astype("i8")


def ragged(rng, samples, begin):
    """Tokens and offsets of `samples` sequences "bos … eos", or "… eos" if not `begin`."""
    offsets = np.concatenate([[0], np.cumsum(lengths(rng, samples))]).astype("u8")
    tokens = rng.integers(SPECIAL, VOCAB, int(offsets[-1]), dtype="u2")
    if begin:
        tokens[offsets[:-1]] = BOS
    tokens[offsets[1:] - 1] = EOS
    return tokens, offsets


def columns(rng, kind, samples):
    """The datasets of one shard."""
    tokens, offsets = ragged(rng, samples, begin=True)
    data = {"input/tokens": tokens, "input/offsets": offsets}
    if kind == "classification":
        data["target/label"] = rng.integers(0, CLASSES, samples, dtype="u4")
    elif kind == "tagging":
        tags = rng.integers(0, CLASSES, len(tokens), dtype="u2")
        tags[rng.random(len(tokens), dtype="f4") < 0.3] = NOT_SCORED
        tags[offsets[:-1]] = tags[offsets[1:] - 1] = NOT_SCORED
        data["target/tags"] = tags
    elif kind == "translation":
        data["target/tokens"], data["target/offsets"] = ragged(rng, samples, begin=False)
    return data


def write_shard(path, task, kind, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Aligned, so that others than Polyhead can map the arrays too.
    with h5py.File(path, "w", libver=("v108", "v110"), alignment_threshold=1, alignment_interval=8) as file:
        for key, value in {"format": "polyhead-shard", "version": 1, "task": task, "kind": kind, "split": "train",
                           "samples": len(data["input/offsets"]) - 1}.items():
            file.attrs[key] = np.bytes_(value) if isinstance(value, str) else value
        for name, array in data.items():
            file.create_dataset(name, data=array)
            raw = array.view("u1")
            file["integrity/" + name.replace("/", ".")] = np.array(
                [xxhash.xxh3_64_intdigest(raw[at:at + (1 << 20)]) for at in range(0, len(raw), 1 << 20)], "u8")


def sample_bytes(kind):
    mean = 48.3
    row = mean * 2 + 8
    return {"classification": row + 4, "tagging": row + mean * 2, "translation": 2 * row}[kind]


def make(folder, total, seed):
    """Makes a data set of about `total` bytes. An existing one that was made with the same arguments is kept."""
    folder = Path(folder)
    name = f"loader-{total}-{seed}"
    manifest = folder / "dataset.json"
    if manifest.exists() and json.loads(manifest.read_text())["name"] == name:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{i}" for i in range(SPECIAL, VOCAB)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    tasks = []
    for number, (task, kind, share) in enumerate(TASKS):
        samples = max(int(total * share / sample_bytes(kind)), 40)
        shards = -(-int(total * share) // SHARD)
        split = {"samples": samples, "input_tokens": 0, "target_tokens": 0, "shards": []}
        for shard in range(shards):
            rows = samples * (shard + 1) // shards - samples * shard // shards
            data = columns(np.random.default_rng([seed, number, shard]), kind, rows)
            file = f"{task}/train-{shard:05}-of-{shards:05}.h5"
            write_shard(folder / file, task, kind, data)
            split["input_tokens"] += len(data["input/tokens"])
            split["target_tokens"] += len(data.get("target/tokens", ()))
            split["shards"].append({"file": file, "samples": rows, "bytes": (folder / file).stat().st_size})
        tasks.append({"name": task, "kind": kind, "splits": {"train": split}})
        if kind != "translation":
            tasks[-1]["labels"] = [f"class{i}" for i in range(CLASSES)]
    tokenizer = {"kind": "wordpiece", "file": "vocab.txt", "vocab_size": VOCAB, "pad": 0, "unk": 1, "bos": BOS, "eos": EOS, "mask": 4}
    manifest.write_text(json.dumps({"format": "polyhead-dataset", "version": 1, "name": name, "tokenizer": tokenizer, "tasks": tasks}))
    return folder
