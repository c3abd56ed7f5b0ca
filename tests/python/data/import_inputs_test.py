"""Import of files in the forms that users have: archives, lists and patterns, pipes, JSON arrays, headers, names of
columns, shares of valid and test, folders behind links. Import reads the same as Python's gzip, bz2, csv and json."""

import bz2
import csv
import gzip
import io
import json
import os
import random
import subprocess
import threading
import time

import pytest

from import_formats_test import imported, shards, texts, write
from program import POLYHEAD, command, environment, fails, run

ANIMALS = [{"text": f"{word} number {i} runs", "label": word} for i in range(40) for word in ("cat", "dog")]
JSONL = "".join(json.dumps(one) + "\n" for one in ANIMALS)


def zst(content):
    return subprocess.run(["zstd", "-q", "-c"], input=content, stdout=subprocess.PIPE, check=True).stdout


PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zst}


def of(split, manifest, task=0):
    return manifest["tasks"][task]["splits"][split]["samples"]


def shard_bytes(folder, out="data"):
    return [file.read_bytes() for file in sorted((folder / out).rglob("*.h5"))]


@pytest.fixture
def plain(tmp_path):
    """The data set of animals from one file of JSON Lines, and its shards."""
    (tmp_path / "a.jsonl").write_text(JSONL)
    imported(tmp_path, {"t": {"kind": "classification", "train": "a.jsonl"}}, "vocab_size = 60", out="plain")
    return shard_bytes(tmp_path, "plain")


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2"])
def test_archives(tmp_path, plain, ending):
    pack = PACK[ending]
    half = len(JSONL) // 2
    whole = {f"one.jsonl{ending}": pack(JSONL.encode()), "by-magic.jsonl": pack(JSONL.encode()),
             f"two-members.jsonl{ending}": pack(JSONL[:half].encode()) + pack(JSONL[half:].encode())}
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
        imported(tmp_path, {"t": {"kind": "classification", "train": name}}, "vocab_size = 60", out=name + ".data")
        assert shard_bytes(tmp_path, name + ".data") == plain
    content = whole[f"one.jsonl{ending}"]
    write(tmp_path, {"t": {"kind": "classification", "train": f"cut.jsonl{ending}"}}, "vocab_size = 60")
    for size in (3, len(content) // 3, len(content) - 1):
        (tmp_path / f"cut.jsonl{ending}").write_bytes(content[:size])
        fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["task 't'", f"cut.jsonl{ending}"])
    (tmp_path / f"cut.jsonl{ending}").write_bytes(content[:-6])
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["it is cut off"])
    (tmp_path / f"cut.jsonl{ending}").write_text(JSONL)
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=[f"has the ending {ending} but is not"])
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 4
    (tmp_path / f"cut.jsonl{ending}").write_bytes(flipped)
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=[f"cut.jsonl{ending}"])


def test_parallel_texts_in_archives(tmp_path):
    (tmp_path / "a.en.gz").write_bytes(gzip.compress(b"good morning\ngood night\n"))
    (tmp_path / "a.it.zst").write_bytes(zst("buon giorno\nbuona notte\n".encode()))
    task = {"kind": "translation", "train": "a.en.gz", "train_target": "a.it.zst", "valid": "a.en.gz", "valid_target": "a.it.zst"}
    manifest = imported(tmp_path, {"t": task}, "vocab_size = 30")
    (file,) = shards(tmp_path, manifest, "t", "valid")
    assert texts(file, "input") == ["good morning", "good night"] and texts(file, "target") == ["buon giorno", "buona notte"]
    (tmp_path / "a.it.zst").write_bytes(zst("buon giorno\nbuona notte\n".encode())[:-3])
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["a.it.zst", "cut off"])


