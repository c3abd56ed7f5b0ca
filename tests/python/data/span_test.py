"""span: questions about texts, from characters of JSONL to characters of predictions."""

import json

import pytest

from program import fails, run, train


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The planted task of `polyhead synthetic`, and a run that learns it."""
    folder = tmp_path_factory.mktemp("span")
    done = run("synthetic", "--out", folder / "made", "--train", 2000, "--valid", 200, "--test", 200)
    assert done.returncode == 0, done.stderr
    done = run("import", "-c", folder / "made" / "synthetic-span.ini", "--out", folder / "data")
    assert done.returncode == 0, done.stderr
    train(folder / "run", folder / "data", "--run.steps", 250, "--mixture.batch", 32, "--encoder.dim", 64, "--encoder.layers", 2,
          "--encoder.heads", 4, "--optimizer.lr", 0.003, timeout=500)
    return folder


def test_the_data_set_is_whole(planted):
    assert run("verify", "--data", planted / "data").returncode == 0
    shown = run("inspect", "--data", planted / "data", "--samples", 1, "--json")
    assert shown.returncode == 0, shown.stderr
    # A data set of the other tasks is as it was without this one.
    assert "synthetic-span" not in (planted / "made" / "synthetic.ini").read_text()


def test_answers_are_learned(planted):
    done = run("evaluate", "--run-dir", planted / "run", "--data", planted / "data", "--json")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["tasks"]["answer"]
    metrics = metrics.get("metrics", metrics)
    # A text has 6 to 11 words, so that a guess is right in less than one of ten.
    assert metrics["exact_match"] > 0.6, metrics
    assert metrics["exact_match"] <= metrics["f1"] <= 1, metrics


def test_predictions_count_characters_of_the_original_text(planted):
    asked = lines(planted / "made" / "answer.test.jsonl")
    accents = {"question": asked[0]["question"], "text": "  é日 " + asked[0]["text"].upper() + "  ½"}
    given = [{key: one[key] for key in ("question", "text")} for one in asked] + [accents]
    done = run("predict", "--run-dir", planted / "run", "--task", "answer", input="".join(json.dumps(one) + "\n" for one in given))
    assert done.returncode == 0, done.stderr
    out = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(out) == len(given)
    for one in out:
        found = one["prediction"]
        assert found["text"] == one["text"][found["start"]:found["end"]] != ""
        assert 0 < found["probability"] <= 1
    right = sum(one["prediction"]["start"] == gold["start"] and one["prediction"]["end"] == gold["end"] for one, gold in zip(out, asked))
    assert right > 0.6 * len(asked)


@pytest.mark.parametrize("line, says", [
    ('{"question": "q", "text": "é b", "start": 2, "end": 4}', "in a text of 3 characters"),
    ('{"question": "q", "text": "a b", "start": 1, "end": 1}', "'end' is the one after the answer"),
    ('{"question": "q", "text": "a b", "start": 0.5, "end": 2}', "expected a number of characters"),
    ('{"question": "q", "text": "a b", "start": [0, 2], "end": [1]}', "every answer needs one in each"),
    ('{"question": "q", "text": "a b", "start": 0}', "lacks 'end' or 'answer'"),
    ('{"text": "a b", "start": 0, "end": 1}', "question"),
])
def test_a_wrong_range_is_refused(line, says, tmp_path):
    (tmp_path / "t.jsonl").write_text('{"question": "q", "text": "a b", "start": 0, "end": 1}\n' + line + "\n")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nq\n")
    (tmp_path / "d.ini").write_text("[dataset]\nname = x\ntokenizer = wordpiece\nvocab = vocab.txt\n[task.t]\nkind = span\ntrain = t.jsonl\n")
    fails(65, "import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data", says=["t.jsonl, line 2", says])
    assert not (tmp_path / "data").exists()


def test_keys_of_hubs_and_several_answers(tmp_path):
    (tmp_path / "t.jsonl").write_text(json.dumps({"id": "7", "title": "x", "context": "the tower of été", "question": "where", "answers": {
        "text": ["été", "tower of été"], "answer_start": [13, 4]}}) + "\n")
    (tmp_path / "d.ini").write_text("[dataset]\nname = x\nvocab_size = 40\n[task.t]\nkind = span\ntrain = t.jsonl\nvalid = t.jsonl\n")
    done = run("import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert "text:context" in done.stderr + done.stdout
