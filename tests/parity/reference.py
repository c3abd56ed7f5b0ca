"""The model in PyTorch, written from its formulas only (core/model/task_attention.h, core/model/sharing/, docs/concepts.md): padded batches, one task at a time,
autograd. `reference.py FOLDER` writes for each case CASE.json (description, batch), CASE.parameters.safetensors and
CASE.expected.safetensors: states, weights over tasks, losses, and the gradient of every parameter, in float64; for a case with a
teacher, whose heads it follows, CASE.teacher.safetensors too."""

import json
import math
import sys
import zlib
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from torch_of_cache import load

torch = load()
F = torch.nn.functional

VOCABULARY, BOS, EOS, MASK = 23, 2, 3, 4
DIM, FFN, LAYERS, HEADS, DECODER_LAYERS, POSITIONS = 16, 24, 2, 2, 2, 12
# name: kind, lengths of its texts, and what else is special about it
TASKS = {
    "topic": dict(kind="classification", lengths=[7, 1, 4], labels=3, smoothing=0.1),
    "tags": dict(kind="tagging", lengths=[5, 9], labels=4),
    "lines": dict(kind="masked_lm", lengths=[6, 3, 8]),
    "dictionary": dict(kind="translation", lengths=[4, 10, 1], targets=[6, 1, 9], smoothing=0.1),
    "subjects": dict(kind="multilabel", lengths=[2, 6], labels=5),
    "reply": dict(kind="classification", lengths=[4, 8, 5], second=[2, 5, 0], labels=3, class_weights=[0.5, 2, 1.25], focal_gamma=1.5),
    "rating": dict(kind="regression", lengths=[4, 7], outputs=2, mean=[3, -20], deviation=[0.5, 7]),
    "wind": dict(kind="regression", lengths=[9, 2, 3], outputs=2, mean=[3, -20], deviation=[0.5, 7], delta=0.4, width=3),
    "steps": dict(kind="tagging", lengths=[2, 5], labels=4, width=5),
    "answer": dict(kind="span", lengths=[7, 10, 4], second=[3, 2, 2], spans=[[4, 5], [2, 8], [-100, -100]]),  # the last one is cut off
}
NAMES = list(TASKS)
LOSS_WEIGHTS = [0.4, 0.1, 0.3, 0.2, 0.35, 0.15, 0.25, 0.45, 0.12, 0.22]
IMPORTANCES = [1, 0.3, 2, 1, 0.5, 4, 1, 1, 3, 2]
CASES = {
    "competitive": dict(heads=2, temperature=1.3, floor=0.02),
    "competitive-given": dict(heads=4, importances=IMPORTANCES, entropy_bonus=0.3),
    "competitive-fixed": dict(importance="fixed", importances=IMPORTANCES, temperature=0.6),
    "independent": dict(mode="independent", heads=2, temperature=0.7, floor=0.1, entropy_bonus=0.2),
    "mean": dict(mode="mean", heads=2),
    "first": dict(mode="first", heads=2),
    "bert-competitive": dict(form="bert", heads=2, temperature=1.3, floor=0.02),
    "bert-independent": dict(form="bert", mode="independent", heads=2, entropy_bonus=0.2),
    "bert-mean": dict(form="bert", mode="mean", heads=2),
    "bert-first": dict(form="bert", mode="first"),
    "bert-torch": dict(form="bert", heads=2, blocks="torch.nn"),  # instead of our own words
    "adapters": dict(heads=2, encoder=dict(share="adapters", adapter_dim=5)),
    "mtan": dict(heads=2, encoder=dict(share="mtan", adapter_dim=5)),
    "mmoe": dict(heads=2, encoder=dict(share="mmoe", experts=3, expert_layers=1)),
    "ple": dict(heads=2, encoder=dict(share="ple", experts=2, task_experts=2, expert_layers=2)),
    "ple-one-level": dict(heads=2, encoder=dict(share="ple", experts=4, task_experts=1, expert_layers=1)),
    "bert-adapters": dict(form="bert", heads=2, encoder=dict(share="adapters", adapter_dim=5)),
    "bert-mtan": dict(form="bert", heads=2, encoder=dict(share="mtan", adapter_dim=5)),
    "bert-mmoe": dict(form="bert", heads=2, encoder=dict(share="mmoe", experts=3, expert_layers=1)),
    "bert-ple": dict(form="bert", heads=2, encoder=dict(share="ple", experts=2, task_experts=2, expert_layers=2)),
    "distilled": dict(heads=2, temperature=1.3, floor=0.02, distillation=dict(share=0.3, temperature=2.5)),
}
DEFAULTS = dict(form="pre_norm", blocks="formulas", mode="competitive", heads=1, temperature=1.0, floor=0.0, entropy_bonus=0.0, importance="learned",
                importances=[])


