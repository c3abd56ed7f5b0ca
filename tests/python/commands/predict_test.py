"""predict prepares inputs like import, copies keys that it does not read, never loses its input, and answers at once on
a pipe."""

import bz2
import gzip
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import time

import pytest

from program import ROOT, command, environment, fails, handles, lines, run, train, wait_for

WORDS = "the a red green blue apple pear plum sweet sour warm cold good bad rain sun"


def write(file, rows):
    file.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))


def label_of(words):
    return "fruit" if "apple" in words else "sky"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of small tasks of most kinds, on single texts, pairs, a mixture of both, words, masks, questions and
    vectors, truncated at 12."""
    folder = tmp_path_factory.mktemp("predict")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split(), *"abcdefghijklmnopqrstuvwxyz", *[f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"]]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    texts = ["red apple sweet", "cold rain", "green apple", "warm sun good", "apple sour", "bad rain the"] * 8
    write(folder / "single.jsonl", [{"text": text, "label": label_of(text)} for text in texts])
    write(folder / "pair.jsonl", [{"text": text, "second": "the sun", "label": label_of(text)} for text in texts])
    (folder / "mixed.csv").write_text("text,second,label\n" + "".join(
        f"{text},{second},{label_of(text)}\n" for text, second in zip(texts, ["the sun", "", "  "] * 16)))
    write(folder / "mixed.jsonl", [{"text": text, "second": second, "label": label_of(text)} for text, second in zip(texts, ["the sun", "", "  "] * 16)])
    write(folder / "words.jsonl", [{"words": text.split(), "tags": ["B-F" if word == "apple" else "O" for word in text.split()]} for text in texts])
    write(folder / "gaps.jsonl", [{"text": text} for text in texts])
    write(folder / "gap_pairs.jsonl", [{"text": text, "second": "the cold rain"} for text in texts])
    write(folder / "answers.jsonl", [{"question": "the", "text": text, "start": 0, "end": len(text.split()[0])} for text in texts])
    write(folder / "vectors.jsonl", [{"features": [[i % 3, j] for j in range(1 + i % 20)], "value": i % 3} for i in range(48)])
    tasks = {"single": "classification", "pair": "classification", "mixed": "classification", "words": "tagging", "gaps": "masked_lm",
             "gap_pairs": "masked_lm", "answers": "span", "vectors": "regression"}
    sections = "".join(f"[task.{task}]\nkind = {kind}\ntrain = {task}.{'csv' if task == 'mixed' else 'jsonl'}\n" for task, kind in tasks.items())
    (folder / "d.ini").write_text(f"[dataset]\nname = x\ntokenizer = wordpiece\nvocab = vocab.txt\nmax_length = 12\n{sections}")
    done = run("import", "-c", folder / "d.ini", "--out", folder / "data")
    assert done.returncode == 0, done.stderr
    train(folder / "run", folder / "data", "--run.steps", 30, "--mixture.batch", 64, "--optimizer.lr", 3e-3)
    return folder


def predict(folder, task, rows, *more, code=0):
    given = "".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    done = run("predict", "--run-dir", folder / "run", "--task", task, *more, input=given)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if code == 0 else done.stderr


# What is not read passes through


def test_a_line_is_kept_as_it_was(folder):
    given = ('{"id": 123456789012345678901, "x":1.50e+3 , "text": "red \\u0061pple", "n": -0, "deep": ' + "[" * 1000 + "]" * 1000
             + ', "e": {"}": "]\\"{"}, "é": "\\u00e9"  }')
    done = run("predict", "--run-dir", folder / "run", "--task", "single", input=given + "\r\n")
    assert done.returncode == 0, done.stderr
    kept, added = done.stdout.rsplit(',"label":', 1)
    assert kept == given.rstrip("}").rstrip() and json.loads('{"label":' + added)["label"] == "fruit"


@pytest.mark.parametrize("bad, says", [('{"text": "a", "score": 1e999}', "1e999"), ('{"text": "a", "x": -2.5e400}', "-2.5e400"),
                                       ('{"text": "a"} {"text": "b"}', "JSON"), ('{"text": "a"}\0{"text": "b"}', "zero byte"), ('"text"', "object"),
                                       ('{"text": "a", "text2": 1' + "0" * 400 + "}", "number overflow"), ("{}", '"text"')])
def test_what_cannot_be_kept_names_its_line(folder, bad, says):
    errors = predict(folder, "single", [{"text": "red"}, bad + "\n"], code=65)
    assert errors.startswith("polyhead predict: standard input:2: ") and says in errors


def test_a_key_of_the_same_name_is_kept(folder):
    gold, again, plain = predict(folder, "single", [{"text": "red apple", "label": "gold"}, {"text": "red apple", "label": "gold", "prediction": 1, "prediction_2": 2},
                                                    {"text": "red apple", "prediction": 1}])
    assert (gold["label"], set(gold), set(gold["prediction"])) == ("gold", {"text", "label", "prediction"}, {"label", "probability"})
    assert (again["prediction"], again["prediction_2"], again["prediction_3"]) == (1, 2, gold["prediction"])
    assert (plain["prediction"], plain["label"]) == (1, gold["prediction"]["label"])
    assert predict(folder, "words", [{"words": ["apple"], "tags": ["O"]}])[0]["prediction"]["tags"][0] in ("O", "B-F")
    assert set(predict(folder, "vectors", [{"features": [[1, 0]], "value": 7}], "--attention")[0]["prediction"]) == {"value", "attention"}
    assert set(predict(folder, "gaps", [{"text": "red <mask>", "tokens": 3}])[0]["prediction"]) == {"tokens"}


# Inputs are read as at import and training


def test_no_second_text_is_none_whatever_it_is_written_as(folder):
    rows = [{"text": "red apple"}, *({"text": "red apple", "second": second} for second in (None, "", " \t", "the sun"))]
    found = [row["probability"] for row in predict(folder, "mixed", rows)]
    assert len({round(value, 6) for value in found[:4]}) == 1 and abs(found[4] - found[0]) > 1e-7
    fails(65, "predict", "--run-dir", folder / "run", "--task", "mixed", input='{"text": "a", "second": 41}\n', says=["standard input:1", "second", "string"])


def test_a_blank_second_text_of_json_is_that_of_a_table(folder, tmp_path):
    for name in ("mixed.csv", "mixed.jsonl"):
        ini = (folder / "d.ini").read_text().split("[task.")[0] + f"[task.mixed]\nkind = classification\ntrain = {name}\n"
        (folder / "one.ini").write_text(ini)
        done = run("import", "-c", folder / "one.ini", "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    one, other = [(tmp_path / name / "mixed" / "train-00000-of-00001.h5").read_bytes() for name in ("mixed.csv", "mixed.jsonl")]
    assert one == other


@pytest.mark.parametrize("missing", [{}, {"second": None}, {"second": ""}, {"second": " "}])
def test_a_pair_without_its_second_text_is_an_error(folder, missing):
    errors = predict(folder, "pair", [{"text": "red apple", "second": "a"}, {"text": "red apple"} | missing], code=65)
    assert "standard input:2" in errors and 'no "second" text' in errors


@pytest.mark.parametrize("task, row", [("single", {"text": "red"}), ("words", {"words": ["red"]}), ("gaps", {"text": "red <mask>"}), ("vectors", {"features": [[0, 1]]})])
def test_a_second_text_that_the_task_never_had_is_an_error(folder, task, row):
    errors = predict(folder, task, [row, row | {"second": None}, row | {"second": "cold rain 41"}], code=65)
    assert "standard input:3" in errors and '"second"' in errors


@pytest.mark.parametrize("task, row, says", [("single", {"text": "red", "features": [[1, 2]]}, "features"), ("vectors", {"text": "red", "features": [[1, 2]]}, "both"),
                                             ("words", {"words": ["red", ""]}, "white space"), ("words", {"words": ["red apple"]}, "white space"),
                                             ("single", {"text": "\u0001\u0002"}, "tokenizer keeps"), ("pair", {"text": "a", "second": "\u0001"}, "'second'")])
def test_what_import_refuses_is_refused(folder, task, row, says):
    assert says in predict(folder, task, [row], code=65)


def test_a_mask_that_is_cut_off_is_null(folder):
    texts = ["the <mask> apple is <mask>", "the <mask> apple a b c d e f g h i <mask> <mask>", "a b c d e f g h i j k l <mask>", "<mask><mask>", "no gap"]
    found = [row["tokens"] for row in predict(folder, "gaps", [{"text": text} for text in texts])]
    assert [len(tokens) for tokens in found] == [text.count("<mask>") for text in texts]
    assert [[token is None for token in tokens] for tokens in found] == [[False] * 2, [False, True, True], [True], [False] * 2, []]
    pairs = predict(folder, "gap_pairs", [{"text": "a <mask> b c d e <mask>", "second": "<mask> a b c d e <mask>"}, {"text": "red <mask>", "second": "cold <mask> rain"}])
    assert [[token is None for token in row["tokens"]] for row in pairs] == [[False, True, False, True], [False] * 2]


def test_vectors_are_cut_where_import_cut(folder):
    rows = [[i % 3, i] for i in range(20)]
    whole, cut, shorter = predict(folder, "vectors", [{"features": rows}, {"features": rows[:12]}, {"features": rows[:11]}])
    assert whole["value"] == pytest.approx(cut["value"], abs=1e-6) and whole["value"] != pytest.approx(shorter["value"], abs=1e-6)


def test_words_that_are_cut_off_are_null(folder):
    tags = predict(folder, "words", [{"words": ["red"] * 20}])[0]["tags"]
    assert len(tags) == 20 and [tag is None for tag in tags] == [False] * 10 + [True] * 10


@pytest.mark.parametrize("task, row, short", [
    ("single", {"text": "red " * 20}, {"text": "red"}),
    ("pair", {"text": "red apple", "second": "sun " * 20}, {"text": "red", "second": "sun"}),
    ("words", {"words": ["red"] * 20}, {"words": ["red"]}),
    ("gaps", {"text": "red <mask> " * 20}, {"text": "red <mask>"}),
    ("answers", {"question": "the", "text": "red " * 20}, {"question": "the", "text": "red"}),
    ("vectors", {"features": [[0, 1]] * 20}, {"features": [[0, 1]]}),
])
def test_inputs_that_are_cut_off_are_counted_at_the_end(folder, task, row, short):
    unit = "vectors" if task == "vectors" else "tokens"
    found, said = answer(folder, task, [short, row, row], "--batch", 1)
    assert len(found) == 3 and answer(folder, task, [short])[1] == ""
    assert said == (f"polyhead predict: warning: 2 of 3 inputs are longer than the model's max_length of 12 {unit}; their ends were not read "
                    f"(first: line 2)\n")
    _, said = answer(folder, task, [row], "--max-length", 10)
    assert said == f"polyhead predict: warning: 1 of 1 inputs are longer than the given --max-length of 10 {unit}; their ends were not read (first: line 1)\n"


def test_evaluate_refuses_what_training_never_saw(folder, tmp_path):
    """A split whose samples have second texts while those of train have none, or the other way round."""
    for task, other in (("single", "pair"), ("pair", "single"), ("pair", "mixed")):
        sections = "".join(f"[task.{task}]\nkind = classification\ntrain = {folder}/{task}.jsonl\ntest = {folder}/{other}.jsonl\n")
        (tmp_path / "d.ini").write_text(f"[dataset]\nname = x\ntokenizer = wordpiece\nvocab = {folder}/vocab.txt\nmax_length = 12\n{sections}")
        out = tmp_path / f"{task}-{other}"
        done = run("import", "-c", tmp_path / "d.ini", "--out", out)
        if done.returncode == 65:  # the import says so already
            continue
        assert done.returncode == 0, done.stderr
        fails(65, "evaluate", "--run-dir", folder / "run", "--data", out, "--tasks", task, says=[f"task {task}", "second text", "test"])


# Files


@pytest.fixture
def texts(tmp_path):
    write(tmp_path / "in.jsonl", [{"text": "red apple", "n": n} for n in range(40)])
    return tmp_path / "in.jsonl"


def numbers(file):
    return [json.loads(line)["n"] for line in file.read_text().splitlines() if '"probability"' in line]


@pytest.mark.parametrize("how", ["same", "symbolic link", "link to the link", "hard link", "another path"])
def test_the_input_may_be_the_output(folder, texts, how):
    out = texts
    if how == "symbolic link":
        out = texts.with_name("alias.jsonl")
        out.symlink_to("in.jsonl")
    elif how == "link to the link":
        texts.with_name("alias.jsonl").symlink_to("in.jsonl")
        out = texts.with_name("second.jsonl")
        out.symlink_to(texts.with_name("alias.jsonl"))
    elif how == "hard link":
        out = texts.with_name("hard.jsonl")
        os.link(texts, out)
    elif how == "another path":
        out = texts.parent / ".." / texts.parent.name / "in.jsonl"
    before = texts.read_bytes()
    texts.chmod(0o640)
    done = run("predict", "--run-dir", folder / "run", "--task", "single", "--in", texts, "--out", out)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert numbers(out) == list(range(40)) and stat.S_IMODE(out.stat().st_mode) == 0o640
    if how == "hard link":
        assert texts.read_bytes() == before
    else:
        assert numbers(texts) == list(range(40))
    assert out.is_symlink() == (how in ("symbolic link", "link to the link"))
    assert not list(texts.parent.glob("*partial*"))


def test_a_bad_line_leaves_the_output_and_names_where_the_predictions_are(folder, texts):
    out = texts.with_name("out.jsonl")
    out.write_text("old\n")
    with texts.open("a") as file:
        file.write("no JSON\n")
    for target, left in ((out, b"old\n"), (texts, texts.read_bytes())):
        done = run("predict", "--run-dir", folder / "run", "--task", "single", "--in", texts, "--out", target)
        assert done.returncode == 65 and target.read_bytes() == left
        partial = [file for file in texts.parent.glob("*partial*") if str(file) in done.stderr]
        assert len(partial) == 1 and numbers(partial[0]) == list(range(40)), done.stderr
    write(texts, ["no JSON\n"])
    assert run("predict", "--run-dir", folder / "run", "--task", "single", "--in", texts, "--out", out).returncode == 65
    assert len(list(texts.parent.glob("*partial*"))) == 2, "none of no line"


def test_folders_and_devices(folder, texts, tmp_path):
    words = ["predict", "--run-dir", folder / "run", "--task", "single"]
    fails(65, *words, "--in", tmp_path, says=[str(tmp_path), "folder"])
    folder_descriptor = os.open(tmp_path, os.O_RDONLY)
    fails(65, *words, stdin=folder_descriptor, says=["standard input", "folder"])
    os.close(folder_descriptor)
    fails(73, *words, "--in", texts, "--out", tmp_path, says=[str(tmp_path), "folder"])
    assert run(*words, "--in", texts, "--out", "/dev/null").returncode == 0 and stat.S_ISCHR(os.stat("/dev/null").st_mode)
    done = run(*words, "--in", texts, "--out", "/dev/stdout")
    assert done.returncode == 0 and done.stdout.count('"probability"') == 40


def test_standard_output_must_not_be_the_input(folder, texts):
    with texts.open("a") as out:
        done = subprocess.run(command("predict", "--run-dir", folder / "run", "--task", "single", "--in", texts), env=environment(), stdin=subprocess.DEVNULL,
                              stdout=out, stderr=subprocess.PIPE, encoding="utf-8", timeout=60)
    assert done.returncode == 2 and "--out" in done.stderr and len(texts.read_text().splitlines()) == 40


def test_no_command_writes_over_what_it_reads(folder, tmp_path):
    (tmp_path / "c.ini").write_text(f"[run]\ndata = {folder / 'data'}\n")
    fails(2, "plan", "-c", tmp_path / "c.ini", "--calibrate", tmp_path / "c.ini", says=["--calibrate", "c.ini", "--config"])
    assert (tmp_path / "c.ini").read_text().startswith("[run]")
    (tmp_path / "tags.train.jsonl").write_text("mine\n")
    fails(73, "synthetic", "--out", tmp_path, says=["tags.train.jsonl"])
    assert (tmp_path / "tags.train.jsonl").read_text() == "mine\n"
    metrics = tmp_path / "metrics.jsonl"
    shutil.copy(folder / "run" / "metrics.jsonl", metrics)
    before = metrics.read_bytes()
    assert subprocess.run([ROOT / "examples" / "curves", metrics, metrics], capture_output=True).returncode != 0
    assert metrics.read_bytes() == before


def test_import_does_not_delete_what_it_reads(folder, tmp_path):
    staging = tmp_path / "data.importing"
    staging.mkdir()
    shutil.copy(folder / "single.jsonl", staging)
    (tmp_path / "d.ini").write_text("[dataset]\nname = x\nvocab_size = 30\n[task.t]\nkind = classification\ntrain = data.importing/single.jsonl\n")
    done = run("import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data")
    assert (staging / "single.jsonl").read_bytes() == (folder / "single.jsonl").read_bytes(), done.stderr


# Names of keys


def answer(folder, task, rows, *more):
    """-> the predictions without the line's own keys, stderr"""
    done = run("predict", "--run-dir", folder / "run", "--task", task, *more, input="".join(json.dumps(row) + "\n" for row in rows))
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [{key: value for key, value in one.items() if key not in row} for one, row in zip(found, rows)], done.stderr


