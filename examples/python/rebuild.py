"""A trained model in plain PyTorch, rebuilt from the files of its checkpoint, or from those that `polyhead export --format
safetensors` has written. docs/model.md explains each formula.

    python rebuild.py RUN --task NAME < samples.jsonl         # RUN: the folder of a run or of an export

Reads the lines that `polyhead predict` reads, and adds the same predictions to them, with greedy search where a task writes text.
A line may also hold "ids", token ids that include the special tokens, and "second", where the second text begins. Texts are cut
into pieces by the package sentencepiece or tokenizers. One text is computed at a time and nothing is padded, in 64-bit floats.
"""

import argparse
import json
import math
import re
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.numpy import load_file


class Tensors(dict):
    """The tensors of a file whose names begin with `prefix`, with the two layers that are used everywhere."""

    def __init__(self, file, prefix=""):
        super().__init__((name.removeprefix(prefix), torch.from_numpy(values).double())
                         for name, values in load_file(file).items() if name.startswith(prefix))

    @classmethod
    def of(cls, tensors):
        """A copy of the table that shares the tensors."""
        copy = cls.__new__(cls)
        copy.update(tensors)
        return copy

    def linear(self, name, x):
        return x @ self[name + ".weight"].T + self[name + ".bias"]

    def norm(self, name, x, epsilon=1e-5):
        return F.layer_norm(x, x.shape[-1:], self[name + ".weight"], self[name + ".bias"], epsilon)


# Attention over one text. q, k and v are [heads, length, width].

def split(x, heads):
    """[length, dim] to [heads, length, dim / heads]"""
    return x.unflatten(-1, (heads, -1)).transpose(0, 1)


