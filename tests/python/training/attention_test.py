"""Task attention from the command line: its modes, importances and entropy bonus, and what predict and evaluate show of
it."""

import json
import math
import shutil

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from program import KINDS, distance, edit_state, fails, lines, newest, parameters, run, status, train

SHORT = ["--run.steps", 12, "--run.dtype", "float64"]
# What is not the default.
MODES = {
    "bonus": ["--attention.entropy_bonus", 0.3, "--attention.heads", 2],
    "fixed": ["--attention.importance", "fixed", "--task.topic.importance", 3, "--attention.entropy_bonus", 0.05],
    "independent": ["--attention.mode", "independent", "--attention.heads", 2, "--attention.floor", 0.1, "--attention.entropy_bonus", 0.1],
    "mean": ["--attention.mode", "mean"],
    "first": ["--attention.mode", "first"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    """A run of each mode on one worker."""
    folder = tmp_path_factory.mktemp("attention")

    def get(mode):
        if not (folder / mode).exists():
            train(folder / mode, data, *SHORT, *MODES.get(mode, []))
        return folder / mode

    return get


def evaluate(folder, *more):
    done = run("evaluate", "--run-dir", folder, "--json", "--threads", 1, "--split", "valid", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def predict(folder, task, text, *more):
    done = run("predict", "--run-dir", folder, "--task", task, "--threads", 1, *more, input=json.dumps(text) + "\n")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("mode", MODES)
def test_any_number_of_workers_trains_the_same(mode, runs, data, tmp_path):
    """Also if a task's words are divided among several workers, and some of those have no masked word."""
    train(tmp_path / "run", data, *SHORT, *MODES[mode], workers=3)
    apart = distance(parameters(runs(mode)), parameters(tmp_path / "run"))
    assert apart < 1e-10
    print(f"{mode}: {apart:.1e}")


def test_bonus_of_workers_whose_words_have_no_target(data, tmp_path):
    """Two samples per step on four workers: often a worker has words but masks none of them."""
    more = ["--run.tasks", "lines", "--mixture.batch", 6, "--task.lines.mask_share", 0.05, *SHORT, *MODES["bonus"]]
    train(tmp_path / "one", data, *more)
    train(tmp_path / "four", data, *more, workers=4)
    assert distance(parameters(tmp_path / "one"), parameters(tmp_path / "four")) < 1e-10


@pytest.mark.parametrize("mode", MODES)
def test_a_run_goes_on_as_it_was_begun(mode, runs, data, tmp_path):
    train(tmp_path / "run", data, *SHORT, *MODES[mode], "--run.stop_at", 5)
    train(tmp_path / "run", data, *SHORT, *MODES[mode])
    assert status(tmp_path / "run")["parameter_hash"] == status(runs(mode))["parameter_hash"]
    metrics = {line["task"]: line["metrics"] for line in lines(tmp_path / "run") if line["kind"] == "eval"}
    again = evaluate(tmp_path / "run")["tasks"]
    for task in KINDS:
        assert again[task]["loss"] == pytest.approx(metrics[task]["loss"], rel=1e-9)


def test_another_mode_is_another_run(runs, data):
    fails(78, "train", "--run-dir", runs("mean"), "--data", data, *SHORT, "--attention.mode", "first", says=["attention.mode"])


def test_parameters_of_the_modes(runs):
    own = {mode: {name: value.shape for name, value in parameters(runs(mode))["encoder"].items() if name.startswith("tasks.")}
           for mode in ("plain", *MODES)}
    shared = {"tasks.key.weight": (32, 32), "tasks.queries": (len(KINDS) + 1, 1, 32)}
    assert own["plain"] == shared | {"tasks.importance": (len(KINDS) + 1,)}
    assert own["fixed"] == shared
    assert own["independent"] == {"tasks.key.weight": (32, 32), "tasks.queries": (len(KINDS), 2, 16)}
    assert own["mean"] == own["first"] == {}


def test_a_checkpoint_from_before_the_modes(runs, data, tmp_path):
    shutil.copytree(runs("plain"), tmp_path / "run")
    file = newest(tmp_path / "run") / "state.json"
    attention = json.loads(file.read_text())["model"]["attention"]
    assert len(attention) > 3
    edit_state(file, lambda state: state["model"].update(attention={key: attention[key] for key in ("heads", "temperature", "floor")}))
    config = tmp_path / "run" / "config.ini"
    new = ("mode", "entropy_bonus", "importance")
    config.write_text("".join(line for line in config.read_text().splitlines(keepends=True) if not line.startswith(new)))
    assert "importance" not in config.read_text()
    assert evaluate(tmp_path / "run") == evaluate(runs("plain"))
    train(tmp_path / "run", data, *SHORT)  # it is the same run: nothing is left to do


# The over-focus report


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def test_report_is_in_metrics_and_in_evaluate(runs):
    for mode in ("plain", "bonus", "fixed", "independent"):
        trained, written = evaluate(runs(mode))["attention"], [line for line in lines(runs(mode)) if line["kind"] == "attention"]
        assert [(line["step"], line["split"]) for line in written] == [(12, "valid")]
        assert {key: pytest.approx(value) for key, value in written[0]["all"].items()} == trained["all"]
        assert set(trained["tasks"]) == set(KINDS) and trained["dead"] == written[0]["dead"] == []
        competitive = mode != "independent"
        for task, figures in trained["tasks"].items():
            keys = {"entropy", "effective_tasks", "focused", "share"} | ({"no_task", "importance"} if competitive else set())
            assert set(figures) == keys
            assert 0 <= figures["entropy"] <= math.log(len(KINDS)) and math.exp(figures["entropy"]) <= figures["effective_tasks"] + 1e-9
        if competitive:
            b = parameters(runs(mode))["encoder"].get("tasks.importance", np.zeros(len(KINDS) + 1))[1:]
            if mode == "fixed":
                b = np.log([3 if task == "topic" else 1 for task in KINDS])
            expected = softmax(b, 0)
            assert [trained["tasks"][task]["importance"] for task in KINDS] == pytest.approx(list(expected))
    for mode in ("mean", "first"):
        assert "attention" not in evaluate(runs(mode))
        assert not [line for line in lines(runs(mode)) if line["kind"] == "attention"]


def test_report_equals_the_maps(runs, planted):
    """The report of one task equals the one that is computed from the weights that predict prints."""
    texts = (planted / "jsonl" / "topic.valid.jsonl").read_text()
    done = run("predict", "--run-dir", runs("plain"), "--task", "topic", "--threads", 1, "--attention", input=texts)
    assert done.returncode == 0, done.stderr
    maps = [json.loads(line)["prediction"]["attention"] for line in done.stdout.splitlines()]  # beside the label of each line
    weights = np.concatenate([np.array(list(one["weights"].values())).T for one in maps])  # [words, tasks]
    p = weights / weights.sum(axis=1, keepdims=True)
    entropy = -(p * np.log(p)).sum(axis=1)
    figures = evaluate(runs("plain"), "--tasks", "topic")["attention"]["tasks"]["topic"]
    assert figures["entropy"] == pytest.approx(entropy.mean(), abs=1e-4)
    assert figures["effective_tasks"] == pytest.approx(np.exp(entropy).mean(), abs=1e-3)
    assert figures["focused"] == pytest.approx((weights.max(axis=1) > 0.9).mean(), abs=1e-9)
    assert figures["share"] == pytest.approx(weights[:, list(KINDS).index("topic")].mean(), abs=1e-5)
    assert figures["no_task"] == pytest.approx(np.concatenate([one["no_task"] for one in maps]).mean(), abs=1e-5)


def test_a_starved_task_is_dead_and_the_tables_say_so(data, tmp_path):
    done = train(tmp_path / "run", data, *SHORT, "--task.topic.importance", 1e-3)
    for text in (done.stderr, run("evaluate", "--run-dir", tmp_path / "run", "--split", "valid").stdout):
        assert "dead tasks: topic\n" in text and "effective tasks" in text and "all words" in text
    assert evaluate(tmp_path / "run")["attention"]["dead"] == ["topic"]


def test_the_bonus_spreads_words_over_tasks(data, tmp_path):
    def effective(name, *more):
        train(tmp_path / name, data, "--run.steps", 60, "--optimizer.lr", 3e-3, "--attention.temperature", 0.2, *more)
        return evaluate(tmp_path / name)["attention"]["all"]

    without, with_bonus = effective("without"), effective("with", "--attention.entropy_bonus", 0.5)
    assert with_bonus["effective_tasks"] > without["effective_tasks"] + 1
    assert with_bonus["focused"] <= without["focused"]


# predict --attention


def test_maps_hold_the_pieces_and_every_tasks_weights(runs, data):
    processor = SentencePieceProcessor(model_file=str(next(data.glob("*.model"))))
    text = "savoni sitimi sota"
    for mode in ("plain", "bonus", "independent", "first"):
        found = predict(runs(mode), "style", {"text": text, "id": 7}, "--attention")
        assert found["id"] == 7 and "label" in found
        attention = found["attention"]
        pieces = processor.encode(text, out_type=str)
        assert attention["words"] == ["<s>", *pieces, "</s>"]
        assert list(attention["weights"]) == list(KINDS)
        weights = np.array(list(attention["weights"].values()))
        assert weights.shape == (len(KINDS), len(pieces) + 2)
        if mode in ("plain", "bonus"):
            assert weights.sum(axis=0) + attention["no_task"] == pytest.approx(1, abs=1e-5)
            assert weights.std() > 1e-4
        else:
            assert "no_task" not in attention
        if mode == "independent":
            assert weights.mean(axis=1) == pytest.approx(1, abs=1e-5)
        if mode == "first":
            assert (weights == [[1] + [0] * (len(pieces) + 1)]).all()
    assert "attention" not in predict(runs("plain"), "style", {"text": text})


def test_maps_of_every_kind_and_of_batches(runs):
    given = {"tags": {"words": ["sesa", "feve"]}, "wind": {"features": [[0, 2.5, 0, 0], [1, 0, 0, 0]]},
             "reply": {"text": "futu pige", "second": "satu"}}
    for task in KINDS:
        one = given.get(task, {"text": "futu pige satu"})
        attention = predict(runs("plain"), task, one, "--attention")["attention"]
        length = len(attention["words"])
        assert all(len(weights) == length for weights in [*attention["weights"].values(), attention["no_task"]])
        assert attention["words"] == [None, None] if task == "wind" else length > 3
    texts = "".join(json.dumps({"text": "futu pige " * (i + 1)}) + "\n" for i in range(5))
    words = ["predict", "--run-dir", runs("plain"), "--task", "topic", "--threads", 1, "--attention"]
    together, alone = (run(*words, *more, input=texts).stdout.splitlines() for more in ([], ["--batch", 1]))
    for a, b in zip(together, alone, strict=True):
        a, b = json.loads(a)["attention"], json.loads(b)["attention"]
        assert a["words"] == b["words"]
        for task in KINDS:
            assert a["weights"][task] == pytest.approx(b["weights"][task], abs=2e-6)
