"""The encoder of the form bert from the command line: it is placed, resumed, evaluated and used like the other form,
and inputs longer than its positions are refused."""

import json
import shutil

import pytest

from program import KINDS, TEXTS, distance, edit_state, fails, newest, parameters, run, train, train_words

BERT = ["--encoder.form", "bert", "--encoder.positions", 64, "--encoder.attention_dropout", 0.2, "--encoder.drop_path", 0.2,
        "--optimizer.layer_decay", 0.8, "--run.steps", 12, "--run.dtype", "float64"]


def but(key, value):
    """The options of BERT with another value of one key."""
    pairs = dict(zip(BERT[::2], BERT[1::2])) | {key: value}
    return [word for pair in pairs.items() for word in pair]


@pytest.fixture(scope="module")
def bert(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bert") / "run"
    train(folder, data, *BERT)
    return folder


def predict(folder, task, rows, *more):
    done = run("predict", "--run-dir", folder, "--task", task, "--threads", 1, *more, input="".join(json.dumps(row) + "\n" for row in rows))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_any_number_of_workers_trains_the_same(bert, data, tmp_path):
    train(tmp_path / "three", data, *BERT, workers=3)
    assert distance(parameters(bert), parameters(tmp_path / "three")) < 1e-10
    train(tmp_path / "again", data, *but("--encoder.activation_checkpointing", "blocks"))
    assert distance(parameters(bert), parameters(tmp_path / "again")) == 0
    train(tmp_path / "dry", data, *but("--encoder.attention_dropout", 0))
    assert distance(parameters(bert), parameters(tmp_path / "dry")) > 1e-3  # dropout did something


def test_interrupted_is_the_same(bert, data, tmp_path):
    train(tmp_path / "run", data, *BERT, "--run.stop_at", 5)
    train(tmp_path / "run", data, *BERT)
    assert distance(parameters(bert), parameters(tmp_path / "run")) == 0


@pytest.mark.parametrize("change", [["--encoder.form", "pre_norm"], ["--encoder.positions", 65], ["--encoder.attention_dropout", 0]])
def test_another_model_is_not_resumed(change, bert, data):
    fails(78, *train_words(bert, data, *but(*change)), says=[change[0].removeprefix("--")])


def test_evaluate_and_predict(bert):
    done = run("evaluate", "--run-dir", bert, "--json", "--threads", 1, "--split", "valid", "--samples", 20)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tasks"].keys() == KINDS.keys()
    for task in TEXTS:
        more = {"second": "kopu"} if task == "reply" else {}
        assert len(predict(bert, task, [{"text": "savoni " * 300} | more, {"text": "sule"} | more])) == 2
    assert len(predict(bert, "reply", [{"text": "sule", "second": "kopu " * 300}])) == 1
    assert len(predict(bert, "wind", [{"features": [[0, 2.5, 0, 0]] * 64}])) == 1


def test_no_input_is_longer_than_the_positions(bert, data, tmp_path):
    short = train_words(tmp_path / "short", data, *but("--encoder.positions", 63))
    fails(78, *short, says=["max_length = 64", "63 positions", "encoder.positions = 64", "dataset.max_length = 63"])
    assert not (tmp_path / "short").exists()
    fails(78, "predict", "--run-dir", bert, "--task", "topic", "--max-length", 65, says=["--max-length 65", "64 positions", "--max-length 64"])
    longest, longer = predict(bert, "wind", [{"features": [[0, 2.5, 0, 0]] * n} for n in (64, 65)])  # which import would cut
    assert longest["probability"] == pytest.approx(longer["probability"], abs=1e-6)

    def copy(name, length):
        shutil.copytree(data, tmp_path / name)
        manifest = json.loads((tmp_path / name / "dataset.json").read_text())
        manifest.pop("max_length")
        (tmp_path / name / "dataset.json").write_text(json.dumps(manifest | ({"max_length": length} if length else {})))
        return tmp_path / name

    fails(78, "evaluate", "--run-dir", bert, "--data", copy("longer", 100), says=["max_length = 100", "64 positions", "dataset.max_length = 64"])
    # A data set that does not say how long its texts are.
    fails(78, *train_words(tmp_path / "unknown", copy("silent", 0), *but("--encoder.positions", 4)), says=["tokens", "4 positions", "encoder.positions"])


def test_predict_where_the_data_set_did_not_say_its_length(bert, tmp_path):
    shutil.copytree(bert, tmp_path / "run")
    for file in (tmp_path / "run" / "checkpoints").glob("*/state.json"):
        edit_state(file, lambda state: state["model"].pop("max_length"))
    long = [{"text": "savoni " * 300}]
    assert predict(tmp_path / "run", "topic", long) == predict(bert, "topic", long)


def test_checkpoints_name_the_form(bert):
    encoder = json.loads((newest(bert) / "state.json").read_text())["model"]["encoder"]
    assert (encoder["form"], encoder["positions"], encoder["attention_dropout"]) == ("bert", 64, 0.2)