def test_lists_and_patterns(tmp_path, plain):
    lines = JSONL.splitlines(keepends=True)
    (tmp_path / "parts").mkdir()
    for i in range(8):
        name, part = tmp_path / "parts" / f"p-{i:02}.jsonl", "".join(lines[i * 10:i * 10 + 10])
        name.write_text(part) if i % 2 else (name.parent / (name.name + ".gz")).write_bytes(gzip.compress(part.encode()))
    for value in ("parts/p-*.jsonl*", "parts/p-0[0-3].jsonl*, " + ", ".join(f"parts/p-0{i}.jsonl" + ("" if i % 2 else ".gz") for i in range(4, 8))):
        manifest = imported(tmp_path, {"t": {"kind": "classification", "train": value}}, "vocab_size = 60")
        assert of("train", manifest) == 80 and shard_bytes(tmp_path) == plain
        subprocess.run(["rm", "-r", tmp_path / "data"], check=True)
    (tmp_path / "a, [b].jsonl").write_text(JSONL)
    assert of("train", imported(tmp_path, {"t": {"kind": "classification", "train": "a, [b].jsonl"}}, "vocab_size = 60")) == 80
    (tmp_path / "parts" / "p-07.jsonl").write_text(lines[0] + '{"text": "x"}\n')

    def refused(value, *says):
        write(tmp_path, {"t": {"kind": "classification", "train": value}}, "vocab_size = 60")
        fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=says)

    refused("parts/p-*.jsonl*", "p-07.jsonl, line 2", "lacks the key 'label'")
    refused("parts/q-*.jsonl", "d.ini:6", "no file has a name like", "q-*.jsonl")
    refused("parts/p-01.jsonl, parts/p-0?.jsonl", "p-01.jsonl twice")
    refused("parts/p-01.jsonl, parts/none.jsonl", "none.jsonl", "No such file")
    for i in (1, 2):
        (tmp_path / f"{i}.en").write_text(f"text {i}\n")
        (tmp_path / f"{i}.it").write_text(f"testo {i}\n")
    task = {"kind": "translation", "train": "1.en, 2.en", "train_target": "*.it", "valid": "1.en,2.en", "valid_target": "1.it,2.it"}
    manifest = imported(tmp_path, {"t": task}, "vocab_size = 18", out="data2")
    (tmp_path / "data").rename(tmp_path / "old")
    (tmp_path / "data2").rename(tmp_path / "data")
    assert texts(shards(tmp_path, manifest, "t", "valid")[0], "target") == ["testo 1", "testo 2"]
    write(tmp_path, {"t": task | {"train_target": "1.it"}}, "vocab_size = 18")
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["2 files of 'train' and 1 of 'train_target'"])


def test_a_json_array(tmp_path, plain):
    for name, content in {"dense": json.dumps(ANIMALS), "pretty": json.dumps(ANIMALS, indent=2), "bom": "\ufeff \n" + json.dumps(ANIMALS)}.items():
        (tmp_path / f"{name}.json").write_text(content, encoding="utf-8")
        imported(tmp_path, {"t": {"kind": "classification", "train": f"{name}.json"}}, "vocab_size = 60", out=name)
        assert shard_bytes(tmp_path, name) == plain
    odd = [{"text": 'brackets ] } , " \\ and [ {', "label": "a"}, {"text": "é, ü", "label": "b", "more": {"x": [1, [2, {"y": "]"}]]}}]
    (tmp_path / "odd.json").write_text(json.dumps(odd, ensure_ascii=False), encoding="utf-8")
    assert of("train", imported(tmp_path, {"t": {"kind": "classification", "train": "odd.json"}}, "vocab_size = 60", out="odd")) == 2
    write(tmp_path, {"t": {"kind": "classification", "train": "bad.json"}}, "vocab_size = 60")
    for content, *says in [
            (json.dumps(ANIMALS, indent=1)[:-1], "ends before the array's ']'"), (json.dumps(ANIMALS, indent=1)[:-10], "line 318", "cuts off"),
            (json.dumps(ANIMALS[:1]) + "\n{}", "line 2", "behind the array's ']'"), ('[{"text": "a", "label": "b"},]', "a ',' before"),
            ('[\n{"text": "a", "label": "b"}\n{"text"', "line 3", "expected ','"), ('[{"text": "a", "label": "b"}, 3]', "not a JSON object"),
            ("[]", "0 samples"), ('{"data":\n [{"text": "a"}]}', "line 1")]:
        (tmp_path / "bad.json").write_text(content)
        fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["bad.json", *says])


@pytest.mark.parametrize("name, content, says", [
    ("x.jsonl", b"PAR1....", "is Parquet"), ("x.txt", b"PARE\3\0\0\0..", "encrypted Parquet"),
    ("x.feather", b"ARROW1..", "pd.read_feather('{}').to_json('x.jsonl', orient='records', lines=True, force_ascii=False)"), ("x.xlsx", b"PK\x03\x04....", "pd.read_excel"), ("x.npz", b"PK\x03\x04....", "NumPy"),
    ("x.zip", b"PK\x03\x04....", "unzip"), ("x.arrow", b"ARROW1..", "pd.read_feather"), ("x.arrow", b"\xff\xff\xff\xff\x10\0\0\0", "from_file"),
    ("x.jsonl.xz", b"\xfd7zXZ\0..", "xz -d"), ("x.h5", b"\x89HDF\r\n\x1a\n", "HDF5"), ("x.csv", "text,label\n".encode("utf-16"), "iconv -f UTF-16"),
    ("x.tar.gz", gzip.compress(b"\0" * 257 + b"ustar\0" + b"\0" * 300), "tar -xf"), ("x.pkl", b"\x80\x04\x95....", "pickle")])
