"""Training starts from encoders of the BERT family that transformers has saved: with their tokenizer, their options and
their states, which transformers computes again from what `polyhead export` writes."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import sentencepiece
from safetensors.numpy import load_file, save_file
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer

from program import BOUND, KINDS, POLYHEAD, ROOT, distance, environment, fails, files, log, parameters, run, shard, status

STATES = Path(POLYHEAD).parent / "tests" / "states"
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
BERT = SHAPE | {"max_position_embeddings": 64}
ROBERTA = SHAPE | {"layer_norm_eps": 1e-5, "type_vocab_size": 1}
# name: the class of transformers, and its configuration
MODELS = {
    "bert": ("Bert", BERT),
    "relu": ("Bert", BERT | {"num_hidden_layers": 3, "hidden_act": "relu", "type_vocab_size": 1}),
    "tanh": ("Bert", BERT | {"hidden_act": "gelu_new"}),
    "distilbert": ("DistilBert", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64}),
    "roberta": ("Roberta", ROBERTA | {"max_position_embeddings": 65, "pad_token_id": 0}),
    "xlm-roberta": ("XLMRoberta", ROBERTA | {"max_position_embeddings": 66}),  # whose pad_token_id is 1
}
# What the model's config.json says, as options of [encoder].
OPTIONS = {"form": "bert", "layers": 2, "dim": 32, "heads": 4, "ffn": 48, "positions": 64, "norm_epsilon": 1e-12, "activation": "gelu",
           "token_types": 2}
DIFFERENT = {"relu": {"layers": 3, "activation": "relu", "token_types": 1}, "tanh": {"activation": "gelu_tanh"},
             "distilbert": {"token_types": 0}, "roberta": {"norm_epsilon": 1e-5, "token_types": 1},
             "xlm-roberta": {"norm_epsilon": 1e-5, "token_types": 1}}
TASKS = ["topic", "dictionary", "lines", "reply", "wind"]
STILL = ["--optimizer.freeze_encoder", 1, "--run.steps", 1]  # the encoder keeps its values
# In float64, because Adam magnifies what rounding leaves of the gradients of the keys' biases, which are 0: with random
# weights of this size, runs of float32 on different numbers of workers are more than BOUND["float32"] apart.
STEPS = ["--run.dtype", "float64", "--run.steps", 6, "--run.checkpoint_every", 2, "--optimizer.warmup", 2,
         "--optimizer.schedule", "constant"]
SENTENCES = ["Perché no? La CITTÀ di Übach, 東京 & naïve cafés (3 of them).", "Savoni,SITIMI  sota—pilutu\tsoke",
             "Ⅷ Ω unknown 漢 zzz", "don't [MASK] <mask> it's", "caffe\u0301 CAFFE\u0300"]


# Models, tokenizers and data sets


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


@pytest.fixture(scope="module")
def texts(planted):
    rows = [json.loads(line) for file in sorted((planted / "jsonl").glob("*.train.jsonl")) for line in file.read_text().splitlines()]
    return [row[key] for row in rows for key in ("text", "second", "target") if key in row] + SENTENCES[:2] * 20


def write_wordpiece(folder, texts, lower=True, stated=True):
    """lower: whether the vocabulary is trained on lower-case texts; stated: what tokenizer_config.json says."""
    trained = BertWordPieceTokenizer(lowercase=lower)
    trained.train_from_iterator(texts, vocab_size=400, show_progress=False)
    vocabulary = trained.get_vocab()
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("".join(piece + "\n" for piece in sorted(vocabulary, key=vocabulary.get)), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": stated}))
    return vocabulary


def write_sentencepiece(file, texts, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=model, vocab_size=300, minloglevel=2, **options)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


@pytest.fixture(scope="module")
def tokenizers(texts, tmp_path_factory):
    """Folders with a tokenizer, by its kind."""
    folder = tmp_path_factory.mktemp("tokenizers")
    write_wordpiece(folder / "wordpiece", texts)
    write_sentencepiece(folder / "xlm_roberta" / "sentencepiece.bpe.model", texts)
    return {kind: folder / kind for kind in ("wordpiece", "xlm_roberta")}


def tokenizer_of(name):
    return "xlm_roberta" if name == "xlm-roberta" else "wordpiece"


@pytest.fixture(scope="module")
def imported(tokenizers, planted, tmp_path_factory):
    """Data sets of some of the planted tasks, by the kind of their tokenizer."""
    folder = tmp_path_factory.mktemp("imported")
    for kind, tokenizer in tokenizers.items():
        description = f"[dataset]\nname = {kind}\nmax_length = 64\ntokenizer = {tokenizer}\n"
        for task in TASKS:
            description += f"[task.{task}]\nkind = {KINDS[task]}\n"
            description += "".join(f"{split} = {planted}/jsonl/{task}.{split}.jsonl\n" for split in ("train", "valid"))
        (folder / f"{kind}.ini").write_text(description)
        ok("import", "-c", folder / f"{kind}.ini", "--out", folder / kind)
    return {kind: folder / kind for kind in tokenizers}


def about(data):
    return json.loads((data / "dataset.json").read_text())["tokenizer"]


@pytest.fixture(scope="module")
def model(transformers, tokenizers, imported, tmp_path_factory):
    """Folders of models in which every parameter is random, by their names in MODELS."""
    import torch
    made = {}

    def get(name):
        if name not in made:
            family, config = MODELS[name]
            made[name] = tmp_path_factory.mktemp("models") / name
            shutil.copytree(tokenizers[tokenizer_of(name)], made[name])
            size = about(imported[tokenizer_of(name)])["vocab_size"]
            torch.manual_seed(1)
            model = getattr(transformers, family + "Model")(getattr(transformers, family + "Config")(**config, vocab_size=size))
            with torch.no_grad():
                for key, parameter in model.named_parameters():
                    parameter.normal_(1 if re.search("norm.weight$", key.lower()) else 0, 0.2)
            model.save_pretrained(made[name])
        return made[name]

    return get


def copy(source, folder, **config):
    """A copy of a model's folder with other values in config.json; those that are None are removed."""
    shutil.copytree(source, folder)
    values = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return folder


