#!/usr/bin/env python3
"""How far `polyhead plan` is from what happens: step times and memory of 1, 2 and 4 workers on this machine.

    bench/plan.py WORK --data DIR [-c RUN.INI] [-- --section.key VALUE …]

Calibrates on as many workers as there are cores, then trains some steps with each number of workers in turns, several times over, and
compares the medians with the plan. Run it on a quiet machine."""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
POLYHEAD = os.environ.get("POLYHEAD_BINARY", str(ROOT / "build" / "cpu" / "polyhead"))


def launched(workers, *words):
    launcher = [] if workers == 1 else ["mpirun", "--bind-to", "none", "-n", str(workers)]
    return [*launcher, POLYHEAD, *map(str, words)]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                         "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_mpi_yield_when_idle": "1"}


def output(command):
    return subprocess.run(command, env=environment(), check=True, capture_output=True, text=True).stdout


def peaks(folder, peak, ended):
    """Fills in the peak memory (bytes) of each process of the run. The kernel records it, so it is enough to look from
    time to time."""
    while not ended.wait(0.2):
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
                if str(folder).encode() not in words or not words[0].endswith(b"polyhead"):
                    continue
                status = (process / "status").read_text()
            except OSError:
                continue
            peak[process.name] = 1024 * int(status.split("VmHWM:")[1].split()[0])


def busy():
    """Returns the seconds of work of all processors, and those for processes that this one started."""
    user, nice, system, _, _, irq, soft = (int(word) for word in Path("/proc/stat").read_text().split()[1:8])
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK"), own.ru_utime + own.ru_stime


def others_since(before, start):
    everybody, own = (now - then for now, then in zip(busy(), before))
    return max(0, everybody - own) / (time.monotonic() - start)


def measure(folder, workers, steps, words):
    """Returns the median seconds of a step without the first third of the steps, the largest worker's peak memory, and
    the number of processors that other programs kept busy."""
    shutil.rmtree(folder, ignore_errors=True)
    peak, ended = {}, threading.Event()
    before, start = busy(), time.monotonic()
    watch = threading.Thread(target=peaks, args=(folder, peak, ended))
    watch.start()
    try:
        subprocess.run(launched(workers, "train", "--run-dir", folder, *words, "--run.stop_at", steps), env=environment(), check=True,
                       capture_output=True)
    finally:
        ended.set()
        watch.join()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines if line["kind"] == "step" and line["step"] > steps // 3]
    return statistics.median(seconds), max(peak.values()), others_since(before, start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("-c", "--config", default=str(ROOT / "examples" / "debmix" / "quickstart.ini"))
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=18)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("more", nargs="*", help="options of train, after --")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    machine, config = asked.work / "machine.ini", asked.work / "run.ini"
    words = ["--data", asked.data, "--run.threads", 1, *asked.more]

    before, start = busy(), time.monotonic()
    cores = len(os.sched_getaffinity(0))
    costs = output(launched(cores, "plan", "-c", asked.config, *words, "--calibrate", machine))
    print(f"calibration on {cores} workers: {time.monotonic() - start:.0f} s, others kept {others_since(before, start):.2f} processors busy")
    config.write_text(Path(asked.config).read_text() + costs)
    print(machine.read_text())
    words = ["-c", config, *words]

    found = {workers: [] for workers in asked.workers}
    for turn in range(asked.turns):
        for workers in asked.workers[::1 if turn % 2 == 0 else -1]:
            found[workers].append(measure(asked.work / "run", workers, asked.steps, words))
    print(f"| workers | step, ms | planned | apart | memory, MiB | planned | apart | others' processors |\n|{' --- |' * 8}")
    for workers, runs in found.items():
        plan = json.loads(output(launched(1, "plan", *words, "--workers", workers, "--per-node", workers, "--machine", machine, "--json")))
        seconds, planned = statistics.median(run[0] for run in runs), plan["step"]["seconds"]
        memory, held = statistics.median(run[1] for run in runs), max(worker["memory"]["total"] for worker in plan["workers"])
        low, high = min(run[0] for run in runs), max(run[0] for run in runs)
        print(f"| {workers} | {1000 * seconds:.1f} ({1000 * low:.1f} to {1000 * high:.1f}) | {1000 * planned:.1f} | {100 * (planned / seconds - 1):+.0f} % "
              f"| {memory / 2**20:.0f} | {held / 2**20:.0f} | {100 * (held / memory - 1):+.0f} % | {max(run[2] for run in runs):.2f} |")


if __name__ == "__main__":
    main()