def test_formats_that_are_not_read_are_named(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    write(tmp_path, {"t": {"kind": "classification", "train": name, "format": "jsonl"}})
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["task 't'", says.format(tmp_path / name)])


SHEET = b"PK\x03\x04....", "is a spreadsheet, which import does not read; convert it to JSON Lines: python -c"
NOISE = random.Random(3).randbytes(3000)
ELF = b"\x7fELF\2\1\1" + b"\0" * 9 + NOISE


@pytest.mark.parametrize("name, content, says", [
    *((f"x.{ending}", *SHEET) for ending in ("xlsx", "xls", "xlsm", "ods")), ("x.csv", b"PK\x03\x04....docProps/app.xml", SHEET[1]),
    ("x.arrow", b"ARROW1..", "is Arrow"), ("x.feather", b"ARROW1..", "is Arrow"), ("x.dat.gz", gzip.compress(b"ARROW1.."), "decompressed, it is Arrow"),
    ("x.zip", b"PK\x03\x04....", "is a ZIP archive"), ("x.bin", ELF, "is a binary file, not text"),
    ("x.csv", ELF, "is a binary file, not CSV"), ("x.tsv", ELF, "is a binary file, not TSV"),
    ("x.csv", NOISE, "is a binary file, not CSV"), ("x.tsv.gz", gzip.compress(NOISE), "is a binary file, not TSV"),
    ("x.parquet", NOISE, "has the ending .parquet but is not a Parquet file"), ("x.parquet", JSONL.encode(), "rename it if it has another format"),
    ("x.csv", "text,label\né,b\n".encode("utf-16-le"), "iconv -f UTF-16LE"), ("x.tsv", "text\tlabel\n".encode("utf-16-be"), "iconv -f UTF-16BE"),
    ("x.csv", "text,label\né,b\n".encode("latin-1"), "line 2: has a 'text' that is not UTF-8"),
    ("x.csv", b"text,label\na,\0\xff\n", "line 2: has a 'label' that is not UTF-8")], ids=lambda value: value[:20] if isinstance(value, str) else "")
def test_binary_files_are_named_by_their_content(tmp_path, name, content, says):
    def refused(content, says, **more):
        (tmp_path / name).write_bytes(content)
        write(tmp_path, {"t": {"kind": "classification", "train": name, **more}})
        fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["task 't'", name, says])

    refused(content, says)
    if name.endswith(("csv", "tsv")):
        refused(content.removeprefix(b"text,label\n"), says.replace("line 2", "line 1"), columns="text, label")


@pytest.mark.parametrize("odd", ["".join(f"\x01é {one}\x02b\ty\n" for one in ("a", "\x1b[31m", "\f")), "\0 c\ty\n"])
def test_control_characters_in_texts_are_kept(tmp_path, odd):
    (tmp_path / "t.tsv").write_text(odd + "a b\ty\n" * 30)
    manifest = imported(tmp_path, {"t": {"kind": "classification", "train": "t.tsv", "columns": "text, label"}}, "vocab_size = 25")
    assert of("train", manifest) == 30 + odd.count("\n")


@pytest.mark.parametrize("odd", [JSONL.encode("utf-16"), gzip.compress(b"abc", mtime=0), NOISE[:200].replace(b"\n", b"")], ids=["utf-16", "gzip", "noise"])
def test_a_binary_line_behind_good_ones_is_named(tmp_path, odd):
    good = JSONL.splitlines(keepends=True)[:2]
    (tmp_path / "t.jsonl").write_bytes("".join(good).encode() + odd + b"\n")
    write(tmp_path, {"t": {"kind": "classification", "train": "t.jsonl"}})
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=[f"line {len(good) + 1}"])


def test_long_lists_of_columns_are_cut(tmp_path):
    for i, names in enumerate(([f"column {n} é" for n in range(400)], ["é" * 3000, "b"])):
        (tmp_path / "t.csv").write_text(",".join(names) + "\n")
        for more in ({}, {"columns": "text:x"}, {"columns": f"text:{names[1]}, label:{names[1]}", "group": "x", "valid_share": "0.1"}):
            write(tmp_path, {"t": {"kind": "classification", "train": "t.csv", **more}})
            message = fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["the columns are", f"… ({len(names)} in all)"])
            assert len(message) < 800 and "\\x" not in message