def rewrite(folder, change):
    """Replaces the tensors of a model's folder by those that change() returns."""
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
    return folder


# Runs


def ok(*words, workers=1):
    done = run(*words, workers=workers)
    assert done.returncode == 0, done.stderr
    return done


def refused(*words, says):
    """The program says that the configuration or the data are wrong, in one paragraph that contains each of the texts."""
    done = run(*words)
    assert done.returncode in (65, 78), (done.returncode, done.stderr)
    (paragraph,) = [line for line in done.stderr.splitlines() if line.startswith("polyhead")]
    assert all(text in paragraph for text in says), paragraph
    return paragraph


def words(folder, data, source, *more):
    steps = [] if "--run.steps" in more else ["--run.steps", 1]
    return ["train", "--run-dir", folder, "--data", data, "--encoder.from", source, "--run.threads", 1, "--mixture.batch", 20,
            *steps, *more]


@pytest.fixture(scope="module")
def still(model, imported, tmp_path_factory):
    """Runs whose encoder has the model's values, by the model's name in MODELS."""
    runs = {}

    def get(name):
        if name not in runs:
            runs[name] = tmp_path_factory.mktemp("still") / "run"
            ok(*words(runs[name], imported[tokenizer_of(name)], model(name), *STILL))
        return runs[name]

    return get


def encoder(folder):
    """The tensors that a model has; the others are the encoder's for vectors and for task attention."""
    return {name: value for name, value in parameters(folder)["encoder"].items() if name.startswith(("embedding.", "segment.", "layers."))}


