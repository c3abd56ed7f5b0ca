"""Small files for what the pages' commands need: data sets, runs, and the scripts of the examples that would fetch data.

As a program: `debmix OUT` and `digits OUT` are those scripts, with the options of the real ones; `python FILE …` runs a
Python program that imports torch.
"""

import importlib.machinery
import importlib.util
import json
import random
import re
import runpy
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
SHORTENED = ("quickstart", "minilm", "kinds", "translate", "digits", "ordinal")  # the examples' configurations; full.ini is for plans
SHORT = {"steps": 4, "eval_every": 4, "layers": 1, "dim": 32, "ffn": 64, "batch": 24, "warmup": 2}

# The tasks of debmix as in its README: kind, classes, samples and tokens of the train split, tokens of the targets.
DEBMIX = {
    "section": ("classification", 53, 48089, 4037224, 0),
    "role": ("classification", 9, 18314, 1595829, 0),
    "implemented": ("classification", 13, 7126, 656792, 0),
    "lexname": ("classification", 45, 93841, 2200968, 0),
    "langid": ("classification", 16, 30914, 1183117, 0),
    "sentiment-movies": ("classification", 2, 8462, 300402, 0),
    "sentiment-amazon": ("classification", 2, 2994, 79472, 0),
    "sentiment-nyt": ("classification", 2, 3826, 131502, 0),
    "en-it": ("translation", 0, 75304, 1548074, 1815951),
    "en-de": ("translation", 0, 20884, 428071, 633992),
    "descriptions": ("masked_lm", 0, 66676, 2815156, 0),
    "pos-tr": ("tagging", 14, 3898, 187258, 0),
    "rating-movies": ("regression", 0, 8489, 301542, 0),
    "uses": ("multilabel", 31, 3976, 368375, 0),
    "title-match": ("classification", 2, 47241, 2824216, 0),
}
WORDS = "fast small image text editor viewer tool library for of and with files network sound game server client data".split()
MINE = """[run]
data = DATA
tasks = section, en-it
steps = 20
eval_every = 10

[encoder]
layers = 1
dim = 32
heads = 4
ffn = 64

[mixture]
batch = 16
"""


def sample(task, draw):
    kind = DEBMIX[task][0]
    words = draw.choices(WORDS, k=draw.randint(4, 12))
    text = {"text": " ".join(words)}
    return {
        "classification": lambda: text | {"label": f"{task} {draw.randint(1, 2)}"} | ({"second": "a title"} if task == "title-match" else {}),
        "translation": lambda: text | {"target": " ".join(word[::-1] for word in words)},
        "masked_lm": lambda: text,
        "tagging": lambda: {"words": words, "tags": ["NOUN" if len(word) > 3 else "ADP" for word in words]},
        "regression": lambda: text | {"value": len(words) / 4},
        "multilabel": lambda: text | {"labels": sorted(set(draw.choices(["viewing", "editing", "playing"], k=2)))},
    }[kind]()


def debmix(out):
    """The files of examples/debmix/prepare, with 30, 6 and 6 samples of a task."""
    out.mkdir(parents=True, exist_ok=True)
    ini = ["[dataset]", "name = debmix", "vocab_size = 200", "max_length = 128"]
    for task, (kind, *_) in DEBMIX.items():
        draw = random.Random(task)
        ini += ["", f"[task.{task}]", f"kind = {kind}"]
        for split, samples in (("train", 30), ("valid", 6), ("test", 6)):
            rows = [json.dumps(sample(task, draw)) for _ in range(samples)]
            (out / f"{task}.{split}.jsonl").write_text("\n".join(rows) + "\n")
            ini.append(f"{split} = {task}.{split}.jsonl")
    (out / "debmix.ini").write_text("\n".join(ini) + "\n")


def manifest(out):
    """dataset.json of the real debmix, which is all that `plan` reads of a data set."""
    tasks = []
    for name, (kind, classes, samples, tokens, targets) in DEBMIX.items():
        shard = {"file": f"{name}/train-00000-of-00001.h5", "samples": samples}
        task = {"name": name, "kind": kind,
                "splits": {"train": {"samples": samples, "input_tokens": tokens, "target_tokens": targets, "shards": [shard]}}}
        tasks.append(task | ({"labels": [f"{i:02}" for i in range(classes)]} if classes else {}))
    tokenizer = {"kind": "sentencepiece", "file": "tokenizer.model", "sha256": "0" * 64, "vocab_size": 8000,
                 "pad": 0, "unk": 1, "bos": 2, "eos": 3, "mask": 4}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"format": "polyhead-dataset", "version": 1, "name": "debmix", "max_length": 128,
                               "tokenizer": tokenizer, "tasks": tasks}))


