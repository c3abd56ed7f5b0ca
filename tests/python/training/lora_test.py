"""Low-rank updates (encoder.share = lora, task_lora) and frozen blocks from the command line: what changes and what does not, any number
of workers, resuming, the rebuilt model, and the export with merged matrices."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from program import ROOT, distance, fails, parameters, run, train, train_words

TASKS = "topic,tags,dictionary,lines,wind"
COMMON = ["--run.tasks", TASKS, "--encoder.form", "bert", "--encoder.positions", 64, "--run.dtype", "float64"]
LORA = ["--encoder.lora_rank", 3, "--encoder.lora_alpha", 5, "--encoder.lora_targets", "query, value, out, up, down"]
MATRICES = {"query": "attention.qkv", "value": "attention.qkv", "out": "attention.out", "up": "ffn.up", "down": "ffn.down"}
DIM = 32  # of program.SMALL


@pytest.fixture(scope="module")
def base(tmp_path_factory, data):
    """A run whose encoder the others start from."""
    folder = tmp_path_factory.mktemp("base") / "run"
    train(folder, data, *COMMON, "--run.steps", 6)
    return folder


def options(base, share, *more):
    words = ["--init-from", base, *COMMON, "--run.steps", 10, "--encoder.share", share, *more]
    return words + LORA if "lora" in share else words


@pytest.fixture(scope="module")
def runs(tmp_path_factory, base, data):
    folder = tmp_path_factory.mktemp("lora")

    def get(share):
        if not (folder / share).exists():
            train(folder / share, data, *options(base, share))
        return folder / share

    return get


def frozen(name):
    return not name.startswith(("tasks.", "features.")) and ".lora." not in name


@pytest.mark.parametrize("share", ["lora", "task_lora"])
def test_only_the_updates_are_trained(share, runs, base):
    before, after = parameters(base)["encoder"], parameters(runs(share))
    for name, value in before.items():
        assert np.array_equal(value, after["encoder"][name]) == frozen(name), name
    owners = ["encoder"] if share == "lora" else [f"head.{task}" for task in TASKS.split(",")]
    for owner in owners:
        updates = {name: value for name, value in after[owner].items() if ".lora." in name}
        assert len(updates) == 2 * 2 * 5
        assert all(np.abs(value).max() > 1e-6 for value in updates.values()), owner


@pytest.mark.parametrize("workers", [2, 7])
@pytest.mark.parametrize("share", ["lora", "task_lora"])
def test_any_number_of_workers_trains_the_same(share, workers, runs, base, data, tmp_path):
    train(tmp_path / "run", data, *options(base, share), workers=workers)
    assert distance(parameters(runs(share)), parameters(tmp_path / "run")) < 1e-10


def test_interrupted_is_the_same(runs, base, data, tmp_path):
    words = options(base, "task_lora")
    train(tmp_path / "run", data, *words, "--run.stop_at", 4)
    train(tmp_path / "run", data, *words)
    assert distance(parameters(runs("task_lora")), parameters(tmp_path / "run")) == 0


@pytest.fixture(scope="module")
def rebuild():
    sys.path.insert(0, str(ROOT / "tests" / "parity"))
    from torch_of_cache import load
    load()
    spec = importlib.util.spec_from_file_location("rebuild", ROOT / "examples" / "python" / "rebuild.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("share", ["lora", "task_lora", "hard"])
def test_the_rebuilt_model_predicts_the_same_from_run_and_export(share, runs, rebuild, data, tmp_path):
    folder = runs(share)
    assert run("export", "--run-dir", folder, "--out", tmp_path / "out", "--format", "safetensors").returncode == 0
    text = {"text": "savoni kopu sule"}
    done = run("predict", "--run-dir", folder, "--task", "topic", input=json.dumps(text) + "\n")
    theirs = json.loads(done.stdout)
    for place, of_data in (folder, data), (tmp_path / "out", tmp_path / "out"):
        model = rebuild.Model(place)
        pieces = rebuild.Pieces(of_data, model.description["tokenizer"], model.description["max_length"], False)
        ours = rebuild.answer(model, "topic", text, pieces)
        assert ours["label"] == theirs["label"]
        assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-4)


@pytest.mark.parametrize("share", ["lora", "task_lora"])
def test_the_export_has_merged_matrices(share, runs, tmp_path):
    folder, of_task = runs(share), share == "task_lora"
    words = ["export", "--run-dir", folder, "--out", tmp_path / "out"]
    if of_task:
        fails(78, *words, says=["task_lora", "--task"])
    else:
        fails(78, *words, "--task", "tags", says=["--task tags", "leave it out"])
    assert run(*words, *(["--task", "tags"] if of_task else [])).returncode == 0
    written, all_owners = load_file(tmp_path / "out" / "model.safetensors"), parameters(folder)
    encoder, owner = all_owners["encoder"], all_owners["head.tags" if of_task else "encoder"]
    prefix = "encoder." if of_task else ""
    for layer in range(2):
        matrix = {name: encoder[f"layers.{layer}.{name}.weight"].astype(np.float64) for name in MATRICES.values()}
        for target, name in MATRICES.items():
            a, b = (owner[f"{prefix}layers.{layer}.lora.{target}.{part}"].astype(np.float64) for part in "ab")
            first = {"query": 0, "value": 2 * DIM}.get(target, 0)
            matrix[name][first:first + len(b)] += 5 / 3 * b @ a
        theirs = f"encoder.layer.{layer}."
        parts = [written[f"{theirs}attention.self.{part}.weight"] for part in ("query", "key", "value")]
        for found, name in ((np.concatenate(parts), "attention.qkv"), (written[theirs + "attention.output.dense.weight"], "attention.out"),
                            (written[theirs + "intermediate.dense.weight"], "ffn.up"), (written[theirs + "output.dense.weight"], "ffn.down")):
            assert np.abs(found - matrix[name]).max() < 1e-6, name


@pytest.mark.parametrize("more", [[], ["--balance.method", "cagrad"], ["--run.reproducible", "world"], ["--optimizer.shard", "world"]])
def test_frozen_blocks_keep_their_bits(more, base, data, tmp_path):
    words = options(base, "hard", "--encoder.frozen_blocks", 1, *more)
    train(tmp_path / "one", data, *words)
    train(tmp_path / "three", data, *words, workers=3)
    before, after = parameters(base)["encoder"], parameters(tmp_path / "one")
    for name, value in before.items():
        kept = name.startswith(("embedding.", "segment.", "layers.0."))
        assert np.array_equal(value, after["encoder"][name]) == kept, name
    assert distance(after, parameters(tmp_path / "three")) < 1e-10


def test_what_is_frozen_needs_weights_to_start_from(data, tmp_path):
    for more in (["--encoder.share", "lora"], ["--encoder.share", "task_lora"], ["--encoder.frozen_blocks", 1]):
        fails(78, *train_words(tmp_path / "run", data, *COMMON, *more), says=[more[0].removeprefix("--"), "encoder.from", "run.init_from"])
    assert not (tmp_path / "run").exists()


def test_wrong_options(base, data, tmp_path):
    for more, says in ((["--encoder.lora_targets", "query, keys"], ["lora_targets", "'keys'"]), (["--encoder.lora_rank", 0], ["lora_rank"]),
                       (["--encoder.frozen_blocks", 1], ["frozen_blocks = 1", "all blocks are frozen"])):
        fails(78, *train_words(tmp_path / "run", data, "--init-from", base, *COMMON, "--encoder.share", "lora", *more), says=says)
    fails(78, *train_words(tmp_path / "run", data, "--init-from", base, *COMMON, "--encoder.lora_rank", 4), says=["encoder.lora_rank", "encoder.share"])