def test_a_translation_without_its_targets(tmp_path):
    (tmp_path / "corpus.en.gz").write_bytes(gzip.compress(b"good morning\n"))
    write(tmp_path, {"t": {"kind": "translation", "train": "corpus.en.gz"}})
    words = "; or add train_target = FILE, for two parallel text files, line by line"
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["does not determine a format", words])
    write(tmp_path, {"t": {"kind": "masked_lm", "train": "corpus.en.gz"}})
    assert words not in fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["does not determine a format"])


def feed(pipe, *contents):
    def work():
        for i, content in enumerate(contents):
            time.sleep(2 if i else 0)  # the first has been read by then
            try:
                with open(pipe, "wb") as file:
                    file.write(content)
            except BrokenPipeError:
                pass
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("content", [JSONL.encode(), gzip.compress(JSONL.encode())])
def test_a_pipe_is_read_once(tmp_path, plain, content):
    os.mkfifo(tmp_path / "pipe")
    feed(tmp_path / "pipe", content, (JSONL + '{"text": "a", "label": "new"}\n').encode())
    write(tmp_path, {"t": {"kind": "classification", "train": "pipe", "format": "jsonl"}}, "vocab_size = 60")
    done = run("import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data", timeout=30)
    assert done.returncode == 0, done.stderr
    assert shard_bytes(tmp_path) == plain and "is a pipe; it is read once" in done.stderr
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["dataset.json", "t", "tokenizer.model"]
    with open(tmp_path / "d.ini", "rb"):  # process substitution, as a shell has it
        line = f"cat {tmp_path}/a.jsonl | {POLYHEAD} import -c {tmp_path}/d.ini --out {tmp_path}/stdin --task.t.train /dev/stdin"
        done = subprocess.run(["bash", "-c", line], env=environment(), capture_output=True, encoding="utf-8", timeout=30)
        assert done.returncode == 0, done.stderr
        line = f"{POLYHEAD} import -c {tmp_path}/d.ini --out {tmp_path}/sub --task.t.train <(cat {tmp_path}/a.jsonl)"
        done = subprocess.run(["bash", "-c", line], env=environment(), capture_output=True, encoding="utf-8", timeout=30)
        assert done.returncode == 0, done.stderr
    assert shard_bytes(tmp_path, "stdin") == plain and shard_bytes(tmp_path, "sub") == plain
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", "--task.t.train", "/dev/zero", says=["is a device"])