def pretrained(out):
    """A BERT of one block with random weights, as transformers would save it."""
    import numpy as np
    from safetensors.numpy import save_file

    out.mkdir()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (out / "vocab.txt").write_text("\n".join(pieces) + "\n")
    dim, ffn, positions = 32, 64, 128
    (out / "config.json").write_text(json.dumps({
        "model_type": "bert", "vocab_size": len(pieces), "hidden_size": dim, "num_hidden_layers": 1, "num_attention_heads": 4,
        "intermediate_size": ffn, "max_position_embeddings": positions, "type_vocab_size": 2}))
    tables = {"word": len(pieces), "position": positions, "token_type": 2}
    shapes = {f"embeddings.{name}_embeddings.weight": (rows, dim) for name, rows in tables.items()}
    linear = {"attention.self.query": (dim, dim), "attention.self.key": (dim, dim), "attention.self.value": (dim, dim),
              "attention.output.dense": (dim, dim), "intermediate.dense": (ffn, dim), "output.dense": (dim, ffn)}
    shapes |= {f"encoder.layer.0.{name}.weight": shape for name, shape in linear.items()}
    shapes |= {f"encoder.layer.0.{name}.bias": shape[:1] for name, shape in linear.items()}
    for norm in ("embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"):
        shapes |= {f"{norm}.LayerNorm.{part}": (dim,) for part in ("weight", "bias")}
    draw = np.random.default_rng(1)
    save_file({name: draw.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}, out / "model.safetensors")


def shorten(file):
    text = file.read_text()
    for key, value in SHORT.items():
        text = re.sub(rf"^{key} = [\d.]+", f"{key} = {value}", text, flags=re.MULTILINE)
    file.write_text(text)


def give(name, folder):
    """Makes the file or folder that a page takes for granted."""
    from program import run

    def polyhead(*words):
        done = run(*words, cwd=folder)
        assert done.returncode == 0, done.stderr

    file = folder / name
    if name == "DATA":
        (folder / "DATA" / "dataset.json").unlink(missing_ok=True)
        debmix(folder / "raw-of-DATA")
        polyhead("import", "-c", "raw-of-DATA/debmix.ini", "--out", "DATA")
    elif name == "DATA/dataset.json":
        manifest(file)
    elif name in ("mine.ini", "RUN.INI"):
        file.write_text(MINE)
    elif name == "RUN":
        (folder / "run.ini").write_text(MINE)
        polyhead("train", "-c", "run.ini", "--run-dir", "RUN", "--run.threads", 1)
    elif name == "MODEL":
        pretrained(file)
    elif name == "RAW/minilm.ini":
        debmix(folder / "RAW")
        text = (folder / "RAW" / "debmix.ini").read_text()
        file.write_text(text.replace("vocab_size = 200", f"tokenizer = {folder / 'MODEL'}"))
    elif name == "samples.jsonl":
        draw = random.Random(name)
        file.write_text("".join(json.dumps({"text": sample("section", draw)["text"]}) + "\n" for _ in range(3)))
    else:
        raise AssertionError(f"the page needs {name}, for which tests/python/stand_ins.py has nothing")


def module(file):
    loader = importlib.machinery.SourceFileLoader("prepare", str(file))
    loaded = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(loaded)
    return loaded


def prepare_debmix(words):
    """Refuses what the real script refuses: an option that it does not have."""
    said = subprocess.run([sys.executable, SOURCE / "examples" / "debmix" / "prepare", "--help"], capture_output=True, text=True, check=True)
    for word in words:
        if word.startswith("--") and word not in re.findall(r"--[a-z-]+", said.stdout):
            sys.exit(f"examples/debmix/prepare has no option {word}")
    debmix(Path(words[0]))


def prepare_digits(words):
    """The real script, on images that are not fetched."""
    prepare = module(SOURCE / "examples" / "digits" / "prepare")
    prepare.fetch = lambda: [",".join(map(str, [i] * 784 + [i % 10])) for i in range(100)]
    sys.exit(prepare.main(words))


def python(words):
    sys.path.insert(0, str(SOURCE / "tests" / "parity"))
    from torch_of_cache import load

    load()
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    {"debmix": prepare_debmix, "digits": prepare_digits, "python": python}[sys.argv[1]](sys.argv[2:])
