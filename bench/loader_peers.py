"""The Python ways to read the same samples, each in the best form that a careful user would write. A peer is made from the
data set's folder, its manifest and a work folder; `batches(steps)` gives one Packed a step, where a step is a list of each task's
sample numbers: tokens and offsets, int64 (numpy's or torch's), and each task's targets by name."""

from collections import namedtuple
from pathlib import Path

import h5py
import numpy as np

Packed = namedtuple("Packed", "tokens offsets targets")
IGNORE, NOT_SCORED = -100, 65535
FIELDS = ("labels", "tags", "target_tokens", "target_offsets")
# The parts of a sample: one number, one number a token, or a sequence with offsets of its own.
COLUMNS = {"classification": ("target/label",), "tagging": ("target/tags",), "translation": ("target/tokens", "target/offsets")}


def ends(lengths):
    offsets = np.zeros(len(lengths) + 1, "i8")
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def scored(tags):
    tags[tags == NOT_SCORED] = IGNORE
    return tags


class Task:
    """The shards of one task: `columns[shard][name]` is the result of `open_column` for each dataset."""

    def __init__(self, folder, info, open_column):
        self.name, self.kind = info["name"], info["kind"]
        shards = info["splits"]["train"]["shards"]
        self.first = np.concatenate([[0], np.cumsum([shard["samples"] for shard in shards])])
        self.columns = []
        for shard in shards:
            path = Path(folder) / shard["file"]
            file = h5py.File(path, "r")
            self.columns.append({name: open_column(path, file[name])
                                 for name in ("input/tokens", "input/offsets", *COLUMNS[self.kind])})

    def places(self, rows):
        """(shard, row in the shard) of each sample."""
        shards = np.searchsorted(self.first, rows, side="right") - 1
        return shards.tolist(), (rows - self.first[shards]).tolist()


class Numpy:
    """Batches as numpy arrays."""

    def batches(self, steps):
        return map(self.load, steps)


class Rows(Numpy):
    """Row by row: one slice of each dataset for each sample. The slices are concatenated at the end."""

    def __init__(self, folder, manifest, work, open_column):
        self.tasks = [Task(folder, info, open_column) for info in manifest["tasks"]]

    def load(self, rows):
        pieces, lengths, targets = [], [], {}
        for task, wanted in zip(self.tasks, rows):
            labels, tags, target, target_lengths = [], [], [], []
            for shard, row in zip(*task.places(wanted)):
                columns = task.columns[shard]
                offsets = columns["input/offsets"]
                begin, end = int(offsets[row]), int(offsets[row + 1])
                pieces.append(columns["input/tokens"][begin:end])
                lengths.append(end - begin)
                if task.kind == "classification":
                    labels.append(columns["target/label"][row])
                elif task.kind == "tagging":
                    tags.append(columns["target/tags"][begin:end])
                else:
                    offsets = columns["target/offsets"]
                    begin, end = int(offsets[row]), int(offsets[row + 1])
                    target.append(columns["target/tokens"][begin:end])
                    target_lengths.append(end - begin)
            if task.kind == "classification":
                targets[task.name] = {"labels": np.array(labels, "i8")}
            elif task.kind == "tagging":
                targets[task.name] = {"tags": scored(np.concatenate(tags, dtype="i8"))}
            else:
                targets[task.name] = {"target_tokens": np.concatenate(target, dtype="i8"), "target_offsets": ends(target_lengths)}
        return Packed(np.concatenate(pieces, dtype="i8"), ends(lengths), targets)


def mapped(path, dataset):
    return np.asarray(np.memmap(path, dataset.dtype, "c", dataset.id.get_offset(), dataset.shape))


class H5py(Rows):
    """Slices of h5py datasets; offsets and labels are held in memory."""

    def __init__(self, folder, manifest, work):
        super().__init__(folder, manifest, work,
                         lambda path, dataset: dataset if dataset.name.endswith(("tokens", "tags")) else dataset[:])


class Mapped(Rows):
    """Slices of numpy memory maps at the datasets' offsets in the files."""

    def __init__(self, folder, manifest, work):
        super().__init__(folder, manifest, work, mapped)


def spread(starts, lengths, offsets):
    """The positions of all elements of the rows [start, start + length)."""
    return np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])