def test_a_file_that_changes_is_named(tmp_path):
    """A file is rewritten while import waits for a pipe, after it has read the file once."""
    (tmp_path / "a.jsonl").write_text(JSONL)
    os.mkfifo(tmp_path / "pipe")
    tasks = {"a": {"kind": "classification", "train": "a.jsonl"}, "b": {"kind": "classification", "train": "pipe", "format": "jsonl"}}
    write(tmp_path, tasks, "vocab_size = 60")
    for changed in (JSONL[:len(JSONL) // 2].rsplit("\n", 1)[0] + "\n", '{"text": "sour pear", "label": "new"}\n' + JSONL):
        (tmp_path / "a.jsonl").write_text(JSONL)
        process = subprocess.Popen(command("import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data"), env=environment(),
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
        with open(tmp_path / "pipe", "w") as pipe:  # import has read the first file when it opens this one
            (tmp_path / "a.jsonl").write_text(changed)
            pipe.write(JSONL)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 65 and "a.jsonl was changed while import read it" in errors, errors
        assert not (tmp_path / "data").exists()


def test_out_may_be_a_link_or_hold_what_a_volume_holds(tmp_path, plain):
    write(tmp_path, {"t": {"kind": "classification", "train": "a.jsonl"}}, "vocab_size = 60")
    (tmp_path / "scratch").mkdir()
    (tmp_path / "link").symlink_to("scratch")
    (tmp_path / "later").symlink_to("not-yet")
    (tmp_path / "volume" / "lost+found").mkdir(parents=True)
    (tmp_path / "volume" / ".importing" / "t").mkdir(parents=True)  # of an import that was killed
    for out, target in (("link", "scratch"), ("later", "not-yet"), ("volume", "volume")):
        done = run("import", "-c", tmp_path / "d.ini", "--out", tmp_path / out)
        assert done.returncode == 0, done.stderr
        assert shard_bytes(tmp_path, target) == plain
        assert run("verify", "--data", tmp_path / out).returncode == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "later").is_symlink()
    assert not (tmp_path / "volume" / ".importing").exists()
    (tmp_path / "round").symlink_to("round")
    fails(73, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "round", says=["leads to itself"])


def header_file(folder, first, name="t.tsv"):
    lines = [f"good film {i}\tpos" if i % 3 else f"bad film {i}\tneg" for i in range(30)]
    (folder / name).write_text("\n".join([*([first] if first else []), *lines]) + "\n")


@pytest.mark.parametrize("first", ["text\tlabel", "Sentence\tLabel", "Review\tSentiment", "Der Text\tDie Klasse"])
def test_a_header_is_no_sample(tmp_path, first):
    task = {"kind": "classification", "train": "t.tsv", "columns": "text, label"}
    header_file(tmp_path, first)
    write(tmp_path, {"t": task}, "vocab_size = 60")
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["t.tsv, line 1", "header = yes", "header = no"])
    manifest = imported(tmp_path, {"t": task | {"header": "yes"}}, "vocab_size = 60", out="yes")
    assert of("train", manifest) == 30 and manifest["tasks"][0]["labels"] == ["neg", "pos"]
    manifest = imported(tmp_path, {"t": task | {"header": "no"}}, "vocab_size = 60", out="no")
    assert of("train", manifest) == 31 and len(manifest["tasks"][0]["labels"]) == 3
    header_file(tmp_path, None)
    assert of("train", imported(tmp_path, {"t": task}, "vocab_size = 60", out="none")) == 30


def test_a_header_of_numbers(tmp_path):
    header_file(tmp_path, None)
    (tmp_path / "n.csv").write_text("Satz,Wert\na b,0.5\nb c,1\n")
    write(tmp_path, {"t": {"kind": "regression", "train": "n.csv", "columns": "text, value"}}, "vocab_size = 60")
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["line 1", "'Wert' in 'value'", "header = yes"])
    write(tmp_path, {"t": {"kind": "classification", "train": "t.tsv", "header": "no"}}, "vocab_size = 60")
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["'header = no', but no 'columns'"])


def said(folder, task, dataset="vocab_size = 40", out="data"):
    write(folder, {"t": task}, dataset)
    done = run("import", "-c", folder / "d.ini", "--out", folder / out)
    assert done.returncode == 0, done.stderr
    return done.stderr, json.loads((folder / out / "dataset.json").read_text())


@pytest.mark.parametrize("kind, sample, took", [
    ("classification", {"sentence": "a b", "label": 1, "idx": 0}, "text:sentence, label:label"),
    ("classification", {"premise": "a", "hypothesis": "b", "label": 0}, "text:premise, second:hypothesis, label:label"),
    ("classification", {"gold_label": "x", "sentence1": "a", "sentence2": "b", "pairID": "1"}, "text:sentence1, second:sentence2, label:gold_label"),
    ("classification", {"question": "a", "sentence": "b", "label": "x"}, "text:question, second:sentence, label:label"),
    ("classification", {"review": "a", "sentiment": "x"}, "text:review, label:sentiment"),
    ("regression", {"sentence1": "a", "sentence2": "b", "score": 2.5}, "text:sentence1, second:sentence2, value:score"),
    ("tagging", {"id": "1", "tokens": ["a", "b"], "ner_tags": ["O", "B-X"]}, "words:tokens, tags:ner_tags"),
    ("masked_lm", {"content": "a b"}, "text:content")])
def test_usual_names_are_found(tmp_path, kind, sample, took):
    (tmp_path / "t.jsonl").write_text((json.dumps(sample) + "\n") * 3)
    errors, _ = said(tmp_path, {"kind": kind, "train": "t.jsonl"}, "vocab_size = 12")
    assert f"task 't': took columns = {took};" in errors
    if kind == "tagging":
        return
    with open(tmp_path / "t.csv", "w", newline="") as file:
        table = csv.DictWriter(file, [name.upper() for name in sample])
        table.writeheader()
        table.writerows([{name.upper(): value for name, value in sample.items()}] * 3)
    errors, _ = said(tmp_path, {"kind": kind, "train": "t.csv"}, "vocab_size = 12", out="csv")
    assert took.split(",")[0].split(":")[1].upper() in errors
    assert shard_bytes(tmp_path, "csv") == shard_bytes(tmp_path)


