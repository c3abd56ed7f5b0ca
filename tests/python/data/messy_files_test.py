"""Import of irregular files: line ends, byte order marks, encodings, labels of any kind; imports that end early, run at
the same time, or have no room."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from program import command, environment, fails, handles, log, run, start, step_count, train, wait_for

ROWS = [("red apple", "a"), ("blue pear", "b"), ("warm sun", "a"), ("cold rain", "b")] * 3
FILES = {
    "tsv": "".join(f"{text}\t{label}\n" for text, label in ROWS),
    "csv": "".join(f"{text},{label}\n" for text, label in ROWS),
    "jsonl": "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS),
}
WORDS = "".join("".join(f"{i + 1}\t{word}\t_\t{tag}" + "\t_" * 6 + "\n" for i, (word, tag) in enumerate(zip(text.split(), ("ADJ", "NOUN")))) + "\n"
                for text, _ in ROWS)


def describe(folder, files, kind="classification", **keys):
    """Writes files and an import description. The contents of files are text or bytes."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({word for text, _ in ROWS for word in text.split()})]))
    keys = {"kind": kind} | keys
    (folder / "d.ini").write_text("[dataset]\nname = x\ntokenizer = wordpiece\nvocab = vocab.txt\n[task.t]\n" +
                                  "".join(f"{key} = {value}\n" for key, value in keys.items()))
    return ["import", "-c", folder / "d.ini", "--out", folder / "data"]


def imported(folder, files, **keys):
    done = run(*describe(folder, files, **keys))
    assert done.returncode == 0, done.stderr
    found = run("inspect", "--data", folder / "data", "--json", "--samples", 100)
    split = json.loads(found.stdout)["tasks"]["t"]["splits"]["train"]
    return [(text["input"], text.get("target")) for text in split["texts"]], dict(split.get("labels", [])), done


def columns(ending):
    return {} if ending == "jsonl" else {"columns": "text, label"}


CHANGES = {"crlf": lambda text: text.replace("\n", "\r\n"), "mark": lambda text: "\ufeff" + text,
           "mark and crlf": lambda text: "\ufeff" + text.replace("\n", "\r\n"), "no last line end": lambda text: text.rstrip("\n"),
           "blank lines at the end": lambda text: text + "\n\n"}


@pytest.mark.parametrize("ending", FILES)
@pytest.mark.parametrize("change", CHANGES)
def test_line_ends_and_marks_change_nothing(change, ending, tmp_path):
    texts, labels, _ = imported(tmp_path / "x", {f"x.{ending}": CHANGES[change](FILES[ending])}, train=f"x.{ending}", **columns(ending))
    assert texts == ROWS and labels == {"a": 6, "b": 6}


@pytest.mark.parametrize("change", CHANGES)
def test_line_ends_and_marks_of_words_and_lines(change, tmp_path):
    texts, _, _ = imported(tmp_path / "x", {"x.conllu": CHANGES[change](WORDS)}, kind="tagging", train="x.conllu")
    assert [text for text, _ in texts] == [text for text, _ in ROWS]
    if change == "blank lines at the end":  # a line of a parallel text
        return
    lines = "".join(text + "\n" for text, _ in ROWS)
    texts, _, _ = imported(tmp_path / "y", {"a.txt": CHANGES[change](lines), "b.txt": CHANGES[change](lines)}, kind="translation",
                           train="a.txt", train_target="b.txt")
    assert texts == [(text, text) for text, _ in ROWS]


@pytest.mark.parametrize("ending", FILES)
def test_other_encodings_and_line_ends_are_refused(ending, tmp_path):
    for i, content in enumerate((FILES[ending].encode("utf-16"), FILES[ending].replace("apple", "é").encode("latin-1"), FILES[ending].replace("\n", "\r"))):
        words = describe(tmp_path / str(i), {f"x.{ending}": content}, train=f"x.{ending}", **columns(ending))
        fails(65, *words, says=[f"x.{ending} is UTF-16 text" if i == 0 else f"x.{ending}, line 1"])
        assert not (tmp_path / str(i) / "data").exists()