class Vectorised(Numpy):
    """Memory maps without a loop over samples: the indices of a whole slice are computed, then its elements are read at
    once."""

    def __init__(self, folder, manifest, work):
        self.tasks = [Task(folder, info, mapped) for info in manifest["tasks"]]

    @staticmethod
    def take(task, shards, places, lengths, name):
        """The elements of all rows, in the order of the batch; the rows of a shard are read at once."""
        offsets = ends(lengths)
        if len(task.columns) == 1:
            return task.columns[0][name][spread(places, lengths, offsets)].astype("i8"), offsets
        out = np.empty(offsets[-1], "i8")
        for shard, columns in enumerate(task.columns):
            at = np.flatnonzero(shards == shard)
            own = ends(lengths[at])
            out[spread(offsets[at], lengths[at], own)] = columns[name][spread(places[at], lengths[at], own)]
        return out, offsets

    @staticmethod
    def each(task, shards, rows, name):
        out = np.empty(len(rows), "i8")
        for shard, columns in enumerate(task.columns):
            at = shards == shard
            out[at] = columns[name][rows[at]]
        return out

    def load(self, rows):
        tokens, lengths, targets = [], [], {}
        for task, wanted in zip(self.tasks, rows):
            shards = np.searchsorted(task.first, wanted, side="right") - 1
            inside = wanted - task.first[shards]
            begin = self.each(task, shards, inside, "input/offsets")
            size = self.each(task, shards, inside + 1, "input/offsets") - begin
            tokens.append(self.take(task, shards, begin, size, "input/tokens")[0])
            lengths.append(size)
            if task.kind == "classification":
                targets[task.name] = {"labels": self.each(task, shards, inside, "target/label")}
            elif task.kind == "tagging":
                targets[task.name] = {"tags": scored(self.take(task, shards, begin, size, "target/tags")[0])}
            else:
                begin = self.each(task, shards, inside, "target/offsets")
                size = self.each(task, shards, inside + 1, "target/offsets") - begin
                targets[task.name] = dict(zip(FIELDS[2:], self.take(task, shards, begin, size, "target/tokens")))
        return Packed(np.concatenate(tokens), ends(np.concatenate(lengths)), targets)


class HuggingFace(Numpy):
    """Memory-mapped Arrow files: a batch is indexed at once, and its columns are used without a loop."""

    format = "arrow"

    def __init__(self, folder, manifest, work):
        import datasets
        import pyarrow
        datasets.disable_progress_bars()
        self.tasks = []
        for info in manifest["tasks"]:
            kept = Path(work) / "arrow" / info["name"]
            if not kept.exists():
                convert(folder, info, kept, datasets, pyarrow)
            data = datasets.load_from_disk(str(kept), keep_in_memory=False)
            self.tasks.append((info["name"], data.with_format(self.format)))

    def load(self, rows):
        tokens, lengths, targets = [], [], {}
        for (name, data), wanted in zip(self.tasks, rows):
            batch = data[wanted]
            values, offsets = self.flat(batch["tokens"])
            tokens.append(values)
            lengths.append(np.diff(offsets))
            if "label" in data.column_names:
                targets[name] = {"labels": np.asarray(batch["label"], "i8")}
            elif "tags" in data.column_names:
                targets[name] = {"tags": scored(self.flat(batch["tags"])[0])}
            else:
                targets[name] = dict(zip(FIELDS[2:], self.flat(batch["target"])))
        return Packed(np.concatenate(tokens), ends(np.concatenate(lengths)), targets)

    @staticmethod
    def flat(column):
        """Values and offsets of a chunked list column."""
        lists = column.combine_chunks()
        return lists.flatten().to_numpy().astype("i8"), ends(lists.value_lengths().to_numpy())


class HuggingFaceNumpy(HuggingFace):
    """The same with the format that the library's guides recommend: a list of arrays."""

    format = "numpy"

    @staticmethod
    def flat(column):
        return np.concatenate(list(column), dtype="i8"), ends([len(row) for row in column])