@pytest.mark.parametrize("name, content, says", [
    ("a.csv", "Id,Remark,Verdict\n1,good soup,yes\n", ["no column 'text' and no column 'label'", "the columns are Id, Remark, Verdict", "'columns = text:NAME, label:NAME'"]),
    ("a.csv", "Id,Remark,label\n1,good soup,yes\n", ["no column 'text', which", "'columns = text:NAME'"]),
    ("a.tsv", "good soup\tyes\n", ["first line is a sample", "for example 'columns = text, label'"]),
    ("a.tsv", "good soup\tit was warm\tyes\n", ["first line is a sample", "for example 'columns = text, second, label'"]),
    ("a.jsonl", '{"Remark": "good soup", "Verdict": "yes"}\n', ["lacks the key 'text' and the key 'label'", "the keys are Remark, Verdict", "'columns = text:KEY, label:KEY'"]),
])
def test_all_names_that_are_missing_are_said_at_once(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    write(tmp_path, {"t": {"kind": "classification", "train": name}})
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data", says=says)


def test_where_two_names_fit_import_asks(tmp_path):
    def refused(kind, sample, *says, **more):
        (tmp_path / "t.jsonl").write_text(json.dumps(sample) + "\n")
        write(tmp_path, {"t": {"kind": kind, "train": "t.jsonl", **more}}, "vocab_size = 40")
        fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["t.jsonl, line 1", *says])

    refused("classification", {"sentence": "a", "review": "b", "label": "x"}, "'sentence' and 'review' fit 'text'", "columns = text:sentence")
    refused("tagging", {"tokens": ["a"], "ner_tags": ["X"], "pos_tags": ["Y"]}, "fit 'tags'", "columns = tags:ner_tags")
    refused("classification", {"sentence": "a", "klass": "x"}, "lacks the key 'label'", "the keys are sentence, klass", "columns = label:KEY")
    refused("classification", {"sentence": "a", "klass": "x"}, "there is no key 'class'", columns="label:class")
    refused("translation", {"translation": {"en": "a", "it": "b"}}, "translations of en, it", "source_language = en", "target_language = it")
    write(tmp_path, {"t": {"kind": "classification", "train": "t.jsonl", "columns": "txt:sentence"}})
    fails(78, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["no part 'txt'", "did you mean", "text"])
    write(tmp_path, {"t": {"kind": "masked_lm", "train": "t.jsonl", "columns": "text:sentence, label:x"}})
    fails(78, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["'label' has no effect"])


def test_columns_by_our_names_and_theirs(tmp_path):
    rows = [{"A": "one two", "B": "x y", "C c": "p", "label": "wrong"}, {"A": "two", "B": "", "C c": "q", "label": "wrong"}]
    ours = [{"text": one["A"], "label": one["C c"]} | ({"second": one["B"]} if one["B"] else {}) for one in rows]
    (tmp_path / "ours.jsonl").write_text("".join(json.dumps(one) + "\n" for one in ours))
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({k: v for k, v in one.items() if v}) + "\n" for one in rows))
    for name, separator in (("t.csv", ","), ("t.tsv", "\t"), ("semicolon.csv", ";")):
        with open(tmp_path / name, "w", newline="") as file:
            table = csv.DictWriter(file, rows[0], delimiter=separator)
            table.writeheader()
            table.writerows(rows)
    kind = {"kind": "classification"}
    imported(tmp_path, {"t": kind | {"train": "ours.jsonl"}}, "vocab_size = 20")
    for name in ("t.jsonl", "t.csv", "t.tsv", "semicolon.csv"):
        imported(tmp_path, {"t": kind | {"train": name, "columns": "text:A, label:C c, second:B"}}, "vocab_size = 20", out=name + "-data")
        assert shard_bytes(tmp_path, name + "-data") == shard_bytes(tmp_path), name


def test_translations_as_hubs_have_them(tmp_path):
    pairs = [("good morning", "buon giorno"), ("good night", "buona notte")]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"id": i, "translation": {"en": en, "it": it}}) + "\n" for i, (en, it) in enumerate(pairs)))
    with open(tmp_path / "t.csv", "w", newline="") as file:
        csv.writer(file).writerows([("en", "it"), *pairs])
    for i, more in enumerate(({"train": "t.jsonl"}, {"train": "t.csv"},
                              {"train": "t.jsonl", "columns": "text:translation.en, target:translation.it"})):
        languages = {"source_language": "en", "target_language": "it"}
        manifest = imported(tmp_path, {"t": {"kind": "translation", "valid": more["train"], **languages, **more}}, "vocab_size = 24", out=f"d{i}")
        (tmp_path / "data").unlink(missing_ok=True)
        (tmp_path / "data").symlink_to(f"d{i}")
        (file,) = shards(tmp_path, manifest, "t", "valid")
        assert list(zip(texts(file, "input"), texts(file, "target"))) == pairs


