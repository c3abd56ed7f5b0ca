#!/usr/bin/env python3
"""Measures how many batches and tokens a second Polyhead's loader packs, against a plain C loop, h5py, PyTorch's DataLoader
and Hugging Face datasets, on the same samples of one data set: in one run, in turns, one thread each, warm cache. First it
checks that all of them pack equal tensors. bench/README.md says what the figures mean."""

import argparse
import importlib.metadata
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np

import loader_dataset
import loader_peers as peers
from loader_peers import FIELDS, Packed

# Contestants: what they are called in the table; for Python's, the class and the packages that it stands for.
COMPILED = {"polyhead": "Polyhead's Loader", "thread": "the same, ahead in a thread", "gather": "plain C loop"}
PYTHON = {"h5py": ("h5py, a slice a sample", peers.H5py, ["h5py"]),
          "torch": ("DataLoader, a sample at a time", peers.Torch, ["torch"]),
          "torch-rows": ("DataLoader, batched, slices of maps", peers.TorchBatchedRows, ["torch"]),
          "torch-batched": ("DataLoader, batched, vectorised", peers.TorchBatched, ["torch"]),
          "datasets": ("datasets, arrow format", peers.HuggingFace, ["datasets", "pyarrow"]),
          "datasets-numpy": ("datasets, numpy format", peers.HuggingFaceNumpy, ["datasets", "pyarrow"])}
CHECKED = 3  # steps whose tensors are compared


class Mismatch(Exception):
    """Two contestants packed different tensors from the same samples."""


