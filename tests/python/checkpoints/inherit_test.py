"""Resuming a run with its folder as the only option, what may change then, and starting a new run from another run's
weights."""

import re
import shlex
import shutil
import subprocess

import numpy as np
import pytest

from program import POLYHEAD, environment, fails, files, log, newest, parameter_hash, parameters, run, status, steps, train, train_words

OPTIONS = ["--run.tasks", "topic,style,dictionary", "--run.steps", 6, "--run.seed", 3, "--run.checkpoint_every", 2]
# An update too small to change a number.
STILL = ["--optimizer.lr", 1e-30, "--optimizer.weight_decay", 0, "--optimizer.warmup", 0, "--run.steps", 1]


def ok(*words, workers=1, code=0):
    done = run(*words, workers=workers)
    assert done.returncode == code, done.stderr
    return done


# The folder alone


@pytest.mark.parametrize("workers", [1, 2])
def test_the_folder_alone_resumes_the_run(workers, data, whole, tmp_path):
    train(tmp_path / "run", data, *OPTIONS, "--run.stop_at", 3, "--run.resume", "auto", workers=workers)
    done = ok("train", "--run-dir", tmp_path / "run", workers=workers)
    assert f"options that are not given here are taken from {tmp_path}/run/config.ini" in done.stderr
    assert files(tmp_path / "run") == files(whole(OPTIONS, workers))
    assert log(tmp_path / "run") == log(whole(OPTIONS, workers))
    ok("train", "--run-dir", tmp_path / "run", workers=workers)  # nothing is left to do
    assert status(tmp_path / "run")["step"] == 6


def test_more_steps_and_fewer(data, whole, tmp_path):
    shutil.copytree(whole(OPTIONS, 1), tmp_path / "run")
    fails(78, "train", "--run-dir", tmp_path / "run", "--run.steps", 5, says=["run.steps = 5", "has made 6 steps already"])
    assert "steps = 6\n" in (tmp_path / "run" / "config.ini").read_text()
    done = ok("train", "--run-dir", tmp_path / "run", "--run.steps", 8)
    assert "run.steps: 6 before, 8 now; the cosine schedule of the learning rate now ends at step 8\n" in done.stderr
    assert status(tmp_path / "run")["step"] == 8 and "steps = 8" in (tmp_path / "run" / "config.ini").read_text()
    # A longer command is as good.
    train(tmp_path / "run", data, *OPTIONS[:2], "--run.seed", 3, "--run.checkpoint_every", 2, "--run.steps", 9)
    assert status(tmp_path / "run")["step"] == 9


def test_a_configuration_file_with_fewer_steps_than_the_run_was_given_later(data, tmp_path):
    """The file says 4 and the run went to 8 by an option: the file's command has nothing left to do, and says so."""
    (tmp_path / "c.ini").write_text(f"[run]\ndata = {data}\nrun_dir = run\ntasks = topic, style\nsteps = 4\nseed = 3\ncheckpoint_every = 2\n"
                                    "[optimizer]\nwarmup = 1\n[encoder]\nlayers = 1\ndim = 32\nffn = 64\n[mixture]\nbatch = 20\n")
    words = ["train", "-c", tmp_path / "c.ini", "--run.threads", 1]
    first = ok(*words)
    assert "complete" not in first.stderr
    assert "this run is complete: 4 steps; --run.steps with a larger number trains it further\n" in ok(*words).stderr
    # Interrupted on the way to 8, the file's command cannot know which end is meant.
    ok(*words, "--run.steps", 8, "--run.stop_at", 6)
    fails(78, *words, says=[f"run.steps = 4 ({tmp_path}/c.ini:5): the run has made 6 steps already of the 8 that it was given last; give --run.steps 8 or more"])
    ok(*words, "--run.steps", 8)
    before = files(tmp_path / "run")
    for workers in (1, 2):
        done = ok(*words, workers=workers)
        assert (f"this run is complete: 8 steps; run.steps = 4 ({tmp_path}/c.ini:5) is ignored, because the run was given more steps later; "
                "--run.steps with a larger number trains it further\n") in done.stderr
    assert files(tmp_path / "run") == before and status(tmp_path / "run")["step"] == 8 and status(tmp_path / "run")["state"] == "done"
    assert "steps = 8\n" in (tmp_path / "run" / "config.ini").read_text()
    # A mistake stays one: fewer steps on the command line, another configuration.
    fails(78, *words, "--run.steps", 4, says=["run.steps = 4 (command line)", "has made 8 steps already; give --run.steps 8 or more"])
    fails(78, *words, "--run.seed", 4, says=["another configuration", "run.seed"])