def test_tables_read_as_pythons_module_does(tmp_path):
    """Fields contain quotes and '#', which Python's module reads unchanged."""
    rng = random.Random(8)
    pieces = ['5" disk', "# not a comment", "a #b", "; semicolon", "it's", 'say ""so""', "x,y", "tab", "'quoted'"]
    content = "text,target\n"
    for _ in range(300):
        fields = []
        for _ in range(2):
            text = "w" + " ".join(rng.choice(pieces[:5]) for _ in range(rng.randint(1, 3)))
            fields.append(rng.choice([text, '"' + rng.choice(pieces).replace('5" ', "5 ") + ' end"']))
        content += ",".join(fields) + "\n"
    (tmp_path / "t.csv").write_text(content)
    manifest = imported(tmp_path, {"t": {"kind": "translation", "train": "t.csv", "valid": "t.csv"}}, "vocab_size = 50")
    (file,) = shards(tmp_path, manifest, "t", "valid")
    assert list(zip(texts(file, "input"), texts(file, "target"))) == [tuple(row) for row in csv.reader(io.StringIO(content))][1:]
    (tmp_path / "t.tsv").write_text('text\ttarget\n"a ""b"" c"\t# x\n"d\ne"\t"f\tg"\n')
    (tmp_path / "data").rename(tmp_path / "csv")
    manifest = imported(tmp_path, {"t": {"kind": "translation", "train": "t.tsv", "valid": "t.tsv", "quoting": "csv"}}, "vocab_size = 20")
    (file,) = shards(tmp_path, manifest, "t", "valid")
    assert list(zip(texts(file, "input"), texts(file, "target"))) == [('a "b" c', "# x"), ("d\ne", "f\tg")]


SAMPLES = [{"text": f"text {i % 150} here", "label": f"l{i % 3}", "doc": f"d{i % 20}"} for i in range(600)]


def split_texts(folder, out, task="t"):
    with open(folder / out / "dataset.json") as file:
        manifest = json.load(file)
    (folder / "data").unlink(missing_ok=True)
    (folder / "data").symlink_to(out)
    return {split: [text for file in shards(folder, manifest, task, split) for text in texts(file, "input")]
            for split in next(one for one in manifest["tasks"] if one["name"] == task)["splits"] if split != "train"}, manifest


def test_shares_of_valid_and_test(tmp_path):
    def translation(one):
        return {"text": one["text"], "target": one["label"], "doc": one["doc"]}

    (tmp_path / "t.jsonl").write_text("".join(json.dumps(translation(one)) + "\n" for one in SAMPLES))
    with open(tmp_path / "t.csv", "w", newline="") as file:
        table = csv.DictWriter(file, ["text", "target", "doc"])
        table.writeheader()
        table.writerows(map(translation, SAMPLES))
    (tmp_path / "t.en").write_text("".join(one["text"] + "\n" for one in SAMPLES))
    (tmp_path / "t.it").write_text("".join(one["label"] + "\n" for one in SAMPLES))
    shares = {"kind": "translation", "valid_share": 0.2, "test_share": 0.1}
    imported(tmp_path, {"t": shares | {"train": "t.jsonl"}}, "vocab_size = 30", out="jsonl")
    imported(tmp_path, {"t": shares | {"train": "t.csv"}}, "vocab_size = 30", out="csv")
    imported(tmp_path, {"t": shares | {"train": "t.en", "train_target": "t.it"}}, "vocab_size = 30", out="text")
    splits, manifest = split_texts(tmp_path, "jsonl")
    assert shard_bytes(tmp_path, "csv") == shard_bytes(tmp_path, "jsonl") == shard_bytes(tmp_path, "text")
    valid, test = set(splits["valid"]), set(splits["test"])
    train = {one["text"] for one in SAMPLES} - valid - test
    assert not valid & test and len(valid) + len(test) + len(train) == 150
    assert 15 < len(valid) < 45 and 5 < len(test) < 27
    assert of("train", manifest) == 4 * len(train) and of("valid", manifest) == 4 * len(valid)
    imported(tmp_path, {"t": shares | {"train": "t.jsonl", "valid_share": 0.4}}, "vocab_size = 30", out="more")
    splits, _ = split_texts(tmp_path, "more")
    assert valid < set(splits["valid"]) and test == set(splits["test"])
    (tmp_path / "g.jsonl").write_text("".join(json.dumps({"text": f"page {i} of doc{i % 60}", "target": "x", "doc": i % 60}) + "\n" for i in range(600)))
    imported(tmp_path, {"t": shares | {"train": "g.jsonl", "group": "doc"}}, "vocab_size = 30", out="groups")
    splits, manifest = split_texts(tmp_path, "groups")
    docs = {split: {text.split()[-1] for text in found} for split, found in splits.items()}
    assert docs["valid"] and docs["test"] and not docs["valid"] & docs["test"]
    assert all(len(splits[split]) == 10 * len(docs[split]) for split in docs)
    # More of the same texts, added later, go to the same splits.
    before, _ = split_texts(tmp_path, "jsonl")
    (tmp_path / "t2.jsonl").write_text("".join(json.dumps(translation(one)) + "\n" for one in SAMPLES[:150]))
    write(tmp_path, {"t": shares | {"train": "t2.jsonl"}})
    done = run("import", "-c", tmp_path / "d.ini", "--out", tmp_path / "jsonl", "--append")
    assert done.returncode == 0, done.stderr
    after, _ = split_texts(tmp_path, "jsonl")
    assert set(after["valid"]) == set(before["valid"]) and len(after["valid"]) == len(before["valid"]) * 5 // 4


