"""launch/setup when its downloads fail: a pip that always fails, a cache folder of the test's own, and nothing is built."""

import os
import subprocess

import pytest

from program import ROOT

SETUP = os.path.join(os.environ.get("POLYHEAD_SOURCE", ROOT), "launch", "setup")


@pytest.fixture
def setup(tmp_path):
    """Runs launch/setup with a python3 whose pip installs nothing, and a pkg-config that knows no library."""
    tools = tmp_path / "tools"
    tools.mkdir()
    python = '''#!/bin/sh
case "$*" in
  *"-m pip --version"*) echo "pip 1.0" ;;
  *"-m pip install"*) echo "$*" >>"$PIP_LOG"; echo "ERROR: no network" >&2; exit 1 ;;
  *) echo "unexpected: python3 $*" >&2; exit 99 ;;
esac
'''
    for name, content in {"python3": python, "pkg-config": "#!/bin/sh\nexit 1\n"}.items():
        (tools / name).write_text(content)
        (tools / name).chmod(0o755)

    def run(**more):
        clean = {key: value for key, value in os.environ.items() if key not in ("Torch_DIR", "ARROW_ROOT")}
        done = subprocess.run([SETUP, "--program", "--no-packages", "--no-build"], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=60,
                              env=clean | {"PATH": f"{tools}:{clean['PATH']}", "POLYHEAD_CACHE": str(tmp_path / "cache"), "PIP_LOG": str(tmp_path / "log")} | more)
        return done, (tmp_path / "log").read_text() if (tmp_path / "log").exists() else "", sorted(os.listdir(tmp_path / "cache"))

    return run


def test_without_arrow_the_rest_is_built(setup):
    done, asked, left = setup(Torch_DIR="/somewhere")
    assert done.returncode == 0, done.stderr
    assert "pip could not fetch pyarrow==" in done.stderr and "will not read Parquet files. The rest is built." in done.stderr
    assert "ARROW_ROOT=/path/to/arrow launch/setup" in done.stderr and "no network" in done.stderr
    assert asked.count("pyarrow==") == 1 and "torch" not in asked
    assert left == []  # no half of a download
    again, asked, _ = setup(Torch_DIR="/somewhere")
    assert again.returncode == 0 and asked.count("pyarrow==") == 2  # the next call tries again


def test_an_arrow_of_ones_own_is_not_fetched(setup):
    done, asked, left = setup(Torch_DIR="/somewhere", ARROW_ROOT="/arrow")
    assert (done.returncode, done.stderr, asked, left) == (0, "", "", [])


def test_without_libtorch_nothing_is_built(setup):
    done, asked, left = setup()
    assert done.returncode == 1
    assert "pip could not fetch torch==" in done.stderr and "Torch_DIR=/path/to/libtorch launch/setup" in done.stderr and "3 GB of disk" in done.stderr
    assert "pyarrow" not in asked and left == []