class Program:
    """bench/loader.cpp as a process that waits for commands."""

    def __init__(self, path, data, batch, seed):
        self.process = subprocess.Popen([path, str(data), str(batch), str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        about = self.answer()
        self.tasks, self.quotas = about["tasks"], about["quotas"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the loader program ended with code {self.process.wait()}")
        return json.loads(line)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return self.answer()

    def rows(self, first, steps, file):
        """The sample numbers of each step, by task."""
        self.ask("rows", first, steps, file)
        return [np.split(step, np.cumsum(self.quotas)[:-1]) for step in np.fromfile(file, "i8").reshape(steps, -1)]

    def packed(self, who, first, steps, file):
        self.ask("dump", who, first, steps, file)
        values = iter(np.split(*unflatten(np.fromfile(file, "i8"))))
        for _ in range(steps):
            tokens, offsets = next(values), next(values)
            fields = [{field: next(values) for field in FIELDS} for _ in self.tasks]
            yield Packed(tokens, offsets, {name: {field: array for field, array in task.items() if len(array)}
                                           for name, task in zip(self.tasks, fields)})

    def time(self, who, first, steps):
        return self.ask("time", who, first, steps)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def unflatten(values):
    """Returns the values, and the positions at which to split them, of arrays that were written as (length,
    values...)."""
    at, keep, cuts = 0, np.ones(len(values), bool), []
    while at < len(values):
        keep[at] = False
        at += 1 + int(values[at])
        cuts.append(at - len(cuts) - 1)
    return values[keep], cuts[:-1]


def compare(who, step, expected, found):
    """Raises Mismatch if two Packed differ in a number or in a type."""
    pairs = [("tokens", expected.tokens, found.tokens), ("offsets", expected.offsets, found.offsets)]
    if expected.targets.keys() != found.targets.keys():
        raise Mismatch(f"{who} packs targets of other tasks in step {step}")
    for task, fields in expected.targets.items():
        if fields.keys() != found.targets[task].keys():
            raise Mismatch(f"{who} packs other targets of {task} in step {step}: {sorted(found.targets[task])}")
        pairs += [(f"{task}: {field}", array, found.targets[task][field]) for field, array in fields.items()]
    for what, one, other in pairs:
        other = np.asarray(other)
        if other.dtype != np.int64 or not np.array_equal(one, other):
            raise Mismatch(f"{who} packs other {what} in step {step} than Polyhead ({other.dtype}, {other.shape}, Polyhead {one.shape})")


def check(program, python, scratch):
    """Checks that all contestants pack the same tensors."""
    expected = list(program.packed("polyhead", 1, CHECKED, scratch))
    rows = program.rows(1, CHECKED, scratch)
    for who in COMPILED:
        for step, found in enumerate(program.packed(who, 1, CHECKED, scratch)):
            compare(who, step + 1, expected[step], found)
    for who, peer in python.items():
        for step, found in enumerate(peer.batches(rows)):
            compare(who, step + 1, expected[step], found)


def time_python(peer, steps):
    tokens, start, cpu = 0, time.perf_counter(), time.process_time()
    for packed in peer.batches(steps):
        tokens += len(packed.tokens) + sum(len(fields.get("target_tokens", ())) for fields in packed.targets.values())
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu, "tokens": tokens, "steps": len(steps)}


def measure(program, python, seconds, repetitions, scratch):
    """The measurements of each contestant, one for each repetition. In a repetition, all contestants run one after
    another in random order, each for about `seconds`. No step is used twice, as its rows would then be in the
    processor's caches."""
    def turn(who, first, steps):
        if who in COMPILED:
            return program.time(who, first, steps)
        return time_python(python[who], program.rows(first, steps, scratch))

    found = {who: [] for who in (*COMPILED, *python)}
    steps, next_step = {}, CHECKED + 1
    for who in found:
        count = 200 if who in COMPILED else 20
        turn(who, next_step, count)
        steps[who] = max(int(seconds / turn(who, next_step + count, count)["seconds"] * count), 2)
        next_step += 2 * count
    drawn = random.Random(1)
    for _ in range(repetitions):
        for who in drawn.sample(list(found), len(found)):
            found[who].append(turn(who, next_step, steps[who]))
            next_step += steps[who]
    return found


def spread(values, digits):
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(found):
    """The results as Markdown. Ratios are computed in each repetition, between the rates of Polyhead and of the other
    contestant."""
    names = COMPILED | {who: name for who, (name, _, _) in PYTHON.items()}
    lines = ["| who | batches/s | million tokens/s | Polyhead is faster by | by CPU time |", "| --- | --- | --- | --- | --- |"]
    for who, runs in found.items():
        ratios = [[(own["tokens"] / own[clock]) / (other["tokens"] / other[clock]) for own, other in zip(found["polyhead"], runs)]
                  for clock in ("seconds", "cpu_seconds")]
        lines.append(f"| {names[who]} | {spread([run['steps'] / run['seconds'] for run in runs], 0)} "
                     f"| {spread([run['tokens'] / run['seconds'] / 1e6 for run in runs], 1)} "
                     f"| {spread(ratios[0], 2)} | {spread(ratios[1], 2)} |")
    return lines


def versions(chosen):
    packages = sorted({"numpy", "h5py"} | {package for who in chosen for package in PYTHON[who][2]})
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), platform.machine())
    return f"{cpu}, {os.cpu_count()} cores; Python {platform.python_version()}, " + ", ".join(
        f"{package} {importlib.metadata.version(package)}" for package in packages)


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split(". ")[0] + ".")
    parser.add_argument("work", help="folder for the data set (kept for the next run)")
    parser.add_argument("--program", default=Path(__file__).parents[1] / "build/cpu/bench/loader", help="the compiled half")
    parser.add_argument("--bytes", type=int, default=1 << 30, help="size of the data set")
    parser.add_argument("--batch", type=int, default=256, help="samples a step over the eight tasks")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--peers", nargs="*", default=list(PYTHON), choices=list(PYTHON))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="all measurements instead of the table")
    options = parser.parse_args(words)

    if any("torch" in PYTHON[who][2] for who in options.peers):
        import torch
        torch.set_num_threads(1)
    data = loader_dataset.make(Path(options.work) / "data", options.bytes, options.seed)
    manifest = json.loads((data / "dataset.json").read_text())
    program = Program(options.program, data, options.batch, options.seed)
    python = {who: PYTHON[who][1](data, manifest, options.work) for who in options.peers}
    scratch = tempfile.mkdtemp(dir=options.work)
    try:
        check(program, python, f"{scratch}/arrays")
        found = measure(program, python, options.seconds, options.repetitions, f"{scratch}/arrays")
    finally:
        program.close()
        shutil.rmtree(scratch)
    if options.json:
        print(json.dumps({"machine": versions(options.peers), "batch": options.batch, "runs": found}))
        return
    print(versions(options.peers))
    print(f"{len(manifest['tasks'])} tasks, {sum(task['splits']['train']['samples'] for task in manifest['tasks'])} samples, "
          f"{sum(shard['bytes'] for task in manifest['tasks'] for shard in task['splits']['train']['shards']) / 2**30:.2f} GiB; "
          f"batch {options.batch}; {options.repetitions} turns of {options.seconds} s; equal tensors in {CHECKED} steps")
    print("\n".join(table(found)))


if __name__ == "__main__":
    try:
        main()
    except Mismatch as error:
        sys.exit(f"not the same tensors: {error}")