def test_shares_that_make_no_sense(tmp_path):
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(one) + "\n" for one in SAMPLES[:6]))

    def refused(code, *says, **more):
        write(tmp_path, {"t": {"kind": "classification", "train": "t.jsonl", **more}}, "vocab_size = 30")
        fails(code, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=says)

    refused(65, "both 'valid' and 'valid_share'", valid="t.jsonl", valid_share=0.1)
    refused(65, "together they must be below 1", valid_share=0.5, test_share=0.5)
    refused(65, "'group', which has no effect without", group="doc")
    refused(65, "no text or number in the key 'page'", group="page", valid_share=0.5)
    refused(65, "0 samples in the share of test", valid_share=0.5, test_share=0.0001)
    refused(78, "valid_share", valid_share=1)


def test_samples_that_are_marked_as_without_a_label(tmp_path):
    lines = [{"gold_label": label, "sentence1": f"a {i}", "sentence2": "b"} for i, label in enumerate(["yes", "-", "no", "-", "yes"] * 3)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    with open(tmp_path / "t.tsv", "w", newline="") as file:
        table = csv.DictWriter(file, lines[0], delimiter="\t")
        table.writeheader()
        table.writerows(lines)
    for name in ("t.jsonl", "t.tsv"):
        errors, manifest = said(tmp_path, {"kind": "classification", "train": name}, "vocab_size = 20", out=name + "-data")
        assert of("train", manifest) == 9 and manifest["tasks"][0]["labels"] == ["no", "yes"]
        assert "samples without a label, which are left out: 6 of 15" in errors
    assert shard_bytes(tmp_path, "t.jsonl-data") == shard_bytes(tmp_path, "t.tsv-data")
    errors, manifest = said(tmp_path, {"kind": "classification", "train": "t.tsv", "no_label": "-, no"}, "vocab_size = 20", out="both")
    assert of("train", manifest) == 6 and manifest["tasks"][0]["labels"] == ["yes"]
    (tmp_path / "t.jsonl").write_text('{"text": "a", "label": "-"}\n{"text": "b", "label": "x"}\n')
    _, manifest = said(tmp_path, {"kind": "classification", "train": "t.jsonl"}, "vocab_size = 9", out="own")
    assert manifest["tasks"][0]["labels"] == ["-", "x"]


def test_vocab_size_is_an_upper_bound(tmp_path, plain):
    errors, manifest = said(tmp_path, {"kind": "classification", "train": "a.jsonl"}, "vocab_size = 16000")
    pieces = manifest["tokenizer"]["vocab_size"]
    assert 20 < pieces < 200
    assert f"the texts allow {pieces} pieces, fewer than vocab_size = 16,000" in errors
    write(tmp_path, {"t": {"kind": "classification", "train": "a.jsonl"}}, "vocab_size = 8")
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "none", says=["set vocab_size above"])


def test_verify_names_a_split_of_0_samples(tmp_path, plain):
    file = tmp_path / "plain" / "dataset.json"
    manifest = json.loads(file.read_text())
    manifest["tasks"][0]["splits"]["train"] = {"samples": 0, "shards": []}
    file.write_text(json.dumps(manifest))
    done = run("verify", "--data", tmp_path / "plain")
    assert done.returncode == 65 and "task t, train: has 0 samples" in done.stdout + done.stderr
