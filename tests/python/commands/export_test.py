"""`polyhead export` writes the weights of a checkpoint, as one file of safetensors or as an encoder that transformers
loads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import BertWordPieceTokenizer

from program import EVERY_KIND, POLYHEAD, ROOT, environment, fails, newest, run, shard, train

STATES = Path(POLYHEAD).parent / "tests" / "states"
OPTIONS = ["--encoder.form", "bert", "--encoder.positions", 64, "--optimizer.ema", 0.5, "--run.steps", 6, "--run.checkpoint_every", 2,
           "--run.keep", 9, "--run.eval_every", 2, "--run.best", "topic:loss"]
# arguments: the step of the checkpoint (0: the best), and the ending of its files
WEIGHTS = {"the latest": ([], 6, ".safetensors"), "a step": (["--checkpoint", 4], 4, ".safetensors"),
           "the best": (["--checkpoint", "best"], 0, ".safetensors"), "the average": (["--weights", "average"], 6, ".ema.safetensors"),
           "an earlier average": (["--checkpoint", 2, "--weights", "average"], 2, ".ema.safetensors")}


@pytest.fixture(scope="module")
def transformers():
    sys.path.insert(0, str(ROOT / "tests" / "parity"))
    from torch_of_cache import load
    os.environ["HF_HUB_OFFLINE"] = "1"
    load().set_num_threads(1)
    import transformers
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def ok(*words):
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return done


def words(folder, out, form, *more):
    return ["export", "--run-dir", folder, "--out", out, "--format", form, *more]


def refused(*command, says):
    done = run(*command)
    assert done.returncode in (73, 78), (done.returncode, done.stderr)
    fails(done.returncode, *command, says=says)


@pytest.fixture(scope="module")
def wordpiece(planted, tmp_path_factory):
    """Data sets with a WordPiece vocabulary, by whether texts become lower-case: every kind of task, and one task."""
    folder, jsonl = tmp_path_factory.mktemp("wordpiece"), planted / "jsonl"
    rows = [json.loads(line) for file in sorted(jsonl.glob("*.train.jsonl")) for line in file.read_text().splitlines()]
    texts = [row[key] for row in rows for key in ("text", "target") if key in row]
    every = "\n".join((jsonl / name).read_text().split("\n\n", 1)[1] for name in ("synthetic.ini", "synthetic-span.ini"))
    found = {True: folder / "lower", False: folder / "mixed"}
    for lower, data in found.items():
        trained = BertWordPieceTokenizer(lowercase=lower)
        trained.train_from_iterator(texts + [text.title() for text in texts], vocab_size=400, show_progress=False)
        vocabulary = trained.get_vocab()
        (folder / "vocab.txt").write_text("".join(piece + "\n" for piece in sorted(vocabulary, key=vocabulary.get)))
        dataset = f"[dataset]\nname = planted\ntokenizer = wordpiece\nvocab = {folder}/vocab.txt\nmax_length = 64\n"
        one = "[task.topic]\nkind = classification\ntrain = topic.train.jsonl\n"
        (jsonl / "wordpiece.ini").write_text(dataset + (every if lower else one))
        ok("import", "-c", jsonl / "wordpiece.ini", "--out", data)
    return found


@pytest.fixture(scope="module")
def bert(wordpiece, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert") / "run"
    train(folder, wordpiece[True], *OPTIONS)
    return folder


@pytest.fixture(scope="module")
def pre_norm(every_kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pre_norm") / "run"
    train(folder, every_kind, "--run.steps", 2)
    return folder


def saved(folder, step=0, ending=".safetensors"):
    """The arrays of a checkpoint by owner: of the best one, or of that after a step."""
    checkpoints = folder / "checkpoints"
    checkpoint = checkpoints / (f"step-{step:06}" if step else (checkpoints / "best").read_text().strip())
    return {task: load_file(checkpoint / (f"head.{task}{ending}" if task else f"encoder{ending}")) for task in ("", *EVERY_KIND)}


def equal(one, two):
    return one.keys() == two.keys() and all(one[name].dtype == two[name].dtype and np.array_equal(one[name], two[name]) for name in one)


# One file


def one_file(out, owners):
    """The tensors of model.safetensors in the folder `out`, where heads have the numbers of their tasks in model.json."""
    names = [task["name"] for task in json.loads((out / "model.json").read_text())["tasks"]]
    return {f"head.{names.index(task)}.{name}" if task else f"encoder.{name}": value for task, own in owners.items() for name, value in own.items()}


@pytest.mark.parametrize("which", WEIGHTS)
def test_the_file_has_every_tensor(which, bert, wordpiece, tmp_path):
    more, step, ending = WEIGHTS[which]
    ok(*words(bert, tmp_path / "out", "safetensors", *more))
    assert equal(load_file(tmp_path / "out" / "model.safetensors"), one_file(tmp_path / "out", saved(bert, step, ending)))
    assert json.loads((tmp_path / "out" / "model.json").read_text()) == json.loads((newest(bert) / "state.json").read_text())["model"]
    assert (tmp_path / "out" / "vocab.txt").read_bytes() == (wordpiece[True] / "vocab.txt").read_bytes()


def test_the_file_of_a_run_of_the_other_form(pre_norm, every_kind, tmp_path):
    (tmp_path / "out").mkdir()  # an empty folder is as good as none
    ok(*words(pre_norm, tmp_path / "out", "safetensors"))
    assert equal(load_file(tmp_path / "out" / "model.safetensors"), one_file(tmp_path / "out", saved(pre_norm, 2)))
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == (every_kind / "tokenizer.model").read_bytes()


# A folder for transformers


def as_theirs(ours, layers=2):
    """The names that transformers has for the tensors of an encoder."""
    tables = {"word": "embedding.weight", "position": "embedding.positions", "token_type": "segment.weight"}
    found = {f"embeddings.{other}_embeddings.weight": ours[one] for other, one in tables.items()}
    names = {"embedding.norm": "embeddings.LayerNorm"}
    for i in range(layers):
        block = {"attention.out": "attention.output.dense", "attention.norm": "attention.output.LayerNorm", "ffn.up": "intermediate.dense",
                 "ffn.down": "output.dense", "ffn.norm": "output.LayerNorm"}
        names |= {f"layers.{i}.{one}": f"encoder.layer.{i}.{other}" for one, other in block.items()}
        for part in ("weight", "bias"):
            for name, value in zip(("query", "key", "value"), np.split(ours[f"layers.{i}.attention.qkv.{part}"], 3)):
                found[f"encoder.layer.{i}.attention.self.{name}.{part}"] = value
    return found | {f"{other}.{part}": ours[f"{one}.{part}"] for one, other in names.items() for part in ("weight", "bias")}


@pytest.mark.parametrize("which", WEIGHTS)
def test_the_folder_has_the_encoder(which, bert, tmp_path):
    more, step, ending = WEIGHTS[which]
    ok(*words(bert, tmp_path / "out", "hf", *more))
    assert equal(load_file(tmp_path / "out" / "model.safetensors"), as_theirs(saved(bert, step, ending)[""]))


def states(folder, given):
    """What the encoder of the newest checkpoint computes."""
    done = subprocess.run([STATES, folder], input="".join(json.dumps(one) + "\n" for one in given), env=environment(), capture_output=True,
                          encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    return [np.array(json.loads(line)["states"]) for line in done.stdout.splitlines()]


def test_transformers_computes_the_same_states(transformers, bert, wordpiece, tmp_path):
    import torch
    ok(*words(bert, tmp_path / "out", "hf"))
    model, found = transformers.AutoModel.from_pretrained(tmp_path / "out", add_pooling_layer=False, output_loading_info=True)
    assert type(model) is transformers.BertModel and model.dtype == torch.float32
    assert not any(found.values()), found  # keys that are missing, unexpected or of another shape
    pieces = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    pairs = [("savoni sitimi SOTA", "pilutu soke"), ("kene", "vanu dabi difu sule nefodi"), ("sota",)]
    given, theirs = [], []
    for texts in pairs:
        batch = pieces(*texts, return_tensors="pt")
        given.append({"ids": batch["input_ids"][0].tolist()})
        if len(texts) == 2:
            given[-1]["second"] = batch["token_type_ids"][0].tolist().index(1)
        with torch.no_grad():
            theirs.append(model(**batch).last_hidden_state[0].numpy())
    for x, y in zip(states(bert, given), theirs, strict=True):
        assert x.shape == y.shape and np.abs(x - y).max() < 1e-5


@pytest.mark.parametrize("lower", [True, False])
def test_transformers_gives_the_same_ids(lower, transformers, wordpiece, planted, bert, tmp_path):
    folder = bert
    if not lower:
        folder = tmp_path / "run"
        train(folder, wordpiece[lower], "--encoder.form", "bert", "--run.steps", 1)
    ok(*words(folder, tmp_path / "out", "hf"))
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert config["do_lower_case"] is lower and (tmp_path / "out" / "special_tokens_map.json").exists()
    pieces = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    rows = [json.loads(line) for line in (planted / "jsonl" / "topic.train.jsonl").read_text().splitlines()]
    with h5py.File(shard(wordpiece[lower], "topic")) as file:
        tokens, offsets = file["input/tokens"][()], file["input/offsets"][()]
    ours = [tokens[a:b].tolist() for a, b in zip(offsets, offsets[1:])]
    assert ours == pieces([row["text"] for row in rows])["input_ids"]
    assert (pieces("Savoni")["input_ids"] == pieces("savoni")["input_ids"]) == lower
    special = [pieces.pad_token_id, pieces.unk_token_id, pieces.cls_token_id, pieces.sep_token_id, pieces.mask_token_id]
    about = json.loads((wordpiece[lower] / "dataset.json").read_text())["tokenizer"]
    assert special == [about[key] for key in ("pad", "unk", "bos", "eos", "mask")]


def test_a_run_starts_from_the_folder(bert, wordpiece, tmp_path):
    ok(*words(bert, tmp_path / "out", "hf", "--weights", "average"))
    ok("train", "--run-dir", tmp_path / "run", "--data", wordpiece[True], "--encoder.from", tmp_path / "out", "--run.threads", 1,
       "--mixture.batch", 20, "--optimizer.freeze_encoder", 1, "--run.steps", 1)
    ours, theirs = saved(tmp_path / "run", 1)[""], saved(bert, 6, ".ema.safetensors")[""]
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs if name.startswith(("embedding.", "segment.", "layers.")))


# Errors


def test_an_encoder_that_transformers_does_not_have(pre_norm, tmp_path):
    fails(78, *words(pre_norm, tmp_path / "out", "hf"), says=["encoder.form", "pre_norm"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", ["adapters", "mmoe"])
def test_an_encoder_that_tasks_do_not_read_alone(share, every_kind, tmp_path):
    train(tmp_path / "run", every_kind, "--encoder.form", "bert", "--encoder.share", share, "--run.steps", 1, "--run.eval_every", 0)
    fails(78, *words(tmp_path / "run", tmp_path / "out", "hf"), says=["encoder.share", share])
    assert not (tmp_path / "out").exists()
    ok(*words(tmp_path / "run", tmp_path / "out", "safetensors"))
    assert equal(load_file(tmp_path / "out" / "model.safetensors"), one_file(tmp_path / "out", saved(tmp_path / "run", 1)))


@pytest.mark.parametrize("form", ["hf", "safetensors"])
def test_a_place_that_is_taken(form, bert, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    refused(*words(bert, tmp_path / "out", form), says=[str(tmp_path / "out")])
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]
    refused(*words(bert, tmp_path / "out" / "mine.txt", form), says=["mine.txt"])
    refused(*words(bert, tmp_path / "out" / "mine.txt" / "below", form), says=["mine.txt"])
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("form", ["hf", "safetensors"])
def test_weights_that_are_not_there(form, bert, tmp_path):
    fails(78, *words(tmp_path / "none", tmp_path / "out", form), says=[str(tmp_path / "none")])
    fails(78, *words(bert, tmp_path / "out", form, "--checkpoint", 77), says=["'77'"])
    fails(78, *words(bert, tmp_path / "out", form, "--weights", "middle"), says=["weights is 'middle'", "last, average"])
    assert not (tmp_path / "out").exists()


def test_no_averages_no_best_and_no_such_format(pre_norm, tmp_path):
    fails(78, *words(pre_norm, tmp_path / "out", "safetensors", "--weights", "average"), says=["optimizer.ema"])
    fails(78, *words(pre_norm, tmp_path / "out", "safetensors", "--checkpoint", "best"), says=["run.best"])
    fails(78, *words(pre_norm, tmp_path / "out", "onnx"), says=["'onnx'", "hf", "safetensors"])
    fails(2, "export", "--run-dir", pre_norm, "--format", "hf", says=["--out"])
    assert not (tmp_path / "out").exists()
