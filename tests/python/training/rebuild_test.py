"""examples/python/rebuild.py computes the same from a checkpoint's files as `polyhead predict`: for every kind of task,
both forms of the encoder, every way of sharing and every mode of task attention."""

import importlib.util
import json
import subprocess
import sys

import pytest

from program import EVERY_KIND, ROOT, newest, run, train

SCRIPT = ROOT / "examples" / "python" / "rebuild.py"
ALL = [task for task in EVERY_KIND if task != "style"]
FEW = ["topic", "dictionary", "answer"]
# name: the tasks that are compared, and options
CASES = {
    "hard": (ALL, ["--attention.heads", 2, "--attention.temperature", 1.3, "--attention.floor", 0.02, "--optimizer.ema", 0.9]),
    "bert": (ALL, ["--encoder.form", "bert", "--attention.mode", "independent", "--attention.heads", 2, "--attention.floor", 0.1]),
    "given": (FEW, ["--attention.importance", "fixed", "--task.tags.importance", 3, "--task.lines.importance", 0.2]),
    "adapters": (FEW, ["--encoder.share", "adapters", "--encoder.adapter_dim", 8, "--attention.mode", "independent"]),
    "mtan": (FEW, ["--encoder.share", "mtan", "--encoder.adapter_dim", 8, "--attention.mode", "mean"]),
    "mmoe": (FEW, ["--encoder.share", "mmoe", "--encoder.experts", 2, "--attention.mode", "first"]),
    "ple": (FEW, ["--encoder.share", "ple", "--encoder.experts", 2, "--encoder.task_experts", 2, "--encoder.expert_layers", 2]),
    "bert-adapters": (FEW, ["--encoder.form", "bert", "--encoder.share", "adapters", "--attention.mode", "first"]),
    "bert-mtan": (FEW, ["--encoder.form", "bert", "--encoder.share", "mtan"]),
    "bert-mmoe": (FEW, ["--encoder.form", "bert", "--encoder.share", "mmoe", "--encoder.experts", 2, "--attention.mode", "mean"]),
    "bert-ple": (FEW, ["--encoder.form", "bert", "--encoder.share", "ple", "--encoder.experts", 2, "--encoder.expert_layers", 2]),
}


@pytest.fixture(scope="module")
def rebuild():
    sys.path.insert(0, str(ROOT / "tests" / "parity"))
    from torch_of_cache import load
    load()
    spec = importlib.util.spec_from_file_location("rebuild", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def samples(planted):
    """The lines to predict, without targets, by task."""
    texts = {}
    for task in ALL:
        rows = [json.loads(line) for line in (planted / "jsonl" / f"{task}.test.jsonl").read_text().splitlines()[:6]]
        texts[task] = [{key: row[key] for key in ("question", "text", "second", "words", "features") if key in row} for row in rows]
        if task == "lines":
            for row in texts[task]:
                words = row["text"].split()
                row["text"] = " ".join("<mask>" if i % 3 == 1 else word for i, word in enumerate(words))
    return texts


def predicted(folder, task, lines, *more):
    done = run("predict", "--run-dir", folder, "--task", task, *more, input="".join(json.dumps(line) + "\n" for line in lines))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def same(ours, theirs):
    """Numbers agree within 1e-4, and everything else is equal."""
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, dict):
            same(ours[key], value)
        elif isinstance(value, float):
            assert ours[key] == pytest.approx(value, rel=1e-4, abs=1e-4), key
        else:
            assert ours[key] == value, key


@pytest.mark.parametrize("case", CASES)
def test_the_rebuilt_model_predicts_the_same(case, rebuild, samples, every_kind, tmp_path):
    tasks, options = CASES[case]
    layers = 2 if case.endswith(("ple", "mtan")) else 1
    train(tmp_path / "run", every_kind, "--run.steps", 20, "--run.eval_every", 0, "--encoder.layers", layers, "--encoder.heads", 2,
          "--optimizer.lr", 1e-2, "--task.dictionary.max_target", 12, *options)
    model = rebuild.Model(tmp_path / "run")
    pieces = rebuild.Pieces(every_kind, model.description["tokenizer"], model.description["max_length"], False)
    for task in tasks:
        found = predicted(tmp_path / "run", task, samples[task])
        assert len(found) == len(samples[task])
        for line, theirs in zip(samples[task], found):
            same(rebuild.answer(model, task, line, pieces), theirs)


def test_the_script_is_run_as_its_page_says(samples, data, tmp_path):
    train(tmp_path / "run", data, "--run.steps", 6, "--run.eval_every", 0, "--optimizer.ema", 0.5, "--encoder.layers", 1)
    start = (f"import sys; sys.path.insert(0, {str(ROOT / 'tests' / 'parity')!r}); from torch_of_cache import load; load(); "
             f"import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')")
    for more, ours in ([], []), (["--weights", "average"], ["--average"]):
        theirs = predicted(tmp_path / "run", "reply", samples["reply"], *more)
        done = subprocess.run([sys.executable, "-c", start, SCRIPT, tmp_path / "run", "--task", "reply", "--checkpoint",
                               newest(tmp_path / "run").name, *ours], capture_output=True, text=True, timeout=60,
                              input="".join(json.dumps(line) + "\n" for line in samples["reply"]))
        assert done.returncode == 0, done.stderr
        for line, expected in zip(done.stdout.splitlines(), theirs, strict=True):
            same(json.loads(line), expected)
    assert predicted(tmp_path / "run", "reply", samples["reply"]) != theirs  # the average is another model