class Parameters(dict):
    """Parameters that are created at their first use: random numbers that float32 can represent."""

    def __init__(self, seed=0):
        super().__init__()
        self.seed = seed

    def __call__(self, name, *shape):
        if name not in self:
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) + self.seed)
            values = torch.randn(*shape, generator=generator, dtype=torch.float64)
            if name.endswith("norm.weight"):
                values = 1 + 0.2 * values
            elif len(shape) == 1:
                values = 0.2 * values
            elif "queries" not in name:
                values = values / math.sqrt(shape[-1])
            self[name] = values.float().double().requires_grad_()
        assert self[name].shape == shape, name
        return self[name]

    def linear(self, name, x, outputs):
        return x @ self(name + ".weight", outputs, x.shape[-1]).T + self(name + ".bias", outputs)

    def norm(self, name, x, epsilon=1e-5):
        return F.layer_norm(x, (DIM,), self(name + ".weight", DIM), self(name + ".bias", DIM), epsilon)


def rotate(x):
    """Applies rotary positions along the last dimension but one. Channel pairs are (c, c + half)."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2]).double()[:, None] * 10000.0 ** (-torch.arange(half).double() / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def split(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # [texts, heads, length, width]


def attend(q, k, v, bias, turn=rotate):
    scores = turn(q) @ turn(k).transpose(2, 3) / math.sqrt(q.shape[-1]) + bias
    return (torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(2)


def self_attention(p, name, x, bias):
    q, k, v = p.linear(name + ".qkv", p.norm(name + ".norm", x), 3 * DIM).chunk(3, -1)
    return x + p.linear(name + ".out", attend(split(q, HEADS), split(k, HEADS), split(v, HEADS), bias), DIM)


def block(p, name, x, bias, cross=None):
    """A pre-norm block: self-attention, in a decoder also attention to the source, feed-forward."""
    x = self_attention(p, name + (".self" if cross else ".attention"), x, bias)
    if cross:
        memory, memory_bias = cross
        q = p.linear(name + ".cross.query", p.norm(name + ".cross.norm", x), DIM)
        k, v = p.linear(name + ".cross.key_value", memory, 2 * DIM).chunk(2, -1)
        x = x + p.linear(name + ".cross.out", attend(split(q, HEADS), split(k, HEADS), split(v, HEADS), memory_bias), DIM)
    hidden = F.gelu(p.linear(name + ".ffn.up", p.norm(name + ".ffn.norm", x), FFN))
    return x + p.linear(name + ".ffn.down", hidden, DIM)


def hide(mask):
    """Returns 0 where the mask is true and minus infinity elsewhere."""
    return torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -math.inf)


def expert(p, name, k, count, n, width):
    """E_k(n): one of `count` experts, whose matrices are next to each other in one tensor."""
    rows = slice(k * width, (k + 1) * width)
    up, up_bias = p(name + ".up.weight", count * width, DIM)[rows], p(name + ".up.bias", count * width)[rows]
    return F.gelu(n @ up.T + up_bias) @ p(name + ".down.weight", DIM, count * width)[:, rows].T + p(name + ".down.bias", count, DIM)[k]


def expert_block(p, own, name, x, s, index, options, last):
    """The experts that replace the feed-forward layer. x: the task's path; s: the shared path; own: the task's
    parameters."""
    K, m, width = options["experts"], options["task_experts"] if options["share"] == "ple" else 0, FFN // options["experts"]
    bert = options["form"] == "bert"
    n_x, n_s = (x, s) if bert else (p.norm(name + ".experts.norm", path) for path in (x, s))
    outputs = [expert(p, name + ".experts", k, K, n_s, width) for k in range(K)]
    outputs += [expert(own, f"encoder.{name}.experts", k, m, n_x, width) for k in range(m)]

    def mixed(scores):
        return sum(share[..., None] * output for share, output in zip(torch.softmax(scores, -1).unbind(-1), outputs))

    def joined(y):
        return p.norm(name + ".experts.norm", y, 1e-12) if bert else y

    y = joined(x + mixed(n_x @ own(f"encoder.{name}.gate", K + m, DIM).T))
    if last or m == 0:
        return y, y  # nobody reads the shared path
    gate = p(name + ".experts.gate", K + len(TASKS) * m, DIM)
    return y, joined(s + mixed(n_s @ torch.cat([gate[:K], gate[K + index * m:K + (index + 1) * m]]).T))


def embed(p, data):
    if data["width"]:
        x = p.linear(f"features.{data['width']}", data["vectors"], DIM)
    else:
        x = p("embedding.weight", VOCABULARY, DIM)[data["ids"]] * math.sqrt(DIM)
    segment = p("segment.weight", 2, DIM)
    for i, second in enumerate(data["second"]):
        if second:
            which = (torch.arange(x.shape[1]) >= second).long()
            x = x + segment[which] * (torch.arange(len(x)) == i)[:, None, None]
    return x


def encode(p, own, index, data, options):
    """own: the parameters of the task's head; index: the index of the task."""
    mask, bias, share, bert = data["mask"], hide(data["mask"])[:, None, None, :], options.get("share", "hard"), options["form"] == "bert"
    x = shared = embed_bert(p, data) if bert else embed(p, data)
    for i in range(LAYERS):
        name = f"layers.{i}"
        if share in ("mmoe", "ple") and i >= LAYERS - options["expert_layers"]:
            x, shared = (bert_attention(p, name, path, mask) if bert else self_attention(p, name + ".attention", path, bias) for path in (x, shared))
            x, shared = expert_block(p, own, name, x, shared, index, options, i + 1 == LAYERS)
            continue
        if bert:
            x = shared = (torch_block if options["blocks"] == "torch.nn" else bert_block)(p, name, x, mask)
        else:
            x = shared = block(p, name, x, bias)
        if share == "adapters":
            inner = F.gelu(own.linear(f"encoder.{name}.adapter.down", own.norm(f"encoder.{name}.adapter.norm", x), options["adapter_dim"]))
            x = x + own.linear(f"encoder.{name}.adapter.up", inner, DIM)
        if share == "mtan":
            seen = own.norm(f"encoder.{name}.mask.norm", x)
            known = seen if i == 0 else torch.cat([seen, features], -1)
            inner = F.gelu(own.linear(f"encoder.{name}.mask.down", known, options["adapter_dim"]))
            features = torch.sigmoid(own.linear(f"encoder.{name}.mask.up", inner, DIM)) * seen
    if share == "mtan":
        x = x + features
    return x if bert else p.norm("norm", x)