@pytest.mark.parametrize("task, ours, theirs, took", [
    ("single", {"text": "red apple"}, {"id": 4, "sentence": "red apple"}, "text:sentence"),
    ("single", {"text": "red apple"}, {"Content": "red apple"}, "text:Content"),
    ("pair", {"text": "red apple", "second": "the sun"}, {"premise": "red apple", "hypothesis": "the sun"}, "text:premise,second:hypothesis"),
    ("mixed", {"text": "red apple", "second": "the sun"}, {"sentence1": "red apple", "sentence2": "the sun"}, "text:sentence1,second:sentence2"),
    ("mixed", {"text": "red apple"}, {"review": "red apple"}, "text:review"),
    ("words", {"words": ["red", "apple"]}, {"tokens": ["red", "apple"]}, "words:tokens"),
    ("words", {"text": "red apple"}, {"sentence": "red apple"}, "text:sentence"),
    ("gaps", {"text": "red <mask>"}, {"sentence": "red <mask>"}, "text:sentence"),
])
def test_the_names_that_import_knows_are_read_and_said(folder, task, ours, theirs, took):
    (want, again), silent = answer(folder, task, [ours, ours])
    (got, other), said = answer(folder, task, [theirs, theirs])
    assert want == got == again == other and silent == ""
    assert said == f"polyhead predict: took columns = {took} from line 1 on; --columns chooses others\n"


