"""`polyhead doctor`: what it finds, in one process and between workers. A fault ends with 1 and names the cure."""

import json
import resource
import subprocess

import pytest

from program import command, environment, run


def findings(done):
    out = json.loads(done.stdout)
    return out, [{finding["subject"]: finding for finding in worker["findings"]} for worker in out["workers"]]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_this_machine_has_no_fault(workers, tmp_path):
    done = run("doctor", "--run-dir", tmp_path / "run", "--json", workers=workers)
    assert done.returncode == 0, done.stdout + done.stderr
    out, found = findings(done)
    assert out["ok"] and len(found) == workers
    for one in found:
        assert {"launcher", "threads", "LibTorch", "MPI", "HDF5", "NCCL", "CUDA", "devices", "interfaces", "/dev/shm", "memlock", "nofile",
                "run folder"} <= set(one)
        assert one["LibTorch"]["values"]["compiled"] and one["HDF5"]["values"]["loaded"]
        assert one["run folder"]["values"]["fsync_ms"] > 0
        assert one["launcher"]["values"]["because"] == ("" if workers == 1 else f"OMPI_COMM_WORLD_SIZE={workers}")
        assert workers == 1 or "thread level" in one["MPI"]["text"]
    assert [link["workers"] for link in out["links"]] == [[a, b] for a in range(workers) for b in range(a + 1, workers)]
    assert all(link["bytes_per_second"] > 0 and link["latency_us"] > 0 for link in out["links"])
    assert list(tmp_path.iterdir()) == []


def test_the_table_says_the_same(tmp_path):
    done = run("doctor", "--run-dir", tmp_path, workers=2)
    assert done.returncode == 0 and "mpirun, according to OMPI_COMM_WORLD_SIZE=2" in done.stdout and "MB/s" in done.stdout
    assert "0 faults" in done.stdout


def test_a_folder_that_cannot_be_written_is_a_fault():
    done = run("doctor", "--run-dir", "/proc/runs")
    assert done.returncode == 1 and "FAULT    run folder" in done.stdout and "choose another --run-dir" in done.stdout


def test_too_few_files_are_a_fault(tmp_path):
    done = run("doctor", "--run-dir", tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)))
    assert done.returncode == 1 and "FAULT    nofile" in done.stdout and "ulimit -n" in done.stdout


def test_an_interface_that_is_not_there_is_a_fault(tmp_path):
    done = subprocess.run(command("doctor", "--run-dir", tmp_path), env=environment(NCCL_SOCKET_IFNAME="ib7"), capture_output=True, text=True)
    assert done.returncode == 1 and "FAULT    interfaces" in done.stdout and "unset NCCL_SOCKET_IFNAME" in done.stdout


def test_a_process_alone_in_a_job_of_several_tasks_is_warned(tmp_path):
    done = subprocess.run(command("doctor", "--run-dir", tmp_path), env=environment(SLURM_NTASKS="4"), capture_output=True, text=True)
    assert done.returncode == 0 and "warning  launcher" in done.stdout and "--mpi=pmix" in done.stdout


def test_calibrates_where_there_is_no_fault(data, tmp_path):
    small = ["--encoder.layers", 1, "--encoder.dim", 32, "--encoder.heads", 2, "--encoder.ffn", 64, "--run.threads", 1, "--mixture.batch", 20]
    words = ["doctor", "--run-dir", tmp_path / "run", "--data", data, "--calibrate", tmp_path / "machine.ini", *small]
    done = run(*words, workers=2)
    assert done.returncode == 0, done.stderr
    assert "0 faults" in done.stderr and done.stdout.count("cost = ") == 9
    planned = run("plan", "--data", data, *small, "--machine", tmp_path / "machine.ini", "--workers", 4, "--json")
    assert planned.returncode == 0, planned.stderr
    faulty = run(*words[:2], "/proc/runs", *words[3:-1], 40)
    assert faulty.returncode == 1 and "FAULT    run folder" in faulty.stderr and faulty.stdout == ""