@pytest.mark.parametrize("change, says", [
    (["--run.keep", 5, "--run.checkpoint_every", 1, "--run.prefetch", 0], "run.keep: 2 before, 5 now\n"),
    (["--run.eval_every", 2, "--run.eval_samples", 9], "run.eval_samples: 500 before, 9 now\n"),
    (["--run.eval_every", 2, "--run.task_patience", 4], "run.task_patience: 0 before, 4 now; early stopping"),
    (["--run.threads", 2], "threads per worker: 1 before, 2 now (run.threads); with another number of threads"),
])
def test_what_may_change(change, says, data, tmp_path):
    train(tmp_path / "run", data, *OPTIONS, "--run.stop_at", 3)
    done = ok("train", "--run-dir", tmp_path / "run", *change)
    assert status(tmp_path / "run")["step"] == 6
    assert (says or "") in done.stderr and ("before," in done.stderr) == (says is not None)


def test_what_may_not_change(data, whole, tmp_path):
    shutil.copytree(whole(OPTIONS, 1), tmp_path / "run")
    before = files(tmp_path / "run")
    for change in (["--optimizer.lr", 0.5], ["--run.seed", 4], ["--run.tasks", "topic"], ["--encoder.layers", 3]):
        fails(78, "train", "--run-dir", tmp_path / "run", "--run.steps", 8, *change,
              says=["another configuration", change[0].removeprefix("--"), f"--init-from {tmp_path}/run"])
    assert files(tmp_path / "run") == before
    fails(78, "train", "--run-dir", tmp_path / "none", says=["run.data is not given"])
    assert not (tmp_path / "none").exists()


