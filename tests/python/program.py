"""Helpers of the end-to-end tests: they start the program and read the files of a run folder."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import xxhash
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
POLYHEAD = os.environ.get("POLYHEAD_BINARY", str(ROOT / "build" / "cpu" / "polyhead"))
LAUNCHERS = ("OMPI_COMM_WORLD", "PMIX_", "PMI_", "SLURM_")
KINDS = {"topic": "classification", "style": "classification", "tags": "tagging", "dictionary": "translation", "lines": "masked_lm",
         "subjects": "multilabel", "ornament": "regression", "reply": "classification", "wind": "classification"}
EVERY_KIND = KINDS | {"answer": "span"}  # the tasks of the fixture every_kind
TEXTS = [task for task in KINDS if task != "wind"]  # whose input is not vectors
# A model that takes a step in a few milliseconds.
SMALL = ["--encoder.layers", 2, "--encoder.dim", 32, "--encoder.heads", 4, "--encoder.ffn", 64, "--encoder.dropout", 0.1,
         "--run.threads", 1, "--mixture.batch", 20, "--optimizer.lr", 1e-3, "--optimizer.warmup", 5]


def environment(**more):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(LAUNCHERS)}
    return clean | {"OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                    "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_mpi_yield_when_idle": "1"} | more


def command(*words, workers=1):
    launcher = [] if workers == 1 else ["mpirun", "--bind-to", "none", "-n", str(workers)]
    return [*launcher, POLYHEAD, *map(str, words)]


def run(*words, workers=1, timeout=60, **more):
    """Runs the program until it ends. If it hangs, the test fails."""
    if "input" not in more:
        more.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(command(*words, workers=workers), env=environment(), capture_output=True, encoding="utf-8", timeout=timeout, **more)


def train_words(folder, data, *more):
    """If an option is given twice, the later one applies, so that tests can override defaults."""
    words, given = [], [str(word) for word in more]
    for key, value in zip(SMALL[::2], SMALL[1::2]):
        if key not in given:
            words += [key, value]
    return ["train", "--run-dir", folder, "--data", data, *words, *more]


def train(folder, data, *more, workers=1, code=0, timeout=60):
    done = run(*train_words(folder, data, *more), workers=workers, timeout=timeout)
    assert done.returncode == code, done.stderr
    return done


def start(folder, data, *more, workers=1):
    """Starts training and does not wait for its end."""
    return subprocess.Popen(command(*train_words(folder, data, *more), workers=workers), env=environment(), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def wait_for(condition, process, seconds=30):
    """Waits until the condition holds while the process runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended early with {process.returncode}: {process.communicate()[1]}"
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def handles(pid, which):
    """Whether the process has a handler for the signal."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (which - 1) & 1)


def survivors(folder, tries=20):
    """Processes that still use this folder shortly after the launcher has ended."""
    for _ in range(tries):
        found = subprocess.run(["pgrep", "-f", "--", f"--run-dir {folder}( |$)"], capture_output=True, text=True).stdout.split()
        if not found:
            break
        time.sleep(0.1)
    return found


def fails(code, *words, says, workers=1, timeout=60, **more):
    """The program ends with this code, prints nothing on stdout, and prints one paragraph that contains each of the
    texts."""
    done = run(*words, workers=workers, timeout=timeout, **more)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert done.stdout == ""
    paragraph = [line for line in done.stderr.split("\n") if line.startswith("polyhead")]
    assert len(paragraph) == 1, done.stderr
    for text in says:
        assert text in paragraph[0], done.stderr
    return paragraph[0]


# What a run folder holds


def lines(folder):
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]


def steps(folder):
    return [line for line in lines(folder) if line["kind"] == "step"]


def log(folder):
    """metrics.jsonl without times, and without the checks of lines, which include them."""
    return [{key: value for key, value in line.items() if key not in ("seconds", "wait", "check")} for line in lines(folder)]


def step_count(folder):
    """The number of steps written so far, possibly by a process that is still writing."""
    file = Path(folder) / "metrics.jsonl"
    return file.read_bytes().count(b'"kind":"step"') if file.exists() else 0


def whole_status(folder):
    return json.loads((Path(folder) / "status.json").read_text())


def status(folder):
    """status.json without the keys that identify the process."""
    return {key: value for key, value in whole_status(folder).items() if key not in ("host", "pid", "start", "process")}


def newest(folder):
    checkpoints = Path(folder) / "checkpoints"
    return checkpoints / (checkpoints / "latest").read_text().strip()


def files(folder):
    """Names and contents of the files of the newest checkpoint."""
    return {file.name: file.read_bytes() for file in newest(folder).iterdir()}


def parameters(folder):
    """The arrays of the newest checkpoint, by owner and name."""
    return {file.name.removesuffix(".safetensors"): load_file(file)
            for file in sorted(newest(folder).glob("*.safetensors")) if not file.name.endswith(".optimizer.safetensors")}


# How far apart two runs of the same training may be on different numbers of workers, as distance() measures it.
BOUND = {"float32": 1e-5, "float64": 1e-10}


def distance(one, two):
    """‖θ1 − θ2‖ / ‖θ1‖ over all parameters, as parameters() returns them."""
    assert one.keys() == two.keys()
    apart = total = 0.0
    for owner in one:
        assert one[owner].keys() == two[owner].keys()
        for name, value in one[owner].items():
            assert value.dtype == two[owner][name].dtype
            apart += np.sum((value.astype(np.float64) - two[owner][name]) ** 2)
            total += np.sum(value.astype(np.float64) ** 2)
    return float(np.sqrt(apart / total))


def parameter_hash(folder):
    """The hash as the contract defines it: xxh3-64 over the 8-byte hashes of the encoder, then of the heads by task
    name."""
    owners = parameters(folder)
    digest = xxhash.xxh3_64()
    for owner in ["encoder", *sorted(name for name in owners if name != "encoder")]:
        values = b"".join(owners[owner][name].tobytes() for name in sorted(owners[owner]))
        digest.update(xxhash.xxh3_64_intdigest(values).to_bytes(8, "little"))
    return digest.hexdigest()


def edit_state(file, change):
    """Changes a checkpoint's state.json, and removes its hash, which earlier versions did not have."""
    state = json.loads(file.read_text())
    change(state)
    state.pop("state_hash", None)
    file.write_text(json.dumps(state))


def flip(file, at=None):
    """Changes one bit of a file, by default in its middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    file.write_bytes(content)


def shard(folder, task, split="train"):
    return folder / task / f"{split}-00000-of-00001.h5"


def interrupt(process, pid, which=signal.SIGUSR1):
    """Sends the signal to a process of the job and waits until the job ends."""
    os.kill(pid, which)
    _, errors = process.communicate(timeout=60)
    return errors


def worker_pid(folder, rank):
    text = (Path(folder) / "logs" / f"rank-{rank:04}.log").read_text()
    return int(text.rsplit(", process ", 1)[1].split(",")[0])