def rotate(x):
    """Rotary positions: channel c of the first half is rotated with channel c of the second half."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2])[:, None] * 10000.0 ** (-torch.arange(half).double() / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def attend(q, k, v, bias):
    """bias is added to the scores: 0, minus infinity where a key is hidden, or log w."""
    weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]) + bias, -1)
    return (weights @ v).transpose(0, 1).flatten(1)


def self_attention(t, name, x, heads, rotary, bias):
    q, k, v = (split(part, heads) for part in t.linear(name + ".qkv", x).chunk(3, -1))  # qkv is [3, heads, width]
    if rotary:
        q, k = rotate(q), rotate(k)
    return t.linear(name + ".out", attend(q, k, v, bias))


def feed_forward(t, name, x, activation=F.gelu):  # the exact GELU, by erf
    return t.linear(name + ".down", activation(t.linear(name + ".up", x)))


ACTIVATIONS = {"gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "relu": F.relu}


class Encoder:
    def __init__(self, tensors, model):
        self.t, self.options, self.attention = tensors, model["encoder"], model["attention"]
        self.tasks = len(model["tasks"])
        self.bert = self.options["form"] == "bert"
        # Runs of earlier versions do not have these options.
        self.epsilon = self.options.get("norm_epsilon", 1e-12)
        self.activation = ACTIVATIONS[self.options.get("activation", "gelu")]

    def residual(self, name, x, f):
        """x + f(norm(x)), or norm(x + f(x)) in the form bert."""
        if self.bert:
            return self.t.norm(name + ".norm", x + f(x), self.epsilon)
        return x + f(self.t.norm(name + ".norm", x))

    def embed(self, ids, second, features):
        dim = self.options["dim"]
        if features is not None:
            x = self.t.linear(f"features.{features.shape[1]}", features)
        else:
            x = self.t["embedding.weight"][ids] * (1 if self.bert else math.sqrt(dim))
        types = (torch.arange(len(x)) >= second).long() if second > 0 else None  # 1 in the second text
        if self.bert:
            count = self.options.get("token_types", 2)
            if types is None or count == 1:
                types = torch.zeros(len(x), dtype=torch.long)
            if count > 0:
                x = x + self.t["segment.weight"][types]
            return self.t.norm("embedding.norm", x + self.t["embedding.positions"][:len(x)], self.epsilon)
        return x if types is None else x + self.t["segment.weight"][types]  # no segment is added to a single text

    def states(self, head, task, ids=None, second=0, features=None):
        """[length, dim]. head: the tensors of the task's head, which hold its parts of the encoder; task: its index."""
        options, share = self.options, self.options["share"]
        t = self.updated(self.t if share == "lora" else head, "" if share == "lora" else "encoder.") if "lora" in share else self.t
        x = shared = self.embed(ids, second, features)
        before = None  # mtan: the task's features behind the block before
        first_expert = options["layers"] - options["expert_layers"] if share in ("mmoe", "ple") else options["layers"]
        for i in range(options["layers"]):
            name = f"layers.{i}"

            def attention(states):
                return self.residual(name + ".attention", states, lambda n: self_attention(
                    t, name + ".attention", n, options["heads"], not self.bert, torch.zeros(())))

            if i >= first_expert:
                x, shared = attention(x), attention(shared)
                x, shared = self.experts(head, task, name, x, shared)
            else:
                x = shared = self.residual(name + ".ffn", attention(x), lambda n: feed_forward(t, name + ".ffn", n, self.activation))
            own = f"encoder.{name}."
            if share == "adapters":
                hidden = F.gelu(head.linear(own + "adapter.down", head.norm(own + "adapter.norm", x)))
                x = shared = x + head.linear(own + "adapter.up", hidden)
            if share == "mtan":
                p = head.norm(own + "mask.norm", x)
                hidden = F.gelu(head.linear(own + "mask.down", p if before is None else torch.cat([p, before], -1)))
                before = torch.sigmoid(head.linear(own + "mask.up", hidden)) * p
        if before is not None:
            x = x + before
        return x if self.bert else t.norm("norm", x)

    def updated(self, owner, prefix):
        """The encoder's tensors with the low-rank updates of lora and task_lora."""
        t, dim = Tensors.of(self.t), self.options["dim"]
        matrices = {"query": "attention.qkv", "key": "attention.qkv", "value": "attention.qkv", "out": "attention.out",
                    "up": "ffn.up", "down": "ffn.down"}
        for i in range(self.options["layers"]):
            for target in self.options["lora_targets"]:
                a, b = (owner[f"{prefix}layers.{i}.lora.{target}.{part}"] for part in "ab")
                name = f"layers.{i}.{matrices[target]}.weight"
                first = ["query", "key", "value"].index(target) * dim if name.endswith("qkv.weight") else 0
                t[name] = t[name].clone()
                t[name][first:first + len(b)] += self.options["lora_alpha"] / self.options["lora_rank"] * b @ a
        return t

    def experts(self, head, task, name, x, shared):
        """The feed-forward layer of mmoe and ple. x: the task's path; shared: the shared path of ple."""
        t, count = self.t, self.options["experts"]
        own = self.options["task_experts"] if self.options["share"] == "ple" else 0
        prefix = name + ".experts"

        def outputs(tensors, stem, n, number):
            """The outputs of `number` experts for n. Their matrices are next to each other in one tensor."""
            hidden = self.activation(tensors.linear(stem + ".up", n)).chunk(number, -1)
            down = tensors[stem + ".down.weight"].chunk(number, -1)
            return [h @ d.T + b for h, d, b in zip(hidden, down, tensors[stem + ".down.bias"])]

        n_x, n_s = (x, shared) if self.bert else (t.norm(prefix + ".norm", x), t.norm(prefix + ".norm", shared))
        all_outputs = outputs(t, prefix, n_s, count) + (outputs(head, "encoder." + prefix, n_x, own) if own else [])

        def mixed(logits):
            return sum(gate[:, None] * output for gate, output in zip(torch.softmax(logits, -1).unbind(-1), all_outputs))

        def joined(y):
            return t.norm(prefix + ".norm", y, self.epsilon) if self.bert else y

        y = joined(x + mixed(n_x @ head[f"encoder.{name}.gate"].T))
        if prefix + ".gate" not in t:  # the last block, and mmoe: nothing reads the shared path
            return y, y
        gate = t[prefix + ".gate"]
        gate = torch.cat([gate[:count], gate[count + task * own:count + (task + 1) * own]])
        return y, joined(shared + mixed(n_s @ gate.T))

    def weights(self, states, task):
        """The word's weight for the task, w: [length, attention heads]."""
        a, length = self.attention, len(states)
        if a["mode"] == "mean":
            return torch.ones(length, a["heads"]).double()
        if a["mode"] == "first":
            return (torch.arange(length) == 0).double()[:, None].expand(-1, a["heads"])
        queries = self.t["tasks.queries"]  # [slots, attention heads, width]
        slots, heads, width = queries.shape
        keys = (states @ self.t["tasks.key.weight"].T).unflatten(-1, (heads, width))
        scores = torch.einsum("lmd,smd->lsm", keys, queries) / (a["temperature"] * math.sqrt(width))
        if a["mode"] == "independent":
            w = length * torch.softmax(scores[:, task], 0)
            return (1 - a["floor"]) * w + a["floor"]
        b = torch.tensor([1.0, *(a["importances"] or [1.0] * self.tasks)]).double().log()  # slot 0: no task
        if a["importance"] == "learned":
            b = b + self.t["tasks.importance"]
        w = torch.softmax(scores + b[:, None], 1)
        return ((1 - a["floor"]) * w + a["floor"] / slots)[:, 1 + task]

    @property
    def delta(self):
        return 1.0 if self.attention["mode"] == "competitive" else 0.0


