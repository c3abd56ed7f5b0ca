"""We read shards that h5py wrote, h5py reads ours, and both have the same content. Files that break a rule of the
format are refused by name. Tokens and checksums equal those of PyPI's sentencepiece and xxhash."""

import hashlib
import json
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import sentencepiece
import xxhash

from program import POLYHEAD

TOOL = Path(POLYHEAD).parent / "tests" / "data"
KINDS = ["classification", "multilabel", "regression", "tagging", "masked_lm", "translation", "span"]
VOCAB = 50


def tool(*arguments, stdin=""):
    return subprocess.run([TOOL, *map(str, arguments)], input=stdin, capture_output=True, encoding="utf-8", errors="replace",
                          timeout=120)


def read(folder):
    done = tool("read", folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(folder, *words):
    done = tool("read", folder)
    assert done.returncode == 65, (done.returncode, done.stderr)
    for word in words:
        assert word in done.stderr, done.stderr
    return done.stderr


# --- a data set by h5py ----------------------------------------------------------------------------------------------------

def columns(kind, rng, n, tokens="u2"):
    """The datasets of a random shard."""
    lengths = rng.integers(1, 6, n) + (2 if kind == "span" else 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("u8")
    total = int(offsets[-1])
    data = {"input/tokens": rng.integers(0, VOCAB, total).astype(tokens), "input/offsets": offsets}
    if kind == "classification":
        data["target/label"] = rng.integers(0, 3, n).astype("u4")
        data["input/second"] = np.array([length // 2 for length in lengths], "u4")
    elif kind == "multilabel":
        data["target/labels"] = rng.integers(0, 2, (n, 3)).astype("u1")
    elif kind == "regression":
        data["target/value"] = rng.normal(size=(n, 2)).astype("f4")
    elif kind == "tagging":
        data["target/tags"] = rng.choice([0, 1, 2, 65535], total).astype("u2")
    elif kind == "translation":
        data["target/offsets"] = offsets.copy()
        data["target/tokens"] = rng.integers(0, VOCAB, total).astype(tokens)
        text = [("é" * int(i % 4)).encode() for i in range(n)]
        data["target/text"] = np.frombuffer(b"".join(text), "u1")
        data["target/text_offsets"] = np.concatenate([[0], np.cumsum([len(t) for t in text])]).astype("u8")
    elif kind == "span":  # the last token of each input is behind its text
        second = rng.integers(1, lengths - 1)
        first = rng.integers(second, lengths - 1)
        data["input/second"] = second.astype("u4")
        data["target/span"] = np.where(np.arange(n)[:, None] % 4 == 3, 0, np.stack([first, rng.integers(first, lengths - 1)], 1)).astype("u4")
        data["input/text"] = np.frombuffer("é".encode() * 10 * n, "u1")
        data["input/text_offsets"] = np.arange(n + 1, dtype="u8") * 20
        begin = rng.integers(0, 10, total)
        data["target/characters"] = np.stack([begin, rng.integers(begin, 11)], 1).astype("u4")
    return data


def write_shard(path, kind, data, attributes=None, integrity=True, strings="fixed", **storage):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", libver=storage.pop("libver", ("v108", "v110")), userblock_size=storage.pop("userblock", 0)) as f:
        attrs = {"format": "polyhead-shard", "version": np.int32(1), "task": path.parent.name, "kind": kind,
                 "split": path.name.split("-")[0], "samples": len(data["input/offsets"]) - 1}
        attrs.update(attributes or {})
        for key, value in attrs.items():
            if value is not None:
                f.attrs[key] = np.bytes_(value) if isinstance(value, str) and strings == "fixed" else value
        for name, array in data.items():
            f.create_dataset(name, data=array, **(storage if array.size else {}))
            if integrity:
                raw = np.ascontiguousarray(array).tobytes()
                blocks = [xxhash.xxh3_64_intdigest(raw[i:i + (1 << 20)]) for i in range(0, len(raw), 1 << 20)]
                f["integrity/" + name.replace("/", ".")] = np.array(blocks, "u8")


def write_manifest(folder, kinds=KINDS, **replace):
    tasks = []
    for kind in kinds:
        splits = {}
        for file in sorted((folder / kind).glob("*.h5")):
            with h5py.File(file) as f:
                samples = int(f["input/offsets"].shape[0]) - 1 if "input/offsets" in f else 0
            split = splits.setdefault(file.name.split("-")[0], {"samples": 0, "shards": []})
            split["samples"] += samples
            split["shards"].append({"file": f"{kind}/{file.name}", "samples": samples, "bytes": file.stat().st_size,
                                    "sha256": hashlib.sha256(file.read_bytes()).hexdigest()})
        task = {"name": kind, "kind": kind, "splits": splits}
        if kind in ("classification", "multilabel", "tagging"):
            task["labels"] = ["a", "b", "c"]
        if kind == "regression":
            task["outputs"] = ["x", "y"]
        tasks.append(task)
    manifest = {"format": "polyhead-dataset", "version": 1, "name": "h5py", "unknown": True, "tasks": tasks,
                "tokenizer": {"kind": "sentencepiece", "file": "none", "vocab_size": VOCAB, "pad": 0, "unk": 1, "bos": 2, "eos": 3,
                              "mask": 4}}
    manifest.update(replace)
    (folder / "dataset.json").write_text(json.dumps(manifest))


def sequences(data, group, values="tokens"):
    offsets = data[f"{group}/offsets"].astype(int)
    flat = data[f"{group}/{values}"]
    return [flat[a:b].tolist() for a, b in zip(offsets, offsets[1:])]


def compare(samples, kind, data):
    assert [s["input"] for s in samples] == sequences(data, "input")
    if kind == "classification":
        assert [s["label"] for s in samples] == data["target/label"].tolist()
        assert [s["second"] for s in samples] == data["input/second"].tolist()
    elif kind == "multilabel":
        assert [s["labels"] for s in samples] == data["target/labels"].tolist()
    elif kind == "regression":
        assert np.array_equal(np.array([s["values"] for s in samples], "f4"), data["target/value"])
    elif kind == "tagging":
        tags = np.where(data["target/tags"] == 65535, -100, data["target/tags"].astype(int))
        assert [t for s in samples for t in s["tags"]] == tags.tolist()
    elif kind == "translation":
        assert [s["target"] for s in samples] == sequences(data, "target")
        text, offsets = data["target/text"].tobytes(), data["target/text_offsets"].astype(int)
        assert [s["target_text"] for s in samples] == [text[a:b].decode() for a, b in zip(offsets, offsets[1:])]
    elif kind == "span":
        assert [s["second"] for s in samples] == data["input/second"].tolist()
        assert [s["span"] for s in samples] == data["target/span"].tolist()
        assert [s["input_text"] for s in samples] == ["é" * 10] * len(samples)


STORAGE = {
    "contiguous": {},
    "u32": {"tokens": "u4"},
    "big endian": {"tokens": ">u4", "integrity": False},
    "variable strings": {"strings": "variable"},
    "user block": {"userblock": 512},
    "chunked": {"chunks": True},
    "filtered": {"chunks": True, "shuffle": True, "compression": "gzip", "fletcher32": True},
}


@pytest.mark.parametrize("storage", STORAGE)
def test_reads_what_h5py_wrote(tmp_path, storage):
    options = dict(STORAGE[storage])
    tokens = options.pop("tokens", "u2")
    rng = np.random.default_rng(1)
    wrote = {}
    for kind in KINDS:
        parts = [columns(kind, rng, n, tokens) for n in (7, 1, 12)]
        wrote[kind] = {"train": parts, "valid": [columns(kind, rng, 5, tokens)], "test": [columns(kind, rng, 0, tokens)]}
        for split, shards in wrote[kind].items():
            for i, data in enumerate(shards):
                write_shard(tmp_path / kind / f"{split}-{i:05d}-of-{len(shards):05d}.h5", kind, data, **options)
    write_manifest(tmp_path)
    found = read(tmp_path)
    for kind in KINDS:
        assert found[kind]["test"] == []
        assert len(found[kind]["train"]) == 20
        compare(found[kind]["train"][:7], kind, wrote[kind]["train"][0])
        compare(found[kind]["train"][7:8], kind, wrote[kind]["train"][1])
        compare(found[kind]["train"][8:], kind, wrote[kind]["train"][2])
        compare(found[kind]["valid"], kind, wrote[kind]["valid"][0])


@pytest.mark.parametrize("storage", ["contiguous", "filtered"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("masked_lm", "span")])
def test_reads_sequences_of_vectors(tmp_path, kind, storage):
    rng = np.random.default_rng(4)
    data = columns(kind, rng, 9)
    vectors = rng.normal(size=(len(data.pop("input/tokens")), 5)).astype("f4")
    data["input/features"] = vectors
    write_shard(tmp_path / kind / "train-00000-of-00001.h5", kind, data, **STORAGE[storage])
    write_manifest(tmp_path, [kind])
    found = read(tmp_path)[kind]["train"]
    assert [s["input"] for s in found] == [[]] * 9
    assert np.array_equal(np.concatenate([np.array(s["features"], "f4") for s in found]).reshape(-1, 5), vectors)
    lengths = np.diff(data["input/offsets"].astype(int))
    assert [len(s["features"]) for s in found] == (5 * lengths).tolist()


def test_refuses_vectors_of_other_widths(tmp_path):
    for shard, width in enumerate((5, 6)):
        data = columns("regression", np.random.default_rng(4), 9)
        data["input/features"] = np.ones((len(data.pop("input/tokens")), width), "f4")
        write_shard(tmp_path / "regression" / f"train-{shard:05d}-of-00002.h5", "regression", data)
    write_manifest(tmp_path, ["regression"])
    refused(tmp_path, "train-00001-of-00002.h5", "6 numbers a row", "first shard 5")


@pytest.mark.parametrize("filters", [{"fletcher32": True}, {"compression": "gzip", "shuffle": True}])
def test_refuses_a_damaged_chunk(tmp_path, filters):
    """One of many chunks is damaged: the data before it can be read, and the error names the shard and the dataset."""
    path = tmp_path / "masked_lm" / "train-00000-of-00001.h5"
    n = 1 << 21
    data = {"input/tokens": np.random.default_rng(5).integers(0, VOCAB, n).astype("u2"), "input/offsets": np.array([0, 9, n], "u8")}
    path.parent.mkdir()
    with h5py.File(path, "w") as f:
        f.attrs.update({"format": "polyhead-shard", "version": 1, "task": "masked_lm", "kind": "masked_lm", "split": "train", "samples": 2})
        f["input/offsets"] = data["input/offsets"]
        tokens = f.create_dataset("input/tokens", data=data["input/tokens"], chunks=(1 << 17,), **filters)
        at = tokens.id.get_chunk_info(tokens.id.get_num_chunks() - 1).byte_offset
    write_manifest(tmp_path, ["masked_lm"])
    manifest = json.loads((tmp_path / "dataset.json").read_text())
    del manifest["tasks"][0]["splits"]["train"]["shards"][0]["sha256"]
    (tmp_path / "dataset.json").write_text(json.dumps(manifest))
    whole = path.read_bytes()
    path.write_bytes(whole[:at + 1000] + bytes([whole[at + 1000] ^ 64]) + whole[at + 1001:])
    refused(tmp_path, str(path), "/input/tokens", "cannot be read at row")


# --- files that break a rule -----------------------------------------------------------------------------------------------

def broken(kind, change, **options):
    """A data set of one shard, whose columns were changed by `change(data)`."""
    def build(folder):
        data = columns(kind, np.random.default_rng(2), 6)
        change(data)
        write_shard(folder / kind / "train-00000-of-00001.h5", kind, data, **options)
        write_manifest(folder, [kind])
    return build


def edited(kind, edit):
    """A data set of one shard, which h5py has changed by `edit(file)`."""
    def build(folder):
        path = folder / kind / "train-00000-of-00001.h5"
        write_shard(path, kind, columns(kind, np.random.default_rng(2), 6), integrity=False)
        with h5py.File(path, "r+") as f:
            edit(f, folder)
        write_manifest(folder, [kind])
    return build


def setting(name, index, value):
    return lambda data: data[name].__setitem__(index, value)


def replacing(name, array):
    return lambda data: data.__setitem__(name, array)


def without(name):
    return lambda data: data.pop(name)


def relink(name, link):
    def edit(f, folder):
        f.move(name, "elsewhere")
        f[name] = link
    return edit


def rebuild(name, **options):
    def edit(f, folder):
        array = f[name][()]
        del f[name]
        f.create_dataset(name, data=array, **options)
    return edit


def external_storage(f, folder):
    del f["target/label"]
    f.create_dataset("target/label", (6,), "u4", external=[("/etc/passwd", 0, 24)])


def virtual(f, folder):
    f.move("target/label", "elsewhere")
    layout = h5py.VirtualLayout((6,), "u4")
    layout[:] = h5py.VirtualSource(f["elsewhere"])
    f.create_virtual_dataset("target/label", layout)


def compact(f, folder):
    del f["target/label"]
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_layout(h5py.h5d.COMPACT)
    h5py.h5d.create(f["target"].id, b"label", h5py.h5t.STD_U32LE, h5py.h5s.create_simple((6,)), create)


def never_written(f, folder):
    del f["target/label"]
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    h5py.h5d.create(f["target"].id, b"label", h5py.h5t.STD_U32LE, h5py.h5s.create_simple((6,)), create)


def bomb(f, folder):
    del f["target/label"]
    f.create_dataset("target/label", (1 << 34,), "u4", chunks=(1 << 20,), compression="gzip")


def bomb_offsets(f, folder):
    del f["input/tokens"]
    f.create_dataset("input/tokens", (3 << 30,), "u2", chunks=(1 << 20,))


def huge_and_contiguous(f, folder):
    del f["target/label"]
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    h5py.h5d.create(f["target"].id, b"label", h5py.h5t.STD_U32LE, h5py.h5s.create_simple((1 << 50,)), create)


def huge_chunk(f, folder):
    del f["input/tokens"]
    f.create_dataset("input/tokens", (1 << 28,), "u2", chunks=(1 << 28,))


def wide_chunk(f, folder):
    del f["input/tokens"]
    f.create_dataset("input/features", (17, 1 << 25), "f4", chunks=(8, 1024))


def vectors(kind, array):
    def build(folder):
        data = columns(kind, np.random.default_rng(2), 6)
        rows = len(data.pop("input/tokens"))
        data["input/features"] = array(rows)
        write_shard(folder / kind / "train-00000-of-00001.h5", kind, data)
        write_manifest(folder, [kind])
    return build


def variable_length(f, folder):
    del f["target/label"]
    f.create_dataset("target/label", data=["a"] * 6)


def retype(name, array, **options):
    def edit(f, folder):
        del f[name]
        f.create_dataset(name, data=array, **options)
    return edit


def vlen_numbers(f, folder):
    del f["input/tokens"]
    f.create_dataset("input/tokens", (6,), h5py.vlen_dtype("u2"))[0] = [1, 2, 3]


def attribute(name, value, dtype=None):
    def edit(f, folder):
        del f.attrs[name]
        f.attrs.create(name, value, dtype=dtype)
    return edit


def moved(name, elsewhere):
    """Sets the address of a dataset's data in the file to `elsewhere(address, bytes of the file)`."""
    def build(folder):
        path = folder / "classification" / "train-00000-of-00001.h5"
        write_shard(path, "classification", columns("classification", np.random.default_rng(2), 6), integrity=False,
                    libver=("earliest", "v110"))  # without checksums of the tables
        with h5py.File(path) as f:
            address, size = f[name].id.get_offset(), f[name].id.get_storage_size()
        content = path.read_bytes()
        # A layout message: version 3, contiguous, then address and size.
        old = b"\x03\x01" + address.to_bytes(8, "little") + size.to_bytes(8, "little")
        assert content.count(old) == 1
        path.write_bytes(content.replace(old, b"\x03\x01" + elsewhere(address, len(content)).to_bytes(8, "little") + old[10:]))
        write_manifest(folder, ["classification"])
    return build


BROKEN = {
    "no format": (broken("classification", lambda d: None, attributes={"format": None}), "attribute 'format' is missing"),
    "wrong format": (broken("classification", lambda d: None, attributes={"format": "x"}), "'format' is 'x'"),
    "format is a number": (broken("classification", lambda d: None, attributes={"format": 3}), "'format' is not a string"),
    "later version": (broken("classification", lambda d: None, attributes={"version": 2}), "version 2"),
    "version is text": (broken("classification", lambda d: None, attributes={"version": "1"}), "'version' is not an integer"),
    "negative samples": (broken("classification", lambda d: None, attributes={"samples": -6}), "'samples' is negative"),
    "two samples": (broken("classification", lambda d: None, attributes={"samples": [6, 6]}), "'samples' is not one value"),
    "other samples": (broken("classification", lambda d: None, attributes={"samples": 5}), "manifest says 6"),
    "other task": (broken("classification", lambda d: None, attributes={"task": "x"}), "'task' is 'x'"),
    "other kind": (broken("classification", lambda d: None, attributes={"kind": "tagging"}), "'kind' is 'tagging'"),
    "other split": (broken("classification", lambda d: None, attributes={"split": "test"}), "'split' is 'test'"),
    "no tokens": (broken("classification", without("input/tokens")), "/input/tokens is missing"),
    "no label": (broken("classification", without("target/label")), "/target/label is missing"),
    "features": (edited("regression", lambda f, d: f.move("input/tokens", "input/features")), "/input/features"),
    "features of masked_lm": (vectors("masked_lm", lambda n: np.ones((n, 3), "f4")), "masked_lm is of tokens"),
    "features of span": (vectors("span", lambda n: np.ones((n, 3), "f4")), "span is of tokens"),
    "features not finite": (vectors("regression", lambda n: np.full((n, 3), np.inf, "f4")), "is not a finite number"),
    "too few features": (vectors("regression", lambda n: np.ones((n - 1, 3), "f4")), "/input/offsets reaches"),
    "features in one dimension": (vectors("regression", lambda n: np.ones(n, "f4")), "1 dimensions, expected 2"),
    "features of no width": (vectors("regression", lambda n: np.ones((n, 0), "f4")), "0 columns"),
    "huge chunks": (edited("classification", huge_chunk), "decoded at once"),
    "wide chunks": (edited("classification", wide_chunk), "decoded at once"),
    "signed tokens": (broken("masked_lm", lambda d: d.update({"input/tokens": d["input/tokens"].astype("i2")})), "u16 or u32"),
    "float label": (broken("classification", replacing("target/label", np.zeros(6, "f4"))), "another type than u32"),
    "integer value": (broken("regression", replacing("target/value", np.zeros((6, 2), "u4"))), "another type than f32"),
    "label in two dimensions": (broken("classification", replacing("target/label", np.zeros((6, 1), "u4"))), "2 dimensions"),
    "too few classes": (broken("multilabel", replacing("target/labels", np.zeros((6, 2), "u1"))), "has 2 columns, expected 3"),
    "too few labels": (broken("classification", replacing("target/label", np.zeros(5, "u4"))), "has 5 entries, expected 6"),
    "too few values": (broken("regression", replacing("target/value", np.zeros((5, 2), "f4"))), "/target/value has 10 entries"),
    "too few tags": (broken("tagging", replacing("target/tags", np.zeros(5, "u2"))), "/target/tags has 5 entries"),
    "too few seconds": (broken("classification", replacing("input/second", np.zeros(5, "u4"))), "/input/second has 5 entries"),
    "label out of range": (broken("classification", setting("target/label", 4, 3)), "of sample 4 is 3; the task has 3 classes"),
    "labels not binary": (broken("multilabel", setting("target/labels", (3, 1), 2)), "of sample 3 holds 2"),
    "tag out of range": (broken("tagging", setting("target/tags", 2, 3)), "holds 3 at 2; the task has 3 tags"),
    "value not finite": (broken("regression", setting("target/value", (2, 1), np.nan)), "of sample 2 is not a finite number"),
    "id out of range": (broken("masked_lm", setting("input/tokens", 1, VOCAB)), "the id 50 at 1; the vocabulary has 50"),
    "target id out of range": (broken("translation", setting("target/tokens", 1, VOCAB)), "/target/tokens holds the id 50"),
    "second behind the end": (broken("classification", setting("input/second", 3, 99)), "/input/second of sample 3"),
    "no second of span": (broken("span", without("input/second")), "/input/second is missing, where the texts of span begin"),
    "a span without its text": (broken("span", setting("input/second", 2, 0)), "sample 2 has no text in which its answer lies"),
    "too few spans": (broken("span", replacing("target/span", np.zeros((5, 2), "u4"))), "/target/span has 10 entries"),
    "a span before its text": (broken("span", lambda d: d["target/span"].__setitem__(1, (0, 1))), "/target/span of sample 1 is 0 to 1, outside of its text"),
    "a span behind its text": (broken("span", lambda d: d["target/span"].__setitem__((4, 1), 99)), "/target/span of sample 4"),
    "too few characters": (broken("span", lambda d: d.update({"target/characters": d["target/characters"][1:]})), "/target/characters has"),
    "offsets start late": (broken("masked_lm", setting("input/offsets", 0, 1)), "starts at 1"),
    "offsets decrease": (broken("masked_lm", setting("input/offsets", 2, 1 << 40)), "decreases at sample 2"),
    "offsets end early": (broken("masked_lm", lambda d: d.update({"input/tokens": np.zeros(99, "u2")})), "there are 99 elements"),
    "empty sequence": (broken("masked_lm", lambda d: d["input/offsets"].__setitem__(2, d["input/offsets"][1])),
                       "sample 1 of /input/offsets is an empty sequence"),
    "empty target": (broken("translation", lambda d: d["target/offsets"].__setitem__(2, d["target/offsets"][1])),
                     "sample 1 of /target/offsets is an empty sequence"),
    "no text offsets": (broken("translation", without("target/text_offsets")), "/target/text_offsets is missing"),
    "text offsets decrease": (broken("translation", setting("target/text_offsets", 1, 99)), "/target/text_offsets decreases"),
    "soft link": (edited("classification", relink("target/label", h5py.SoftLink("/elsewhere"))), "/target/label is a soft link"),
    "soft link to a group": (edited("classification", relink("target", h5py.SoftLink("/elsewhere"))), "/target is a soft link"),
    "external link": (edited("classification", relink("target/label", h5py.ExternalLink("x.h5", "/l"))), "is an external link"),
    "a group for a dataset": (edited("classification", lambda f, d: (f.move("target/label", "x"), f.create_group("target/label"))),
                              "/target/label is not a dataset"),
    "external storage": (edited("classification", external_storage), "external storage"),
    "virtual dataset": (edited("classification", virtual), "a virtual dataset"),
    "compact": (edited("classification", compact), "stored as compact"),
    "never written": (edited("classification", never_written), "stores none"),
    "bomb": (edited("classification", bomb), "too large for a chunked dataset"),
    "small bomb": (edited("classification", bomb_offsets), "too large for a chunked dataset"),
    "huge and contiguous": (edited("classification", huge_and_contiguous), "stores none"),
    "behind the file": (moved("target/label", lambda address, size: 1 << 40), "/target/label claims 24 bytes at"),
    "across the file's end": (moved("target/label", lambda address, size: size - 23), "/target/label claims 24 bytes at"),
    "at another dataset's bytes": (moved("input/offsets", lambda address, size: 0), "/input/offsets decreases at"),
    "compound": (edited("classification", retype("target/label", np.zeros(6, [("a", "u2"), ("b", "u2")]))), "another type than u32"),
    "enumeration": (edited("classification", retype("target/label", np.zeros(6, h5py.enum_dtype({"x": 0}, "u4")))),
                    "another type than u32"),
    "references": (edited("classification", lambda f, d: retype("target/label", [f.ref] * 6, dtype=h5py.ref_dtype)(f, d)),
                   "another type than u32"),
    "variable-length numbers": (edited("masked_lm", vlen_numbers), "u16 or u32"),
    "a committed type": (edited("classification", lambda f, d: (f.move("target/label", "x"),
                                                                 f.__setitem__("target/label", np.dtype("u4")))), "is not a dataset"),
    "no dimensions": (edited("classification", retype("target/label", np.uint32(0))), "0 dimensions"),
    "null": (edited("classification", lambda f, d: retype("target/label", h5py.Empty("u4"))(f, d)), "/target/label"),
    "kind is an array": (edited("classification", attribute("kind", ["classification"] * 2)), "'kind' is not one value"),
    "kind is a compound": (edited("classification", attribute("kind", np.zeros((), [("a", "u2")]))), "'kind' is not a string"),
    "kind is bytes that end late": (edited("classification", attribute("kind", np.bytes_(b"classification" + b" " * 5000))), "5014 bytes"),
    "task is of odd bytes": (edited("classification", attribute("task", np.bytes_(b"\xff\xfe\x01\x1b[31m"))), "'task' is"),
    "samples is a float": (edited("classification", attribute("samples", 6.0)), "'samples' is not an integer"),
    "samples is empty": (edited("classification", attribute("samples", h5py.Empty("i8"))), "'samples'"),
    "samples is huge": (edited("classification", attribute("samples", 2**63 - 1)), "manifest says 6"),
    "version is text of any length": (edited("classification", attribute("version", "1", h5py.string_dtype())), "'version' is not an integer"),
    "lzf filter": (edited("classification", rebuild("target/label", chunks=True, compression="lzf")), "'lzf'"),
    "scale-offset filter": (edited("classification", rebuild("target/label", chunks=True, scaleoffset=0)), "uses the filter 6"),
    "variable length": (edited("classification", variable_length), "another type than u32"),
    "another checksum": (edited("classification", lambda f, d: f.create_dataset("integrity/target.label", data=np.zeros(1, "u8"))),
                         "/target/label differs from its checksum in block 0"),
    "too many checksums": (edited("classification", lambda f, d: f.create_dataset("integrity/target.label", data=np.zeros(2, "u8"))),
                           "has 2 checksums, expected 1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_refuses(tmp_path, name):
    build, words = BROKEN[name]
    build(tmp_path)
    refused(tmp_path, words, "train-00000-of-00001.h5")


def test_refuses_damaged_files(tmp_path):
    data = columns("tagging", np.random.default_rng(2), 6)
    path = tmp_path / "tagging" / "train-00000-of-00001.h5"
    write_shard(path, "tagging", data)
    write_manifest(tmp_path, ["tagging"])
    whole = path.read_bytes()
    at = whole.index(data["target/tags"].tobytes())
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
    refused(tmp_path, "/target/tags differs from its checksum in block 0")
    manifest = json.loads((tmp_path / "dataset.json").read_text())
    del manifest["tasks"][0]["splits"]["train"]["shards"][0]["sha256"]
    (tmp_path / "dataset.json").write_text(json.dumps(manifest))
    refused(tmp_path, "/target/tags differs from its checksum")
    path.write_bytes(whole[:-100])
    refused(tmp_path, "the manifest says")
    del manifest["tasks"][0]["splits"]["train"]["shards"][0]["bytes"]
    (tmp_path / "dataset.json").write_text(json.dumps(manifest))
    refused(tmp_path, "HDF5")
    path.write_bytes(b"")
    refused(tmp_path, "file signature not found")
    path.unlink()
    refused(tmp_path, "cannot open", "No such file", "Is the data set complete?")


def test_no_byte_flip_crashes_the_reader(tmp_path):
    path = tmp_path / "translation" / "train-00000-of-00001.h5"
    write_shard(path, "translation", columns("translation", np.random.default_rng(2), 6))
    write_manifest(tmp_path, ["translation"])
    manifest = json.loads((tmp_path / "dataset.json").read_text())
    del manifest["tasks"][0]["splits"]["train"]["shards"][0]["sha256"]
    (tmp_path / "dataset.json").write_text(json.dumps(manifest))
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    refusals = 0
    for _ in range(150):
        at, bit = int(rng.integers(len(whole))), int(rng.integers(8))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1:])
        done = tool("read", tmp_path)
        assert done.returncode in (0, 65), (at, bit, done.returncode, done.stderr)
        refusals += done.returncode == 65
    assert refusals > 20


# --- shards that we wrote --------------------------------------------------------------------------------------------------

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau über día".split()


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(path)


def make_rows(kind, rng, n):
    text = lambda low=3, high=12: " ".join(rng.choice(WORDS, rng.integers(low, high)))
    rows = []
    for i in range(n):
        row = {"text": text()}
        if kind == "classification":
            row["label"] = str(rng.choice(["zz", "aa", "mm"])) if i > 2 else ["zz", "aa", "mm"][i]
            if i % 3 == 0:
                row["second"] = text(1, 12)
        elif kind == "multilabel":
            row["labels"] = ["p", "q", "r"][:int(rng.integers(0, 4)) if i else 3]
        elif kind == "regression":
            row["value"] = [float(rng.normal()), float(i)]
        elif kind == "tagging":
            words = row.pop("text").split()
            row.update(words=words, tags=["V" if w[-1] in "aeiou" else "C" for w in words] if i else ["V", "C"] + ["V"] * (len(words) - 2))
        elif kind == "translation":
            row["target"] = text()
        elif kind == "span":
            words = row["text"].split()
            first = int(rng.integers(len(words)))
            row.update(question=text(1, 4), start=len(" ".join(["", *words[:first]])) if first else 0)
            row["end"] = row["start"] + len(words[first])
        rows.append(row)
    return rows


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("import")
    rng = np.random.default_rng(5)
    rows, tasks = {}, []
    for kind in KINDS:
        task = {"name": kind, "kind": kind}
        for split, n in (("train", 60), ("valid", 9), ("test", 7)):
            rows[kind, split] = make_rows(kind, rng, n)
            task[split] = jsonl(folder / f"{kind}.{split}.jsonl", rows[kind, split])
        tasks.append(task)
    description = {"name": "every kind", "vocab_size": 45, "max_length": 16, "shard_size": 400, "tasks": tasks}
    (folder / "description.json").write_text(json.dumps(description))
    for out in ("one", "two"):
        done = tool("import", folder / "description.json", folder / out)
        assert done.returncode == 0, done.stderr
    return folder, rows


def test_import_is_reproducible(imported):
    folder, _ = imported
    one = {p.relative_to(folder / "one"): p.read_bytes() for p in (folder / "one").rglob("*") if p.is_file()}
    two = {p.relative_to(folder / "two"): p.read_bytes() for p in (folder / "two").rglob("*") if p.is_file()}
    assert len(one) > 30 and one == two


def test_h5py_reads_what_we_wrote(imported):
    folder, rows = imported
    manifest = json.loads((folder / "one" / "dataset.json").read_text())
    model = (folder / "one" / "tokenizer.model").read_bytes()
    assert manifest["tokenizer"]["sha256"] == hashlib.sha256(model).hexdigest()
    spm = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert spm.vocab_size() == manifest["tokenizer"]["vocab_size"] == 45
    assert [spm.id_to_piece(i) for i in (0, 1, 2, 3, 4)] == ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    assert spm.encode("<mask>").count(4) == 0
    reader = read(folder / "one")
    checked = 0
    for task in manifest["tasks"]:
        kind = task["kind"]
        assert task["labels"] == {"classification": ["aa", "mm", "zz"], "multilabel": ["p", "q", "r"],
                                  "tagging": ["C", "V"]}[kind] if "labels" in task else True
        for split, info in task["splits"].items():
            assert split != "train" or len(info["shards"]) > 1
            ours, at, tokens = rows[kind, split], 0, 0
            assert info["samples"] == len(ours)
            for shard in info["shards"]:
                raw = (folder / "one" / shard["file"]).read_bytes()
                assert (shard["bytes"], shard["sha256"]) == (len(raw), hashlib.sha256(raw).hexdigest())
                with h5py.File(folder / "one" / shard["file"]) as f:
                    assert f.attrs["format"] == b"polyhead-shard" and f.attrs["version"] == 1
                    assert (f.attrs["task"], f.attrs["kind"], f.attrs["split"]) == (kind.encode(), kind.encode(), split.encode())
                    assert f.attrs["samples"] == shard["samples"]
                    data = {}
                    f.visititems(lambda name, item: data.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None)
                    for name in data:
                        if not name.startswith("integrity"):
                            assert f[name].chunks is None and f[name].id.get_create_plist().get_nfilters() == 0
                            digest = data["integrity/" + name.replace("/", ".")]
                            stored = data[name].tobytes()
                            assert digest.tolist() == [xxhash.xxh3_64_intdigest(stored[i:i + (1 << 20)])
                                                       for i in range(0, len(stored), 1 << 20)]
                            checked += 1
                texts = split != "train" and kind in ("translation", "tagging", "span")
                assert ("input/text" in data) == texts
                assert data["input/tokens"].dtype == np.uint16
                part = ours[at:at + shard["samples"]]
                got = reader[kind][split][at:at + shard["samples"]]
                inputs = sequences(data, "input")
                assert [s["input"] for s in got] == inputs
                for i, (row, sample, ids) in enumerate(zip(part, got, inputs)):
                    check_sample(spm, task, row, sample, ids, data, i)
                    if texts:
                        assert sample["input_text"] == (row["text"] if "text" in row else " ".join(row["words"]))
                        answer = row["text"][row["start"]:row["end"]] if kind == "span" else row.get("target")
                        assert sample["target_text"] == (answer or " ".join(row["tags"]))
                at += shard["samples"]
                tokens += len(data["input/tokens"])
            assert tokens == info["input_tokens"]
    assert checked > 100


def check_sample(spm, task, row, sample, ids, data, i):
    limit = 16
    if "second" in row or task["kind"] == "span":
        a, b = (spm.encode(row[key]) for key in (("question", "text") if task["kind"] == "span" else ("text", "second")))
        second = int(data["input/second"][i])
        room = limit - 3
        while len(a) + len(b) > room:  # the longer text gives way, piece by piece
            (a if len(a) > len(b) else b).pop()
        assert ids == [2, *a, 3, *b, 3] and second == len(a) + 2 == sample["second"]
    elif task["kind"] == "tagging":
        want, tags = [2], [65535]
        for word, tag in zip(row["words"], row["tags"]):
            pieces = spm.encode(word)
            if len(want) + len(pieces) + 1 > limit:
                break
            want += pieces
            tags += [task["labels"].index(tag)] + [65535] * (len(pieces) - 1)
        assert ids == want + [3]
        assert sample["tags"] == [-100 if t == 65535 else t for t in tags + [65535]]
    else:
        assert ids == [2, *spm.encode(row["text"])[:limit - 2], 3]
        assert sample["second"] == 0
    if task["kind"] == "classification":
        assert task["labels"][int(data["target/label"][i])] == row["label"]
        assert sample["label"] == data["target/label"][i]
    if task["kind"] == "multilabel":
        assert [label for label, on in zip(task["labels"], data["target/labels"][i]) if on] == row["labels"]
    if task["kind"] == "regression":
        assert data["target/value"][i].tolist() == np.array(row["value"], "f4").tolist()
    if task["kind"] == "span":
        # The tokens that cover the answer; none if the last of them was cut off.
        offsets = spm.encode(row["text"], return_type="offset_mapping")["offsets"]
        places = [(end - len(row["text"][begin:end].lstrip()), end) for begin, end in offsets]
        covering = [at for at, (begin, end) in enumerate(places) if begin < end and end > row["start"] and begin < row["end"]]
        cut = covering[-1] >= len(b)
        assert sample["span"] == ([0, 0] if cut else [second + covering[0], second + covering[-1]])
    if task["kind"] == "translation":
        assert sample["target"] == [*spm.encode(row["target"])[:limit - 1], 3] == sequences(data, "target")[i]


def test_sentencepiece_equals_pypi(imported):
    folder, _ = imported
    model = folder / "one" / "tokenizer.model"
    spm = sentencepiece.SentencePieceProcessor(model_file=str(model))
    lines = ["alpha beta", "  über\tdía  ", "ａｌｐｈａ", "unseen 漢字 ☃", "", "a <mask> b", "e\u0301"]
    found = json.loads(tool("tokenize", "sentencepiece", model, stdin="\n".join(lines) + "\n").stdout)
    assert [f["ids"] for f in found] == [spm.encode(line) for line in lines]
    assert [f["text"] for f in found] == [spm.decode(spm.encode(line)) for line in lines]
