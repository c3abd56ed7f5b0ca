"""How import and predict treat values, labels and texts that look right but are wrong."""

import json

import pytest

from program import fails, run, train

VOCAB = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" + "\n".join("red apple sour pear warm sun cold rain the a b is sweet".split()) + "\n"
GOOD = '{"text": "red apple", "label": "a"}\n{"text": "sour pear", "label": "b"}\n'


def describe(folder, train_file, kind="classification", more="", dataset="", **splits):
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text(VOCAB)
    text = f"[dataset]\nname = x\ntokenizer = wordpiece\nvocab = vocab.txt\n{dataset}\n[task.t]\nkind = {kind}\ntrain = {train_file}\n{more}\n"
    (folder / "d.ini").write_text(text + "".join(f"{split} = {file}\n" for split, file in splits.items()))
    return ["import", "-c", folder / "d.ini", "--out", folder / "data"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run of classification."""
    folder = tmp_path_factory.mktemp("values")
    (folder / "t.jsonl").write_text(GOOD * 20)
    done = run(*describe(folder, "t.jsonl"))
    assert done.returncode == 0, done.stderr
    train(folder / "run", folder / "data", "--run.steps", 3, "--mixture.batch", 8)
    return folder / "run"


def ask(run_dir, lines):
    return run("predict", "--run-dir", run_dir, "--task", "t", input="".join(line + "\n" for line in lines))


@pytest.mark.parametrize("name, line, says", [
    ("overflow", '{"text": "red", "label": "a", "score": 1e999}', "number overflow"),
    ("digits", '{"text": "red", "label": "a", "x": -2.5e400}', "number overflow"),
    ("nul", '{"text": "red", "label": "a"}\0', "zero byte"),
    ("nul-more", '{"text": "red", "label": "a"}\0{"text": "cold rain", "label": "c"}', "zero byte"),
    ("nan", '{"text": "red", "label": "a", "x": NaN}', "is not JSON"),
    ("boolean", '{"text": "red", "label": true}', "boolean"),
    ("control", '{"text": "red", "label": "\\u001b[31m', "is not JSON"),
    ("twice", '{"text": "red", "label": "a", "label": "b"}', "has the key 'label' twice"),
    ("twice-other", '{"id": 1, "text": "red", "label": "a", "id": 2}', "has the key 'id' twice"),
    ("twice-inner", '{"text": "red", "label": "a", "about": [{"x": 1, "x": 1}]}', "has the key 'x' twice"),
    ("deep", '{"text": "red", "label": "a", "x": ' + "[" * 100000 + "]" * 100000 + "}", "at most 4096"),
], ids=lambda value: value[:12])
def test_a_bad_line_is_named(name, line, says, tmp_path):
    (tmp_path / "t.jsonl").write_text(GOOD + line + "\n")
    message = fails(65, *describe(tmp_path, "t.jsonl"), says=["t.jsonl, line 3", says])
    assert "internal error" not in message and not any(ord(c) < 32 for c in message)
    assert not (tmp_path / "data").exists()


def test_predict_passes_numbers_on_as_they_are(trained):
    line = '{"text":"red apple","id":123456789012345678901,"price":1.10,"tiny":1E-7,"deep":' + "[" * 1000 + "]" * 1000 + "}"
    done = ask(trained, [line])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(line[:-1] + ",")


@pytest.mark.parametrize("line, says", [('{"text": "red", "x": ' + "[" * 100000 + "]" * 100000 + "}", "at most 4096"),
                                        ('{"text": "red", "x": 1e999}', "number overflow"), ('{"text": "red"}\0{}', "zero byte")], ids=lambda value: value[-8:])
def test_predict_keeps_what_stands_before_a_bad_line(line, says, trained):
    done = ask(trained, ['{"text": "red apple"}', line])
    assert done.returncode == 65 and done.stdout.count("\n") == 1
    assert "standard input:2" in done.stderr and says in done.stderr


def test_warnings_of_labels_and_targets(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nred apple,pos\nsour pear, pos\nwarm sun,neg\ncold rain,NEG\nred,neg\n")
    done = run(*describe(tmp_path / "a", "../t.csv", test="../t.csv"))
    assert done.returncode == 0, done.stderr
    alike = [line for line in done.stderr.splitlines() if "look alike" in line]
    assert len(alike) == 1 and "' pos' (t.csv line 3)" in alike[0] and "'NEG' (t.csv line 5)" in alike[0]
    assert "warning: task 't': 5 of the 5 inputs of test are in train too" in done.stderr
    done = run(*describe(tmp_path / "b", "../t.csv", more="labels = strip, nfc"))
    assert json.loads((tmp_path / "b" / "data" / "dataset.json").read_text())["tasks"][0]["labels"] == ["NEG", "neg", "pos"]
    (tmp_path / "v.csv").write_text("text,value\nred apple,1700000001\nsour pear,1700000002\n")
    done = run(*describe(tmp_path / "c", "../v.csv", kind="regression"))
    assert done.returncode == 0 and "lose precision" in done.stderr and "v.csv line 3" in done.stderr
    fails(78, *describe(tmp_path / "d", "../t.csv", more="labels = lower"), says=["there is no 'lower'", "strip and nfc"])
    fails(78, *describe(tmp_path / "e", "../v.csv", kind="regression", more="label_names = a, b"), says=["label_names has no effect"])


def test_integer_labels_get_names(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nred apple,1\nsour pear,0\n")
    (tmp_path / "hidden.csv").write_text("text,label\nred apple,-1\n")
    done = run(*describe(tmp_path / "a", "../t.csv", more="label_names = zero, one"))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "a" / "data" / "dataset.json").read_text())["tasks"][0]["labels"] == ["zero", "one"]
    for more in ("", "label_names = zero, one"):
        fails(65, *describe(tmp_path / "b", "../t.csv", more=more, test="../hidden.csv"), says=["hidden.csv, line 2", "'-1'", "hidden"])


def test_a_wrong_vocabulary_is_said(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nrosso mela,pos\nred pera,neg\n")
    done = run(*describe(tmp_path, "t.csv"))
    assert done.returncode == 0
    assert "warning: 37.5 % of the tokens of task 't' are unknown to the vocabulary" in done.stderr and "'mela', 'pera', 'rosso'" in done.stderr


def test_append_keeps_the_cut(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nred apple,pos\nsour pear,neg\n")
    assert run(*describe(tmp_path, "t.csv", dataset="max_length = 6")).returncode == 0
    (tmp_path / "u.csv").write_text("text,label\nwarm sun the red apple is sweet,pos\n")
    fails(78, *describe(tmp_path, "u.csv", dataset="max_length = 60"), "--append", says=["max_length is 6", "take 'max_length' out"])
    done = run(*describe(tmp_path, "u.csv"), "--append")
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert content["max_length"] == 6 and content["tasks"][0]["splits"]["train"]["input_tokens"] == 4 + 4 + 6


def test_targets_are_written_as_they_are(tmp_path):
    rows = [{"text": f"day {i}", "target": f"今天，天气（{i % 10}）½！"} for i in range(200)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for normalization, same in (("", True), ("normalization = none", True), ("normalization = nfkc", False)):
        (tmp_path / "d.ini").write_text(f"[dataset]\nname = x\nvocab_size = 60\n{normalization}\n[task.t]\nkind = translation\ntrain = t.jsonl\n")
        out = tmp_path / f"data-{normalization[-4:]}"
        done = run("import", "-c", tmp_path / "d.ini", "--out", out)
        assert done.returncode == 0, done.stderr
        assert ("warning: normalization = nfkc" in done.stderr) == (not same) and ("give another text" in done.stderr) == (not same)
        shown = json.loads(run("inspect", "--data", out, "--samples", 5, "--json").stdout)["tasks"]["t"]["splits"]["train"]["texts"]
        assert all((text["target"] in {row["target"] for row in rows}) == same for text in shown)


@pytest.mark.parametrize("labels", [[0, 1], [False, True], ["0", "1"]])
def test_labels_are_predicted_as_they_were(labels, tmp_path):
    rows = [{"text": text, "label": label} for text, label in zip(("red apple", "cold rain"), labels)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 10))
    assert run(*describe(tmp_path, "t.jsonl")).returncode == 0
    train(tmp_path / "run", tmp_path / "data", "--run.steps", 3, "--mixture.batch", 8)
    label = json.loads(ask(tmp_path / "run", ['{"text": "red apple"}']).stdout)["label"]
    assert type(label) is type(labels[0]) and label in labels
