"""examples/curves draws a picture of a run's losses and of its metrics on valid."""

import json
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


def texts(file):
    return [element.text or "" for element in ET.fromstring(file.read_text()).iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("low, high, ticks", [(0.0004, 3, ["0.001", "0.01", "0.1", "1"]), (0.004, 0.02, ["0.005", "0.01", "0.02"]),
                                              (0.0101, 0.0104, ["0.0101", "0.0104"]), (0.5, 40, ["0.5", "1", "2", "5", "10", "20"]), (1, 1, ["1"])])
def test_the_axis_of_losses_has_labels_whatever_their_size(low, high, ticks, tmp_path):
    losses = [high, (low * high) ** 0.5, low]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps({"kind": "step", "step": i + 1, "loss": {"a": loss}}) + "\n" for i, loss in enumerate(losses)))
    done = curves(tmp_path, tmp_path / "a.svg")
    assert done.returncode == 0, done.stderr
    assert set(ticks) <= set(texts(tmp_path / "a.svg"))


def test_what_is_drawn_is_said_and_losses_are_comparable(tmp_path):
    """The loss that was trained on includes label smoothing; the picture shows the one without, as on valid."""
    steps = [{"kind": "step", "step": i + 1, "loss": {"a": 2.0, "b": 1.0}, "plain_loss": {"a": 0.5}} for i in range(400)]
    end = {"kind": "eval", "step": 400, "split": "valid", "task": "a", "metrics": {"loss": 0.6}}
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*steps, end]))
    assert curves(tmp_path, tmp_path / "a.svg").returncode == 0
    words = texts(tmp_path / "a.svg")
    assert "loss on train: each point is the mean of 4 steps, without label smoothing; dashed: on valid" in words
    assert "a 0.50, valid 0.60" in words and "b 1.00" in words
