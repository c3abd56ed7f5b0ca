"""What a run's folder of checkpoints may hold, and what becomes of it: copies, links, damage, a folder that is deleted while training
runs, a model that has diverged. The newest whole checkpoint is always there, and nothing is removed that the program did not write."""

import json
import os
import shutil
import signal

import pytest

from program import edit_state, fails, files, flip, interrupt, newest, parameter_hash, run, start, status, train, train_words, wait_for

OPTIONS = ["--run.tasks", "topic,tags", "--run.checkpoint_every", 10, "--run.eval_samples", 20]
BEST = [*OPTIONS, "--run.eval_every", 10, "--run.best", "topic:loss", "--run.patience", 0]


def names(folder):
    return sorted(entry.name for entry in (folder / "checkpoints").iterdir())


def steps_kept(folder):
    return [name for name in names(folder) if name.startswith("step-") and name[5:].isdigit()]


def step(folder, number):
    return folder / "checkpoints" / f"step-{number:06}"


def copy(source, tmp_path):
    shutil.copytree(source, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


def is_done(folder, number):
    """The run has ended well: the checkpoint that latest and status.json name exists, is whole, and is of the last
    step."""
    found = status(folder)
    assert (found["state"], found["exit_code"], found["step"]) == ("done", 0, number)
    assert found["last_checkpoint"] == f"checkpoints/step-{number:06}" and newest(folder) == step(folder, number)
    assert found["parameter_hash"] == parameter_hash(folder)
    assert run("verify", "--run-dir", folder).returncode == 0


@pytest.fixture(scope="module")
def at_20(tmp_path_factory, data):
    """A run of 40 steps that was stopped after 20, and one that was not stopped."""
    folder = tmp_path_factory.mktemp("at") / "run"
    train(folder, data, *OPTIONS, "--run.steps", 40, "--run.stop_at", 20)
    return folder


@pytest.fixture(scope="module")
def at_40(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("at") / "run"
    train(folder, data, *OPTIONS, "--run.steps", 40)
    return folder


# What else lies in the folder


def test_copies_links_and_empty_folders_are_no_checkpoints(at_20, at_40, data, tmp_path):
    run_dir = copy(at_20, tmp_path)
    outside = tmp_path / "outside"
    shutil.copytree(step(run_dir, 20), outside / "step-000095")
    for number in (10, 20):
        shutil.copytree(step(run_dir, number), f"{step(run_dir, number)}.bak")
    for number in (98, 99):
        step(run_dir, number).mkdir()
    step(run_dir, 97).write_text("a file")
    step(run_dir, 96).mkdir()
    (step(run_dir, 96) / "notes.txt").write_text("of a person")
    step(run_dir, 95).symlink_to(outside / "step-000095")
    (run_dir / "checkpoints" / "step-latest").symlink_to("step-000010")
    before = {file: file.read_bytes() for file in run_dir.rglob("*") if file.is_file() and ("bak" in str(file) or "00009" in str(file))}
    strange = [name for name in names(run_dir) if name not in ("step-000010", "step-000020", "latest")]
    predicted = run("predict", "--run-dir", run_dir, "--task", "topic", input='{"text": "a b"}\n')
    assert predicted.returncode == 0 and predicted.stderr == "", predicted.stderr
    done = train(run_dir, data, *OPTIONS, "--run.steps", 40)
    assert "passed over" not in done.stderr and "damaged" not in done.stderr
    is_done(run_dir, 40)
    assert files(run_dir) == files(at_40)
    assert names(run_dir) == sorted(["latest", "step-000030", "step-000040", *strange])
    assert {file: file.read_bytes() for file in before} == before and sorted(os.listdir(outside / "step-000095")) == sorted(files(at_40))


def test_one_copy_does_not_take_the_place_of_the_newest(at_20, data, tmp_path):
    """Also for evaluate and predict."""
    run_dir = copy(at_20, tmp_path)
    shutil.copytree(step(run_dir, 10), run_dir / "checkpoints" / "step-000010.bak")
    done = run("evaluate", "--run-dir", run_dir, "--split", "valid", "--json")
    assert json.loads(done.stdout)["step"] == 20 and done.stderr == ""
    train(run_dir, data, *OPTIONS, "--run.steps", 40, "--run.keep", 1)
    is_done(run_dir, 40)
    assert names(run_dir) == ["latest", "step-000010.bak", "step-000040"]


def test_what_a_person_put_into_an_old_checkpoint_stays(at_20, data, tmp_path):
    run_dir = copy(at_20, tmp_path)
    (step(run_dir, 10) / "notes.txt").write_text("of a person")
    done = train(run_dir, data, *OPTIONS, "--run.steps", 40)
    assert done.stderr.count("is kept, though it is old: notes.txt in it is not of the program") == 1, done.stderr
    is_done(run_dir, 40)
    assert steps_kept(run_dir) == ["step-000010", "step-000030", "step-000040"] and (step(run_dir, 10) / "notes.txt").exists()


def test_what_is_in_the_way_of_a_checkpoint_is_moved(at_20, data, tmp_path):
    run_dir = copy(at_20, tmp_path)
    step(run_dir, 30).write_text("a file")
    step(run_dir, 40).mkdir()
    (step(run_dir, 40) / "notes.txt").write_text("of a person")
    done = train(run_dir, data, *OPTIONS, "--run.steps", 40)
    assert done.stderr.count("was in the way of a checkpoint") == 2, done.stderr
    is_done(run_dir, 40)
    assert (run_dir / "checkpoints" / "step-000030.replaced").read_text() == "a file"
    assert (run_dir / "checkpoints" / "step-000040.replaced" / "notes.txt").exists()


def test_a_checkpoint_of_another_run_is_passed_over(at_20, at_40, data, tmp_path):
    run_dir, other = copy(at_20, tmp_path), tmp_path / "other"
    train(other, data, "--run.tasks", "topic", "--run.steps", 50, "--run.eval_samples", 20)
    shutil.copytree(step(other, 50), step(run_dir, 50))
    done = train(run_dir, data, *OPTIONS, "--run.steps", 40)
    assert "a checkpoint is passed over: the checkpoint of step 50 is of the tasks topic" in done.stderr
    assert "resuming after step 20" in done.stderr and files(run_dir) == files(at_40)
    assert step(run_dir, 50).exists()


@pytest.mark.parametrize("harm, says", [("checkpoints", "is no folder"), ("checkpoints/latest", "is a folder"), ("checkpoints/best", "is a folder")])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_no_checkpoint_can_be_written_over_is_found_at_the_start(harm, says, workers, data, tmp_path):
    run_dir = tmp_path / "run"
    train(run_dir, data, *OPTIONS, "--run.steps", 1)
    shutil.rmtree(run_dir / "checkpoints")
    if harm == "checkpoints":
        (run_dir / harm).write_text("")
    else:
        (run_dir / harm).mkdir(parents=True)
    lines = (run_dir / "metrics.jsonl").read_bytes()
    fails(73, *train_words(run_dir, data, *OPTIONS, "--run.steps", 1), workers=workers, says=[str(run_dir / harm), says, "rename it"])
    assert (run_dir / "metrics.jsonl").read_bytes() == lines


# Damage


@pytest.mark.parametrize("harm", ["state", "state gone", "weights", "truncated", "missing", "hash of the parameters", "renamed"])
def test_damage_is_set_aside_and_training_resumes_from_the_older(harm, at_20, at_40, data, tmp_path):
    run_dir = copy(at_20, tmp_path)
    folder = step(run_dir, 20)
    if harm == "state":
        flip(folder / "state.json")
    elif harm == "state gone":
        (folder / "state.json").unlink()
    elif harm == "weights":
        flip(folder / "head.topic.safetensors")
    elif harm == "truncated":
        (folder / "encoder.optimizer.safetensors").write_bytes((folder / "encoder.optimizer.safetensors").read_bytes()[:-8])
    elif harm == "missing":
        (folder / "head.tags.optimizer.safetensors").unlink()
    elif harm == "hash of the parameters":
        edit_state(folder / "state.json", lambda state: state.update(parameter_hash="0" * 16))
    else:
        shutil.rmtree(folder)
        shutil.copytree(step(run_dir, 10), folder)
    assert run("verify", "--run-dir", run_dir).returncode == 65
    done = train(run_dir, data, *OPTIONS, "--run.steps", 40)
    assert "a checkpoint is passed over" in done.stderr and "set aside as step-000020.damaged" in done.stderr
    assert "resuming after step 10" in done.stderr
    is_done(run_dir, 40)
    assert files(run_dir) == files(at_40)
    assert names(run_dir) == ["latest", "step-000020.damaged", "step-000030", "step-000040"]


@pytest.mark.parametrize("workers", [1, 2])
def test_two_damaged_newest_do_not_take_the_place_of_what_is_saved(workers, data, tmp_path):
    """With keep = 1 and run.best, where the best checkpoint is an older one."""
    run_dir = tmp_path / "run"
    train(run_dir, data, *BEST, "--run.steps", 60, "--run.keep", 4, "--run.stop_at", 40, workers=workers)
    assert (run_dir / "checkpoints" / "best").read_text().startswith("step-")
    for number in (30, 40):
        flip(step(run_dir, number) / "encoder.safetensors")
    done = train(run_dir, data, *BEST, "--run.steps", 60, "--run.keep", 1, "--run.stop_at", 50, workers=workers)
    assert "resuming after step 20" in done.stderr
    assert {"step-000030.damaged", "step-000040.damaged", "step-000050"} <= set(names(run_dir))
    assert newest(run_dir) == step(run_dir, 50) and run("verify", "--run-dir", run_dir).returncode == 0
    train(run_dir, data, *BEST, "--run.steps", 60, "--run.keep", 1, workers=workers)
    is_done(run_dir, 60)
    best = (run_dir / "checkpoints" / "best").read_text().strip()
    assert set(steps_kept(run_dir)) == {"step-000060", best}


def test_damage_while_training_runs_does_not_take_a_place_either(data, tmp_path):
    run_dir = tmp_path / "run"
    process = start(run_dir, data, *OPTIONS[:2], "--run.steps", 100000, "--run.checkpoint_every", 20, "--run.keep", 2)
    wait_for(lambda: step(run_dir, 40).exists(), process)
    process.send_signal(signal.SIGSTOP)  # so that no newer checkpoints take its place before it is damaged
    kept = run_dir / "checkpoints" / (run_dir / "checkpoints" / "latest").read_text().strip()
    flip(kept / "encoder.safetensors")
    process.send_signal(signal.SIGCONT)
    wait_for(lambda: (run_dir / "checkpoints" / f"{kept.name}.damaged").exists(), process)
    errors = interrupt(process, process.pid)
    assert process.returncode == 75 and f"set aside as {kept.name}.damaged" in errors, errors
    assert run("verify", "--run-dir", run_dir).returncode == 0 and len(steps_kept(run_dir)) == 2


def test_the_best_survives_keep_1_and_a_damaged_newest(data, tmp_path):
    """The learning rate grows, so the first checkpoint remains the best."""
    run_dir = tmp_path / "run"
    options = [*BEST, "--run.steps", 50, "--run.keep", 1, "--optimizer.lr", 0.5, "--optimizer.warmup", 50]
    train(run_dir, data, *options, "--run.stop_at", 30)
    best = (run_dir / "checkpoints" / "best").read_text().strip()
    train(run_dir, data, *options)
    best = (run_dir / "checkpoints" / "best").read_text().strip()
    assert set(steps_kept(run_dir)) == {best, "step-000050"}
    done = run("evaluate", "--run-dir", run_dir, "--checkpoint", "best", "--split", "valid", "--samples", 10, "--json")
    assert json.loads(done.stdout)["step"] == int(best[5:])


def test_a_checkpoint_of_an_earlier_version_is_read(at_20, at_40, data, tmp_path):
    """Its state.json has no hash, no state of validation and no fingerprint."""
    run_dir = copy(at_20, tmp_path)
    for number in (10, 20):
        edit_state(step(run_dir, number) / "state.json", lambda state: [state.pop(key) for key in ("validation", "fingerprint", "workers")])
    assert run("verify", "--run-dir", run_dir).returncode == 0
    done = train(run_dir, data, *OPTIONS, "--run.steps", 40)
    assert "resuming after step 20" in done.stderr and files(run_dir) == files(at_40)


def test_verify_finds_every_changed_digit(at_20, tmp_path):
    """Changes one digit on each line of state.json. tests/distributed/checkpoint/state_test.cpp changes every digit,
    and bits."""
    run_dir = copy(at_20, tmp_path)
    shutil.rmtree(step(run_dir, 10))
    file = step(run_dir, 20) / "state.json"
    whole = file.read_text()
    lines = whole.splitlines(keepends=True)
    places = [i for i, line in enumerate(lines) if any(c.isdigit() for c in line)]
    assert len(places) > 27
    found = 0
    for i in places[:: max(1, len(places) // 27)][:27]:
        at = max(k for k, c in enumerate(lines[i]) if c.isdigit())
        changed = lines[i][:at] + str((int(lines[i][at]) + 1) % 10) + lines[i][at + 1:]
        file.write_text("".join([*lines[:i], changed, *lines[i + 1:]]))
        done = run("verify", "--run-dir", run_dir)
        found += done.returncode == 65 and "state.json" in done.stderr
    assert found == 27
    file.write_text(whole)
    assert run("verify", "--run-dir", run_dir).returncode == 0


@pytest.mark.parametrize("key, value", [("encoder/dim", 10**9), ("encoder/layers", 10**9), ("tokenizer/vocab_size", 10**9), ("encoder/dim", 64),
                                        ("encoder/layers", 3), ("tokenizer/vocab_size", 1000), ("tokenizer/file", "/dev/zero")])
def test_a_model_that_the_files_do_not_hold_is_refused_at_once(key, value, at_20, tmp_path):
    run_dir = copy(at_20, tmp_path)
    shutil.rmtree(step(run_dir, 10))
    section, name = key.split("/")
    edit_state(step(run_dir, 20) / "state.json", lambda state: state["model"][section].update({name: value}))
    fails(65, "predict", "--run-dir", run_dir, "--task", "topic", says=["state.json", "no checkpoint is whole", name if value in (10**9, "/dev/zero") else "model.encoder"],
          timeout=20)


def test_a_device_or_a_pipe_in_the_place_of_a_file_is_refused_at_once(at_20, tmp_path):
    run_dir = copy(at_20, tmp_path)
    shutil.rmtree(step(run_dir, 10))
    for name in ("encoder.safetensors", "state.json"):
        whole = (step(run_dir, 20) / name).read_bytes()
        for harm in ("/dev/zero", "pipe"):
            (step(run_dir, 20) / name).unlink()
            os.mkfifo(step(run_dir, 20) / name) if harm == "pipe" else (step(run_dir, 20) / name).symlink_to(harm)
            done = run("verify", "--run-dir", run_dir, timeout=20)
            assert done.returncode == 65 and name in done.stderr, done.stderr
        (step(run_dir, 20) / name).unlink()
        (step(run_dir, 20) / name).write_bytes(whole)


# A model that has diverged


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("every", [0, 1])
def test_a_run_that_diverged_in_fewer_steps_than_the_patience_is_no_success(workers, every, data, tmp_path):
    run_dir = tmp_path / "run"
    words = train_words(run_dir, data, "--run.steps", 8, "--optimizer.lr", 1e30, "--optimizer.warmup", 0, "--run.checkpoint_every", every)
    fails(76, *words, workers=workers, says=["diverged", "optimizer.lr", "No checkpoint of this step is published"])
    assert (status(run_dir)["state"], status(run_dir)["exit_code"]) == ("failed", 76)
    assert not (run_dir / "checkpoints").exists() or names(run_dir) == []


def test_parameters_that_are_finite_but_absurd_are_not_published(data, tmp_path):
    run_dir = tmp_path / "run"
    words = train_words(run_dir, data, *OPTIONS[:2], "--run.steps", 2, "--optimizer.lr", 1e12, "--optimizer.warmup", 0)
    fails(76, *words, says=["diverged", "holds the value", "No checkpoint has been saved yet"])


# A run folder that is deleted


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_folder_deleted_while_training_is_said_and_the_next_checkpoint_is_whole(workers, data, tmp_path):
    run_dir = tmp_path / "run"
    process = start(run_dir, data, *OPTIONS[:2], "--run.steps", 100000, "--run.checkpoint_every", 20, workers=workers)
    wait_for(lambda: step(run_dir, 20).exists(), process)
    shutil.rmtree(run_dir, ignore_errors=True)
    shutil.rmtree(run_dir, ignore_errors=True)
    wait_for(lambda: (run_dir / "checkpoints" / "latest").exists(), process)
    errors = interrupt(process, process.pid)
    assert process.returncode == 75, errors
    assert "was deleted while training ran" in errors and "config.ini" in errors and "written again" in errors
    assert "checkpoints/step-0000" in errors
    done = run("predict", "--run-dir", run_dir, "--task", "topic", input='{"text": "a b"}\n')
    assert done.returncode == 0, done.stderr
    assert run("verify", "--run-dir", run_dir).returncode == 0
