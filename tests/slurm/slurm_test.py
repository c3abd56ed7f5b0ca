"""Training under a private Slurm of two nodes on this machine: both launchers, an array, a requeue, srun without PMIx."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from program import POLYHEAD, ROOT, environment, status, step_count, train, train_words

WITH_DAEMONS = os.environ["PATH"] + ":/usr/sbin"
MISSING = ["root"] if os.geteuid() != 0 else []
MISSING += [name for name in ("slurmctld", "slurmd", "sbatch", "srun", "munged") if shutil.which(name, path=WITH_DAEMONS) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}; launch/setup as root installs the packages")
STEPS = ["--run.steps", 12, "--run.checkpoint_every", 4, "--run.eval_every", 0]
LONG = ["--run.steps", 600, "--run.eval_every", 0]
NODES = ["-N2", "--ntasks-per-node=1"]


@pytest.fixture(scope="module")
def cluster():
    # munged wants a folder that nobody but root can write, up to the root.
    base = Path(tempfile.mkdtemp(prefix="polyhead-slurm-", dir="/run"))
    base.rmdir()
    try:
        subprocess.run([ROOT / "tests/slurm/cluster", "start", base], env=environment(PATH=WITH_DAEMONS), check=True, timeout=60)
        yield environment(PATH=WITH_DAEMONS, SLURM_CONF=str(base / "slurm.conf"), POLYHEAD_BINARY=POLYHEAD)
    finally:
        subprocess.run([ROOT / "tests/slurm/cluster", "stop", base], env=environment(PATH=WITH_DAEMONS), check=True, timeout=60)


@pytest.fixture(scope="module")
def expected(data, tmp_path_factory):
    """The parameter hash of two workers on this machine without Slurm."""
    folder = tmp_path_factory.mktemp("expected") / "run"
    train(folder, data, *STEPS, workers=2)
    return status(folder)["parameter_hash"]


def slurm(cluster, *words, folder, code=0):
    done = subprocess.run(list(map(str, words)), env=cluster, cwd=folder, capture_output=True, encoding="utf-8", timeout=90)
    logs = "".join(path.read_text() for path in folder.glob("*.log"))
    assert done.returncode == code, done.stderr + logs
    return done


@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
def test_two_nodes_train_as_two_workers_of_one_machine(launcher, cluster, data, expected, tmp_path):
    _, *words = train_words(tmp_path / "run", data, *STEPS)
    slurm(cluster | {"POLYHEAD_LAUNCHER": launcher}, "sbatch", "--wait", *NODES, "-o", "job.log", ROOT / "launch/slurm/train.sbatch", *words,
          folder=tmp_path)
    assert status(tmp_path / "run")["parameter_hash"] == expected
    hosts = {path.read_text().split(" on ")[1].split(",")[0] for path in (tmp_path / "run" / "logs").glob("rank-*.log")}
    assert hosts == {"n0", "n1"}


def test_two_workers_on_each_of_two_nodes(cluster, data, tmp_path):
    """With four workers, the order of summation depends on the launcher, so the bits are equal only with
    run.reproducible = world."""
    exact = [*STEPS, "--run.reproducible", "world", "--optimizer.shard", "world"]
    _, *words = train_words(tmp_path / "run", data, *exact)
    slurm(cluster, "sbatch", "--wait", "-N2", "--ntasks-per-node=2", "-o", "job.log", ROOT / "launch/slurm/train.sbatch", *words, folder=tmp_path)
    train(tmp_path / "one", data, *exact)
    assert status(tmp_path / "run")["parameter_hash"] == status(tmp_path / "one")["parameter_hash"]
    assert len(list((tmp_path / "run" / "logs").glob("rank-*.log"))) == 4


def test_an_array_of_two_jobs_trains_two_runs(cluster, data, expected, tmp_path):
    words = " ".join(map(str, train_words(f"{tmp_path}/run-$SLURM_ARRAY_TASK_ID", data, *STEPS)))
    (tmp_path / "job").write_text(f"#!/bin/bash\nsrun --mpi=pmix {POLYHEAD} {words}\n")
    slurm(cluster, "sbatch", "--wait", "--array=0-1", *NODES, "-o", "%a.log", "job", folder=tmp_path)
    assert [status(tmp_path / f"run-{task}")["parameter_hash"] for task in range(2)] == [expected] * 2


def test_a_signalled_job_saves_requeues_itself_and_goes_on(cluster, data, whole, tmp_path):
    _, *words = train_words(tmp_path / "run", data, *LONG)
    job = slurm(cluster, "sbatch", "--parsable", *NODES, "-o", "job.log", ROOT / "launch/slurm/train.sbatch", *words, folder=tmp_path).stdout.strip()
    wait_until(lambda: step_count(tmp_path / "run") >= 5, tmp_path)
    slurm(cluster, "scancel", "--batch", "--signal=USR1", job, folder=tmp_path)
    wait_until(lambda: "start 2" in (tmp_path / "job.log").read_text() and status(tmp_path / "run")["state"] == "done", tmp_path)
    assert "back into the queue" in (tmp_path / "job.log").read_text()
    assert status(tmp_path / "run")["parameter_hash"] == status(whole(LONG, 2))["parameter_hash"]


def wait_until(condition, folder, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "".join(path.read_text() for path in folder.glob("*.log"))
        time.sleep(0.02)


def test_srun_without_pmix_says_how_to_start(cluster, data, tmp_path):
    done = slurm(cluster, "srun", "--mpi=none", "-N2", "-n2", POLYHEAD, *train_words(tmp_path / "run", data, *STEPS), folder=tmp_path, code=78)
    assert "--mpi=pmix" in done.stderr and "SLURM_STEP_NUM_TASKS=2" in done.stderr
    assert not (tmp_path / "run").exists()