@pytest.mark.parametrize("task, ours, theirs, columns", [
    ("single", {"text": "red apple"}, {"x": "red apple", "sentence": "cold", "review": "cold"}, "text:x"),
    ("single", {"text": "red apple"}, {"a": {"b": "red apple"}, "text": "cold"}, "text:a.b"),
    ("pair", {"text": "red apple", "second": "the sun"}, {"x": "red apple", "y": "the sun"}, "text:x, second:y"),
    ("mixed", {"text": "red apple", "second": "the sun"}, {"text": "red apple", "y": "the sun"}, "second:y"),
    ("words", {"words": ["red", "apple"]}, {"forms": ["red", "apple"], "words": 3}, "words:forms"),
    ("vectors", {"features": [[1, 2]]}, {"mfcc": [[1, 2]]}, "features:mfcc"),
    ("answers", {"question": "the", "text": "red apple"}, {"q": "the", "x": "red apple", "text": "cold"}, "question:q, text:x"),
])
def test_names_by_option(folder, task, ours, theirs, columns):
    assert answer(folder, task, [theirs], "--columns", columns) == answer(folder, task, [ours])


def test_keys_that_are_not_known_are_listed_with_those_expected(folder):
    errors = predict(folder, "single", [{"text": "red"}, {"id": 1, "satz": "red", "deep": {"x": 1}}], code=65)
    for part in ("standard input:2: ", "the keys are id, satz, deep.x", '"text"', "sentence, review", "--columns text:KEY"):
        assert part in errors
    errors = predict(folder, "words", [{"satz": ["red"]}], code=65)
    assert "the keys are satz" in errors and '"words" or "text"' in errors and "tokens" in errors and "--columns words:KEY" in errors
    errors = predict(folder, "single", [{"sentence": "red", "review": "cold"}], code=65)
    assert "'sentence' and 'review' fit" in errors and "--columns text:sentence" in errors
    errors = predict(folder, "single", [{"text": "red"}], "--columns", "text:satz", code=65)
    assert 'has no key "satz", which --columns text:satz names; the keys are text' in errors
    for columns, says in (("label:x", "has no effect"), ("second:x", "has no effect"), ("text", 'the keys are'), ("texts:x", "did you mean text"), ("text:", "lacks the name")):
        done = run("predict", "--run-dir", folder / "run", "--task", "single", "--columns", columns, input='{"a": 1}\n')
        assert done.returncode in (2, 65) and says in done.stderr, done.stderr


