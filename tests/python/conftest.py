"""Fixtures of the end-to-end tests."""

import shutil

import pytest

from program import run, train


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """Planted tasks of every kind but span, with 300 samples of train each: JSONL in jsonl/, imported in data/."""
    folder = tmp_path_factory.mktemp("planted")
    for words in (["synthetic", "--out", "jsonl", "--train", 300, "--valid", 60, "--test", 60],
                  ["import", "-c", "jsonl/synthetic.ini", "--out", "data"]):
        done = run(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def data(planted):
    return planted / "data"


@pytest.fixture(scope="session")
def every_kind(planted):
    """The same data set, to which the planted task of span is added."""
    shutil.copytree(planted / "data", planted / "every_kind")
    description = (planted / "jsonl" / "synthetic-span.ini").read_text().replace("name = synthetic-span\n", "name = synthetic\n")
    (planted / "jsonl" / "every-kind.ini").write_text(description)
    done = run("import", "-c", "jsonl/every-kind.ini", "--out", "every_kind", "--append", cwd=planted)
    assert done.returncode == 0, done.stderr
    return planted / "every_kind"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data):
    """Runs that are not interrupted, one for each set of options and number of workers."""
    runs = {}

    def get(options, workers):
        key = str(options), workers
        if key not in runs:
            runs[key] = tmp_path_factory.mktemp("whole") / "run"
            train(runs[key], data, *options, workers=workers)
        return runs[key]

    return get