def equal(one, two):
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def exported(still, tmp_path_factory):
    """Folders that were written from the runs that still() returns."""
    folders = {}

    def get(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("exported") / "out"
            ok("export", "--run-dir", still(name), "--out", folders[name], "--format", "hf")
        return folders[name]

    return get


@pytest.fixture(scope="module")
def trained(model, imported, tmp_path_factory):
    """Runs that were not interrupted, by their number of workers."""
    runs = {}

    def get(workers):
        if workers not in runs:
            runs[workers] = tmp_path_factory.mktemp("trained") / "run"
            ok(*words(runs[workers], imported["wordpiece"], model("bert"), *STEPS), workers=workers)
        return runs[workers]

    return get


# States


def inputs(data):
    """Texts of 3, 20 and 64 random tokens, and two pairs."""
    tokenizer, rng = about(data), np.random.default_rng(5)
    bos, eos = tokenizer["bos"], tokenizer["eos"]

    def some(count):
        return rng.integers(5, tokenizer["vocab_size"] - 1, count).tolist()  # no special token

    found = [{"ids": [bos, *some(count), eos]} for count in (1, 18, 62)]
    for first, second in ((4, 9), (40, 21)):
        found.append({"ids": [bos, *some(first), eos, *some(second), eos], "second": first + 2})
    return found


def states(folder, given):
    """What the encoder of the newest checkpoint computes."""
    done = subprocess.run([STATES, folder], input="".join(json.dumps(one) + "\n" for one in given), env=environment(), capture_output=True,
                          encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    return [np.array(json.loads(line)["states"]) for line in done.stdout.splitlines()]


def states_of(model, given):
    """What transformers computes. Only a model with two token types tells the texts of a pair apart."""
    import torch
    found = []
    for one in given:
        types = torch.zeros(1, len(one["ids"]), dtype=torch.long)
        types[:, one.get("second", len(one["ids"])):] = 1
        more = {"token_type_ids": types} if getattr(model.config, "type_vocab_size", 0) == 2 else {}
        with torch.no_grad():
            found.append(model(torch.tensor([one["ids"]]), **more).last_hidden_state[0].numpy())
    return found


def far(ours, theirs):
    assert [x.shape for x in ours] == [x.shape for x in theirs]
    return max(np.abs(x - y).max() for x, y in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_the_states_are_those_of_transformers(name, transformers, model, still, imported):
    given = inputs(imported[tokenizer_of(name)])
    theirs = transformers.AutoModel.from_pretrained(model(name), dtype="float32")
    assert far(states(still(name), given), states_of(theirs, given)) < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back(name, transformers, model, exported, imported):
    before = transformers.AutoModel.from_pretrained(model(name), dtype="float32")
    after, found = transformers.AutoModel.from_pretrained(exported(name), add_pooling_layer=False, dtype="float32",
                                                          output_loading_info=True)
    assert type(after) is transformers.BertModel and after.config.model_type == "bert"
    assert not any(found.values()), found  # keys that are missing, unexpected or of another shape
    given = inputs(imported[tokenizer_of(name)])
    assert far(states_of(after, given), states_of(before, given)) < 1e-6
    if tokenizer_of(name) == "xlm_roberta":
        ours, theirs = ((folder / "sentencepiece.bpe.model").read_bytes() for folder in (exported(name), model(name)))
        assert ours == theirs
    else:
        ours, theirs = (transformers.AutoTokenizer.from_pretrained(folder) for folder in (exported(name), model(name)))
        assert ours(SENTENCES)["input_ids"] == theirs(SENTENCES)["input_ids"]


@pytest.mark.parametrize("name", ["distilbert", "xlm-roberta"])
def test_what_was_exported_is_read_again(name, still, exported, imported, tmp_path):
    data = imported[tokenizer_of(name)]
    ok(*words(tmp_path / "run", data, exported(name), *STILL))
    given = inputs(data)
    assert far(states(tmp_path / "run", given), states(still(name), given)) < 1e-6


# The tokenizer


def describe(folder, tokenizer, lines=SENTENCES, more=""):
    (folder / "t.jsonl").write_text("".join(json.dumps({"text": line, "label": "ab"[i % 2]}) + "\n" for i, line in enumerate(lines)))
    (folder / "d.ini").write_text(f"[dataset]\nname = t\nmax_length = 512\ntokenizer = {tokenizer}\n{more}"
                                  "[task.t]\nkind = classification\ntrain = t.jsonl\n")
    return ["import", "-c", folder / "d.ini", "--out", folder / "data"]


def ids(data):
    with h5py.File(shard(data, "t")) as file:
        tokens, offsets = file["input/tokens"][()], file["input/offsets"][()]
    return [tokens[a:b].tolist() for a, b in zip(offsets, offsets[1:])]


@pytest.mark.parametrize("file, lower, stated", [
    ("vocab.txt", True, True), ("vocab.txt", False, False), ("vocab.txt", False, True), ("tokenizer.json", False, True),
    ("tokenizer.json", True, False), ("save_pretrained", True, True), ("save_pretrained", False, False)])
def test_wordpiece(file, lower, stated, transformers, texts, tmp_path):
    vocabulary = write_wordpiece(tmp_path / "model", texts, lower, stated)
    (tmp_path / "model" / "config.json").write_text('{"model_type": "bert"}')
    package = BertWordPieceTokenizer(vocab=vocabulary, lowercase=stated)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    if file != "vocab.txt":
        shutil.rmtree(tmp_path / "model")
        (tmp_path / "model").mkdir()
        if file == "tokenizer.json":
            package.save(str(tmp_path / "model" / file))
        else:
            theirs.save_pretrained(tmp_path / "model")
    lines = SENTENCES + texts[:100]
    ok(*describe(tmp_path, "model", lines))
    found = about(tmp_path / "data")
    assert (found["kind"], found["vocab_size"]) == ("wordpiece", len(vocabulary))
    for key, piece in (("pad", "[PAD]"), ("unk", "[UNK]"), ("bos", "[CLS]"), ("eos", "[SEP]"), ("mask", "[MASK]")):
        assert found[key] == vocabulary[piece]
    plain = [line for line in lines if "[MASK]" not in line]  # which the packages take for the special token
    ours = [one for one, line in zip(ids(tmp_path / "data"), lines, strict=True) if "[MASK]" not in line]
    assert ours == [package.encode(line).ids for line in plain] == theirs(plain)["input_ids"]


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside tokenizer.json"])
def test_xlm_roberta(beside, texts, tmp_path):
    pieces = write_sentencepiece(tmp_path / "model" / "sentencepiece.bpe.model", texts)
    if beside:
        (tmp_path / "model" / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Unigram", "unk_id": 3, "vocab": []}}')
    lines = SENTENCES + texts[:100]
    ok(*describe(tmp_path, "model", lines))
    found, size = about(tmp_path / "data"), pieces.get_piece_size()
    assert (found["kind"], found["vocab_size"]) == ("xlm_roberta", size + 2)
    assert [found[key] for key in ("bos", "pad", "eos", "unk", "mask")] == [0, 1, 2, 3, size + 1]
    expected = [[0, *(id + 1 if id else 3 for id in pieces.encode(line)), 2] for line in lines]
    assert ids(tmp_path / "data") == expected and any(3 in line for line in expected)


@pytest.mark.parametrize("file, control, options", [
    ("spiece.model", ["<pad>", "<s>", "</s>", "[MASK]"], {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3, "control_symbols": "[MASK]"}),
    ("tokenizer.model", ["<pad>", "<s>", "</s>", "<mask>"], {"pad_id": 3, "control_symbols": "<mask>"}),
    ("spm.model", ["<pad>", "<s>", "</s>", "<mask>"], {"pad_id": 0, "unk_id": 3, "bos_id": 1, "eos_id": 2, "control_symbols": "<mask>"}),
])
def test_plain_sentencepiece(file, control, options, texts, tmp_path):
    pieces = write_sentencepiece(tmp_path / "model" / file, texts, **options)
    lines = SENTENCES + texts[:100]
    ok(*describe(tmp_path, "model", lines))
    found = about(tmp_path / "data")
    assert (found["kind"], found["vocab_size"], found["unk"]) == ("sentencepiece", pieces.get_piece_size(), pieces.unk_id())
    assert [found[key] for key in ("pad", "bos", "eos", "mask")] == [pieces.piece_to_id(piece) for piece in control]
    assert ids(tmp_path / "data") == [[found["bos"], *pieces.encode(line), found["eos"]] for line in lines]


def test_sentencepiece_of_albert_is_not_read(texts, tmp_path):
    write_sentencepiece(tmp_path / "model" / "spiece.model", texts, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
                        control_symbols="[CLS],[SEP],[MASK]")
    fails(65, *describe(tmp_path, "model"), says=[str(tmp_path / "model" / "spiece.model"), "lacks a special token"])


@pytest.mark.parametrize("file", ["vocab.json", "tokenizer.json"])
def test_byte_level_tokenizers_are_not_read(file, texts, tmp_path):
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts[:50], vocab_size=300, show_progress=False)
    (tmp_path / "model").mkdir()
    trained.save_model(str(tmp_path / "model")) if file == "vocab.json" else trained.save(str(tmp_path / "model" / file))
    said = refused(*describe(tmp_path, "model"), says=[str(tmp_path / "model")])
    assert file in said or (file == "vocab.json" and "merges.txt" in said)
    assert "wordpiece" in said.lower() and "sentencepiece" in said.lower()
    assert not (tmp_path / "data").exists()


def test_folders_that_give_no_tokenizer(tokenizers, tmp_path):
    vocabulary = tokenizers["wordpiece"] / "vocab.txt"
    fails(78, *describe(tmp_path, tokenizers["wordpiece"], more=f"vocab = {vocabulary}\n"), says=["vocab", "tokenizer"])
    refused(*describe(tmp_path, "nowhere"), says=["nowhere"])
    (tmp_path / "empty").mkdir()
    refused(*describe(tmp_path, "empty"), says=[str(tmp_path / "empty")])
    (tmp_path / "empty" / "tokenizer.json").write_text('{"model": {"type": "WordPiece", "vocab": {"[PAD]": ')
    refused(*describe(tmp_path, "empty"), says=["tokenizer.json"])
    (tmp_path / "empty" / "tokenizer.json").write_text('{"model": {"type": "WordPiece", "vocab": {"[PAD]": -1, "[UNK]": 99999999999}}}')
    refused(*describe(tmp_path, "empty"), says=["tokenizer.json"])
    assert not (tmp_path / "data").exists()


# Options


def options_of(text):
    """The options of [encoder] in a configuration."""
    section = text.split("[encoder]\n")[1].split("\n[")[0]
    return dict(line.split("#")[0].strip().split(" = ", 1) for line in section.splitlines() if " = " in line)


def resolved(*train):
    return options_of(ok(*train, "--print-config").stdout)


@pytest.mark.parametrize("name", MODELS)
def test_options_are_those_of_the_model(name, model, still):
    found = options_of((still(name) / "config.ini").read_text())
    expected = OPTIONS | DIFFERENT.get(name, {})
    assert {key: type(value)(found[key]) for key, value in expected.items()} == expected
    assert found["from"] == str(model(name)) and re.fullmatch("[0-9a-f]{16}", found["from_hash"])


def test_print_config(model, still, imported, tmp_path):
    expected = options_of((still("bert") / "config.ini").read_text())
    given = [word for key, value in OPTIONS.items() for word in (f"--encoder.{key}", value)]  # the same values may be given
    assert resolved(*words(tmp_path / "run", imported["wordpiece"], model("bert"), *given)) == expected
    (tmp_path / "c.ini").write_text(f"[encoder]\nfrom = {model('bert')}\n")
    assert resolved("train", "--data", imported["wordpiece"], "-c", tmp_path / "c.ini") == expected
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("key, value", [("form", "pre_norm"), ("layers", 7), ("norm_epsilon", 0.001), ("activation", "relu")])
def test_other_values_are_refused(key, value, model, imported, tmp_path):
    train = words(tmp_path / "run", imported["wordpiece"], model("bert"), f"--encoder.{key}", value)
    fails(78, *train, says=[f"encoder.{key}", str(value), str(OPTIONS[key])])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("share, code", [("adapters", 0), ("mmoe", 78), ("ple", 78)])
def test_sharing(share, code, model, still, imported, tmp_path):
    train = words(tmp_path / "run", imported["wordpiece"], model("bert"), "--encoder.share", share, *STILL)
    if code:
        fails(code, *train, says=["encoder.share", share, "encoder.from"])
        assert not (tmp_path / "run").exists()
    else:
        ok(*train)
        assert equal(encoder(tmp_path / "run"), encoder(still("bert")))
        fails(78, "export", "--run-dir", tmp_path / "run", "--out", tmp_path / "out", "--format", "hf", says=["encoder.share", share])


# config.json


@pytest.mark.parametrize("key, value", [("model_type", "albert"), ("position_embedding_type", "relative_key"), ("is_decoder", True),
                                        ("hidden_act", "swish")])
def test_models_of_another_form(key, value, model, imported, tmp_path):
    copy(model("bert"), tmp_path / "model", **{key: value})
    more = ["bert", "distilbert", "roberta", "xlm-roberta"] if key == "model_type" else []
    says = [str(tmp_path / "model"), key, str(value).lower(), *more]
    fails(78, *words(tmp_path / "run", imported["wordpiece"], tmp_path / "model"), says=says)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("key, value", [("hidden_size", -32), ("hidden_size", 33), ("num_hidden_layers", "2"),
                                        ("num_hidden_layers", 10**30), ("intermediate_size", 10**18), ("max_position_embeddings", 6.4),
                                        ("layer_norm_eps", "small"), ("model_type", [])])
def test_values_that_cannot_be(key, value, model, imported, tmp_path):
    copy(model("bert"), tmp_path / "model", **{key: value})
    fails(65, *words(tmp_path / "run", imported["wordpiece"], tmp_path / "model"), says=["config.json", key])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("key, value", [("hidden_size", 10**6), ("num_hidden_layers", 100), ("vocab_size", 10**8)])
def test_values_that_do_not_fit_the_weights(key, value, model, imported, tmp_path):
    copy(model("bert"), tmp_path / "model", **{key: value})
    refused(*words(tmp_path / "run", imported["wordpiece"], tmp_path / "model"), says=[])


@pytest.mark.parametrize("text", [b'{"model_type": "bert", ', b"[]", b'{"model_type": "\xff"}', b"[" * 100_000],
                         ids=["cut off", "list", "bytes", "deep"])
def test_what_is_no_config(text, model, imported, tmp_path):
    shutil.copytree(model("bert"), tmp_path / "model")
    (tmp_path / "model" / "config.json").write_bytes(text)
    fails(65, *words(tmp_path / "run", imported["wordpiece"], tmp_path / "model"), says=[str(tmp_path / "model" / "config.json")])


def test_what_is_no_model(model, imported, tmp_path):
    refused(*words(tmp_path / "run", imported["wordpiece"], tmp_path / "none"), says=[f"{tmp_path}/none"])
    shutil.copytree(model("bert"), tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    train = words(tmp_path / "run", imported["wordpiece"], tmp_path / "model")
    fails(78, *train, says=["pytorch_model.bin", "safe_serialization", f"{tmp_path}/model"])
    (tmp_path / "model" / "pytorch_model.bin").unlink()
    refused(*train, says=[f"{tmp_path}/model"])
    assert not (tmp_path / "run").exists()


# The vocabulary


def rows(count):
    """Cuts the token table, or adds rows to it."""
    def change(tensors):
        table = tensors["embeddings.word_embeddings.weight"]
        return tensors | {"embeddings.word_embeddings.weight": np.ascontiguousarray(np.resize(table, (count, table.shape[1])))}
    return change


def test_the_vocabulary_has_to_be_the_models(model, still, imported, data, tmp_path):
    fails(78, *words(tmp_path / "run", data, model("bert")), says=["tokenizer", f"dataset.tokenizer = {model('bert')}"])
    fails(78, *words(tmp_path / "run", imported["wordpiece"], model("xlm-roberta")), says=[f"dataset.tokenizer = {model('xlm-roberta')}"])
    size = about(imported["wordpiece"])["vocab_size"]
    small = rewrite(copy(model("bert"), tmp_path / "small", vocab_size=size - 10), rows(size - 10))
    fails(78, *words(tmp_path / "run", imported["wordpiece"], small), says=[str(size), str(size - 10)])
    assert not (tmp_path / "run").exists()
    # Tables are often a little larger than the vocabulary.
    large = rewrite(copy(model("bert"), tmp_path / "large", vocab_size=size + 8), rows(size + 8))
    ok(*words(tmp_path / "run", imported["wordpiece"], large, *STILL))
    assert equal(encoder(tmp_path / "run"), encoder(still("bert")))


# Weights


def prefixed(prefix):
    """The names in the file of a model with a head."""
    def change(tensors):
        return {prefix + name: value for name, value in tensors.items()} | {"cls.predictions.bias": np.ones(7, "f4")}
    return change


def old(tensors):
    return {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
            for name, value in tensors.items()} | {"embeddings.position_ids": np.arange(64)[None]}


@pytest.mark.parametrize("name, change", [("bert", prefixed("bert.")), ("distilbert", prefixed("distilbert.")),
                                          ("xlm-roberta", prefixed("roberta.")), ("bert", old)],
                         ids=["bert", "distilbert", "roberta", "old names"])
def test_names_of_tensors(name, change, model, still, imported, tmp_path):
    shutil.copytree(model(name), tmp_path / "model")
    rewrite(tmp_path / "model", change)
    ok(*words(tmp_path / "run", imported[tokenizer_of(name)], tmp_path / "model", *STILL))
    assert equal(encoder(tmp_path / "run"), encoder(still(name)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_types_of_tensors(dtype, transformers, model, still, imported, tmp_path):
    import torch
    transformers.AutoModel.from_pretrained(model("bert"), dtype=getattr(torch, dtype)).save_pretrained(tmp_path / "model")
    shutil.copytree(model("bert"), tmp_path / "model", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
    size, before = ((folder / "model.safetensors").stat().st_size for folder in (tmp_path / "model", model("bert")))
    assert size < 0.6 * before
    ok(*words(tmp_path / "run", imported["wordpiece"], tmp_path / "model", *STILL))
    ours, theirs = encoder(tmp_path / "run"), encoder(still("bert"))
    assert all(ours[name].dtype == np.float32 and np.allclose(ours[name], theirs[name], rtol=2**-7, atol=1e-6) for name in theirs)
    assert not equal(ours, theirs)


@pytest.fixture
def sharded(model, tmp_path):
    """A folder whose tensors are in two files."""
    shutil.copytree(model("bert"), tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    tensors, place = load_file(model("bert") / "model.safetensors"), {}
    for i in range(2):
        part = dict(sorted(tensors.items())[i::2])
        file = f"model-{i + 1:05}-of-00002.safetensors"
        save_file(part, tmp_path / "model" / file, {"format": "pt"})
        place |= dict.fromkeys(part, file)
    (tmp_path / "model" / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": place}))
    return tmp_path / "model"


def test_several_files(sharded, still, imported, tmp_path):
    ok(*words(tmp_path / "run", imported["wordpiece"], sharded, *STILL))
    assert equal(encoder(tmp_path / "run"), encoder(still("bert")))
    train, index = words(tmp_path / "none", imported["wordpiece"], sharded), sharded / "model.safetensors.index.json"
    text = index.read_text()
    for broken in (text[:-20], text.replace("model-00002", "../model-00002"), '{"weight_map": {"a": 5}}'):
        index.write_text(broken)
        fails(65, *train, says=["model.safetensors.index.json"])
    index.write_text(text)
    (sharded / "model-00002-of-00002.safetensors").unlink()
    fails(65, *train, says=["model-00002-of-00002.safetensors"])


def test_what_is_not_used_and_what_starts_fresh_is_said(model, imported, tmp_path):
    train = words(tmp_path / "run", imported["wordpiece"], model("bert"), *STILL)
    said = [line for line in ok(*train).stderr.splitlines() if "pooler" in line]
    assert len(said) == 1 and "newly initialised: " in said[0] and "embeddings" not in said[0]
    assert "pooler" not in ok(*train[:-1], 2).stderr  # resumed


@pytest.mark.parametrize("name, change", [
    ("encoder.layer.1.output.dense.bias", lambda value: None),
    ("embeddings.word_embeddings.weight", lambda value: value[:, :31]),
    ("encoder.layer.0.attention.self.key.weight", lambda value: value.reshape(-1)),
    ("encoder.layer.0.intermediate.dense.weight", lambda value: value.T),
    ("encoder.layer.1.attention.output.LayerNorm.bias", lambda value: np.arange(len(value))),
], ids=["missing", "narrow", "flat", "transposed", "whole numbers"])
def test_a_tensor_that_does_not_fit(name, change, model, imported, tmp_path):
    shutil.copytree(model("bert"), tmp_path / "model")

    def replaced(tensors):
        value = change(tensors.pop(name))
        return tensors if value is None else tensors | {name: np.ascontiguousarray(value)}

    rewrite(tmp_path / "model", replaced)
    train = words(tmp_path / "run", imported["wordpiece"], tmp_path / "model")
    fails(65, *train, says=[name, str(tmp_path / "model" / "model.safetensors")])


def test_a_file_that_is_cut_off(model, imported, tmp_path):
    shutil.copytree(model("bert"), tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    whole = file.read_bytes()
    for size in (300, len(whole) - 1):
        file.write_bytes(whole[:size])
        fails(65, *words(tmp_path / str(size), imported["wordpiece"], tmp_path / "model"), says=[str(file)])


# The run


def test_any_number_of_workers_trains_the_same(trained):
    assert max(distance(parameters(trained(1)), parameters(trained(workers))) for workers in (2, 3)) < BOUND["float64"]


def test_the_encoder_is_trained(trained, still):
    ours, theirs = encoder(trained(1)), encoder(still("bert"))
    assert ours.keys() == theirs.keys() and not any(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("how, workers", [("stopped", 1), ("stopped", 2), ("fewer steps", 1)])
def test_resumed_without_the_model(how, workers, model, trained, imported, tmp_path):
    shutil.copytree(model("bert"), tmp_path / "model")
    train = words(tmp_path / "run", imported["wordpiece"], tmp_path / "model", *STEPS)
    first = [*train, "--run.stop_at", 3] if how == "stopped" else [4 if word == 6 else word for word in train]
    ok(*first, workers=workers)
    (tmp_path / "model").rename(tmp_path / "moved")
    ok(*train, workers=workers)
    assert files(tmp_path / "run") == files(trained(workers))
    if how == "stopped":
        assert log(tmp_path / "run") == log(trained(workers))


def test_the_weights_are_part_of_the_run(model, trained, imported, tmp_path):
    shutil.copytree(model("bert"), tmp_path / "model")
    train = words(tmp_path / "run", imported["wordpiece"], tmp_path / "model", *STEPS)
    ok(*train, "--run.stop_at", 2)
    before = options_of((tmp_path / "run" / "config.ini").read_text())
    # Begun, but not saved yet.
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    (tmp_path / "model").rename(tmp_path / "moved")
    refused("train", "--run-dir", tmp_path / "run", says=[f"{tmp_path}/model"])
    shutil.copytree(tmp_path / "moved", tmp_path / "model")
    rewrite(tmp_path / "model", lambda tensors: {name: value + 1 for name, value in tensors.items()})
    after = resolved(*words(tmp_path / "none", imported["wordpiece"], tmp_path / "model", *STEPS))
    assert before.pop("from_hash") != after.pop("from_hash") and before == after
    fails(78, *train, says=["encoder.from_hash"])
    fails(78, "train", "--run-dir", tmp_path / "run", says=["encoder.from_hash"])
    shutil.rmtree(tmp_path / "model")
    (tmp_path / "moved").rename(tmp_path / "model")
    ok("train", "--run-dir", tmp_path / "run", "--run.stop_at", 0)
    assert files(tmp_path / "run") == files(trained(1))


def test_the_run_is_of_use_without_the_model(model, imported, tmp_path):
    shutil.copytree(model("bert"), tmp_path / "model")
    ok(*words(tmp_path / "run", imported["wordpiece"], tmp_path / "model", "--run.steps", 2))
    (tmp_path / "model").rename(tmp_path / "moved")
    done = ok("evaluate", "--run-dir", tmp_path / "run", "--split", "valid", "--json", "--threads", 1, "--samples", 20)
    assert json.loads(done.stdout)["tasks"].keys() == set(TASKS)
    for task, row in {"reply": {"text": "sule", "second": "kopu"}, "dictionary": {"text": "pari tavavu"}}.items():
        done = run("predict", "--run-dir", tmp_path / "run", "--task", task, "--threads", 1, input=json.dumps(row) + "\n")
        assert done.returncode == 0 and len(done.stdout.splitlines()) == 1, done.stderr
    ok("train", "--run-dir", tmp_path / "run", "--run.steps", 3)
    assert status(tmp_path / "run")["step"] == 3
    # Another run starts from it.
    ok("train", "--init-from", tmp_path / "run", "--run-dir", tmp_path / "new", *STILL)
    assert equal(encoder(tmp_path / "new"), encoder(tmp_path / "run"))
    both = words(tmp_path / "both", imported["wordpiece"], tmp_path / "moved", "--init-from", tmp_path / "run")
    fails(78, *both, says=["run.init_from", "encoder.from"])
    assert not (tmp_path / "both").exists()