class Model:
    def __init__(self, run, checkpoint="latest", average=False):
        self.export = Path(run) / "model.safetensors"
        if self.export.exists():
            self.description = json.loads((Path(run) / "model.json").read_text())
            encoder = Tensors(self.export, "encoder.")
        else:
            folder = Path(run) / "checkpoints"
            if not checkpoint.startswith("step-"):
                checkpoint = (folder / checkpoint).read_text().strip()  # latest, best
            self.folder, self.ending = folder / checkpoint, (".ema" if average else "") + ".safetensors"
            self.description = json.loads((self.folder / "state.json").read_text())["model"]
            encoder = Tensors(self.folder / ("encoder" + self.ending))
        self.names = [task["name"] for task in self.description["tasks"]]
        self.encoder = Encoder(encoder, self.description)
        self.heads = {}

    def head(self, name):
        """The tensors of a task's head. In the file's name, '/', control characters and the % of %XX are written as %XX."""
        if name not in self.heads and self.export.exists():
            self.heads[name] = Tensors(self.export, f"head.{self.names.index(name)}.")
        elif name not in self.heads:
            stem = re.sub(r"[/\x00-\x1f\x7f]|%(?=[0-9A-Fa-f]{2})", lambda found: f"%{ord(found[0]):02X}", name)
            self.heads[name] = Tensors(self.folder / f"head.{stem}{self.ending}")
        return self.heads[name]

    def read(self, name, ids=None, second=0, features=None):
        """The inputs of the task's head: states [length, dim] and weights w [length, attention heads]."""
        task = self.names.index(name)
        states = self.encoder.states(self.head(name), task, ids, second, features)
        return states, self.encoder.weights(states, task)

    def values(self, name, states, w):
        """w_i V h_i: [length, dim]. Each attention head has a weight for its own channels."""
        return (self.head(name).linear("value", states).unflatten(-1, (w.shape[1], -1)) * w[..., None]).flatten(1)

    def pooled(self, name, states, w):
        """Classification, multilabel, regression: r = sum_i w_i V h_i / (delta + sum_i w_i), then two layers."""
        head = self.head(name)
        total = (self.encoder.delta + w.sum(0)).repeat_interleave(states.shape[1] // w.shape[1])
        return head.linear("out", F.gelu(head.linear("hidden", self.values(name, states, w).sum(0) / total)))

    def tags(self, name, states, w):
        """[length, tags]; a word's tag is read at its first piece."""
        return self.head(name).linear("out", states + self.values(name, states, w))

    def masked(self, name, states, w):
        """[length, vocabulary], tied to the encoder's table."""
        head = self.head(name)
        hidden = head.norm("norm", F.gelu(head.linear("transform", states + self.values(name, states, w))))
        return hidden @ self.encoder.t["embedding.weight"].T + head["bias"]

    def span(self, name, states, w, ids, second):
        """The first and the last row of the best answer in the second text, and its probability."""
        special = [self.description["tokenizer"][key] for key in ("eos", "mask")]
        hidden = torch.tensor([i < second or token in special for i, token in enumerate(ids)])
        scores = self.head(name).linear("out", states + self.values(name, states, w))  # [length, 2]
        first, last = torch.log_softmax(scores.masked_fill(hidden[:, None], -math.inf), 0).unbind(1)
        length = torch.arange(len(ids)) - torch.arange(len(ids))[:, None] + 1  # of the answer from row i to row j
        pairs = (first[:, None] + last).masked_fill((length < 1) | (length > 30), -math.inf)
        best = int(pairs.argmax())
        return best // len(ids), best % len(ids), float(pairs.max().exp())

    def next_token(self, name, states, w, tokens):
        """Translation: log-probabilities [vocabulary] of the token behind `tokens`, which begin with bos."""
        head, table = self.head(name), self.encoder.t["embedding.weight"]
        heads = self.description["encoder"]["heads"]
        options = self.description["tasks"][self.names.index(name)]["head"]
        memory = torch.cat([states, head["no_word"]])  # one position more, right behind the words
        bias = torch.cat([w.mean(1).clamp(min=1e-30).log(), torch.zeros(1).double()])
        x = table[tokens]  # not times sqrt(dim)
        causal = torch.full((len(x), len(x)), -math.inf).double().triu(1)
        for i in range(options["decoder_layers"]):
            layer = f"layers.{i}"
            n = head.norm(layer + ".self.norm", x)
            x = x + self_attention(head, layer + ".self", n, heads, True, causal)
            q = split(head.linear(layer + ".cross.query", head.norm(layer + ".cross.norm", x)), heads)
            k, v = (split(part, heads) for part in head.linear(layer + ".cross.key_value", memory).chunk(2, -1))
            x = x + head.linear(layer + ".cross.out", attend(rotate(q), rotate(k), v, bias))
            x = x + feed_forward(head, layer + ".ffn", head.norm(layer + ".ffn.norm", x))
        logits = head.norm("norm", x[-1]) @ table.T + head["bias"]
        return torch.log_softmax(logits, -1)

    def translate(self, name, states, w):
        """Greedy search: returns token ids without eos, and their log-probability, with eos."""
        tokenizer = self.description["tokenizer"]
        most = self.description["tasks"][self.names.index(name)]["head"]["max_target"]
        tokens, total = [tokenizer["bos"]], 0.0
        for _ in range(min(most, 2 * len(states) + 8)):
            log_p = self.next_token(name, states, w, tokens)
            token = int(log_p.argmax())
            total += float(log_p[token])
            if token == tokenizer["eos"]:
                break
            tokens.append(token)
        return tokens[1:], total


class Pieces:
    """Texts to token ids and back, by the tokenizer's own package."""

    def __init__(self, folder, info, max_length, cased):
        self.info, self.max_length, file = info, max_length or 128, str(Path(folder) / info["file"])
        self.separators = 2 if info["kind"] == "xlm_roberta" else 1  # eos between two texts
        if info["kind"] == "xlm_roberta":  # the ids of the file plus 1, but for unk
            import sentencepiece
            model = sentencepiece.SentencePieceProcessor(model_file=file)
            self.encode = lambda text: [i + 1 if i > 0 else 3 for i in model.encode(text)]
            self.decode = lambda ids: model.decode([i - 1 if i > 3 else 0 for i in ids if 3 <= i < info["mask"]])
            self.places = lambda text: model.encode(text, return_type="offset_mapping")["offsets"]
        elif info["kind"] == "sentencepiece":
            import sentencepiece
            model = sentencepiece.SentencePieceProcessor(model_file=file)
            self.encode, self.decode = model.encode, model.decode
            self.places = lambda text: model.encode(text, return_type="offset_mapping")["offsets"]
        else:
            from tokenizers import BertWordPieceTokenizer
            model = BertWordPieceTokenizer(file, lowercase=not cased)
            self.encode = lambda text: model.encode(text, add_special_tokens=False).ids
            self.places = lambda text: model.encode(text, add_special_tokens=False).offsets
            self.decode = lambda ids: " ".join(model.id_to_token(i) for i in ids).replace(" ##", "")

    def line(self, line, kind):
        """Returns the ids, the position of the second text, and the first piece of each word."""
        bos, eos, room = self.info["bos"], self.info["eos"], self.max_length
        if kind == "tagging":
            ids, first = [bos], []
            for word in line.get("words") or line["text"].split():
                pieces = self.encode(word) or [self.info["unk"]]
                if len(ids) + len(pieces) + 1 > room:
                    break
                first.append(len(ids))
                ids += pieces
            return ids + [eos], 0, first
        if kind == "masked_lm":
            parts = [self.encode(part) for part in line["text"].split("<mask>")]
            ids = [bos] + parts[0] + [i for part in parts[1:] for i in [self.info["mask"], *part]]
            return ids[:room - 1] + [eos], 0, []
        texts = (line["question"], line["text"]) if kind == "span" else (line["text"], line.get("second") or "")
        a, b = map(self.encode, texts)
        if not b:
            return [bos] + a[:room - 2] + [eos], 0, []
        room -= 2 + self.separators
        half = room // 2
        if len(a) + len(b) > room:  # the shorter text keeps what it has, up to a half
            a = a[:room - len(b) if len(b) <= half else room - half]
            b = b[:room - len(a)]
        return [bos] + a + [eos] * self.separators + b + [eos], len(a) + 1 + self.separators, []

    def characters(self, text, first, last):
        """The characters that the pieces first to last of a text stand for, without the white space around them."""
        places = [place for place in self.places(text)[first:last + 1] if text[slice(*place)].strip()]
        if not places:
            return 0, 0
        begin, end = places[0][0], places[-1][1]
        found = text[begin:end]
        return begin + len(found) - len(found.lstrip()), end - len(found) + len(found.rstrip())


def predict(model, name, line, pieces):
    """What the model says of a line."""
    task = model.description["tasks"][model.names.index(name)]
    kind, labels, statistics = task["kind"], task["labels"], task["statistics"]
    ids, second, features, first = None, 0, None, []
    if statistics["feature_width"] > 0:
        features = torch.tensor(line["features"]).double()
        first = list(range(len(features)))
    elif "ids" in line:
        ids, second = line["ids"], line.get("second", 0)
        first = list(range(1, len(ids) - 1))
    else:
        ids, second, first = pieces.line(line, kind)
    states, w = model.read(name, ids, second, features)
    if kind == "classification":
        p = torch.softmax(model.pooled(name, states, w), 0)
        return {"label": labels[int(p.argmax())], "probability": float(p.max())}
    if kind == "multilabel":
        p = dict(zip(labels, torch.sigmoid(model.pooled(name, states, w)).tolist()))
        return {"labels": [label for label in labels if p[label] >= 0.5], "probabilities": p}
    if kind == "regression":
        mean, deviation = (torch.tensor(statistics[key]).double() for key in ("mean", "deviation"))
        values = (model.pooled(name, states, w) * deviation + mean).tolist()
        return {"values": dict(zip(task["outputs"], values))} if task["outputs"] else {"value": values[0]}
    if kind == "tagging":
        tags = model.tags(name, states, w).argmax(1).tolist()
        return {"tags": [labels[tags[at]] for at in first]}
    if kind == "masked_lm":
        found = model.masked(name, states, w).argmax(1).tolist()
        return {"tokens": [pieces.decode([token]) for i, token in zip(ids, found) if i == model.description["tokenizer"]["mask"]]}
    if kind == "span":
        first, last, probability = model.span(name, states, w, ids, second)
        if "ids" in line:
            return {"text": pieces.decode(ids[first:last + 1]), "probability": probability}
        start, end = pieces.characters(line["text"], first - second, last - second)
        return {"text": line["text"][start:end], "start": start, "end": end, "probability": probability}
    tokens, log_probability = model.translate(name, states, w)
    return {"translation": pieces.decode(tokens), "log_probability": log_probability}


def answer(model, name, line, pieces):
    """The line with its prediction, as `polyhead predict` prints it."""
    found = predict(model, name, line, pieces)
    return line | (found if line.keys().isdisjoint(found) else {"prediction": found})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--task", required=True)
    parser.add_argument("--checkpoint", default="latest", help="latest, best or a folder's name, as step-000120")
    parser.add_argument("--average", action="store_true", help="the moving average of the weights")
    parser.add_argument("--data", help="the data set, for its tokenizer (default: where the run was trained)")
    parser.add_argument("--cased", action="store_true", help="a WordPiece vocabulary with upper case")
    options = parser.parse_args()
    model = Model(options.run, options.checkpoint, options.average)
    description = model.description
    pieces = Pieces(options.data or description["data"], description["tokenizer"], description["max_length"], options.cased)
    for text in sys.stdin:
        line = json.loads(text)
        print(json.dumps(answer(model, options.task, line, pieces), ensure_ascii=False))


if __name__ == "__main__":
    main()
