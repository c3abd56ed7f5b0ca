#!/usr/bin/env python3
"""Measures sums of floats over workers of one host, in place: Polyhead's communicator in shared and in plain memory, MPI_Allreduce,
and gloo by PyTorch, in one run, in turns, one thread a worker. Each is checked before it is measured. bench/README.md says
what the figures mean."""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from plan import busy, others_since

COMPILED = {"shared": "Polyhead, shared memory", "plain": "Polyhead, plain memory", "mpi": "MPI_Allreduce"}
NAMES = COMPILED | {"gloo": "gloo by PyTorch"}
SIZES = [1 << power for power in (10, 12, 14, 16, 18, 20, 22, 24, 26, 28)]


class Program:
    """bench/allreduce.cpp under mpirun."""

    def __init__(self, path, workers):
        self.process = subprocess.Popen(["mpirun", "-n", str(workers), "--bind-to", "none", str(path)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def time(self, who, size, calls):
        print(who, size, calls, file=self.process.stdin, flush=True)
        return answer(self.process)


class Gloo:
    """Processes of this script, one for each worker."""

    def __init__(self, workers, folder):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        self.processes = [subprocess.Popen([sys.executable, __file__, "--gloo", str(rank), str(workers), f"{folder}/store"],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
                          for rank in range(workers)]
        for process in self.processes:
            answer(process)

    def time(self, _, size, calls):
        for process in self.processes:
            print(size, calls, file=process.stdin, flush=True)
        return max([answer(process) for process in self.processes])


def answer(process):
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(process.args)} ended with code {process.wait()}")
    return float(line)


def be_gloo(rank, workers, store):
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=workers)
    buffer = torch.zeros(SIZES[-1] // 4)
    print(0, flush=True)
    for line in sys.stdin:
        size, calls = map(int, line.split())
        values = buffer[:size // 4]
        torch.remainder(torch.arange(len(values), dtype=torch.float32), 1000, out=values)
        expected = values * sum(range(1, workers + 1))
        values.mul_(rank + 1)
        dist.all_reduce(values)
        if not values.equal(expected):
            raise SystemExit("gloo: wrong sums")
        del expected
        values.zero_()
        dist.barrier()
        start = time.perf_counter()
        for _ in range(calls):
            dist.all_reduce(values)
        print(time.perf_counter() - start, flush=True)


def measure(contestants, sizes, seconds, repetitions):
    """Returns {size: {contestant: seconds per call, one value for each repetition}}. In a repetition, all contestants
    run one after another in random order, each for about `seconds`, but for at least one call."""
    drawn, found = random.Random(1), {}
    for size in sizes:
        calls = {}
        for who, contestant in contestants.items():
            trial = max(1, (1 << 20) // size)
            contestant.time(who, size, trial)  # touches its memory
            calls[who] = max(1, round(seconds / contestant.time(who, size, trial) * trial))
        found[size] = {who: [] for who in contestants}
        for _ in range(repetitions):
            for who in drawn.sample(list(contestants), len(contestants)):
                found[size][who].append(contestants[who].time(who, size, calls[who]) / calls[who])
    return found


def words(size):
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def spread(values, digits):
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(found):
    """The results as Markdown: milliseconds per call, and the ratio of the others to the first in each repetition."""
    contestants = list(next(iter(found.values())))
    lines = ["| size | " + " | ".join(f"{NAMES[who]}, ms" for who in contestants) + " | "
             + " | ".join(f"{NAMES[who]}: times as long" for who in contestants[1:]) + " |",
             "| --- " * (2 * len(contestants)) + "|"]
    for size, runs in found.items():
        cells = [spread([1e3 * value for value in runs[who]], 4 if size < 1 << 20 else 2) for who in contestants]
        cells += [spread([other / own for own, other in zip(runs[contestants[0]], runs[who])], 1) for who in contestants[1:]]
        lines.append(f"| {words(size)} | " + " | ".join(cells) + " |")
    return lines


def main():
    if sys.argv[1:2] == ["--gloo"]:
        return be_gloo(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    parser = argparse.ArgumentParser(description=__doc__.split(": ")[0] + ".")
    parser.add_argument("--program", default=Path(__file__).parents[1] / "build/cpu/bench/allreduce", help="the compiled half")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each turn")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="bytes, at most 256 MiB")
    parser.add_argument("--without-gloo", action="store_true", help="for a Python without torch")
    options = parser.parse_args()
    before, started = busy(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        program = Program(options.program, options.workers)
        contestants = {who: program for who in COMPILED}
        processes = [program.process]
        if not options.without_gloo:
            contestants["gloo"] = Gloo(options.workers, folder)
            processes += contestants["gloo"].processes
        try:
            found = measure(contestants, options.sizes, options.seconds, options.repetitions)
        finally:
            for process in processes:
                process.stdin.close()
            for process in processes:
                process.wait()
    print(f"{options.workers} workers; {options.repetitions} turns of {options.seconds} s; equal sums; "
          f"others kept {others_since(before, started):.2f} processors busy")
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