def bert_attention(p, name, x, mask):
    q, k, v = (split(part, HEADS) for part in p.linear(name + ".attention.qkv", x, 3 * DIM).chunk(3, -1))
    read = attend(q, k, v, hide(mask)[:, None, None, :], lambda x: x)
    return p.norm(name + ".attention.norm", x + p.linear(name + ".attention.out", read, DIM), 1e-12)


def bert_block(p, name, x, mask):
    """A post-norm block: x = norm(x + f(x)) for self-attention, then for feed-forward."""
    x = bert_attention(p, name, x, mask)
    hidden = p.linear(name + ".ffn.up", x, FFN)
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    return p.norm(name + ".ffn.norm", x + p.linear(name + ".ffn.down", hidden, DIM), 1e-12)


def torch_block(p, name, x, mask):
    """The same block, by torch.nn."""
    layer = torch.nn.TransformerEncoderLayer(DIM, HEADS, FFN, 0.0, "gelu", 1e-12, batch_first=True, norm_first=False, dtype=torch.float64)
    ours = {"self_attn.in_proj_": "attention.qkv.", "self_attn.out_proj.": "attention.out.", "linear1.": "ffn.up.", "linear2.": "ffn.down.",
            "norm1.": "attention.norm.", "norm2.": "ffn.norm."}
    parameters = {}
    for theirs, value in layer.named_parameters():
        prefix = next(prefix for prefix in ours if theirs.startswith(prefix))
        parameters[theirs] = p(f"{name}.{ours[prefix]}{theirs.removeprefix(prefix)}", *value.shape)
    hidden = (~mask)[:, None].expand(-1, x.shape[1], -1).repeat_interleave(HEADS, 0)  # not as padding, which wants sympy
    return torch.func.functional_call(layer, parameters, (x, hidden))


