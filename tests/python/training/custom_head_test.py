"""examples/custom_head, built outside the source tree against the installed library: the results of its head, and the
messages of programs without it."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

import program
from pages import SOURCE, read, run_page
from program import ROOT, environment, fails, newest, parameters, run, status

BUILD = Path(program.POLYHEAD).parent
PAGE = "examples/custom_head/README.md"
EXAMPLE = ROOT / "examples" / "custom_head"
SHORT = ["-c", EXAMPLE / "ordinal.ini", "--run.threads", 1]


def call(*words, **more):
    done = subprocess.run([str(word) for word in words], env=environment(), capture_output=True, encoding="utf-8", timeout=400, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """A folder in which the commands of the example's page have run, on a copy of the example, with shorter training."""
    folder = tmp_path_factory.mktemp("example")
    flags = re.search("^CMAKE_CXX_FLAGS:STRING=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.M)[1]  # a sanitizer's
    run_page(PAGE, read(SOURCE / PAGE), folder, also=["tests/python/training/custom_head_test.py"], CMAKE_GENERATOR="Ninja", CXXFLAGS=flags)
    return folder


@pytest.fixture(scope="module")
def prefix(example):
    return example / "PREFIX"


@pytest.fixture(scope="module")
def ordinal(example):
    return example / "OUT" / "build" / "polyhead-ordinal"


@pytest.fixture(scope="module")
def grades(example):
    return example / "OUT" / "data"


@pytest.fixture(scope="module")
def trained(ordinal, grades, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    call(ordinal, "train", *SHORT, "--run.steps", 200, "--data", grades, "--run-dir", folder)
    return folder


def test_the_installed_package_names_no_folder_of_the_build(prefix):
    files = list(prefix.rglob("cmake/polyhead/*.cmake"))
    assert "targets.cmake" in {file.name for file in files}
    for file in files:
        text = file.read_text()
        assert str(BUILD) not in text and f"{ROOT}/" not in text, file
    headers = {str(path.relative_to(prefix / "include" / "polyhead")) for path in prefix.rglob("*.h")}
    assert {"core/heads/head.h", "launch/program/program.h"} <= headers
    assert "usage: polyhead" in call(prefix / "bin" / "polyhead", "--help")


@pytest.mark.parametrize("workers", [1, 2])
def test_trains_as_any_other(workers, ordinal, grades, trained, tmp_path):
    words = [ordinal, "train", *SHORT, "--data", grades, "--run-dir", tmp_path / "run", "--run.dtype", "float64", "--run.steps", 8]
    call(*(["mpirun", "--bind-to", "none", "-n", workers] if workers > 1 else []), *words)
    assert status(tmp_path / "run")["state"] == "done"
    if workers == 1:
        result = json.loads(call(ordinal, "evaluate", "--run-dir", trained, "--split", "test", "--json", "--threads", 1))["tasks"]["grades"]
        assert result["accuracy"] > result["majority"] + 0.1


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_losses_follow_from_the_model(link, ordinal, grades, tmp_path):
    """The score of each text follows from the saved thresholds and from the label and probability that predict prints
    (for a grade in the middle, one of two scores). evaluate's loss is the loss of these scores."""
    folder = tmp_path / "run"
    call(ordinal, "train", *SHORT, "--data", grades, "--run-dir", folder, "--run.dtype", "float64", "--run.steps", 150, "--task.grades.head_options", f"link = {link}")
    state = json.loads((newest(folder) / "state.json").read_text())
    assert next(task["head"] for task in state["model"]["tasks"] if task["name"] == "grades")["own"] == {"link": link}
    head = parameters(folder)["head.grades"]
    assert np.ptp(head["gaps"]) > 1e-2  # learned
    thresholds = head["first_threshold"][0] + np.concatenate([[0], np.cumsum(np.log1p(np.exp(head["gaps"])))])
    raw = grades.parent / "raw" / "grades.test.jsonl"
    true = [int(json.loads(line)["label"]) - 1 for line in raw.read_text().splitlines()]
    found = [json.loads(line)["prediction"]  # beside the label that the line has already
             for line in call(ordinal, "predict", "--run-dir", folder, "--task", "grades", "--threads", 1, "--in", raw).splitlines()]
    F = {"logit": expit, "probit": norm.cdf}[link]
    s = np.linspace(-30, 30, 120001)[:, None]
    p = np.diff(np.concatenate([np.zeros_like(s), F(thresholds - s), np.ones_like(s)], axis=1), axis=1)
    best, low, high = p.argmax(1), 0, 0
    for label, line in zip(true, found):
        told, probability = int(line["label"]) - 1, line["probability"]
        mine = np.flatnonzero(best == told)
        side = np.diff(p[mine, told]) > 0  # where the probability rises with the score, and where it falls
        losses = []
        for part in (mine[:-1][side], mine[:-1][~side]):
            if len(part) and np.abs(p[part, told] - probability).min() < 1e-3:
                losses.append(-np.log(p[part[np.abs(p[part, told] - probability).argmin()], label]))
        assert losses, line
        low, high = low + min(losses) / len(true), high + max(losses) / len(true)
    loss = json.loads(call(ordinal, "evaluate", "--run-dir", folder, "--split", "test", "--json", "--threads", 1))["tasks"]["grades"]["loss"]
    print(low, loss, high)
    assert low - 1e-3 <= loss <= high + 1e-3 and high - low < 0.75 * low


def test_a_metric_of_the_head_is_shown_wherever_metrics_are(ordinal, grades, tmp_path):
    """The mean number of grades between label and prediction, computed from what predict says."""
    folder = tmp_path / "run"
    call(ordinal, "train", *SHORT, "--run.steps", 12, "--run.eval_every", 4, "--run.best", "grades:grade_distance", "--task.grades.metric", "grade_distance",
         "--task.grades.patience", 9, "--run.keep", 9, "--data", grades, "--run-dir", folder)

    def distances(split, checkpoint):
        raw = grades.parent / "raw" / f"grades.{split}.jsonl"
        out = call(ordinal, "predict", "--run-dir", folder, "--task", "grades", "--threads", 1, "--checkpoint", checkpoint, "--in", raw)
        true = [int(json.loads(line)["label"]) for line in raw.read_text().splitlines()]
        return np.array([abs(int(json.loads(line)["prediction"]["label"]) - label) for line, label in zip(out.splitlines(), true, strict=True)])

    evaluations = {line["step"]: line["metrics"] for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
                   if line["kind"] == "eval" and line["task"] == "grades"}
    assert sorted(evaluations) == [4, 8, 12]
    of_valid = {step: metrics["grade_distance"] for step, metrics in evaluations.items()}
    best = min(of_valid, key=of_valid.get)  # lower is better; of equal values the first
    assert (folder / "checkpoints" / "best").read_text() == f"step-{best:06}\n"
    assert of_valid[best] == pytest.approx(distances("valid", "best").mean(), abs=1e-12)

    words = ["evaluate", "--run-dir", folder, "--split", "test", "--threads", 1]
    result = json.loads(call(ordinal, *words, "--json"))["tasks"]
    distance = distances("test", "latest")
    assert distance.max() > 1  # else it would be the error rate
    assert result["grades"]["grade_distance"] == pytest.approx(distance.mean(), abs=1e-12)
    spread = 1.96 * distance.std() / np.sqrt(len(distance))
    for end, sign in (("low", -1), ("high", 1)):
        assert result["grades"][f"grade_distance_{end}"] == pytest.approx(distance.mean() + sign * spread, abs=0.3 * spread)
    assert "grade_distance" not in result["grades-plain"] and "accuracy" in result["grades"]
    assert "distance in grades" in call(ordinal, *words)


def test_resumes_bitwise(ordinal, grades, tmp_path):
    words = [ordinal, "train", *SHORT, "--run.steps", 12, "--data", grades]
    call(*words, "--run-dir", tmp_path / "whole")
    call(*words, "--run-dir", tmp_path / "parts", "--run.stop_at", 5)
    call(*words, "--run-dir", tmp_path / "parts")
    assert status(tmp_path / "parts")["parameter_hash"] == status(tmp_path / "whole")["parameter_hash"]


def test_a_program_without_the_head(grades, trained, tmp_path):
    fails(78, "evaluate", "--run-dir", trained, says=[str(trained), "task.grades.head = ordinal", "classification", "the program that registers it"])
    fails(78, "train", *SHORT, "--data", grades, "--run-dir", tmp_path / "run", says=["ordinal.ini", "head = ordinal", "it has classification"])
    assert not (tmp_path / "run").exists()
    # The task beside it can be read.
    assert run("evaluate", "--run-dir", trained, "--tasks", "grades-plain", "--threads", 1).returncode == 0


@pytest.mark.parametrize("options, says", [
    (["--task.grades.head", "ordnal"], ["task.grades.head", "ordnal", "did you mean ordinal?"]),
    (["--task.grades.head_options", "link"], ["task.grades.head_options", "'link' is not KEY=VALUE"]),
    (["--task.grades.head_options", "link=logit, link=probit"], ["link is given twice"]),
    (["--task.grades.head_options", "lnk=probit"], ["task.grades.head_options", "no option lnk", "it has link"]),
    (["--task.grades.head_options", "link=cauchy"], ["task.grades.head_options: link = cauchy", "logit or probit"]),
    (["--task.grades-plain.metric", "grade_distance"], ["task.grades-plain.metric", "no metric 'grade_distance'", "it has loss, accuracy, macro_f1, matthews"]),
    (["--task.grades.metric", "grade_distanze"], ["task.grades.metric", "it has loss, accuracy, macro_f1, matthews, grade_distance"]),
    (["--task.grades-plain.head_options", "link=logit"], ["task.grades-plain.head_options", "no effect without task.grades-plain.head"]),
])
def test_wrong_options(options, says, ordinal, grades, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "POLYHEAD", str(ordinal))
    fails(78, "train", *SHORT, "--data", grades, "--run-dir", tmp_path / "run", *options, says=says)