def test_other_names_are_answered_line_by_line(folder):
    process = subprocess.Popen(command("predict", "--run-dir", folder / "run", "--task", "single"), env=environment(), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for key in ("sentence", "text", "review"):
        process.stdin.write(json.dumps({key: "red apple"}).encode() + b"\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 30)[0], "no answer"
        assert json.loads(process.stdout.readline())[key] == "red apple"
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, b""), errors
    assert [line.split(" = ")[1].split(";")[0] for line in errors.decode().splitlines()] == ["text:sentence from line 1 on", "text:review from line 3 on"]


FOREIGN = {
    "reviews.csv": ("single", "id,text,label\n1,\"red, sweet apple\",fruit\n2,cold rain,sky\n", 2),
    "excel.csv": ("single", "\ufefftext;label\n\"red; sweet\";fruit\ncold rain;sky\n", 2),
    "pairs.tsv": ("pair", "text\tsecond\nred \"apple\tthe sun\ncold rain\tthe sun\n", 2),
    "lines.txt": ("single", "red apple\ncold rain\n", 2),
    "array.json": ("single", '[{"text": "red apple"},\n {"text": "cold rain"}]\n', 2),
    "entities.txt": ("words", "-DOCSTART- -X- O\n\nred JJ O\napple NN B-X\n\ncold JJ O\nrain NN O\n", 2),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_files_are_refused_with_a_command_that_converts_them(folder, name, tmp_path):
    """The command of the message is run as it is written."""
    task, text, answers = FOREIGN[name]
    file = tmp_path / f"it's {name}" if name == "lines.txt" else tmp_path / name
    file.write_text(text, encoding="utf-8")
    words = ["predict", "--run-dir", folder / "run", "--task", task]
    said = fails(65, *words, "--in", file, says=[f"{file}:1: it is not JSON"])
    convert = said.split("convert it on the way: ")[1].split(" | polyhead predict …")[0]
    converted = subprocess.run(["bash", "-c", convert], capture_output=True, encoding="utf-8", check=True).stdout
    out = run(*words, input=converted)
    assert out.returncode == 0 and len(out.stdout.splitlines()) == answers, out.stderr


def test_a_row_with_too_many_fields_ends_the_conversion(folder, tmp_path):
    (tmp_path / "new.csv").write_text("text,label\nred apple,fruit\nbad, really bad,sky\n")
    said = fails(65, "predict", "--run-dir", folder / "run", "--task", "single", "--in", tmp_path / "new.csv", says=["convert it"])
    done = subprocess.run(["bash", "-c", said.split("on the way: ")[1].split(" | polyhead predict …")[0]], capture_output=True, encoding="utf-8")
    assert done.returncode != 0 and "too many fields" in done.stderr and len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("compress, command", [(gzip.compress, "zcat"), (bz2.compress, "bzcat")], ids=["gz", "bz2"])
@pytest.mark.parametrize("text", ['{"text": "red apple"}\n', "red apple\n"], ids=["json", "text"])
def test_a_compressed_file_is_refused_with_the_command_that_decompresses_it(folder, compress, command, text, tmp_path):
    file = tmp_path / ("new.gz" if command == "zcat" else "new.bz2")
    file.write_bytes(compress(text.encode()))
    words = ["predict", "--run-dir", folder / "run", "--task", "single"]
    said = fails(65, *words, "--in", file, says=[f"on the way: {command} '{file}' | "])
    convert = said.split("on the way: ")[1].split(" | polyhead predict …")[0]
    out = run(*words, input=subprocess.run(["bash", "-c", convert], capture_output=True, encoding="utf-8", check=True).stdout)
    assert out.returncode == 0 and len(out.stdout.splitlines()) == 1, out.stderr


@pytest.mark.parametrize("task, text, says", [("single", "\0\1\2", "binary"), ("vectors", "0.5,0.5\n", '{"features": [[')])
def test_input_that_no_command_converts(folder, task, text, says, tmp_path):
    (tmp_path / "input").write_text(text)
    fails(65, "predict", "--run-dir", folder / "run", "--task", task, "--in", tmp_path / "input", says=[says])


def test_a_key_that_is_there_twice_is_refused(folder):
    for line in ('{"text": "red", "text": "cold"}', '{"text": "red", "about": {"a": 1, "a": 2}}'):
        errors = predict(folder, "single", [{"text": "red"}, line + "\n"], code=65)
        assert "standard input:2" in errors and "twice in one object" in errors


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("count", [0, 1])
def test_a_signal_says_where_the_predictions_are(folder, which, count, tmp_path):
    process = subprocess.Popen(command("predict", "--run-dir", folder / "run", "--task", "single", "--out", tmp_path / "out.jsonl"), env=environment(),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b'{"text": "red apple"}\n' * count)
    process.stdin.flush()
    wait_for(lambda: handles(process.pid, which), process)
    wait_for(lambda: any(file.stat().st_size > 0 or not count for file in tmp_path.glob("out.jsonl.partial-*")), process)
    process.send_signal(which)
    errors = process.communicate(timeout=30)[1].decode()
    assert process.returncode == -which
    left = [str(file) for file in tmp_path.iterdir()]
    assert len(left) == count
    assert errors == f"polyhead predict: {which.name}: " + (f"the predictions so far are in {left[0]}.\n" if count else "nothing was predicted.\n")


# Who waits is answered


def test_a_pipe_that_waits_is_answered_line_by_line(folder):
    process = subprocess.Popen(command("predict", "--run-dir", folder / "run", "--task", "single"), env=environment(), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for n in range(3):
        process.stdin.write(b'{"text": "red ap' if n == 1 else json.dumps({"text": "red apple", "n": n}).encode() + b"\n")
        process.stdin.flush()
        if n == 1:
            time.sleep(0.1)
            process.stdin.write(b'ple", "n": 1}\n')
            process.stdin.flush()
        assert select.select([process.stdout], [], [], 30)[0], "no answer"
        assert json.loads(process.stdout.readline())["n"] == n
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, b""), errors


# Unknown tokens


def test_unknown_tokens_are_warned_of(folder, tmp_path):
    strange = {"text": "漢字 и 漢字 red"}
    done = run("predict", "--run-dir", folder / "run", "--task", "single", input=json.dumps(strange) + "\n")
    assert done.returncode == 0 and "warning" in done.stderr and "unknown" in done.stderr
    assert run("predict", "--run-dir", folder / "run", "--task", "single", input='{"text": "red apple"}\n').stderr == ""
    write(tmp_path / "test.jsonl", [strange | {"label": "sky"}] * 4)
    (tmp_path / "d.ini").write_text(f"[dataset]\nname = x\ntokenizer = wordpiece\nvocab = {folder}/vocab.txt\nmax_length = 12\n[task.single]\nkind = classification\n"
                                    f"train = {folder}/single.jsonl\ntest = test.jsonl\n")
    assert run("import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data").returncode == 0
    done = run("evaluate", "--run-dir", folder / "run", "--data", tmp_path / "data", "--tasks", "single", "--json")
    assert done.returncode == 0 and "task 'single' in test" in done.stderr and "unknown" in done.stderr


# Evaluations take a fixed sample


def test_evaluations_on_a_sorted_split_take_a_spread_sample(folder, tmp_path):
    write(tmp_path / "valid.jsonl", [{"text": "red apple", "label": "fruit"}] * 60 + [{"text": "red apple", "label": "sky"}] * 60)
    (tmp_path / "d.ini").write_text(f"[dataset]\nname = x\ntokenizer = wordpiece\nvocab = {folder}/vocab.txt\nmax_length = 12\n[task.single]\nkind = classification\n"
                                    f"train = {folder}/single.jsonl\nvalid = valid.jsonl\n")
    assert run("import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data").returncode == 0
    found = []
    for workers, samples in ((1, 50), (2, 50), (1, 0), (1, 120)):
        run_dir = tmp_path / f"run-{workers}-{samples}"
        done = train(run_dir, tmp_path / "data", "--run.steps", 4, "--run.eval_every", 2, "--run.eval_samples", samples, "--mixture.batch", 8, workers=workers)
        assert ("50 samples of valid" in done.stderr and "single (120)" in done.stderr) == (samples == 50)
        found.append([line["metrics"]["accuracy"] for line in lines(run_dir) if line["kind"] == "eval"])
        assert len(found[-1]) == 2
    assert all(0.3 < value < 0.7 for value in found[0]) and found[0] == pytest.approx(found[1]) and found[2] == found[3]
    done = run("evaluate", "--run-dir", tmp_path / "run-1-50", "--split", "valid", "--samples", 50, "--json")
    assert json.loads(done.stdout)["tasks"]["single"]["accuracy"] == pytest.approx(found[0][-1])
