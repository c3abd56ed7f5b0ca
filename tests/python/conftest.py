"""What the end-to-end tests share."""

import pytest

from program import run


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """Planted tasks of every kind: JSONL in jsonl/, imported in data/; 300 samples of train each."""
    folder = tmp_path_factory.mktemp("planted")
    for words in (["synthetic", "--out", "jsonl", "--train", 300, "--valid", 60, "--test", 60],
                  ["import", "-c", "jsonl/synthetic.ini", "--out", "data"]):
        done = run(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def data(planted):
    return planted / "data"
