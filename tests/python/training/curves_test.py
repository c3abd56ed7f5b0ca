"""examples/curves: a run's folder to a picture of its losses and its metrics on valid."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from program import ROOT, train

CURVES = Path(os.environ.get("POLYHEAD_SOURCE", ROOT)) / "examples" / "curves"


def curves(*words):
    return subprocess.run([sys.executable, CURVES, *map(str, words)], capture_output=True, encoding="utf-8")


@pytest.mark.parametrize("every", [2, 0])
def test_a_run_folder_and_its_metrics_file(every, data, tmp_path):
    train(tmp_path / "run", data, "--run.tasks", "topic,tags,dictionary,ornament", "--run.steps", 5, "--run.eval_every", every)
    for source, out in ((tmp_path / "run", "a.svg"), (tmp_path / "run" / "metrics.jsonl", "b.svg")):
        done = curves(source, tmp_path / out)
        assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    words = " ".join(element.text or "" for element in ET.fromstring(text).iter())
    for part in ("topic accuracy", "tags accuracy", "ornament r2", "dictionary accuracy", ", valid "):
        assert part in words
    assert text.count("<polyline") == 12  # of each task the loss, the loss on valid, a metric


def test_a_folder_that_is_no_run_and_a_line_being_written(data, tmp_path):
    done = curves(tmp_path, tmp_path / "a.svg")
    assert done.returncode != 0 and "is not there; give a run's folder" in done.stderr and not (tmp_path / "a.svg").exists()
    (tmp_path / "metrics.jsonl").write_text('{"kind":"step","step":1,"loss":{"a<b":2.0}}\n{"kind":"st')
    assert curves(tmp_path, tmp_path / "a.svg").returncode == 0
    assert "a&lt;b 2.00" in (tmp_path / "a.svg").read_text()