def convert(folder, info, out, datasets, pyarrow):
    """Converts the samples of a task to a Dataset on disk."""
    task = Task(folder, info, lambda path, dataset: dataset[:])

    def lists(shard, values, offsets):
        return pyarrow.ListArray.from_arrays(pyarrow.array(shard[offsets].astype("i4")), pyarrow.array(shard[values]))

    columns = {"tokens": lambda shard: lists(shard, "input/tokens", "input/offsets")}
    if task.kind == "classification":
        columns["label"] = lambda shard: pyarrow.array(shard["target/label"])
    elif task.kind == "tagging":
        columns["tags"] = lambda shard: lists(shard, "target/tags", "input/offsets")
    else:
        columns["target"] = lambda shard: lists(shard, "target/tokens", "target/offsets")
    table = pyarrow.table({name: pyarrow.chunked_array([make(shard) for shard in task.columns]) for name, make in columns.items()})
    datasets.Dataset(datasets.table.InMemoryTable(table)).save_to_disk(str(out))


class Torch:
    """A DataLoader without worker processes over memory maps: `__getitem__` returns a sample, and the collate function
    packs."""

    def __init__(self, folder, manifest, work):
        import torch
        self.torch = torch
        self.tasks = [Task(folder, info, mapped) for info in manifest["tasks"]]

    def batches(self, steps):
        order = [[(task, row) for task, wanted in enumerate(rows) for row in wanted.tolist()] for rows in steps]
        return self.torch.utils.data.DataLoader(self, batch_sampler=order, num_workers=0, collate_fn=self.collate)

    def __len__(self):
        return sum(int(task.first[-1]) for task in self.tasks)

    def __getitem__(self, number):
        """(task's index, tokens, target), tensors as they are stored."""
        task = self.tasks[number[0]]
        shard = int(np.searchsorted(task.first, number[1], side="right")) - 1
        row, columns, tensor = number[1] - int(task.first[shard]), task.columns[shard], self.torch.from_numpy
        offsets = columns["input/offsets"]
        place = slice(int(offsets[row]), int(offsets[row + 1]))
        tokens = tensor(columns["input/tokens"][place])
        if task.kind == "classification":
            return number[0], tokens, int(columns["target/label"][row])
        if task.kind == "tagging":
            return number[0], tokens, tensor(columns["target/tags"][place])
        offsets = columns["target/offsets"]
        return number[0], tokens, tensor(columns["target/tokens"][int(offsets[row]):int(offsets[row + 1])])

    def joined(self, rows):
        """Values and offsets of tensors one after another, int64."""
        lengths = self.torch.tensor([0] + [len(row) for row in rows])
        return self.torch.cat(rows).to(self.torch.int64), self.torch.cumsum(lengths, 0)

    def collate(self, samples):
        tokens, offsets = self.joined([tokens for _, tokens, _ in samples])
        found = [[] for _ in self.tasks]
        for task, _, target in samples:
            found[task].append(target)
        targets = {}
        for task, values in zip(self.tasks, found):
            if task.kind == "classification":
                targets[task.name] = {"labels": self.torch.tensor(values)}
            elif task.kind == "tagging":
                tags = self.joined(values)[0]
                targets[task.name] = {"tags": tags.masked_fill_(tags == NOT_SCORED, IGNORE)}
            else:
                targets[task.name] = dict(zip(FIELDS[2:], self.joined(values)))
        return Packed(tokens, offsets, targets)


class TorchBatched:
    """A DataLoader whose Dataset returns a whole batch at once (`__getitems__`), packed with numpy."""

    packs = Vectorised

    def __init__(self, folder, manifest, work):
        import torch
        self.torch = torch
        self.samples = self.packs(folder, manifest, work)

    def batches(self, steps):
        return self.torch.utils.data.DataLoader(self, batch_sampler=steps, num_workers=0, collate_fn=self.collate)

    def __len__(self):
        return sum(int(task.first[-1]) for task in self.samples.tasks)

    def __getitems__(self, rows):
        return self.samples.load(rows)

    def collate(self, packed):
        tensor = self.torch.from_numpy
        return Packed(tensor(packed.tokens), tensor(packed.offsets), {
            name: {field: tensor(array) for field, array in fields.items()} for name, fields in packed.targets.items()})


class TorchBatchedRows(TorchBatched):
    packs = Mapped
