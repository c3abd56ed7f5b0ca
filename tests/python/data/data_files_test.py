"""Changes to the files of a data set while the program runs: touched, rewritten, replaced. Few open files; links; a
read-only volume; splits and tasks without samples."""

import json
import os
import resource
import shutil
import signal
import subprocess

import pytest

from program import command, environment, fails, log, run, shard, status, step_count, steps, survivors, train_words, wait_for

ACCESS = pytest.mark.parametrize("access", ["map", "pread"])


def limited(files):
    """For subprocess: limits the number of open files."""
    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))}


def import_topic(planted, folder, files=64, **more):
    """One task of 60 samples, with a shard for each sample."""
    folder.mkdir()
    for split, count in (("train", 40), ("valid", 10), ("test", 10)):
        lines = (planted / "jsonl" / f"topic.{split}.jsonl").read_text().splitlines(keepends=True)
        (folder / f"{split}.jsonl").write_text("".join(lines[:count]))
    (folder / "d.ini").write_text("[dataset]\nname = x\nvocab_size = 100\nshard_size = 1\n[task.topic]\nkind = classification\n"
                                  "train = train.jsonl\nvalid = valid.jsonl\ntest = test.jsonl\n")
    done = run("import", "-c", folder / "d.ini", "--out", folder / "data", **limited(files), **more)
    assert done.returncode == 0, done.stderr
    return folder / "data"


@pytest.fixture(scope="module")
def shards(planted, tmp_path_factory):
    data = import_topic(planted, tmp_path_factory.mktemp("shards") / "x")
    assert len(list((data / "topic").glob("train-*.h5"))) == 40
    return data


@pytest.fixture
def copy(shards, tmp_path):
    shutil.copytree(shards, tmp_path / "data")
    return tmp_path / "data"


# Few open files


@pytest.fixture(scope="module")
def plenty(shards, tmp_path_factory):
    """The output of a run without a limit on open files."""
    folder = tmp_path_factory.mktemp("plenty") / "run"
    done = run(*train_words(folder, shards, "--run.steps", 8, "--run.eval_every", 4))
    assert done.returncode == 0, done.stderr
    return folder


@ACCESS
@pytest.mark.parametrize("files", [32, 64])
def test_training_with_few_open_files(files, access, shards, plenty, tmp_path):
    done = run(*train_words(tmp_path / "run", shards, "--run.steps", 8, "--run.eval_every", 4, "--run.data_access", access), **limited(files))
    assert done.returncode == 0, done.stderr
    assert log(tmp_path / "run") == log(plenty)


def test_two_workers_with_few_open_files(shards, tmp_path):
    done = run(*train_words(tmp_path / "run", shards, "--run.steps", 8, "--run.data_access", "pread"), workers=2, **limited(64))
    assert done.returncode == 0 and len(steps(tmp_path / "run")) == 8, done.stderr


def test_other_commands_with_few_open_files(planted, shards, plenty, tmp_path):
    import_topic(planted, tmp_path / "x", files=32)
    for words in (["verify", "--data", shards], ["inspect", "--data", shards], ["evaluate", "--run-dir", plenty],
                  ["predict", "--run-dir", plenty, "--task", "topic", "--in", planted / "jsonl" / "topic.test.jsonl"]):
        done = run(*words, **limited(32))
        assert done.returncode == 0, (words, done.stderr)


def test_too_few_open_files_names_the_cure(shards, tmp_path):
    """The limit is so low that nothing can be opened: the first failure says so."""
    done = run("verify", "--data", shards, **limited(6))
    assert done.returncode != 0 and "open files" in done.stderr, done.stderr


# Touched, rewritten, replaced


