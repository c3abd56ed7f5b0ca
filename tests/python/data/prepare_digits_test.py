"""examples/digits/prepare: patches, splits, and messages if the package cannot be fetched."""

import importlib.machinery
import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "examples" / "digits" / "prepare"


@pytest.fixture
def prepare():
    loader = importlib.machinery.SourceFileLoader("prepare_digits", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def test_patches_are_read_row_by_row(prepare):
    pixels = [(row // 7) * 40 + (column // 7) * 10 + (row % 7 == 6 and column % 7 == 0) for row in range(28) for column in range(28)]
    split, row = prepare.sample(",".join(map(str, [*pixels, 7])))
    assert split in (0, 1, 2) and row["label"] == "7"
    assert len(row["features"]) == 16 and {len(patch) for patch in row["features"]} == {49}
    for i, patch in enumerate(row["features"]):
        p = (i // 4) * 40 + (i % 4) * 10
        assert patch[0] == pytest.approx((p / 255 - 0.13) / 0.31, abs=1e-3)
        assert patch[42] > patch[0] == patch[41] == patch[48]  # the first pixel of the patch's last row


def test_splits_are_of_the_image(prepare):
    lines = [",".join(map(str, [i % 256] * 400 + [i // 256] * 384 + [i % 10])) for i in range(2000)]
    splits = [prepare.sample(line)[0] for line in lines]
    assert [splits.count(s) / 2000 for s in range(3)] == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    assert splits == [prepare.sample(line[:-1] + "3")[0] for line in lines]  # whatever the label


def test_writes_what_import_reads(prepare, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prepare, "fetch", lambda: [",".join(map(str, [i] * 784 + [i % 10])) for i in range(100)])
    assert prepare.main([str(tmp_path / "out")]) == 0
    rows = [json.loads(line) for split in prepare.SPLITS for line in (tmp_path / "out" / f"digits.{split}.jsonl").read_text().splitlines()]
    assert len(rows) == 100 and all(row.keys() == {"features", "label"} for row in rows)
    assert "train = digits.train.jsonl\n" in (tmp_path / "out" / "digits.ini").read_text()
    assert "samples to" in capsys.readouterr().out


def test_failures_say_what_to_do(prepare, tmp_path, monkeypatch, capsys):
    def pip(returncode, content):
        def run(command, **options):
            if content:
                (Path(command[command.index("--dest") + 1]) / prepare.WHEEL).write_bytes(content)
            return subprocess.CompletedProcess(command, returncode, "", "no such host")
        return run

    for returncode, content, says in ((1, b"", "no such host"), (0, b"altered", "try another index"), (0, b"", "no such file")):
        monkeypatch.setattr(prepare.subprocess, "run", pip(returncode, content))
        assert prepare.main([str(tmp_path / "out")]) == 65
        assert says in capsys.readouterr().err
    monkeypatch.setattr(prepare, "fetch", lambda: [",".join(["0"] * 785)])
    (tmp_path / "file").write_text("")
    assert prepare.main([str(tmp_path / "file" / "out")]) == 73