def test_the_data_set_has_moved(data, whole, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    train(tmp_path / "run", tmp_path / "data", *OPTIONS, "--run.stop_at", 3)
    (tmp_path / "data").rename(tmp_path / "moved")
    config = f"{tmp_path}/run/config.ini:"
    fails(65, "train", "--run-dir", tmp_path / "run", says=[f"there is no data set in {tmp_path}/data, the place that {config}", "--data DIR"])
    fails(65, "evaluate", "--run-dir", tmp_path / "run", "--split", "valid", says=[f"in {tmp_path}/data, on which the run {tmp_path}/run was trained", "--data DIR"])
    fails(65, "train", "--run-dir", tmp_path / "run", "--data", tmp_path / "data", says=[f"{tmp_path}/data has no dataset.json"])
    (tmp_path / "c.ini").write_text(f"[run]\ndata = data\nrun_dir = new\n")
    for command in ("train", "plan", "compare"):
        more = ["--out", tmp_path / "out"] if command == "compare" else []
        fails(65, command, "-c", tmp_path / "c.ini", *more, says=[f"the place that {tmp_path}/c.ini:2 gives as run.data", "--data DIR"])
    ok("evaluate", "--run-dir", tmp_path / "run", "--split", "valid", "--data", tmp_path / "moved", "--json")
    ok("train", "--run-dir", tmp_path / "run", "--data", tmp_path / "moved")
    assert parameter_hash(tmp_path / "run") == parameter_hash(whole(OPTIONS, 1))


def test_a_data_set_that_has_gained_a_task(tmp_path):
    for task in "ab":
        (tmp_path / f"{task}.jsonl").write_text("".join(f'{{"text": "red apple {i % 7}", "label": "{task}{i % 2}"}}\n' for i in range(40)))
        (tmp_path / f"{task}.ini").write_text(f"[dataset]\nname = x\nvocab_size = 20\n[task.{task}]\nkind = classification\ntrain = {task}.jsonl\n")
    ok("import", "-c", tmp_path / "a.ini", "--out", tmp_path / "data")
    (tmp_path / "b.ini").write_text((tmp_path / "b.ini").read_text().replace("vocab_size = 20\n", ""))
    words = [*train_words(tmp_path / "run", tmp_path / "data", "--run.steps", 4)]
    ok(*words, "--run.stop_at", 2)
    ok("import", "-c", tmp_path / "b.ini", "--out", tmp_path / "data", "--append")
    done = ok(*words, "--run.stop_at", 3)
    assert "the run trains its own tasks; the data set also has b\n" in done.stderr
    ok("train", "--run-dir", tmp_path / "run")
    assert [set(line["loss"]) for line in steps(tmp_path / "run")] == [{"a"}] * 4


@pytest.mark.parametrize("steps", [2, 8])
def test_a_data_set_with_none_of_the_tasks_is_named_before_anything_else(steps, data, tmp_path):
    (tmp_path / "own.tsv").write_text("text\tlabel\n" + "red apple\tfruit\ncold rain\tsky\n" * 20)
    (tmp_path / "own.ini").write_text("[dataset]\nname = own\nvocab_size = 20\n[task.own]\nkind = classification\ntrain = own.tsv\n")
    ok("import", "-c", tmp_path / "own.ini", "--out", tmp_path / "own")
    train(tmp_path / "run", data, "--run.tasks", "topic,tags", "--run.steps", 4)
    before = files(tmp_path / "run")
    done = run("train", "--data", tmp_path / "own", "--run-dir", tmp_path / "run", "--run.steps", steps)
    assert done.returncode == 78, done.stderr
    assert f"{tmp_path / 'run'} holds a run of the tasks topic, tags, but the data set own has none of them; choose another --run-dir" in done.stderr
    assert files(tmp_path / "run") == before


# From another run's weights


SOURCE = [*OPTIONS, "--run.keep", 9, "--optimizer.ema", 0.9, "--run.eval_every", 2, "--run.best", "topic:loss"]


@pytest.fixture(scope="module")
def source(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("source") / "run"
    train(folder, data, *SOURCE)
    return folder


def start_from(source, folder, *more, workers=1):
    return ok("train", "--init-from", source, "--run-dir", folder, *more, workers=workers)


def close(a, b):
    return set(a) == set(b) and all(np.allclose(a[name], b[name], rtol=0, atol=1e-20) for name in a)


@pytest.mark.parametrize("workers", [1, 2])
def test_everything_is_taken_from_a_run_with_the_same_tasks(workers, source, tmp_path):
    done = start_from(source, tmp_path / "new", *STILL, workers=workers)
    assert f"options that are not given here are taken from the configuration of {source}" in done.stderr
    assert (f"starts from the weights of {source} after step 6: the encoder, the heads of topic, style, dictionary; "
            "the optimizer starts fresh") in done.stderr
    there, here = parameters(source), parameters(tmp_path / "new")
    assert all(close(here[owner], there[owner]) for owner in ("encoder", "head.topic", "head.style", "head.dictionary"))
    assert [line["step"] for line in steps(tmp_path / "new")] == [1]


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_that_both_have(workers, source, data, tmp_path):
    done = start_from(source, tmp_path / "new", *STILL, "--data", data, "--run.tasks", "style,tags,dictionary,wind",
                      "--task.dictionary.decoder_layers", 1, "--mixture.batch", 20, "--run.threads", 1, workers=workers)
    assert "options that define the shape of the model and are not given here are taken from the configuration of " in done.stderr
    assert "the heads of style; these heads start fresh: tags (that run has no such task), dictionary (its decoder_layers differ), wind" in done.stderr
    assert re.search(r"the encoder \(without features\.\d+\.weight, features\.\d+\.bias, which starts fresh\)", done.stderr)
    there, here = parameters(source), parameters(tmp_path / "new")
    assert close(here["head.style"], there["head.style"])
    assert not close(here["head.dictionary"], there["head.dictionary"])
    queries = here["encoder"].pop("tasks.queries"), there["encoder"].pop("tasks.queries")
    importance = here["encoder"].pop("tasks.importance"), there["encoder"].pop("tasks.importance")
    for new, old in (queries, importance):  # slots: no task, style, tags, dictionary, wind; no task, topic, style, dictionary
        for row, other in ((0, 0), (1, 2), (3, 3)):
            assert np.allclose(new[row], old[other], rtol=0, atol=1e-20)
    assert not np.allclose(queries[0][2], queries[1][2])
    shared = {name: value for name, value in here["encoder"].items() if not name.startswith("features")}
    assert close(shared, there["encoder"])


def test_gates_of_experts_go_by_the_names_of_tasks(data, tmp_path):
    ple = ["--encoder.share", "ple", "--encoder.experts", 2, "--encoder.task_experts", 2, "--encoder.expert_layers", 2]
    train(tmp_path / "source", data, "--run.tasks", "topic,style", "--run.steps", 4, *ple)
    start_from(tmp_path / "source", tmp_path / "new", *STILL, "--data", data, "--run.tasks", "style,tags")
    there, here = parameters(tmp_path / "source"), parameters(tmp_path / "new")
    assert close(here["head.style"], there["head.style"])
    (name,) = [name for name in here["encoder"] if name.endswith("gate")]
    new, old = here["encoder"][name], there["encoder"][name]
    assert np.allclose(new[:4], np.concatenate([old[:2], old[4:6]]), rtol=0, atol=1e-20) and old[4:6].any()
    assert np.allclose(new[4:6], 0, atol=1e-20)


@pytest.mark.parametrize("more, step, ending", [
    (["--run.init_checkpoint", 2], 2, ".safetensors"), (["--run.init_weights", "average"], 6, ".ema.safetensors"),
    (["--run.init_checkpoint", "best"], None, ".safetensors")])
def test_which_weights(more, step, ending, source, tmp_path):
    step = step or int((source / "checkpoints" / "best").read_text().strip().removeprefix("step-"))
    done = start_from(source, tmp_path / "new", *STILL, *more)
    assert f"of {source} after step {step}:" in done.stderr
    from safetensors.numpy import load_file
    there = load_file(source / "checkpoints" / f"step-{step:06}" / f"head.topic{ending}")
    assert close(parameters(tmp_path / "new")["head.topic"], there)


def test_what_does_not_fit_is_an_error_that_names_the_key(source, data, planted, tmp_path):
    for change in (["--encoder.dim", 64], ["--encoder.layers", 1], ["--encoder.form", "bert"], ["--attention.heads", 2],
                   ["--encoder.share", "mmoe"]):
        fails(78, "train", "--init-from", source, "--run-dir", tmp_path / "new", *change,
              says=["run.init_from = ", f"{change[0].removeprefix('--')} = ", f"and {change[1]} in this one"])
    ok("import", "-c", planted / "jsonl" / "synthetic.ini", "--out", tmp_path / "other", "--dataset.vocab_size", 300)
    fails(78, "train", "--init-from", source, "--run-dir", tmp_path / "new", "--data", tmp_path / "other",
          says=["another tokenizer", "dataset.vocab = ", "tokenizer.model"])
    fails(78, "train", "--init-from", tmp_path / "none", "--run-dir", tmp_path / "new", says=["holds no run"])
    fails(78, "train", "--init-from", tmp_path / "new", "--run-dir", tmp_path / "new", says=["the run's own folder"])
    fails(78, "train", "--init-from", source, "--run-dir", tmp_path / "new", "--run.init_checkpoint", 77, says=["no checkpoint '77'"])
    fails(78, "train", "--run-dir", tmp_path / "new", "--data", data, "--run.init_checkpoint", 3,
          says=["run.init_checkpoint = 3", "run.init_from is not given"])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_resumed_without_the_source(workers, source, data, tmp_path):
    shutil.copytree(source, tmp_path / "source")
    words = ["--run.steps", 6, "--run.seed", 5, "--optimizer.lr", 2e-3]
    start_from(tmp_path / "source", tmp_path / "whole", *words, workers=workers)
    start_from(tmp_path / "source", tmp_path / "new", *words, "--run.stop_at", 2, workers=workers)
    shutil.rmtree(tmp_path / "source")
    start_from(tmp_path / "source", tmp_path / "new", *words, "--run.stop_at", 4, workers=workers)  # the same command
    ok("train", "--run-dir", tmp_path / "new", workers=workers)
    assert files(tmp_path / "new") == files(tmp_path / "whole")
    assert log(tmp_path / "new") == log(tmp_path / "whole")


def test_the_source_is_part_of_the_run(source, data, tmp_path):
    start_from(source, tmp_path / "new", "--run.seed", 5, "--run.stop_at", 2)
    shutil.copytree(source, tmp_path / "moved")
    start_from(tmp_path / "moved", tmp_path / "new", "--run.stop_at", 3)  # the same weights elsewhere
    train(tmp_path / "another", data, *[9 if word == 3 else word for word in OPTIONS])
    fails(78, "train", "--init-from", tmp_path / "another", "--run-dir", tmp_path / "new", says=["run.init_hash"])
    # Begun, but not saved yet: it starts from the same weights again, or says that they have changed.
    shutil.rmtree(tmp_path / "new" / "checkpoints")
    ok("train", "--run-dir", tmp_path / "new", "--run.stop_at", 1)
    shutil.rmtree(tmp_path / "new" / "checkpoints")
    shutil.rmtree(tmp_path / "moved")
    train(tmp_path / "moved", data, *[9 if word == 3 else word for word in SOURCE])
    fails(78, "train", "--run-dir", tmp_path / "new", says=["run.init_hash = ", "did not start from them"])


def test_the_advice_after_divergence_works_as_it_is_written(data, tmp_path):
    folder = tmp_path / "it's a run"
    train(folder, data, "--run.tasks", "topic,tags", "--run.steps", 60, "--run.stop_at", 3, "--run.checkpoint_every", 1, "--optimizer.lr", 1e-3)
    # As if the learning rate had been too high: the run's own configuration with another.
    (folder / "config.ini").write_text((folder / "config.ini").read_text().replace("lr = 0.001", "lr = 1e30").replace("stop_at = 3", "stop_at = 0"))
    done = run("train", "--run-dir", folder, "--run.checkpoint_every", 0)
    assert done.returncode == 76, done.stderr
    command = re.search(r"polyhead (train --init-from .* --optimizer\.lr \S+)", done.stderr).group(1)
    # Only the rate is this test's own: a tenth of 1e30 is no cure.
    command = re.sub(r"(--optimizer\.lr) 1e\+29$", r"\1 1e-4", command)
    again = subprocess.run(f"{shlex.quote(str(POLYHEAD))} {command} --run.steps 5", shell=True, env=environment(), capture_output=True,
                           encoding="utf-8", timeout=60, stdin=subprocess.DEVNULL)
    assert again.returncode == 0, again.stderr
    assert newest(tmp_path / "it's a run-lower-lr").name == "step-000005"
    assert all(value is not None for line in steps(tmp_path / "it's a run-lower-lr") for value in line["loss"].values())


# The loss without smoothing


@pytest.mark.parametrize("workers", [1, 2])
def test_the_loss_without_smoothing_is_beside_the_smoothed(workers, data, tmp_path):
    options = ["--run.tasks", "topic,dictionary,tags", "--run.steps", 4]
    train(tmp_path / "run", data, *options, "--task.topic.label_smoothing", 0.2, workers=workers)
    for line in steps(tmp_path / "run"):
        assert set(line["plain_loss"]) == {"topic", "dictionary"}  # translation smooths by default
    # Before the first update the weights, and so the plain losses, are those of a run without smoothing.
    train(tmp_path / "plain", data, *options, "--task.dictionary.label_smoothing", 0, workers=workers)
    first, plain = steps(tmp_path / "run")[0], steps(tmp_path / "plain")[0]
    assert all("plain_loss" not in line for line in steps(tmp_path / "plain"))
    for task in ("topic", "dictionary"):
        assert first["plain_loss"][task] == pytest.approx(plain["loss"][task], rel=1e-6)
        assert first["loss"][task] != first["plain_loss"][task]