class Training:
    """Trains with a limit on open files that is so low that shards are opened again and again, until the test ends."""

    def __init__(self, folder, data, access, *more, files=64):
        self.folder = folder
        words = train_words(folder, data, "--run.steps", 1000000, "--run.eval_every", 0, "--run.data_access", access, "--mixture.batch", 64,
                            "--encoder.layers", 1, *more)
        self.process = subprocess.Popen(command(*words), env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, encoding="utf-8", **limited(files))
        try:
            self.wait(5)
        except BaseException:
            self.process.kill()
            raise

    def wait(self, more):
        have = step_count(self.folder)
        wait_for(lambda: step_count(self.folder) >= have + more, self.process, seconds=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()

    def end(self, code):
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == code, errors
        return errors


@ACCESS
def test_touched_shards_are_the_same_shards(access, copy, tmp_path):
    with Training(tmp_path / "run", copy, access) as training:
        for file in copy.rglob("*.h5"):
            os.utime(file)
        training.wait(30)
        training.process.send_signal(signal.SIGTERM)
        training.end(75)
        assert status(tmp_path / "run")["state"] == "preempted"


def rewritten(content, file, replace):
    """Rewrites a file with another content of the same size."""
    beside = file.with_suffix(".new") if replace else file
    with open(beside, "r+b" if beside.exists() else "wb") as out:
        out.write(content[:-1] + bytes([content[-1] ^ 1]))
    if replace:
        os.replace(beside, file)


@ACCESS
@pytest.mark.parametrize("replace", [False, True])
def test_a_shard_of_the_same_size_with_another_content_is_named(replace, access, copy, tmp_path):
    with Training(tmp_path / "run", copy, access) as training:
        for file in copy.rglob("train-*.h5"):
            rewritten(file.read_bytes(), file, replace)
        errors = training.end(65)
        assert "the shard " + str(copy / "topic" / "train-") in errors and "SHA-256 is not the one" in errors, errors
        assert status(tmp_path / "run")["exit_code"] == 65 and survivors(tmp_path / "run") == []


@ACCESS
def test_a_shard_that_stays_open_is_looked_at_too(access, data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    with Training(tmp_path / "run", tmp_path / "data", access, "--run.tasks", "topic", files=1024) as training:
        file = shard(tmp_path / "data", "topic")
        os.utime(file)
        training.wait(30)
        rewritten(file.read_bytes(), file, True)
        assert f"the shard {file} was rewritten or replaced" in training.end(65)


# Links and volumes


def test_symbolic_links_anywhere(shards, plenty, tmp_path):
    """The data set's folder, a folder above it, a task's folder or a shard is a link."""
    real = tmp_path / "real"
    shutil.copytree(shards, real / "data")
    shutil.move(real / "data" / "topic", tmp_path / "elsewhere")
    (real / "data" / "topic").symlink_to("../../elsewhere")
    one = next((tmp_path / "elsewhere").glob("train-*.h5"))
    shutil.move(one, tmp_path / "one.h5")
    one.symlink_to(tmp_path / "one.h5")
    (tmp_path / "above").symlink_to("real")
    (tmp_path / "data").symlink_to("above/data")
    done = run(*train_words(tmp_path / "run", tmp_path / "data", "--run.steps", 8, "--run.eval_every", 4))
    assert done.returncode == 0, done.stderr
    assert log(tmp_path / "run") == log(plenty)
    assert run("evaluate", "--run-dir", tmp_path / "run").returncode == 0
    found = json.loads(run("verify", "--data", tmp_path / "data", "--json").stdout)
    assert found["faults"] == [] and all("is a link to" in warning for warning in found["warnings"]) and len(found["warnings"]) == 60


def test_a_read_only_volume(copy, plenty, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    if subprocess.run(["mount", "--bind", copy, volume], capture_output=True).returncode != 0:
        if os.geteuid() == 0:
            pytest.skip("root writes everywhere, and nothing may be mounted here")
        volume.rmdir(), copy.rename(volume)
        for path in [volume, *volume.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
    else:
        subprocess.run(["mount", "-o", "remount,bind,ro", volume], check=True)
    try:
        with pytest.raises(OSError):
            (volume / "file").write_text("")
        done = run(*train_words(tmp_path / "run", volume, "--run.steps", 8, "--run.eval_every", 4))
        assert done.returncode == 0, done.stderr
        assert log(tmp_path / "run") == log(plenty)
        for words in (["evaluate", "--run-dir", tmp_path / "run"], ["inspect", "--data", volume], ["verify", "--data", volume]):
            assert run(*words).returncode == 0
        fails(73, "verify", "--data", volume, "--rehash", says=[str(volume), "Read-only file system" if os.geteuid() == 0 else "denied"])
    finally:
        subprocess.run(["umount", volume], capture_output=True)


# Nothing to read


def without(copy, change):
    manifest = json.loads((copy / "dataset.json").read_text())
    change(manifest)
    (copy / "dataset.json").write_text(json.dumps(manifest))
    return copy


def clear(split):
    return lambda manifest: manifest["tasks"][0]["splits"].update({split: {"samples": 0, "shards": []}})


@pytest.mark.parametrize("change, says", [(clear("train"), "task 'topic' has no training samples"),
                                          (lambda m: m["tasks"][0].update(splits={}), "task 'topic' has no training samples"),
                                          (lambda m: m.update(tasks=[]), "has no task")])
def test_nothing_to_train_on(change, says, copy, tmp_path):
    data = without(copy, change)
    fails(65, *train_words(tmp_path / "run", data, "--run.steps", 2), says=[says])
    fails(65, "plan", "--data", data, "--workers", 2, says=[says])
    fails(65, "compare", "--data", data, "--out", tmp_path / "out", "--run.steps", 2, says=[says])


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize("how", ["empty", "missing"])
def test_nothing_to_evaluate(how, split, copy, plenty):
    data = without(copy, clear(split) if how == "empty" else lambda manifest: manifest["tasks"][0]["splits"].pop(split))
    fails(78, "evaluate", "--run-dir", plenty, "--data", data, "--split", split, says=[f"none of the tasks has {split} samples", "--split"])
    fails(78, "evaluate", "--run-dir", plenty, "--split", "dev", says=["split is 'dev'", "train, valid, test"])
