"""Import of Parquet files by pyarrow gives the same bytes as import of the same rows as JSON Lines. Damaged, encrypted
and empty files are reported."""

import datetime
import decimal
import json
import math
import os
import random
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from import_formats_test import imported, write
from import_inputs_test import feed, of, shard_bytes
from program import POLYHEAD, fails, run

BUILT_IN = (Path(POLYHEAD).parent / "libpolyhead_parquet.so").exists()
needs_arrow = pytest.mark.skipif(not BUILT_IN, reason="the program was built without Apache Arrow")

RNG = random.Random(8)
ANIMALS = [{"text": f'{word} "{i}" runs\n\tand \\ über', "label": word} for i in range(60) for word in ("cat", "dog")]
CASES = {
    "classification": [{"text": f"{word} {i}", "second": None if i % 3 else f"pair {i}", "label": i % 5} for i in range(40) for word in ("a", "b")],
    "multilabel": [{"text": f"text {i}", "labels": [f"l{k}" for k in range(4) if (i >> k) & 1]} for i in range(100)],
    "tagging": [{"words": [f"w{k}" for k in range(i % 5 + 1)], "tags": ["B-X", "I-X", "O", "B-Y", "O"][:i % 5 + 1]} for i in range(80)],
    "regression": [{"text": f"text {i}", "value": RNG.gauss(0, 1)} for i in range(80)],
    "translation": [{"translation": {"en": f"good day {i}", "it": f"buon giorno {i}"}} for i in range(80)],
}
LANGUAGES = {"translation": {"source_language": "en", "target_language": "it"}}


def write_both(folder, rows, name="train", schema=None, **more):
    """Writes the rows to NAME.jsonl and NAME.parquet."""
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / f"{name}.parquet", **more)


def both(folder, task, dataset="vocab_size = 60", names=("train",), out="data"):
    """Imports each NAME.jsonl and each NAME.parquet as a task. The shards must have the same bytes. Returns the
    manifest of the Parquet files."""
    for ending in ("jsonl", "parquet"):
        tasks = {name: task | LANGUAGES.get(name, {}) | {"kind": task.get("kind", name), "train": f"{name}.{ending}"} for name in names}
        manifest = imported(folder, tasks, dataset, out=f"{out}-{ending}")
    expected = shard_bytes(folder, f"{out}-jsonl")
    assert expected and shard_bytes(folder, f"{out}-parquet") == expected
    return manifest


def refused(folder, name, *says, task=None):
    write(folder, {"t": {"kind": "classification", "train": name} | (task or {})}, "vocab_size = 60")
    fails(65, "import", "-c", folder / "d.ini", "--out", folder / "none", says=["task 't'", name, *says])


@needs_arrow
def test_the_same_as_jsonl(tmp_path):
    for kind, rows in CASES.items():
        write_both(tmp_path, rows, kind, row_group_size=17)
    manifest = both(tmp_path, {"valid_share": 0.2}, names=list(CASES))
    for number, rows in enumerate(CASES.values()):
        assert of("train", manifest, number) + of("valid", manifest, number) == len(rows)


@needs_arrow
def test_compressions_and_pages(tmp_path):
    names = ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]
    for name in names:
        write_both(tmp_path, ANIMALS, name, compression=name, row_group_size=50, data_page_size=100, write_page_checksum=name == "gzip",
                   data_page_version="2.0" if name == "zstd" else "1.0", use_dictionary=name != "lz4")
    both(tmp_path, {"kind": "classification"}, names=names)