def test_labels_of_any_kind_are_trained_and_predicted(tmp_path):
    odd = ["z" * 5000, "a\x1b[31m\n\tb", "日本", "a, b", "[x]", "#", "\"q\""]
    lines = "".join(json.dumps({"text": ROWS[i % 4][0], "label": label}) + "\n" for i, label in enumerate(odd * 4))
    _, labels, _ = imported(tmp_path / "x", {"x.jsonl": lines}, train="x.jsonl", valid="x.jsonl")
    assert labels == {label: 4 for label in odd}
    shown = run("inspect", "--data", tmp_path / "x" / "data")
    assert shown.returncode == 0 and "\x1b" not in shown.stdout and max(map(len, shown.stdout.splitlines())) < 200
    train(tmp_path / "run", tmp_path / "x" / "data", "--run.steps", 4, "--run.eval_every", 2)
    done = run("predict", "--run-dir", tmp_path / "run", "--task", "t", "--in", tmp_path / "x" / "x.jsonl")
    assert done.returncode == 0, done.stderr
    assert run("verify", "--data", tmp_path / "x" / "data").returncode == 0


def test_one_class(tmp_path):
    imported(tmp_path / "x", {"x.jsonl": FILES["jsonl"].replace('"b"', '"a"')}, train="x.jsonl", valid="x.jsonl")
    train(tmp_path / "run", tmp_path / "x" / "data", "--run.steps", 4, "--run.eval_every", 2)
    done = run("evaluate", "--run-dir", tmp_path / "run", "--split", "valid", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["tasks"]["t"]["accuracy"] == 1, (done.stdout, done.stderr)


def test_a_tokenizer_that_has_gone(tmp_path):
    imported(tmp_path / "x", {"x.jsonl": FILES["jsonl"]}, train="x.jsonl", valid="x.jsonl")
    data, gone = tmp_path / "x" / "data", tmp_path / "gone"
    train(tmp_path / "run", data, "--run.steps", 2)
    os.rename(data / "vocab.txt", gone)
    for words in (["verify", "--data", data], ["inspect", "--data", data], ["train", "--data", data, "--run-dir", tmp_path / "run2", "--run.steps", 2],
                  ["import", "-c", tmp_path / "x" / "d.ini", "--out", data, "--append"]):
        done = run(*words)
        assert done.returncode == 65 and f"{data / 'vocab.txt'} is missing" in done.stderr + done.stdout, (words, done.stderr)
    (data / "vocab.txt").write_text(gone.read_text() + "\nmore\n")
    fails(65, "train", "--data", data, "--run-dir", tmp_path / "run3", "--run.steps", 2, says=["vocab.txt", "SHA-256"])


# Imports that end early, meet, or have no room


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large") / "x"
    return folder, describe(folder, {"x.jsonl": FILES["jsonl"] * 1000}, train="x.jsonl", valid="x.jsonl")[:-1]


def left(folder):
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in ("x.jsonl", "d.ini", "vocab.txt"))


def begin(words, out, staging=None):
    process = subprocess.Popen(command(*words, out), env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               encoding="utf-8")
    end = time.monotonic() + 30
    while not is_taken(staging or out.with_name(out.name + ".importing")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.002)
    return process


def is_taken(folder):
    """Import holds the folder's lock, or has written to the folder, which it does with the lock. Between creating the folder
    and locking it, another import may still come first."""
    locked = folder.exists() and f":{folder.stat().st_ino} " in pathlib.Path("/proc/locks").read_text()
    return locked or folder.exists() and any(folder.iterdir())


def test_a_killed_import_leaves_no_data_set_and_the_next_one_works(large):
    folder, words = large
    process = begin(words, folder / "data")
    process.kill(), process.communicate()
    assert not (folder / "data").exists()
    fails(65, "train", "--data", folder / "data.importing", "--run-dir", folder / "run", says=["dataset.json"])
    done = run(*words, folder / "data")
    assert done.returncode == 0, done.stderr
    assert left(folder) == ["data"] and run("verify", "--data", folder / "data").returncode == 0


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("out", ["data", "beside", "inside"])
def test_an_interrupted_import_cleans_up_and_says_so(which, out, large, tmp_path):
    """data: a new folder; beside: an empty folder; inside: a data set that --append adds to."""
    words, target = large[1], tmp_path / out
    if out == "beside":
        target.mkdir()
    if out == "inside":
        small = describe(tmp_path / "small", {"x.jsonl": FILES["jsonl"]}, train="x.jsonl")[:-1]
        assert run(*small, target).returncode == 0
        words = [*words[:-1], "--append", words[-1]]
    before = {file: file.read_bytes() for file in target.rglob("*.*") if file.is_file()}
    process = begin(words, target, target / ".importing" if out == "inside" else None)
    wait_for(lambda: handles(process.pid, which), process)
    process.send_signal(which)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == -which  # 130 for a shell that started it, if it is SIGINT
    said = f"polyhead import: {which.name}: nothing was {'added to' if out == 'inside' else 'imported to'} {target}.\n"
    assert said in errors, errors
    assert sorted(entry.name for entry in tmp_path.iterdir()) == {"data": [], "beside": ["beside"], "inside": ["inside", "small"]}[out]
    assert {file: file.read_bytes() for file in target.rglob("*.*") if file.is_file()} == before


