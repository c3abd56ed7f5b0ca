"""Knowledge distillation: heads learn from the heads of other runs, on any number of workers, and resume bit for
bit."""

import json
import re
import shutil

import pytest

from program import BOUND, KINDS, distance, fails, files, flip, log, newest, parameters, run, status, steps, train, train_words

TEACHER = ["--run.steps", 8, "--run.checkpoint_every", 4, "--optimizer.ema", 0.5]
# The student need not be as its teacher is.
STUDENT = ["--run.steps", 12, "--encoder.dim", 24, "--encoder.layers", 1, "--encoder.heads", 2, "--mixture.batch", 27]
LEARN = ["--run.tasks", "topic", "--run.steps", 80, "--optimizer.lr", 5e-3, "--encoder.dropout", 0]


def taught_by(folder, tasks=KINDS, **more):
    words = []
    for task in tasks:
        for key, value in {"teacher": folder, **more}.items():
            if not (key == "distill_temperature" and KINDS.get(task) == "regression"):  # it has no probabilities
                words += [f"--task.{task}.{key}", value]
    return words


@pytest.fixture(scope="module")
def teacher(whole):
    return whole(TEACHER, 1)


def rewrite(file, change):
    samples = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(change(sample), ensure_ascii=False) + "\n" for sample in samples))


@pytest.fixture(scope="module")
def other(planted, tmp_path_factory):
    """The planted texts, but every topic has the next topic's name, vectors are longer and ornaments have two values.
    The tokenizer is the same."""
    folder = tmp_path_factory.mktemp("other")
    shutil.copytree(planted / "jsonl", folder / "jsonl")
    labels = sorted({json.loads(line)["label"] for line in (folder / "jsonl" / "topic.train.jsonl").read_text().splitlines()})
    after = dict(zip(labels, labels[1:] + labels[:1]))
    for split in ("train", "valid", "test"):
        rewrite(folder / "jsonl" / f"topic.{split}.jsonl", lambda sample: sample | {"label": after[sample["label"]]})
        rewrite(folder / "jsonl" / f"wind.{split}.jsonl", lambda sample: sample | {"features": [x + [0.5] for x in sample["features"]]})
        rewrite(folder / "jsonl" / f"ornament.{split}.jsonl", lambda sample: sample | {"value": [sample["value"], 1]})
    done = run("import", "-c", folder / "jsonl" / "synthetic.ini", "--out", folder / "data")
    assert done.returncode == 0, done.stderr
    return folder / "data"


@pytest.fixture(scope="module")
def stranger(other, tmp_path_factory):
    """A run on the other texts."""
    folder = tmp_path_factory.mktemp("stranger") / "run"
    train(folder, other, "--run.tasks", "topic,wind,ornament,reply", "--run.steps", 1)
    return folder


# What is learned