@needs_arrow
def test_types(tmp_path):
    floats = [0.1, 1 / 3, 1e-300, 1e22, -0.0, 5e-324, 123456789.123456789, 2.0]
    rows = [{"text": f"text {i}", "value": [value, float(i)]} for i, value in enumerate(floats) if abs(value) < 1e38] * 5
    write_both(tmp_path, rows)
    both(tmp_path, {"kind": "regression"}, out="floats")
    features = [{"features": [[RNG.gauss(0, 1) for _ in range(3)] for _ in range(i % 4 + 1)], "label": "ab"[i % 2]} for i in range(30)]
    write_both(tmp_path, features, "vectors")
    both(tmp_path, {"kind": "classification"}, names=["vectors"], out="vectors")
    # float32, as pandas reads it back, and lists of a fixed size.
    single = pa.array([[x for row in one["features"][:1] for x in row] for one in features], pa.list_(pa.float32(), 3))
    table = pa.table({"text": [f"text {i}" for i in range(30)], "value": single})
    pq.write_table(table, tmp_path / "single.parquet")
    (tmp_path / "single.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    both(tmp_path, {"kind": "regression"}, names=["single"], out="single")
    # Labels of every integer type, booleans, and categories.
    for number, type in enumerate([pa.int8(), pa.uint16(), pa.int32(), pa.uint64(), pa.bool_(), pa.dictionary(pa.int8(), pa.string()),
                                   pa.large_string(), pa.string_view()]):
        values = [i % 2 == 1 if pa.types.is_boolean(type) else i % 3 if pa.types.is_integer(type) else f"class {i % 3}" for i in range(30)]
        name = f"type{number}"
        pq.write_table(pa.table({"text": [f"text {i}" for i in range(30)], "label": pa.array(values, type)}), tmp_path / f"{name}.parquet")
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": f"text {i}", "label": value}) + "\n" for i, value in enumerate(values)))
    both(tmp_path, {"kind": "classification"}, names=[f"type{number}" for number in range(8)], out="types")
    # A decimal is a number; of times there is a text; what is neither is left out, and said.
    day = datetime.datetime(2024, 5, 17, 12, 30, tzinfo=datetime.timezone.utc)
    table = pa.table({"text": [f"text {i}" for i in range(30)], "value": [decimal.Decimal(i) / 8 for i in range(30)], "day": [day] * 30,
                      "image": [{"bytes": b"\xff\0", "path": "x"}] * 30, "not": [math.nan, math.inf, -math.inf] * 10,
                      "none": pa.nulls(30), "half": pa.array(range(30), pa.float16())})
    pq.write_table(table, tmp_path / "odd.parquet")
    (tmp_path / "odd.jsonl").write_text("".join(json.dumps({"text": f"text {i}", "value": i / 8, "day": str(day)}) + "\n" for i in range(30)))
    both(tmp_path, {"kind": "regression", "valid_share": 0.3}, names=["odd"], out="odd")
    done = run("import", "-c", tmp_path / "d.ini", "--out", tmp_path / "again")
    assert done.returncode == 0 and done.stderr.count("left out: 'image' (struct<bytes: binary, path: string>)") == 1
    refused(tmp_path, "odd.parquet", "there is no key 'image'", task={"columns": "label:image"})


@needs_arrow
def test_names_of_columns_and_labels(tmp_path):
    rows = [{"sentence": f"text {i}", "sentiment": i % 2, "page": i // 4} for i in range(80)]
    write_both(tmp_path, rows)
    both(tmp_path, {"kind": "classification", "columns": "label:sentiment", "label_names": "bad, good", "valid_share": 0.2, "group": "page"})
    refused(tmp_path, "train.parquet", "line 1", "'rating'", task={"columns": "label:rating"})
    # The classes of Hugging Face's schema, of a column of numbers and of lists of numbers.
    label = {"names": ["negative", "positive"], "_type": "ClassLabel"}
    for feature in ({"feature": label, "_type": "List"}, {"feature": label, "_type": "Sequence", "length": -1}, [label]):
        about = {"info": {"features": {"label": label, "labels": feature, "text": {"dtype": "string", "_type": "Value"}}}}
        table = pa.table({"text": [f"text {i}" for i in range(30)], "label": [i % 2 for i in range(30)], "labels": [[i % 2, 0] for i in range(30)]})
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
        pq.write_table(table, tmp_path / "hub.parquet")
        for kind in ("classification", "multilabel"):
            shutil.rmtree(tmp_path / kind, ignore_errors=True)
            manifest = imported(tmp_path, {"t": {"kind": kind, "train": "hub.parquet"}}, "vocab_size = 30", out=kind)
            assert manifest["tasks"][0]["labels"] == ["negative", "positive"]
    manifest = imported(tmp_path, {"t": {"kind": "classification", "train": "hub.parquet", "label_names": "no, yes"}}, "vocab_size = 30", out="own")
    assert manifest["tasks"][0]["labels"] == ["no", "yes"]
    imported(tmp_path, {"t": {"kind": "regression", "train": "hub.parquet", "columns": "value:label"}}, "vocab_size = 30", out="numbers")
    for broken in ("", "{", "[]", '{"info": 3}', '{"info": {"features": {"label": {"_type": "ClassLabel", "names": [1]}}}}'):
        pq.write_table(table.replace_schema_metadata({"huggingface": broken}), tmp_path / "hub.parquet")
        shutil.rmtree(tmp_path / "numbers")
        manifest = imported(tmp_path, {"t": {"kind": "classification", "train": "hub.parquet"}}, "vocab_size = 30", out="numbers")
        assert manifest["tasks"][0]["labels"] == ["0", "1"]


@needs_arrow
def test_names_of_files_lists_and_pipes(tmp_path):
    write_both(tmp_path, ANIMALS)
    imported(tmp_path, {"t": {"kind": "classification", "train": "train.jsonl"}}, "vocab_size = 60", out="data-jsonl")
    expected = shard_bytes(tmp_path, "data-jsonl")
    for i in range(3):
        pq.write_table(pa.Table.from_pylist(ANIMALS[i * 40:i * 40 + 40]), tmp_path / f"part-{i}.parquet")
    lines = (tmp_path / "train.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "part-1.jsonl").write_text("".join(lines[40:80]))
    shutil.copy(tmp_path / "train.parquet", tmp_path / "train.data")
    os.mkfifo(tmp_path / "pipe")
    feed(tmp_path / "pipe", (tmp_path / "train.parquet").read_bytes())
    for number, files in enumerate(["part-*.parquet", "part-0.parquet, part-1.jsonl, part-2.parquet", "train.data", "pipe"]):
        imported(tmp_path, {"t": {"kind": "classification", "train": files}}, "vocab_size = 60", out=f"out{number}")
        assert shard_bytes(tmp_path, f"out{number}") == expected
    refused(tmp_path, "train.parquet", "to be read as csv", "format = jsonl", task={"format": "csv"})
    subprocess.run(["zstd", "-q", tmp_path / "train.parquet"], check=True)
    refused(tmp_path, "train.parquet.zst", "decompress it")


@needs_arrow
def test_damaged_files(tmp_path):
    write_both(tmp_path, ANIMALS, row_group_size=40, write_page_checksum=True)
    content = (tmp_path / "train.parquet").read_bytes()
    for size in (4, 11, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.parquet").write_bytes(content[:size])
        refused(tmp_path, "cut.parquet", "Parquet", "cut off, so get the file again")
    # Whatever byte is damaged: an error or a data set, never a crash.
    for at in [*range(4, len(content), len(content) // 8), len(content) - 9, len(content) - 6]:
        flipped = bytearray(content)
        flipped[at] ^= 0x55
        (tmp_path / "flipped.parquet").write_bytes(flipped)
        write(tmp_path, {"t": {"kind": "classification", "train": "flipped.parquet"}}, "vocab_size = 60")
        done = run("import", "-c", tmp_path / "d.ini", "--out", tmp_path / f"flipped-{at}")
        assert done.returncode in (0, 65) and (done.returncode == 0 or "flipped.parquet" in done.stderr), (at, done.stderr)


@needs_arrow
def test_files_without_samples(tmp_path):
    pq.write_table(pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())}), tmp_path / "zero.parquet")
    refused(tmp_path, "zero.parquet", "0 samples")
    pq.write_table(pa.table({"text": ["a", None, "c"], "label": ["x", "y", "x"]}), tmp_path / "null.parquet")
    refused(tmp_path, "null.parquet", "line 2", "lacks the key 'text'")
    pq.write_table(pa.table({"text": ["a", "b"], "label": [None, None]}), tmp_path / "null.parquet")
    refused(tmp_path, "null.parquet", "line 1", "'label'")
    pq.write_table(pa.table({"image": [b"\xff"] * 3}), tmp_path / "bytes.parquet")
    refused(tmp_path, "bytes.parquet", "without a column of texts or numbers", "'image' (binary)")
    bad = pa.array([b"good", b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": bad, "label": ["x", "y"]}), tmp_path / "latin.parquet")
    refused(tmp_path, "latin.parquet", "line 2")
    long = pa.table({"text": ["a", "b" * (17 << 20)], "label": ["x", "y"]})
    pq.write_table(long, tmp_path / "long.parquet")
    refused(tmp_path, "long.parquet", "line 2", "more than 16 MiB")


class Keys(pe.KmsClient):
    def __init__(self, config):
        super().__init__()

    def wrap_key(self, key, name):
        return key

    def unwrap_key(self, wrapped, name):
        return wrapped


@needs_arrow
@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_encrypted_files(tmp_path, plaintext_footer):
    settings = pe.EncryptionConfiguration(footer_key="k", column_keys={"k": ["text"]}, plaintext_footer=plaintext_footer)
    properties = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), settings)
    table = pa.Table.from_pylist(ANIMALS)
    with pq.ParquetWriter(tmp_path / "secret.parquet", table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    refused(tmp_path, "secret.parquet", "encrypted", "write it" if plaintext_footer else "write its rows")


@needs_arrow
def test_without_the_module(tmp_path):
    shutil.copy(POLYHEAD, tmp_path / "polyhead")
    write_both(tmp_path, ANIMALS)
    write(tmp_path, {"t": {"kind": "classification", "train": "train.parquet"}})
    words = [tmp_path / "polyhead", "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none"]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 65 and "libpolyhead_parquet.so: cannot open shared object file" in done.stderr and "launch/setup" in done.stderr


@pytest.mark.skipif(BUILT_IN, reason="the program was built with Apache Arrow")
def test_a_program_without_arrow(tmp_path):
    write_both(tmp_path, ANIMALS)
    refused(tmp_path, "train.parquet", "built without Apache Arrow", f"pd.read_parquet('{tmp_path / 'train.parquet'}')")
