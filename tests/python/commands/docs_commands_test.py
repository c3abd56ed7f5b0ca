"""The commands of the pages succeed, and print what the pages show. tests/python/pages.py says how blocks are marked."""

import json
import re

import pytest

import stand_ins
from pages import PAGES, SOURCE, Page, elsewhere, name_of, read, run_page
from program import lines, run

WITH_COMMANDS = [page for page in PAGES if any(block["language"] in ("sh", "text") and not elsewhere(block) for block in read(page).blocks)]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_the_commands_of_a_page(page, tmp_path):
    run_page(name_of(page), read(page), tmp_path)


def test_pages_have_commands():
    assert {"README.md", "docs/getting-started.md", "docs/guides/planning.md", "DEVELOPERS.md"} <= {name_of(page) for page in WITH_COMMANDS}


@pytest.mark.parametrize("page, says", [
    ("```sh\ntrue\nfalse\n```", "the block of line 1"),
    ("```sh\npolyhead inspect --data none\n```", "none"),
    ("```sh\nfalse | true\n```", "the block of line 1"),
    ("```sh\nctest --preset cpu -R no_such_test\n```", "the block of line 1"),
    ("```sh\nexamples/debmix/prepare RAW --smaller 5\n```", "has no option --smaller"),
    ("```sh\nexamples/digits/prepare RAW --smaller 5\n```", "--smaller"),
    ("```sh\necho 1 word\n```\n```text\n2 words\n```", "shows a line that was not printed:\n2 words"),
    ("<!-- given: nothing.txt -->\n```sh\ntrue\n```", "the page needs nothing.txt"),
])
def test_a_page_that_is_wrong(page, says, tmp_path):
    with pytest.raises(AssertionError, match=re.escape(says)):
        run_page("PAGE.md", Page(page), tmp_path)


# The keys of files that the pages show


def shown(page, position):
    """The keys of a block of JSON, which may leave out values, and of each of its lines."""
    block = [block for block in read(SOURCE / page).blocks if block["language"] == "json"][position]
    return [re.findall(r'"([^"]+)":', line) for line in block["lines"]]


def keys(value):
    if isinstance(value, dict):
        return set(value) | {key for inner in value.values() for key in keys(inner)}
    return {key for inner in value for key in keys(inner)} if isinstance(value, list) else set()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    for name in ("DATA", "mine.ini"):
        stand_ins.give(name, folder)
    done = run("train", "-c", "mine.ini", "--run-dir", "RUN", "--run.threads", 1, "--run.eval_every", 2, "--run.task_patience", 1,
               "--balance.telemetry_every", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_lines_of_metrics_jsonl(trained):
    found = {}
    for line in lines(trained / "RUN"):
        found.setdefault(line["kind"], set()).update(keys(line))
    text = [block for block in read(SOURCE / "docs/reference/files.md").blocks if block["language"] == "json"][0]["lines"]
    for line, names in zip(text, shown("docs/reference/files.md", 0)):
        kind = re.match(r'{"kind":"(\w+)"', line)[1]
        assert set(names) <= found[kind], kind


def test_the_keys_of_evaluate_and_compare(trained):
    done = run("evaluate", "--run-dir", "RUN", "--split", "test", "--json", "--threads", 1, cwd=trained)
    assert done.returncode == 0, done.stderr
    assert {key for line in shown("docs/reference/files.md", 1) for key in line} <= keys(json.loads(done.stdout))
    done = run("compare", "-c", "mine.ini", "--out", "OUT", "--seeds", 1, "--json", "--run.threads", 1, "--run.steps", 2, cwd=trained, timeout=200)
    assert done.returncode == 0, done.stderr
    assert {key for line in shown("docs/reference/files.md", 2) for key in line} <= keys(json.loads(done.stdout))


def test_the_keys_of_the_manifest(trained):
    written = keys(json.loads((trained / "DATA" / "dataset.json").read_text()))
    assert {key for line in shown("docs/format.md", 0) for key in line} - {"source", "license"} <= written