def accuracy(folder, data):
    done = run("evaluate", "--run-dir", folder, "--data", data, "--tasks", "topic", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["tasks"]["topic"]["accuracy"]


def test_the_student_follows_its_teacher_and_not_the_labels(data, other, tmp_path):
    """The teacher gives every topic the next topic's name. With weight 1, the student learns nothing of its own
    labels."""
    train(tmp_path / "teacher", other, *LEARN)
    assert accuracy(tmp_path / "teacher", other) > 0.9
    for share, (right, taught) in {0: (0.9, 0), 1: (0, 0.9)}.items():
        train(tmp_path / f"{share}", data, *LEARN, *taught_by(tmp_path / "teacher", ["topic"], distill=share))
        assert accuracy(tmp_path / f"{share}", data) == pytest.approx(right, abs=0.1)
        assert accuracy(tmp_path / f"{share}", other) == pytest.approx(taught, abs=0.1)


def test_a_share_of_0_is_no_teacher(data, teacher, whole, tmp_path):
    train(tmp_path / "run", data, *STUDENT, *taught_by(teacher, distill=0))
    assert files(tmp_path / "run").keys() == files(whole(STUDENT, 1)).keys()
    one, two = parameters(tmp_path / "run"), parameters(whole(STUDENT, 1))
    assert all((one[owner][name] == two[owner][name]).all() for owner in two for name in two[owner])
    assert log(tmp_path / "run") == log(whole(STUDENT, 1))


# The trainer


@pytest.mark.parametrize("dtype", BOUND)
def test_any_placement_follows_the_same_curve(dtype, data, whole, tmp_path):
    options = [*STUDENT, "--run.dtype", dtype, *taught_by(whole([*TEACHER, "--run.dtype", dtype], 1), distill=0.7, distill_temperature=3)]
    train(tmp_path / "one", data, *options)
    for workers, parts in [(2, 1), (3, 2)]:
        folder = tmp_path / f"{workers}"
        train(folder, data, *options, "--run.accumulate", parts, workers=workers)
        for x, y in zip(steps(tmp_path / "one"), steps(folder), strict=True):
            assert y["loss"] == pytest.approx(x["loss"], rel=1e-4 if dtype == "float32" else 1e-9)
        assert distance(parameters(tmp_path / "one"), parameters(folder)) <= BOUND[dtype]
    # Every task is taught.
    train(tmp_path / "alone", data, *STUDENT, "--run.dtype", dtype, "--run.stop_at", 1)
    alone, taught = steps(tmp_path / "alone")[0]["loss"], steps(tmp_path / "one")[0]["loss"]
    assert alone.keys() == taught.keys() == KINDS.keys()
    for task in alone:
        assert taught[task] != pytest.approx(alone[task], rel=1e-3), task


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_and_going_on_equals_never_stopped(workers, data, teacher, whole, tmp_path):
    options = [*STUDENT, *taught_by(teacher, teacher_weights="average")]
    for stop in (5, 0):
        train(tmp_path / "run", data, *options, "--run.stop_at", stop, workers=workers)
    assert status(tmp_path / "run")["state"] == "done"
    assert files(tmp_path / "run") == files(whole(options, workers))
    assert log(tmp_path / "run") == log(whole(options, workers))


def test_a_teacher_counts_as_work(data, teacher, tmp_path):
    """It adds one forward pass to a forward pass and a backward pass, which costs two."""
    def load(name, *words):
        done = train(tmp_path / name, data, "--run.tasks", "topic,style", "--run.steps", 1, *words, workers=2)
        found = dict(re.findall(r"worker \d: (\w+), (\d+) % of the load", done.stderr))
        assert found.keys() == {"topic", "style"}, done.stderr
        return {task: int(percent) for task, percent in found.items()}

    alone = load("alone")
    assert load("taught", *taught_by(teacher, ["topic"]))["topic"] == pytest.approx(400 * alone["topic"] / (4 * alone["topic"] + 3 * alone["style"]), abs=1)


# The teacher stays the same


def resolved(folder, data, *words):
    done = run(*train_words(folder, data, *words, "--print-config"))
    assert done.returncode == 0, done.stderr
    task, found = None, {}
    for line in done.stdout.splitlines():
        if line.startswith("["):
            task = line.strip("[]")
        elif " = " in line:
            key, value = line.split("#")[0].split(" = ", 1)
            found[f"{task}.{key}"] = value.strip()
    return found


def test_which_teacher_is_part_of_the_configuration(data, teacher, tmp_path):
    def asked(**more):
        found = resolved(tmp_path / "run", data, *taught_by(teacher, ["topic"], **more))
        return {key.removeprefix("task.topic."): value for key, value in found.items() if "topic.teacher" in key or "topic.distill" in key}

    plain = asked()
    assert plain.pop("teacher_hash") and plain == {"teacher": str(teacher), "teacher_checkpoint": "8", "teacher_weights": "last",
                                                   "teacher_task": "topic", "distill": "0.5", "distill_temperature": "2"}
    hashes = [asked(**more)["teacher_hash"] for more in ({}, {"teacher_checkpoint": 4}, {"teacher_weights": "average"})]
    assert len(set(hashes)) == 3
    assert asked(teacher_checkpoint=8)["teacher_hash"] == hashes[0]
    # No teacher, none of its keys.
    assert not [key for key in resolved(tmp_path / "run", data) if ".teacher" in key or ".distill" in key]


def test_the_only_task_of_a_kind_teaches_under_any_name(data, teacher, tmp_path):
    train(tmp_path / "style", data, "--run.tasks", "style,tags", "--run.steps", 1)
    found = resolved(tmp_path / "run", data, "--run.tasks", "style", *taught_by(tmp_path / "style", ["style"]))
    assert found["task.style.teacher_task"] == "style"
    train(tmp_path / "reply", data, "--run.tasks", "reply,tags", "--run.steps", 1)
    found = resolved(tmp_path / "run", data, "--run.tasks", "topic", *taught_by(tmp_path / "reply", ["topic"]))
    assert found["task.topic.teacher_task"] == "reply"  # which has topic's labels
    # Two of the run's tasks may have one teacher.
    train(tmp_path / "run", data, "--run.tasks", "topic,reply", "--run.steps", 1, *taught_by(tmp_path / "reply", ["topic", "reply"]))


def test_a_run_goes_on_with_its_own_teacher_only(data, teacher, tmp_path):
    shutil.copytree(teacher, tmp_path / "teacher")
    options = [*STUDENT, "--run.tasks", "topic,tags", *taught_by(tmp_path / "teacher", ["topic"])]
    train(tmp_path / "run", data, *options, "--run.stop_at", 2)
    fails(78, *train_words(tmp_path / "run", data, *STUDENT, "--run.tasks", "topic,tags"),
          says=["another configuration", "task.topic.teacher_hash", "not given here"])
    for more in (["--task.topic.distill", 0.4], ["--task.topic.distill_temperature", 1], ["--task.topic.teacher_checkpoint", 4]):
        fails(78, *train_words(tmp_path / "run", data, *options, *more), says=["another configuration", more[0].removeprefix("--")])
    # It may have another place.
    shutil.copytree(tmp_path / "teacher", tmp_path / "moved")
    moved = [tmp_path / "moved" if word == tmp_path / "teacher" else word for word in options]
    train(tmp_path / "run", data, *moved, "--run.stop_at", 3)
    # Its latest checkpoint is another.
    shutil.rmtree(tmp_path / "teacher" / "checkpoints" / "step-000008")
    (tmp_path / "teacher" / "checkpoints" / "latest").write_text("step-000004\n")
    fails(78, *train_words(tmp_path / "run", data, *options), says=["another configuration", "task.topic.teacher_checkpoint: 8 there, 4 here"])
    # Another run in its place.
    shutil.rmtree(tmp_path / "teacher")
    train(tmp_path / "teacher", data, *TEACHER, "--run.seed", 2)
    fails(78, *train_words(tmp_path / "run", data, *options), says=["another configuration", "task.topic.teacher_hash"])
    fails(78, "train", "-c", tmp_path / "run" / "config.ini", "--task.topic.teacher", tmp_path / "teacher",
          says=["task.topic.teacher_hash = ", "another teacher", "after step 8"])


# Errors


def test_a_teacher_that_cannot_teach_is_refused_before_a_run_folder_is_made(data, teacher, stranger, tmp_path):
    (tmp_path / "empty").mkdir()
    shutil.copytree(teacher, tmp_path / "damaged")
    for checkpoint in (tmp_path / "damaged" / "checkpoints").glob("step-*"):
        flip(checkpoint / "head.topic.safetensors")
    shutil.copytree(teacher, tmp_path / "no-state")
    shutil.rmtree(tmp_path / "no-state" / "checkpoints" / "step-000004")
    (tmp_path / "no-state" / "checkpoints" / "step-000008" / "state.json").write_text("{")
    train(tmp_path / "plain", data, "--run.tasks", "topic,style", "--run.steps", 1)

    def topic(folder, **more):
        return taught_by(folder, ["topic"], **more)

    for words, says, code in [
            (topic(tmp_path / "nowhere"), ["task topic", "nowhere", "holds no checkpoint", "task.topic.teacher"], 78),
            (topic(tmp_path / "empty"), ["task topic", "holds no checkpoint"], 78),
            (topic(tmp_path / "damaged"), ["task topic", "no checkpoint is whole", "head.topic.safetensors"], 65),
            (topic(tmp_path / "no-state"), ["task topic", "no checkpoint is whole", "state.json"], 65),
            (topic(tmp_path / "damaged", teacher_checkpoint=4), ["task topic", "step-000004/head.topic.safetensors", "changed"], 65),
            (topic(teacher, teacher_checkpoint=5), ["task topic", "no checkpoint '5'", "step-000008, step-000004"], 78),
            (topic(teacher, teacher_checkpoint="best"), ["task topic", "no best checkpoint", "run.best"], 78),
            (topic(tmp_path / "plain", teacher_weights="average"), ["task topic", "no averaged weights", "optimizer.ema"], 78),
            (topic(teacher, teacher_weights="first"), ["task.topic.teacher_weights", "one of last, average"], 78),
            (topic(teacher, teacher_task="topics"), ["task topic", "not trained with a task topics", "task.topic.teacher_task", "wind (classification)"], 78),
            (topic(teacher, teacher_task="tags"), ["task topic", "task tags of kind tagging", "of kind classification"], 78),
            (taught_by(tmp_path / "plain", ["tags"]), ["task tags", "not trained with a task tags", "kind tagging", "topic (classification), style (classification)"], 78),
            (taught_by(tmp_path / "plain", ["reply"]), ["task reply", "not trained with a task reply"], 78),
            (topic(teacher, teacher_task="style"), ["task topic", "other labels: number 1 is 'ornate' there and 'harbour' here"], 78),
            (taught_by(stranger, ["ornament"]), ["task ornament", "other outputs: number 1 is '0' there and none here (2 there, 0 here)"], 78),
            (topic(teacher, distill=1.5), ["task.topic.distill", "1.5"], 78),
            (topic(teacher, distill=-0.1), ["task.topic.distill"], 78),
            (topic(teacher, distill_temperature=0), ["task.topic.distill_temperature"], 78),
            (topic(teacher, teacher_hash="0"), ["task.topic.teacher_hash = 0", "another teacher"], 78),
            (["--task.topic.distill", 0.3], ["task.topic.distill = 0.3", "has no teacher", "task.topic.teacher"], 78),
            (["--task.topic.teacher_checkpoint", "best"], ["task.topic.teacher_checkpoint = best", "has no teacher"], 78)]:
        fails(code, *train_words(tmp_path / "refused", data, *words), says=says)
        assert not (tmp_path / "refused").exists()
    fails(78, *train_words(tmp_path / "refused", data, *topic(teacher, teacher_task="tags")), says=["task topic"], workers=2)


def test_a_run_does_not_teach_itself(data, teacher, tmp_path):
    shutil.copytree(teacher, tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    for name in ("run", "link", "run/../run"):
        fails(78, *train_words(tmp_path / "run", data, *TEACHER, *taught_by(tmp_path / name, ["topic"])), says=["task topic", "own folder"])


def test_a_teacher_of_other_words_lengths_or_vectors(planted, data, stranger, tmp_path):
    ini = (planted / "jsonl" / "synthetic.ini").read_text().replace("vocab_size = 340", "vocab_size = 330")
    shutil.copytree(planted / "jsonl", tmp_path / "jsonl")
    (tmp_path / "jsonl" / "synthetic.ini").write_text(ini)
    assert run("import", "-c", tmp_path / "jsonl" / "synthetic.ini", "--out", tmp_path / "data").returncode == 0
    fails(78, *train_words(tmp_path / "run", tmp_path / "data", *taught_by(stranger, ["topic"])),
          says=["task topic", "another tokenizer", f"dataset.vocab = {stranger}"])
    (tmp_path / "jsonl" / "synthetic.ini").write_text((planted / "jsonl" / "synthetic.ini").read_text().replace("max_length = 64", "max_length = 40"))
    assert run("import", "-c", tmp_path / "jsonl" / "synthetic.ini", "--out", tmp_path / "short").returncode == 0
    train(tmp_path / "bert", tmp_path / "short", "--run.tasks", "topic", "--run.steps", 1, "--encoder.form", "bert", "--encoder.positions", 40)
    fails(78, *train_words(tmp_path / "run", data, *taught_by(tmp_path / "bert", ["topic"])),
          says=["task topic: its teacher", "max_length = 64", "positions", "dataset.max_length = 40 or less"])
    train(tmp_path / "run", tmp_path / "short", "--run.tasks", "topic", "--run.steps", 1, *taught_by(tmp_path / "bert", ["topic"]))
    for workers in (1, 2):
        fails(78, *train_words(tmp_path / f"run-{workers}", data, "--run.tasks", "wind,reply", *taught_by(stranger, ["wind"])), workers=workers,
              says=["task wind", "reads vectors of 5 numbers", "the data set has vectors of 4 numbers"])
    fails(78, *train_words(tmp_path / "texts", data, "--run.tasks", "wind", *taught_by(stranger, ["wind"], teacher_task="topic")), says=["other labels"])


def test_a_damaged_checkpoint_of_the_teacher_is_passed_over(data, teacher, tmp_path):
    shutil.copytree(teacher, tmp_path / "teacher")
    flip(newest(tmp_path / "teacher") / "encoder.safetensors")
    options = ["--run.tasks", "topic", "--run.steps", 1, *taught_by(tmp_path / "teacher", ["topic"])]
    done = train(tmp_path / "run", data, *options)
    assert "task topic: a checkpoint of its teacher is skipped" in done.stderr and "step-000008/encoder.safetensors" in done.stderr
    assert "teacher_checkpoint = 4\n" in (tmp_path / "run" / "config.ini").read_text()
