"""Exit codes and messages of the program, as users and scripts see them."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
POLYHEAD = os.environ.get("POLYHEAD_BINARY", str(ROOT / "build" / "cpu" / "polyhead"))
LAUNCHERS = ("OMPI_", "PMIX_", "PMI_", "SLURM_")


def run(*words, cwd=None, **environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(LAUNCHERS)}
    return subprocess.run([POLYHEAD, *map(str, words)], cwd=cwd, env=clean | environment, capture_output=True, text=True,
                          timeout=120, stdin=subprocess.DEVNULL)


def fails(code, *words, says, **more):
    """The program ends with this code and one paragraph on stderr that contains each of the texts."""
    done = run(*words, **more)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    last = done.stderr.rstrip("\n").split("\n")[-1]
    assert last.startswith("polyhead")
    for text in says:
        assert text in last
    return done


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    done = run("synthetic", "--out", folder / "jsonl", "--train", 300, "--valid", 30, "--test", 30)
    assert done.returncode == 0, done.stderr
    return folder / "jsonl"


# The program itself


def test_help_and_version():
    for words in (["--help"], ["-h"], ["help"]):
        done = run(*words)
        assert done.returncode == 0 and "import" in done.stdout and "train" in done.stdout
    version = run("--version").stdout.splitlines()
    assert version[0].startswith("polyhead ") and {"LibTorch", "MPI", "HDF5"} <= {line.split()[0] for line in version[1:]}
    assert run("help", "train").stdout == run("train", "--help").stdout
    fails(2, "help", "trian", says=["there is no command 'trian'", "did you mean train?"])


@pytest.mark.parametrize("command", ["import", "synthetic", "inspect", "verify", "train", "evaluate", "compare", "affinity", "predict", "export", "balance"])
def test_help_of_a_command(command):
    done = run(command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"polyhead {command}: ")


def test_nothing_said_is_usage():
    done = run()
    assert done.returncode == 2 and "usage: polyhead COMMAND" in done.stderr and done.stdout == ""


def test_unknown_command():
    fails(2, "trian", says=["there is no command 'trian'", "did you mean train?", "import, synthetic, inspect, verify, plan, train"])


def test_unknown_option():
    fails(2, "import", "--ot", "x", says=["polyhead import: there is no option --ot", "did you mean --out?"])
    fails(2, "train", "--run.step", "5", says=["polyhead train: there is no option --run.step", "did you mean --run.steps?"])


def test_one_process_commands_refuse_several():
    fails(2, "synthetic", "--out", "x", says=["is one process, but the launcher started 2"], OMPI_COMM_WORLD_SIZE="2")


def test_srun_without_pmix_is_refused():
    fails(78, "train", says=["srun started 4 tasks (SLURM_STEP_NUM_TASKS=4) without PMIx", "srun --mpi=pmix"], SLURM_STEP_NUM_TASKS="4")


def test_an_error_that_all_workers_see_is_printed_once():
    command = ["mpirun", "--oversubscribe", "-n", "2", POLYHEAD, "train", "--run.steps", "none"]
    environment = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78, done.stderr
    assert done.stderr.count("run.steps is 'none', expected a whole number >= 1") == 1
    assert "polyhead train, worker 0 of 2 on " in done.stderr


# synthetic and import


def test_the_same_seed_gives_the_same_bytes(planted, tmp_path):
    assert run("synthetic", "--out", tmp_path, "--train", 300, "--valid", 30, "--test", 30).returncode == 0
    for file in planted.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_import_from_another_folder(planted, tmp_path):
    done = run("import", "-c", planted / "synthetic.ini", "--out", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert [task["name"] for task in manifest["tasks"]] == ["topic", "style", "tags", "dictionary", "lines", "subjects", "ornament", "reply", "wind"]
    assert manifest["tasks"][0]["splits"]["train"]["samples"] == 300
    assert "topic/train: 300 samples" in done.stderr


class Description:
    """A small import description, of which each test breaks one part."""

    def __init__(self, folder):
        self.folder = folder
        texts = ["red apples", "green pears", "blue plums", "dark grapes", "sweet melons", "sour lemons"]
        self.lines = [{"text": f"{a} and {b}", "label": "x" if i % 2 else "y"} for i, a in enumerate(texts) for b in texts]
        self.write("train.jsonl", self.lines)
        self.write("valid.jsonl", self.lines[:4])
        self.ini = ("[dataset]\nname = small\nvocab_size = 35\n"
                    "[task.fruit]\nkind = classification\ntrain = train.jsonl\nvalid = valid.jsonl\n")

    def write(self, name, lines):
        (self.folder / name).write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))

    def fails(self, code, *says):
        (self.folder / "d.ini").write_text(self.ini)
        fails(code, "import", "-c", self.folder / "d.ini", "--out", self.folder / "out", says=says)
        assert not (self.folder / "out").exists()

    def works(self):
        (self.folder / "d.ini").write_text(self.ini)
        done = run("import", "-c", self.folder / "d.ini", "--out", self.folder / "out")
        assert done.returncode == 0, done.stderr


@pytest.fixture
def description(tmp_path):
    return Description(tmp_path)


def test_the_unbroken_description_works(description):
    description.works()


def test_no_description_and_no_out(tmp_path):
    fails(2, "import", "--out", "x", says=["--config is missing"], cwd=tmp_path)
    fails(78, "import", "-c", "none.ini", "--out", "x", says=["none.ini", "there is no such file"], cwd=tmp_path)
    (tmp_path / "d.ini").write_text("[dataset]\nname = x\n")
    fails(2, "import", "-c", "d.ini", says=["--out is missing"], cwd=tmp_path)
    fails(78, "import", "-c", "d.ini", "--out", "x", says=["d.ini: there is no task; add a section [task.NAME]"], cwd=tmp_path)


def test_missing_file(description):
    (description.folder / "valid.jsonl").unlink()
    description.fails(65, "fruit", "valid.jsonl")


def test_broken_json_line(description):
    description.write("train.jsonl", [*description.lines, '{"text": "a\n'])
    description.fails(65, "train.jsonl", "37")


def test_unknown_label_in_valid(description):
    description.write("valid.jsonl", [description.lines[0], {"text": "a", "label": "z"}])
    description.fails(65, "valid.jsonl", "2", "'z'")


def test_empty_text(description):
    description.write("train.jsonl", [description.lines[0], {"text": "", "label": "x"}])
    description.fails(65, "train.jsonl", "2", "text")


def test_task_without_train(description):
    description.ini = description.ini.replace("train = train.jsonl\n", "")
    description.fails(78, "d.ini:4: task fruit: has no train data; add 'train = FILE'")


def test_zero_samples(description):
    description.write("train.jsonl", [])
    description.fails(65, "fruit", "0 samples", "train.jsonl")


def test_unknown_key_and_section(description):
    sound = description.ini
    description.ini = sound.replace("vocab_size", "vocabsize")
    description.fails(78, "d.ini:3: [dataset] has no key 'vocabsize'", "did you mean vocab_size?")
    description.ini = sound.replace("[task.fruit]", "[tasks.fruit]")
    description.fails(78, "d.ini:4: there is no section [tasks.fruit]", "[task.NAME]")
    description.ini = sound + "train = other.jsonl\n"
    description.fails(78, "d.ini:8: 'train' of [task.fruit] is given twice, first in line 6")


def test_kind(description):
    sound = description.ini
    description.ini = sound.replace("= classification", "= clasification")
    description.fails(78, "d.ini:5: task fruit: there is no kind 'clasification'", "did you mean classification?")
    description.ini = sound.replace("kind = classification\n", "")
    description.fails(78, "d.ini:4: task fruit: has no kind")


def test_wordpiece_needs_a_vocabulary(description):
    description.ini = description.ini.replace("vocab_size = 35", "tokenizer = wordpiece")
    description.fails(78, "d.ini", "add 'vocab = FILE' to [dataset]")


def test_out_is_not_overwritten(description):
    description.works()
    before = (description.folder / "out" / "dataset.json").read_bytes()
    done = run("import", "-c", description.folder / "d.ini", "--out", description.folder / "out")
    assert done.returncode in (73, 78), done.stderr
    assert str(description.folder / "out") in done.stderr
    assert (description.folder / "out" / "dataset.json").read_bytes() == before


def test_the_configuration_page_is_the_programs_help():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for command in ("train", "import", "inspect", "verify", "evaluate", "affinity", "predict", "balance", "synthetic"):
        shown = page.split(f"## polyhead {command}\n```\n")[1].split("\n```\n")[0]
        said = run(command, "--help").stdout.rstrip("\n")
        assert shown.rstrip("\n") == said, f"docs/configuration.md is out of date; type: docs/write-configuration {POLYHEAD}"
    for command in ("compare", "plan", "doctor"):
        shown = page.split(f"## polyhead {command}\n")[1].split("```\n")[1]
        own, shared = run(command, "--help").stdout.split("\n[run]\n")
        assert shown.rstrip("\n") == own.rstrip("\n"), f"docs/configuration.md is out of date; type: docs/write-configuration {POLYHEAD}"
        assert run("train", "--help").stdout.endswith(shared)
    assert set(re.findall(r"^## polyhead (\w+)$", page, re.MULTILINE)) == set(re.findall(r"^  (\w+) {2,}\S", run("--help").stdout, re.MULTILINE))
