"""`polyhead compare --tasks` and `--pairs`: what is trained, and the matrix of differences."""

import json
import re

import pytest

from comparing import METRICS, check_generalization, compare, configuration, rolled_ids, told_by
from program import steps


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory):
    """A finished comparison of three tasks alone and together, and the JSON that it printed."""
    folder = tmp_path_factory.mktemp("compared")
    ini = configuration(folder)
    return ini, json.loads(compare(ini, data, "--json").stdout)


def test_a_subset_is_compared_as_if_the_other_tasks_did_not_exist(data, tmp_path):
    (tmp_path / "few").mkdir()
    few = configuration(tmp_path / "few", tasks="topic, lines", steps=4)
    ini = configuration(tmp_path, steps=4, more="[task.ornament]\nweight = 2\n[balance]\nmethod = static\n")
    words = ["--seeds", 1, "--draws", 100]
    assert told_by(ini, data, *words, "--tasks", "lines,topic") == told_by(few, data, *words, "--balance.method", "static")
    assert {folder.name for folder in (tmp_path / "out").iterdir()} == {"joint-seed1", "single-topic-seed1", "single-lines-seed1"}


@pytest.fixture(scope="module")
def pairs(compared, data):
    """All pairs of the same tasks, in the folder of the comparison that has trained them alone."""
    ini, _ = compared
    done = compare(ini, data, "--pairs", "--json")
    assert done.stderr.count("is already trained") == 6  # alone
    return ini, json.loads(done.stdout)


def pair_of(out, one, other):
    """The name of the pair's runs, which has the tasks in the order of the data set."""
    return next(name for name in (f"pair-{one}+{other}", f"pair-{other}+{one}") if (out / f"{name}-seed1").exists())


def test_pairs_take_the_same_samples_as_the_joint_run(pairs):
    ini, _ = pairs
    out = ini.parent / "out"
    quota = {task: int(re.search(r"^batch = (\d+)$", (out / f"single-{task}-seed1" / "run.ini").read_text(), re.M)[1]) for task in METRICS}
    for one, other in (("topic", "ornament"), ("topic", "lines"), ("ornament", "lines")):
        name = pair_of(out, one, other)
        for seed in (1, 2):
            found = [line["ids_hash"] for line in steps(out / f"{name}-seed{seed}" / "run")]
            assert found == list(rolled_ids({one: quota[one], other: quota[other]}, 12))


def test_the_matrix_follows_from_the_runs(pairs, data):
    ini, told = pairs
    out = ini.parent / "out"
    assert (told["first"], told["second"]) == ("single", "pair")
    lost, gained = [], []
    for task, (_, sign) in METRICS.items():
        assert set(told["tasks"][task]["with"]) == set(METRICS) - {task}
        for other, one in told["tasks"][task]["with"].items():
            together = [out / f"{pair_of(out, task, other)}-seed{seed}" / "run" for seed in (1, 2)]
            alone = [out / f"single-{task}-seed{seed}" / "run" for seed in (1, 2)]
            check_generalization(one, "first", task, alone)
            check_generalization(one, "second", task, together)
            assert one["difference"] == pytest.approx(sign * (one["second"] - one["first"]))
            assert one["difference_low"] <= one["difference"] <= one["difference_high"]
            lost += [[task, other]] if one["difference_high"] < 0 else []
            gained += [[task, other]] if one["difference_low"] > 0 else []
    assert sorted(told["lost"]) == sorted(lost) and sorted(told["gained"]) == sorted(gained)
    parts = compare(ini, data, "--pairs").stdout.split("\n\n")
    assert max(len(line) for part in parts for line in part.splitlines() if "  " in line) <= 100  # of tables
    matrix = {line.split()[1]: line for line in parts[1].splitlines()[2:]}
    names = list(matrix)
    assert set(names) == set(METRICS)
    for task in names:
        for other, one in told["tasks"][task]["with"].items():
            star = "*" if [task, other] in lost + gained else ""
            assert f"{one['difference']:+.4f}{star}" in matrix[task].split()
            row = next(line for line in parts[3].splitlines() if line.split()[:2] == [task, other])
            assert f"{one['difference_low']:+.4f} to {one['difference_high']:+.4f}" in row
            assert row.endswith("lost" if [task, other] in lost else "gained" if [task, other] in gained else "not apart")


@pytest.mark.parametrize("until", ["steps", "best"])
def test_a_pair_of_two_tasks_is_their_joint_run(until, data, tmp_path):
    ini = configuration(tmp_path, steps=8)
    words = ["--seeds", 2, "--tasks", "topic,lines", "--until", until]
    joint = told_by(ini, data, *words)["tasks"]
    pair = told_by(ini, data, *words, "--pairs")["tasks"]
    assert pair == {"topic": {"with": {"lines": joint["topic"]}}, "lines": {"with": {"topic": joint["lines"]}}}
