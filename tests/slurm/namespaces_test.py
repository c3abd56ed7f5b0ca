"""Two hosts without Slurm: network namespaces on this machine, connected by a bridge, with mpirun over TCP."""

import os
import shutil
import subprocess

import pytest

from program import POLYHEAD, environment, status, train, train_words

MISSING = ["root"] if os.geteuid() != 0 else []
MISSING += [] if shutil.which("ip", path=os.environ["PATH"] + ":/usr/sbin:/sbin") else ["ip (iproute2)"]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}; launch/setup as root installs the packages")
STEPS = ["--run.steps", 12, "--run.checkpoint_every", 4, "--run.eval_every", 0]
NET = "10.99.77"
# What mpirun calls instead of ssh. A host has its own name, and its own shared memory.
AGENT = """#!/bin/bash
host="$1"; shift
exec ip netns exec {prefix}-${{host##*.}} unshare --uts --mount sh -c "hostname host-${{host##*.}}; mount -t tmpfs tmpfs /dev/shm; exec $*"
"""


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


@pytest.fixture
def hosts(tmp_path):
    """The options of mpirun for one worker on each of two hosts."""
    prefix = f"polyhead-{os.getpid()}"
    names = [f"{prefix}-{last}" for last in (1, 2, 254)]
    made = []
    try:
        for name in names:
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespaces here: {error.stderr}")
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", names[2], "link", "add", "bridge", "type", "bridge")
        ip("-n", names[2], "addr", "add", f"{NET}.254/24", "dev", "bridge")
        ip("-n", names[2], "link", "set", "bridge", "up")
        for last, name in ((1, names[0]), (2, names[1])):
            ip("-n", name, "link", "add", "wire", "type", "veth", "peer", "name", f"port{last}", "netns", names[2])
            ip("-n", names[2], "link", "set", f"port{last}", "master", "bridge", "up")
            ip("-n", name, "addr", "add", f"{NET}.{last}/24", "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")
        agent = tmp_path / "agent"
        agent.write_text(AGENT.format(prefix=prefix))
        agent.chmod(0o755)
        yield ["ip", "netns", "exec", names[2], "mpirun", "--bind-to", "none", "--mca", "plm", "rsh", "--mca", "plm_rsh_agent", str(agent),
               "--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include", f"{NET}.0/24", "--mca", "oob_tcp_if_include", f"{NET}.0/24",
               "--host", f"{NET}.1,{NET}.2", "-n", "2"]
    finally:
        for name in made:
            ip("netns", "del", name, check=False)


def test_two_hosts_over_tcp_train_as_two_workers_of_one(hosts, data, tmp_path):
    done = subprocess.run([*hosts, POLYHEAD, *map(str, train_words(tmp_path / "run", data, *STEPS))], env=environment(), capture_output=True,
                          encoding="utf-8", timeout=90)
    assert done.returncode == 0, done.stderr
    names = {path.read_text().split(" on ")[1].split(",")[0] for path in (tmp_path / "run" / "logs").glob("rank-*.log")}
    assert names == {"host-1", "host-2"}
    train(tmp_path / "local", data, *STEPS, workers=2)
    assert status(tmp_path / "run")["parameter_hash"] == status(tmp_path / "local")["parameter_hash"]
