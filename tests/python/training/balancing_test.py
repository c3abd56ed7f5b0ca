"""Balancers of losses and of gradients in training: any number of workers, and what is reported and refused."""

import json

import numpy as np
import pytest

from balancers import FOUR, GRAM, LOSSES, NORMS, options_of
from program import fails, files, lines, log, run, status, steps, train, train_words


def gradients(folder):
    return [line for line in lines(folder) if line["kind"] == "gradients"]


def matrix(line):
    """The matrix of cosines."""
    size = len(line["tasks"])
    cosine = np.eye(size)
    for i, row in enumerate(line["cosine"]):
        for j, value in enumerate(row):
            cosine[i, j] = cosine[j, i] = value
    return cosine


@pytest.mark.parametrize("method", [*LOSSES, *NORMS, *GRAM])
def test_any_number_of_workers_gives_the_same_curve(method, data, tmp_path):
    options = [*options_of(method), *FOUR, "--run.dtype", "float64", "--mixture.batch", 24]
    train(tmp_path / "1", data, *options)
    one = steps(tmp_path / "1")
    assert len(one) == 8 and all(len(line["weight"]) == 4 for line in one)
    if method in LOSSES:
        assert all(sum(line["weight"].values()) == pytest.approx(1) for line in one)
    train(tmp_path / "3", data, *options, workers=3)
    for x, y in zip(one, steps(tmp_path / "3"), strict=True):
        assert y["loss"] == pytest.approx(x["loss"], rel=1e-6)
        assert y["weight"] == pytest.approx(x["weight"], rel=1e-5)
        assert y["gradient_norm"] == pytest.approx(x["gradient_norm"], rel=1e-6)
    if method != "dual_proj":  # whose weights are equal where no gradients are in conflict
        assert any(max(line["weight"].values()) - min(line["weight"].values()) > 1e-6 for line in one)


def test_exact_losses_are_those_of_the_step(data, tmp_path):
    """The weights of gls are a function of the losses alone: w_t is proportional to 1 / L_t."""
    for exact, behind in (("yes", 0), ("no", 1)):
        folder = tmp_path / exact
        train(folder, data, *options_of("gls"), *FOUR, "--balance.exact", exact, workers=2)
        found = steps(folder)
        for at in range(behind, len(found)):
            inverse = {task: 1 / loss for task, loss in found[at - behind]["loss"].items()}
            expected = {task: value / sum(inverse.values()) for task, value in inverse.items()}
            assert found[at]["weight"] == pytest.approx(expected, rel=1e-6)
    assert log(tmp_path / "yes") != log(tmp_path / "no")


# Reports


def test_a_method_of_the_gram_matrix_reports_every_step(data, tmp_path):
    train(tmp_path, data, *options_of("pcgrad"), workers=2)
    found = gradients(tmp_path)
    assert [line["step"] for line in found] == list(range(1, 9))
    for line, step in zip(found, steps(tmp_path), strict=True):
        assert line["tasks"] == list(step["loss"]) or sorted(line["tasks"]) == sorted(step["loss"])
        cosine, norm = matrix(line), np.array(line["norm"])
        weight = np.array([step["weight"][task] for task in line["tasks"]])
        gram = cosine * np.outer(norm, norm)
        square = weight @ gram @ weight
        assert step["gradient_norm"] == pytest.approx(np.sqrt(square), rel=1e-5)
        assert line["update_share"] == pytest.approx(weight * (gram @ weight) / square, rel=1e-6)
        assert sum(line["update_share"]) == pytest.approx(1)
        pairs = cosine[np.tril_indices(len(norm), -1)]
        assert line["conflict_share"] == pytest.approx((pairs < 0).mean())
        assert line["worst_cosine"] == pytest.approx(((gram @ weight) / norm).min() / np.sqrt(square), rel=1e-6)
        assert line["condition"] == pytest.approx(np.linalg.cond(cosine), rel=1e-6)
        assert line["sketch"] == 0 and line["seconds"] >= 0


def test_reports_of_other_methods_are_sketches_and_change_nothing(data, tmp_path):
    exact = ["--run.eval_samples", 20, "--run.dtype", "float64"]
    train(tmp_path / "off", data, *exact, "--run.steps", 4, "--balance.telemetry_every", 0, workers=2)
    train(tmp_path / "on", data, *exact, "--run.steps", 4, "--balance.telemetry_every", 2, workers=2)
    assert files(tmp_path / "on") == files(tmp_path / "off")
    assert steps(tmp_path / "on")[-1]["loss"] == steps(tmp_path / "off")[-1]["loss"]
    assert gradients(tmp_path / "off") == []
    assert [line["step"] for line in gradients(tmp_path / "on")] == [2, 4]
    # The first step of a method of the Gram matrix has the same parameters and samples.
    train(tmp_path / "sketch", data, *exact, "--run.steps", 1, "--balance.telemetry_every", 1, workers=2)
    train(tmp_path / "gram", data, *exact, "--run.steps", 1, "--balance.method", "mgda", workers=2)
    (sketch,), (gram,) = gradients(tmp_path / "sketch"), gradients(tmp_path / "gram")
    assert sketch["tasks"] == gram["tasks"] and sketch["sketch"] == 16384
    assert sketch["norm"] == pytest.approx(gram["norm"], rel=0.05)
    assert np.abs(matrix(sketch) - matrix(gram)).max() < 5 / np.sqrt(16384)
    assert np.abs(matrix(sketch) - matrix(gram)).max() > 0


def test_the_bytes_are_those_of_the_plan(data, tmp_path):
    for workers, more in ((2, []), (3, ["--optimizer.shard", "world"]), (2, ["--balance.scope", "last_block"]),
                          (3, ["--balance.scope", "sketch"])):
        folder = tmp_path / f"{workers}{len(more)}{more[-1:]}"
        options = [*options_of("upgrad", 1), *FOUR, *more]  # the plan does not know which tasks have pairs of texts
        train(folder, data, *options, workers=workers)
        (line,) = gradients(folder)
        words = train_words(folder, data, *options)
        planned = json.loads(run("plan", *words[3:], "--workers", workers, "--json").stdout)
        assert planned["workers"][0]["encoder_sent"] == pytest.approx(line["sent"], rel=1e-12)


# What is refused


@pytest.mark.parametrize("options, says", [
    (["--balance.every", 2], ["balance.every = 2", "does not read gradients"]),
    (["--balance.scope", "sketch"], ["balance.scope = sketch", "does not read gradients"]),
    (["--balance.method", "mgda", "--balance.exact", "yes"], ["balance.exact = yes", "does not read losses"]),
    (["--balance.method", "famo", "--balance.exact", "yes", "--run.accumulate", 2], ["balance.exact = yes", "run.accumulate = 1"]),
    (["--balance.method", "mgda", "--run.reproducible", "world"], ["balance.method = mgda", "run.reproducible = run"]),
    (["--balance.method", "db_mtl", "--balance.scope", "sketch"], ["balance.scope = sketch", "balance.scope = all"]),
    (["--balance.method", "excess_mtl", "--balance.every", 2], ["balance.every = 2", "balance.every = 1"]),
], ids=str)
def test_what_cannot_be_combined_is_refused(options, says, data, tmp_path):
    fails(78, *train_words(tmp_path / "run", data, *options), says=says)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_run_is_resumed_with_its_own_method(data, tmp_path):
    train(tmp_path, data, *options_of("famo"), "--run.stop_at", 2)
    fails(78, *train_words(tmp_path, data, *options_of("dwa")), says=["another configuration", "balance.method"])
    assert status(tmp_path)["step"] == 2