def embed_bert(p, data):
    if data["width"]:
        x = p.linear(f"features.{data['width']}", data["vectors"], DIM)
    else:
        x = p("embedding.weight", VOCABULARY, DIM)[data["ids"]]
    second = torch.tensor(data["second"])[:, None]
    types = ((second > 0) & (torch.arange(x.shape[1]) >= second)).long()
    x = x + p("embedding.positions", POSITIONS, DIM)[: x.shape[1]] + p("segment.weight", 2, DIM)[types]
    return p.norm("embedding.norm", x, 1e-12)


def word_weights(p, states, mask, options):
    """Returns w: [texts, words, slots, attention heads]. Padding has the weight 0."""
    mode, m, tasks = options["mode"], options["heads"], len(TASKS)
    real = mask[:, :, None, None].double()
    if mode == "mean":
        return real.expand(-1, -1, tasks, m)
    if mode == "first":
        return (real * (torch.arange(mask.shape[1]) == 0)[None, :, None, None]).expand(-1, -1, tasks, m)
    slots = tasks + (mode == "competitive")
    keys = (states @ p("tasks.key.weight", DIM, DIM).T).unflatten(-1, (m, DIM // m))
    scores = torch.einsum("slmd,tmd->sltm", keys, p("tasks.queries", slots, m, DIM // m)) / (options["temperature"] * math.sqrt(DIM // m))
    floor = options["floor"]
    if mode == "independent":
        length = mask.sum(1)[:, None, None, None]
        w = length * torch.softmax(scores + hide(mask)[:, :, None, None], 1)
        return real * ((1 - floor) * w + floor)
    b = torch.tensor([1, *(options["importances"] or [1] * tasks)], dtype=torch.float64).log()
    if options["importance"] == "learned":
        b = b + p("tasks.importance", slots)
    return real * ((1 - floor) * torch.softmax(scores + b[:, None], 2) + floor / slots)


def head_loss(p, embedding, states, w, data, task, delta):
    """Returns the sum of a task's losses and the head's outputs at its targets: logits, or standardised values for
    regression. w: [texts, words, attention heads], of this task."""
    kind, mask, m = task["kind"], data["mask"], w.shape[-1]

    def valued():
        return (p.linear("value", states, DIM).unflatten(-1, (m, -1)) * w[..., None]).flatten(2)

    def pooled(outputs):
        total = (delta + w.sum(1)).repeat_interleave(DIM // m, 1)
        return p.linear("out", F.gelu(p.linear("hidden", valued().sum(1) / total, DIM)), outputs)

    if kind == "classification":
        gold = torch.tensor(data["labels"])
        said = pooled(task["labels"])
        log_p = torch.log_softmax(said, 1)
        own, smoothing = log_p.gather(1, gold[:, None])[:, 0], task.get("smoothing", 0)
        loss = -(1 - smoothing) * own - smoothing * log_p.mean(1)
        loss = loss * (1 - own.exp()) ** task.get("focal_gamma", 0)
        return (loss * torch.tensor(task.get("class_weights", [1.0] * task["labels"]), dtype=torch.float64)[gold]).sum(), said
    if kind == "multilabel":
        said, gold = pooled(task["labels"]), torch.tensor(data["labels"])
        p_yes = torch.sigmoid(said)
        return -(torch.where(gold == 1, p_yes, 1 - p_yes)).log().sum(), said
    if kind == "regression":
        gold = (torch.tensor(data["values"], dtype=torch.float64) - torch.tensor(task["mean"])) / torch.tensor(task["deviation"])
        said = pooled(task["outputs"])
        error, d = (said - gold).abs(), task.get("delta")
        return (error ** 2 if d is None else torch.where(error <= d, error ** 2 / 2, d * (error - d / 2))).mean(1).sum(), said
    if kind == "tagging":
        said, gold = p.linear("out", states + valued(), task["labels"]), data["tags"]
        log_p = torch.log_softmax(said, -1)
        return -(log_p.gather(2, gold.clamp(min=0)[..., None])[..., 0] * (gold >= 0)).sum(), said[gold >= 0]
    if kind == "masked_lm":
        hidden = p.norm("norm", F.gelu(p.linear("transform", states + valued(), DIM)))
        said = hidden @ embedding.T + p("bias", VOCABULARY)
        log_p, masked = torch.log_softmax(said, -1), data["ids"] == MASK
        return -(log_p.gather(2, data["original"][..., None])[..., 0] * masked).sum(), said[masked]
    if kind == "span":
        # A start and an end score for each token of the second text but eos and mask.
        scores = p.linear("out", states + valued(), 2)
        chosen = mask & (torch.arange(mask.shape[1]) >= torch.tensor(data["second"])[:, None])
        chosen &= (data["ids"] != EOS) & (data["ids"] != MASK)
        log_p = torch.log_softmax(scores + hide(chosen)[..., None], 1)
        answered = [(i, span) for i, span in enumerate(task["spans"]) if span[0] >= 0]
        loss = -sum(log_p[i, span[which], which] for i, span in answered for which in (0, 1)) / 2
        return loss, [scores[i, chosen[i], which] for i in range(len(scores)) for which in (0, 1)]
    # translation: the decoder reads "<s> t_0 ...", and the source with one position more, right behind the words
    targets, lengths = data["targets"], mask.sum(1)
    memory = torch.cat([states, torch.zeros(len(states), 1, DIM, dtype=torch.float64)], 1)
    bias = torch.cat([w.mean(-1).clamp(min=1e-30).log() + hide(mask), torch.full((len(states), 1), -math.inf, dtype=torch.float64)], 1)
    behind = torch.arange(memory.shape[1]) == lengths[:, None]
    memory = torch.where(behind[..., None], p("no_word", 1, DIM), torch.where(torch.arange(memory.shape[1])[None, :, None] < lengths[:, None, None], memory, 0.0))
    bias = torch.where(behind, 0.0, bias)
    x = embedding[torch.cat([torch.full((len(targets), 1), BOS), targets[:, :-1].clamp(min=0)], 1)]
    length = targets.shape[1]
    causal = hide(torch.ones(length, length, dtype=torch.bool).tril())[None, None]
    for i in range(DECODER_LAYERS):
        x = block(p, f"layers.{i}", x, causal, (memory, bias[:, None, None, :]))
    said = p.norm("norm", x) @ embedding.T + p("bias", VOCABULARY)
    log_p = torch.log_softmax(said, -1)
    smoothing = task["smoothing"]
    loss = -(1 - smoothing) * log_p.gather(2, targets.clamp(min=0)[..., None])[..., 0] - smoothing * log_p.mean(-1)
    return (loss * (targets >= 0)).sum(), said[targets >= 0]


def distance(said, taught, task, temperature):
    """The distance of a head from its teacher, by PyTorch's own losses."""
    if task["kind"] == "regression":
        outputs = task["outputs"]
        return (F.huber_loss(said, taught, reduction="sum", delta=task["delta"]) if "delta" in task else F.mse_loss(said, taught, reduction="sum")) / outputs
    if task["kind"] == "span":  # the mean of the two
        return sum(temperature ** 2 * F.kl_div(torch.log_softmax(x / temperature, -1), torch.log_softmax(y / temperature, -1), reduction="sum",
                                               log_target=True) for x, y in zip(said, taught)) / 2
    said, taught = said / temperature, taught / temperature
    if task["kind"] == "multilabel":
        p = torch.sigmoid(taught)
        return temperature ** 2 * sum(F.binary_cross_entropy_with_logits(x, p, reduction="sum") * sign for x, sign in ((said, 1), (taught, -1)))
    return temperature ** 2 * F.kl_div(torch.log_softmax(said, -1), torch.log_softmax(taught, -1), reduction="sum", log_target=True)


def pad(rows, filler):
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def make_data():
    """Random samples of every task: as padded tensors for the reference, and packed as in core/base/batch.h."""
    random = np.random.default_rng(7)
    batch, padded = {"tokens": [], "offsets": [0], "second": [], "slices": []}, []
    for index, task in enumerate(TASKS.values()):
        kind, lengths, width = task["kind"], task["lengths"], task.get("width", 0)
        part = {"task": index, "first_sequence": len(batch["offsets"]) - 1, "sequences": len(lengths), "first_token": batch["offsets"][-1]}
        ids = [[int(x) for x in random.integers(5, VOCABULARY, n)] for n in lengths]
        data = {"width": width, "second": task.get("second", [0] * len(lengths))}
        if width:
            vectors = [[[float(x) for x in random.integers(-4, 5, width) / 4] for _ in range(n)] for n in lengths]
            part |= {"feature_width": width, "features": [x for text in vectors for vector in text for x in vector]}
            longest = max(lengths)
            data["vectors"] = torch.tensor([text + [[0.0] * width] * (longest - len(text)) for text in vectors], dtype=torch.float64)
            ids = [[-1] * n for n in lengths]
        if kind == "masked_lm":
            data["original"] = pad(ids, 0)
            at = [(i, j) for i, text in enumerate(ids) for j in range(len(text)) if j % 3 == (2 if i else 0)]
            part["masked_tokens"] = [ids[i][j] for i, j in at]
            part["masked_rows"] = [part["first_token"] + sum(lengths[:i]) + j for i, j in at]
            for i, j in at:
                ids[i][j] = MASK
        data |= {"ids": pad(ids, 0), "mask": torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]}
        if kind in ("classification", "multilabel"):
            shape = (len(lengths), task["labels"]) if kind == "multilabel" else len(lengths)
            data["labels"] = random.integers(0, 2 if kind == "multilabel" else task["labels"], shape).tolist()
            part["labels"] = np.ravel(data["labels"]).tolist()
        if kind == "regression":
            data["values"] = [[mean + deviation * x for mean, deviation, x in zip(task["mean"], task["deviation"], random.integers(-3, 4, 2) * 0.6)]
                              for _ in lengths]
            part["values"] = np.ravel(data["values"]).tolist()
        if kind == "tagging":
            tags = [[-100 if i % 3 == 1 else int(random.integers(task["labels"])) for i in range(n)] for n in lengths]
            data["tags"], part["tags"] = pad(tags, -100), sum(tags, [])
        if kind == "translation":
            targets = [[int(x) for x in random.integers(5, VOCABULARY, n - 1)] + [EOS] for n in task["targets"]]
            data["targets"], part["target_tokens"] = pad(targets, -1), sum(targets, [])
            part["target_offsets"] = [0, *np.cumsum(task["targets"]).tolist()]
        if kind == "span":
            for text, second in zip(ids, task["second"]):  # as a question and its text are joined
                text[0] = BOS
                text[second - 1] = text[-1] = EOS
            data["ids"] = pad(ids, 0)
            part |= {"context_begin": task["second"], "span_begin": [first for first, _ in task["spans"]], "span_end": [last for _, last in task["spans"]]}
        part["count"] = {"tagging": sum(tag >= 0 for tag in part.get("tags", [])), "masked_lm": len(part.get("masked_rows", [])),
                         "translation": sum(task.get("targets", [])), "span": sum(first >= 0 for first, _ in task.get("spans", []))}.get(kind, len(lengths))
        for text in ids:
            batch["tokens"] += text
            batch["offsets"].append(len(batch["tokens"]))
        batch["second"] += data["second"]
        batch["slices"].append(part)
        padded.append(data)
    return batch, padded


def describe(options, encoder):
    """The description of a model, in the format of state.json."""
    tasks = []
    for name, task in TASKS.items():
        statistics = {key: task[key] for key in ("mean", "deviation", "class_weights") if key in task}
        statistics |= {"feature_width": task.get("width", 0), "pairs": "second" in task}
        head = {"dropout": 0.0, "label_smoothing": task.get("smoothing", 0), "class_weights": "none", "focal_gamma": task.get("focal_gamma", 0),
                "loss": "huber" if "delta" in task else "mse", "delta": task.get("delta", 1), "decoder_layers": DECODER_LAYERS, "max_target": 40}
        tasks.append({"name": name, "kind": task["kind"], "labels": [str(i) for i in range(task.get("labels", 0))],
                      "outputs": [str(i) for i in range(task.get("outputs", 0))], "head": head, "statistics": statistics,
                      "masking": {"share": 0.15, "mask": 0.8, "random": 0.1}})
    encoder = {"form": options["form"], "layers": LAYERS, "dim": DIM, "heads": HEADS, "ffn": FFN, "positions": POSITIONS, "dropout": 0.0} | encoder
    tokenizer = {"kind": "", "file": "", "sha256": "", "vocab_size": VOCABULARY, "pad": 0, "unk": 1, "bos": BOS, "eos": EOS, "mask": MASK}
    attention = {key: value for key, value in options.items() if key not in ("form", "blocks")}
    return {"encoder": encoder, "attention": attention, "tokenizer": tokenizer, "tasks": tasks, "dtype": "float64", "data": ""}


def owners_of(seed):
    return {"encoder": Parameters(seed), **{f"head.{name}": Parameters(seed) for name in NAMES}}


def named(owners):
    return {f"{owner}/{name}": value for owner, values in owners.items() for name, value in values.items()}


def run_case(options, encoder, distillation, padded, batch):
    owners, teachers, out, total = owners_of(0), owners_of(1), {}, 0.0
    delta, first = (1, 1) if options["mode"] == "competitive" else (0, 0)

    def run_task(owners, index, name, task):
        p, data = owners["encoder"], padded[index]
        states = encode(p, owners[f"head.{name}"], index, data, options | encoder)
        w = word_weights(p, states, data["mask"], options)
        embedding = p("embedding.weight", VOCABULARY, DIM)
        return states, w, *head_loss(owners[f"head.{name}"], embedding, states, w[:, :, first + index], data, task, delta)

    for index, (name, task) in enumerate(TASKS.items()):
        data, count = padded[index], batch["slices"][index]["count"]
        states, w, loss, said = run_task(owners, index, name, task)
        if distillation:
            taught = run_task(teachers, index, name, task)[-1]
            taught = [one.detach() for one in taught] if isinstance(taught, list) else taught.detach()
            share = distillation["share"]
            loss = (1 - share) * loss + share * distance(said, taught, task, distillation["temperature"])
        total = total + LOSS_WEIGHTS[index] * loss / count
        words = w[data["mask"]]  # [words of all texts, slots, attention heads]
        if options["entropy_bonus"]:
            share = words[:, first:] / words[:, first:].sum(1, True)
            total = total - LOSS_WEIGHTS[index] * options["entropy_bonus"] * -(share * share.log()).sum(1).mean()
        out |= {f"loss/{name}": loss[None], f"states/{name}": states[data["mask"]], f"weights/{name}": words.permute(2, 0, 1)}
    total.backward()
    parameters = named(owners)
    out |= {f"gradient/{name}": value.grad for name, value in parameters.items()}
    return ({name: value.detach().numpy() for name, value in tensors.items()} for tensors in (parameters, out, named(teachers)))


def main(folder):
    batch, padded = make_data()
    for name, changed in CASES.items():
        options = DEFAULTS | changed
        encoder, distillation = options.pop("encoder", {}), options.pop("distillation", None)
        case = {"model": describe(options, encoder), "batch": batch, "loss_weights": LOSS_WEIGHTS, "distillation": distillation}
        (folder / f"{name}.json").write_text(json.dumps(case))
        for part, tensors in zip(("parameters", "expected", "teacher"), run_case(options, encoder, distillation, padded, batch)):
            if tensors:
                save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, folder / f"{name}.{part}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