def test_signals_that_a_shell_ignores_stay_ignored(large):
    folder, words = large
    done = subprocess.run(["sh", "-c", 'trap "" INT; "$@" & for i in 1 2 3 4 5; do sleep 0.05; kill -INT $! 2>/dev/null; done; wait $!', "sh", *command(*words, folder / "nohup")],
                          env=environment(), stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0 and (folder / "nohup" / "dataset.json").exists(), done.stderr
    shutil.rmtree(folder / "nohup")


def test_two_imports_into_one_folder_at_once(large):
    folder, words = large
    first = begin(words, folder / "both")
    first.send_signal(signal.SIGSTOP)
    fails(73, *words, folder / "both", says=["another import is writing to it"])
    first.send_signal(signal.SIGCONT)
    assert first.wait(60) == 0, first.communicate()
    assert run("verify", "--data", folder / "both").returncode == 0


def test_out_in_the_folder_of_the_files(tmp_path):
    words = describe(tmp_path / "x", {"x.jsonl": FILES["jsonl"]}, train="x.jsonl")[:-1]
    for used in range(1, 3):  # the advice names a folder that works, also when it is followed twice
        said = fails(73, *words, tmp_path / "x", says=["x: it is not empty; import writes to a folder that is new or empty, for example --out "])
        assert left(tmp_path / "x") == ["data", "data-2"][:used - 1] and (tmp_path / "x" / "x.jsonl").read_text() == FILES["jsonl"]
        assert run(*words, said.rsplit("--out ", 1)[1]).returncode == 0
    fails(73, *words, tmp_path / "x" / "data", says=["holds a data set, to which --append adds", f"--out {tmp_path}/x/data-3"])
    fails(73, *words, tmp_path / "x" / "d.ini", says=["d.ini: it is a file", f"--out {tmp_path}/x/d.ini-2"])


def test_a_full_disk(large, tmp_path):
    folder, words = large
    volume = tmp_path / "volume"
    volume.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", volume], capture_output=True).returncode != 0:
        pytest.skip("nothing may be mounted here")
    try:
        message = fails(73, *words, volume / "data", says=["cannot write", "No space left on device"])
        assert len(message) < 400 and left(volume) == []
    finally:
        subprocess.run(["umount", volume], check=True)


def test_training_while_the_data_set_grows(tmp_path):
    """A data set is appended to while a run reads it. The run uses the samples that it started with."""
    imported(tmp_path / "x", {"x.jsonl": FILES["jsonl"], "y.jsonl": FILES["jsonl"].replace("red apple", "cold pear")}, train="x.jsonl")
    data = tmp_path / "x" / "data"
    train(tmp_path / "alone", data, "--run.steps", 60, "--encoder.layers", 1)
    process = start(tmp_path / "run", data, "--run.steps", 60, "--encoder.layers", 1)
    wait_for(lambda: step_count(tmp_path / "run") > 2, process)
    (tmp_path / "x" / "d.ini").write_text((tmp_path / "x" / "d.ini").read_text().replace("x.jsonl", "y.jsonl").replace("tokenizer = wordpiece\nvocab = vocab.txt\n", ""))
    done = run("import", "-c", tmp_path / "x" / "d.ini", "--out", data, "--append")
    assert done.returncode == 0, done.stderr
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert log(tmp_path / "run") == log(tmp_path / "alone")
    assert json.loads((data / "dataset.json").read_text())["tasks"][0]["splits"]["train"]["samples"] == 2 * len(ROWS)
