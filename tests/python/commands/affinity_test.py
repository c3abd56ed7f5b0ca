"""polyhead affinity on files of metrics.jsonl that the tests write: means and intervals, linkage and rank correlation
against scipy, the proposed groups against enumeration, every option and every error."""

import itertools
import json
import re
import xml.etree.ElementTree

import numpy as np
import pytest
import xxhash
from scipy import stats
from scipy.cluster import hierarchy

from program import fails, run

TASKS = ["section", "nyt", "movies", "en-it", "pos tr"]


def checked(line):
    """A line of metrics.jsonl, as docs/reference/files.md describes its check."""
    text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)[:-1]
    return f'{text},"check":"{xxhash.xxh3_64_intdigest(text.encode()):016x}"}}\n'


def gradients(step, tasks, norm, cosine, **more):
    """A line of gradients, from a whole matrix of cosines."""
    rows = [[None if np.isnan(cosine[i][j]) else float(cosine[i][j]) for j in range(i)] for i in range(len(tasks))]
    return {"kind": "gradients", "step": step, "tasks": tasks, "norm": [float(n) for n in norm], "cosine": rows, "update_share": [0.5] * len(tasks),
            "conflict_share": 0.5, "worst_cosine": 0.0, "condition": 1.0, "sketch": 0, "seconds": 0.01} | more


def step_line(step, tasks, loss, lr):
    return {"kind": "step", "step": step, "loss": dict(zip(tasks, map(float, loss))), "weight": dict.fromkeys(tasks, 0.5), "tokens": 1, "seconds": 0.1,
            "wait": 0, "ids_hash": "0", "lr": float(lr), "gradient_norm": 1.0}


class Run:
    """A run folder with metrics.jsonl of random steps, and the affinities that follow from them."""

    def __init__(self, folder, tasks=TASKS, steps=100, every=1, seed=1, before=False):
        self.folder, self.tasks = folder, list(tasks)
        random = np.random.default_rng(seed)
        base = random.normal(size=(len(tasks), 12)) + random.normal(size=12) * random.choice([-1, 0.7], size=(len(tasks), 1))
        self.lines, self.affinity, self.cosine, self.steps = [], [], [], []
        for step in range(1, steps + 1):
            loss, lr = random.uniform(0.5, 3, len(tasks)), 1e-4 * step
            line = step_line(step, self.tasks, loss, lr)
            if step % every == 0:
                rows = base + random.normal(size=base.shape)
                norm = np.linalg.norm(rows, axis=1)
                cosine = rows @ rows.T / np.outer(norm, norm)
                self.affinity.append(lr * np.outer(norm, norm) * cosine / loss)
                self.cosine.append(cosine)
                self.steps.append(step)
                measured = gradients(step, self.tasks, norm, cosine)
                self.lines += [measured, line] if before else [line, measured]
            else:
                self.lines.append(line)
        self.write()

    def write(self, text=None):
        self.folder.mkdir(exist_ok=True)
        (self.folder / "config.ini").write_text("[run]\nseed = 1\n")
        (self.folder / "metrics.jsonl").write_text("".join(map(checked, self.lines)) if text is None else text, encoding="utf-8")

    def means(self, values, first=1, last=10**9):
        return np.mean([value for step, value in zip(self.steps, values) if first <= step <= last], axis=0)


def as_json(folder, *more):
    done = run("affinity", "--run-dir", folder, "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def off_diagonal(matrix):
    return np.asarray(matrix, dtype=float)[~np.eye(len(matrix), dtype=bool)]


def batch_interval(values, blocks):
    """The 95 % interval of a mean over blocks of equal length, the last of which may be shorter."""
    length = -(-len(values) // blocks)
    while length & (length - 1):
        length += 1
    parts = [values[i:i + length] for i in range(0, len(values), length)]
    mean = np.mean(values)
    squares = sum((np.sum(part) - len(part) * mean) ** 2 for part in parts)
    half = stats.t.ppf(0.975, len(parts) - 1) * np.sqrt(len(parts) / (len(parts) - 1) * squares) / len(values)
    return mean - half, mean + half


# Affinities


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("every", [1, 4])
def test_affinities_and_cosines(before, every, tmp_path):
    made = Run(tmp_path / "run", every=every, before=before)
    found = as_json(made.folder)
    assert found["tasks"] == TASKS and found["steps"] == 100 // every and found["task_steps"] == [100 // every] * 5
    assert (found["first_step"], found["last_step"]) == (every, 100)
    affinity, cosine = made.means(made.affinity), made.means(made.cosine)
    assert np.allclose(found["affinity"], affinity, rtol=1e-12)
    assert np.allclose(found["symmetric"], (affinity + affinity.T) / 2, rtol=1e-12)
    assert np.allclose(found["cosine"], cosine, rtol=1e-12)
    assert np.allclose(found["cosine_spread"], np.std(made.cosine, axis=0, ddof=1), atol=1e-7)
    assert np.allclose(found["conflicts"], np.mean(np.asarray(made.cosine) < 0, axis=0))
    assert np.all(np.asarray(found["pair_steps"]) == 100 // every)


def test_intervals_are_those_of_batch_means(tmp_path):
    made = Run(tmp_path / "run")
    found = as_json(made.folder)
    assert found["blocks"] == 25  # of 4 steps each
    for name, values in (("affinity", made.affinity), ("cosine", made.cosine)):
        for i, j in itertools.permutations(range(5), 2):
            low, high = batch_interval([value[i][j] for value in values], 32)
            assert found[f"{name}_low"][i][j] == pytest.approx(low, rel=1e-9) and found[f"{name}_high"][i][j] == pytest.approx(high, rel=1e-9)


def test_from_and_to(tmp_path):
    made = Run(tmp_path / "run")
    found = as_json(made.folder, "--from", 20, "--to", 41)
    assert (found["steps"], found["first_step"], found["last_step"]) == (22, 20, 41)
    assert np.allclose(found["affinity"], made.means(made.affinity, 20, 41), rtol=1e-12)
    assert as_json(made.folder, "--from", 100)["steps"] == 1
    assert np.all(np.isnan(np.asarray(as_json(made.folder, "--to", 1)["affinity_low"], dtype=float)))


def test_tasks_that_come_and_go(tmp_path):
    made = Run(tmp_path / "run", steps=4)
    one = lambda step, tasks: [gradients(step, tasks, [1.0] * len(tasks), np.full((5, 5), 0.25)), step_line(step, tasks, [1.0] * len(tasks), 0.1)]
    made.lines = one(1, ["a", "b"]) + one(2, ["b", "c"]) + one(3, ["c"])
    made.write()
    done = run("affinity", "--run-dir", made.folder, "--json")
    found = json.loads(done.stdout)
    assert found["tasks"] == ["a", "b", "c"] and found["task_steps"] == [1, 2, 2]
    assert found["affinity"][0][2] is None and found["affinity"][1][2] == pytest.approx(0.025) and found["pair_steps"][0][2] == 0
    assert "not measured in any step" in done.stderr and "a with c" in done.stderr


def test_numbers_that_are_not_finite(tmp_path):
    made = Run(tmp_path / "run", tasks=TASKS[:3])
    broken = made.lines[1]
    broken["norm"][2], broken["cosine"][2] = None, [None, None]
    made.lines[4]["lr"] = None
    made.lines[6]["loss"]["nyt"] = 0.0
    made.lines[8]["loss"]["nyt"] = -2.0
    made.lines[10]["skipped"], made.lines[10]["loss"]["nyt"] = True, None
    made.lines[2]["loss"] = {}
    made.write()
    found = as_json(made.folder)
    # Step 1 has no gradient of movies, step 2 no loss, step 3 no learning rate, steps 4 to 6 no loss of nyt above 0.
    assert found["pair_steps"] == [[98, 95, 97], [98, 95, 97], [97, 94, 97]]
    assert found["steps"] == 100


def test_a_loss_that_is_never_above_0(tmp_path):
    made = Run(tmp_path / "run", tasks=TASKS[:3], steps=5)
    for line in made.lines[::2]:
        line["loss"]["nyt"] *= -1
    made.write()
    done = run("affinity", "--run-dir", made.folder)
    assert done.returncode == 0 and "no task has an affinity for nyt" in done.stderr
    assert [row[1] for row in as_json(made.folder)["affinity"]] == [None] * 3


def test_gradients_of_a_sketch(tmp_path):
    made = Run(tmp_path / "run", steps=6)
    made.lines[1]["sketch"] = 4096
    made.write()
    assert "1 of 6 steps have estimates from a sketch" in run("affinity", "--run-dir", made.folder).stderr
    assert as_json(made.folder)["sketched"] == 1


# Groups


@pytest.mark.parametrize("seed", range(8))
def test_linkage_is_that_of_scipy(seed, tmp_path):
    tasks = [f"t{i}" for i in range(3 + 3 * seed)]
    made = Run(tmp_path / "run", tasks=tasks, steps=3, seed=seed)
    found = as_json(made.folder)
    distance = 1 - made.means(made.cosine)
    condensed = distance[np.triu_indices(len(tasks), 1)]
    theirs = hierarchy.linkage(condensed, "average")
    ours = np.asarray(found["merges"], dtype=float)
    assert np.allclose(ours[:, 2:], theirs[:, 2:])
    assert np.allclose(hierarchy.cophenet(ours), hierarchy.cophenet(theirs))
    assert sorted(found["order"]) == list(range(len(tasks)))
    if len(tasks) > 16:
        labels = hierarchy.fcluster(theirs, 2, "maxclust")
        groups = {frozenset(tasks[i] for i in range(len(tasks)) if labels[i] == label) for label in labels}
        assert {frozenset(group) for group in found["groups"]} == groups and found["exact"] is False


def partitions(items):
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for smaller in partitions(rest):
        yield [[first], *smaller]
        for i, group in enumerate(smaller):
            yield [*smaller[:i], [first, *group], *smaller[i + 1:]]


def within(affinity, groups):
    """The mean over tasks of the mean affinity from the others of its group."""
    return sum(affinity[i][j] / (len(group) - 1) for group in groups for j in group for i in group if i != j) / sum(map(len, groups))


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_the_proposed_groups_are_the_best_ones(groups, tmp_path):
    tasks = [f"t{i}" for i in range(6)]
    made = Run(tmp_path / "run", tasks=tasks, seed=7)
    found = as_json(made.folder, "--groups", groups)
    affinity = made.means(made.affinity)
    best = max(within(affinity, partition) for partition in partitions(list(range(6))) if len(partition) == groups)
    numbers = [[tasks.index(task) for task in group] for group in found["groups"]]
    assert len(numbers) == groups and sorted(sum(numbers, [])) == list(range(6))
    assert found["within"] == pytest.approx(best, rel=1e-9, abs=1e-18) and within(affinity, numbers) == pytest.approx(best, rel=1e-9, abs=1e-18)
    assert found["exact"] is True


def test_two_groups_by_default_as_options_of_train(tmp_path):
    made = Run(tmp_path / "run", seed=3)
    found = as_json(made.folder)
    assert len(found["groups"]) == 2
    plain = lambda option: f"'{option}'" if " " in option else option
    assert found["options"] == [plain("--run.tasks=" + ",".join(group)) for group in found["groups"]]
    done = run("affinity", "--run-dir", made.folder)
    assert [line.strip() for line in done.stdout.splitlines() if "--run.tasks" in line] == found["options"]


# What is printed


def test_tables(tmp_path):
    made = Run(tmp_path / "run", tasks=TASKS[:3])
    done = run("affinity", "--run-dir", made.folder)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == f"{made.folder}: 3 tasks, 100 steps from 1 to 100"
    affinity = made.means(made.affinity)
    symmetric = (affinity + affinity.T) / 2
    largest = np.abs(off_diagonal(symmetric)).max()
    unit = 10.0 ** np.floor(np.log10(largest))
    assert f"in units of {unit:.0e}" in done.stdout and "intervals from 25 blocks" in done.stdout
    for i, task in enumerate(TASKS[:3]):
        row = next(line.split() for line in lines if line.split()[:2] == [str(i + 1), task])
        assert row[2:] == [f"{value / unit:.2f}" for value in symmetric[i]]
    pairs = [line.split() for line in lines if line.split()[:2] in [["section", "nyt"], ["section", "movies"], ["nyt", "movies"]]]
    assert len(pairs) == 3 and [float(pair[2]) for pair in pairs] == sorted((float(pair[2]) for pair in pairs), reverse=True)
    assert all(pair[-1] == "100" for pair in pairs)
    tree = [line for line in lines if re.search("[┬┘┤]", line)]
    assert sorted(line.split()[0] for line in tree) == sorted(TASKS[:3])


def test_only_some_of_many_pairs_are_printed(tmp_path):
    tasks = [f"t{i}" for i in range(8)]
    made = Run(tmp_path / "run", tasks=tasks, steps=3)
    shown = run("affinity", "--run-dir", made.folder).stdout
    assert "The 10 highest and lowest of 28 pairs" in shown
    assert len([line for line in shown.splitlines() if re.match(r"t\d +t\d ", line)]) == 20


def test_the_picture(tmp_path):
    made = Run(tmp_path / "run", tasks=["a", "b & <c>", "d" * 40])
    done = run("affinity", "--run-dir", made.folder, "--svg", tmp_path / "picture.svg")
    assert done.returncode == 0, done.stderr
    root = xml.etree.ElementTree.parse(tmp_path / "picture.svg").getroot()
    name = lambda node: node.tag.split("}")[1]
    words = [node.text for node in root.iter() if name(node) == "text"]
    assert words.count("a") == 2 and words.count("b & <c>") == 2 and words.count("d" * 23 + "…") == 2
    cells = [node for node in root.iter() if name(node) == "rect" and len(node)]
    assert len(cells) == 6 and all(node.get("fill").startswith("#") for node in cells)
    width, height = float(root.get("width")), float(root.get("height"))
    for node in root.iter():
        for key in ("x", "x1", "x2"):
            assert 0 <= float(node.get(key, 0)) <= width
        for key in ("y", "y1", "y2"):
            assert 0 <= float(node.get(key, 0)) <= height
    fails(73, "affinity", "--run-dir", made.folder, "--svg", tmp_path / "none" / "picture.svg", says=[str(tmp_path / "none")])
    fails(2, "affinity", "--run-dir", made.folder, "--svg", made.folder / "metrics.jsonl", says=["--svg", "metrics.jsonl", "would be lost"])


def test_the_same_bytes_each_time(tmp_path):
    made = Run(tmp_path / "run")
    assert run("affinity", "--run-dir", made.folder, "--json").stdout == run("affinity", "--run-dir", made.folder, "--json").stdout


# Measured pairs


def write_pairs(file, gains, key="relative"):
    """What compare --pairs --json prints, as far as affinity reads it."""
    tasks = {}
    for (task, other), gain in gains.items():
        pair = {"metric": "accuracy", "difference": gain, "difference_low": gain - 1, "difference_high": gain + 1} | ({key: gain} if key else {})
        tasks.setdefault(task, {"with": {}})["with"][other] = pair
    file.write_text(json.dumps({"first": "single", "second": "pair", "tasks": tasks, "seeds": [1]}))


@pytest.mark.parametrize("key", ["relative", None])
def test_rank_correlation_with_measured_gains(key, tmp_path):
    made = Run(tmp_path / "run")
    random = np.random.default_rng(2)
    affinity = made.means(made.affinity)
    # What task i gains with j is compared with the affinity of j for i.
    gains = {(TASKS[i], TASKS[j]): affinity[j][i] / np.abs(affinity).max() + random.normal() / 3 for i, j in itertools.permutations(range(5), 2)}
    write_pairs(tmp_path / "pairs.json", gains, key)
    found = as_json(made.folder, "--against", tmp_path / "pairs.json", "--draws", 1000)["against"]
    theirs = stats.spearmanr([affinity[TASKS.index(j)][TASKS.index(i)] for i, j in gains], list(gains.values())).statistic
    assert found["spearman"] == pytest.approx(theirs, abs=1e-12) and found["pairs"] == 20 and found["left_out"] == 0 and found["draws"] == 1000
    assert found["gain"] == (key or "difference")
    assert -1 <= found["spearman_low"] < theirs < found["spearman_high"] <= 1
    shown = run("affinity", "--run-dir", made.folder, "--against", tmp_path / "pairs.json").stdout
    assert f"rank correlation (Spearman) of affinities with measured {'relative ' if key else ''}gains: {theirs:.2f} (95 % interval " in shown
    assert "20 ordered pairs of tasks, 10,000 draws over 10 pairs" in shown


def test_the_interval_of_the_rank_correlation_covers_its_usual_share(tmp_path):
    """It resamples pairs without their order, so it is about as wide as a plain bootstrap of those pairs."""
    tasks = [f"t{i}" for i in range(9)]
    made = Run(tmp_path / "run", tasks=tasks, steps=20)
    affinity = made.means(made.affinity)
    random = np.random.default_rng(5)
    pairs = list(itertools.combinations(range(9), 2))
    gains = {(tasks[i], tasks[j]): affinity[j][i] / affinity.std() + random.normal() for i, j in pairs}
    write_pairs(tmp_path / "pairs.json", gains)
    found = as_json(made.folder, "--against", tmp_path / "pairs.json")["against"]
    values = np.array([affinity[j][i] for i, j in pairs]), np.array(list(gains.values()))
    draws = [stats.spearmanr(values[0][rows], values[1][rows]).statistic for rows in random.integers(len(pairs), size=(2000, len(pairs)))]
    assert [found["spearman_low"], found["spearman_high"]] == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.04)


def test_pairs_of_other_tasks_are_left_out(tmp_path):
    made = Run(tmp_path / "run")
    gains = {(TASKS[0], TASKS[1]): 1.0, (TASKS[1], TASKS[0]): 2.0, (TASKS[0], TASKS[2]): 3.0, ("foreign", TASKS[0]): 4.0}
    write_pairs(tmp_path / "pairs.json", gains)
    found = as_json(made.folder, "--against", tmp_path / "pairs.json")["against"]
    assert found["pairs"] == 3 and found["left_out"] == 1
    write_pairs(tmp_path / "pairs.json", dict.fromkeys(gains, 0.5))
    assert as_json(made.folder, "--against", tmp_path / "pairs.json")["against"]["spearman"] is None
    assert "not defined" in run("affinity", "--run-dir", made.folder, "--against", tmp_path / "pairs.json").stdout


@pytest.mark.parametrize("text, says", [
    ("{", "is not JSON"), ("[]", 'it has no object "tasks"'), ('{"tasks": 3}', 'it has no object "tasks"'),
    ('{"tasks": {"nyt": {"difference": 1}}}', 'task nyt has no object "with"'), ('{"tasks": {"nyt": 3}}', 'task nyt has no object "with"'),
    ('{"tasks": {"nyt": {"with": {"section": 3}}}}', "nyt with section is not an object"),
    ('{"tasks": {"nyt": {"with": {"section": {"difference": "1"}}}}}', '"difference" is "1"'),
    ('{"tasks": {"nyt": {"with": {"section": {}, "section": {}}}}}', "section"), ('{"tasks": {}}', "0 of its 0 pairs"),
    ('{"tasks": {"nyt": {"with": {"section": {"difference": 1}}}, "x": {"with": {"nyt": {"difference": 1}}}}}', "1 of its 2 pairs")])
def test_wrong_files_of_pairs(text, says, tmp_path):
    made = Run(tmp_path / "run", steps=2)
    (tmp_path / "pairs.json").write_text(text)
    fails(65, "affinity", "--run-dir", made.folder, "--against", tmp_path / "pairs.json", says=["--against", str(tmp_path / "pairs.json"), says, "--pairs"])
    fails(2, "affinity", "--run-dir", made.folder, "--against", tmp_path / "pairs.json", "--svg", tmp_path / "pairs.json", says=["--svg", "--against", "lost"])


# Wrong input


def test_wrong_options(tmp_path):
    made = Run(tmp_path / "run", steps=9)
    fails(2, "affinity", says=["--run-dir"])
    fails(78, "affinity", "--run-dir", tmp_path / "none", says=[str(tmp_path / "none"), "holds no run"])
    fails(78, "affinity", "--run-dir", tmp_path, says=["holds no run", "config.ini"])
    fails(78, "affinity", "--run-dir", made.folder, "--groups", 6, says=["--groups 6", "5 tasks", "--groups 5 or less"])
    fails(78, "affinity", "--run-dir", made.folder, "--groups", 0, says=["groups", ">= 1"])
    fails(2, "affinity", "--run-dir", made.folder, "--from", 5, "--to", 4, says=["--from 5 --to 4"])
    fails(65, "affinity", "--run-dir", made.folder, "--from", 10, says=["9 lines of gradients", "none from step 10 to the last"])
    fails(2, "affinity", "--run-dir", made.folder, "--draws", 500, says=["--draws 500", "no effect", "--against"])
    fails(65, "affinity", "--run-dir", made.folder, "--against", tmp_path / "none", says=[str(tmp_path / "none")])


def test_runs_without_gradients(tmp_path):
    made = Run(tmp_path / "run", steps=3)
    for lines in ([], [line for line in made.lines if line["kind"] == "step"]):
        made.lines = lines
        made.write()
        fails(65, "affinity", "--run-dir", made.folder, says=["metrics.jsonl", "no line of gradients", "balance.telemetry_every", "inner products"])
    (made.folder / "metrics.jsonl").unlink()
    fails(65, "affinity", "--run-dir", made.folder, says=["cannot read", "metrics.jsonl"])


def test_runs_without_losses(tmp_path):
    made = Run(tmp_path / "run", steps=3)
    made.lines = [line for line in made.lines if line["kind"] == "gradients"]
    made.write()
    fails(65, "affinity", "--run-dir", made.folder, says=["3 lines of gradients", "no step line"])


def test_one_task(tmp_path):
    made = Run(tmp_path / "run", tasks=["nyt"], steps=3)
    fails(65, "affinity", "--run-dir", made.folder, "--groups", 1, says=["task nyt only", "two tasks"])


def test_damaged_lines_are_left_out(tmp_path):
    made = Run(tmp_path / "run", steps=10)
    text = (made.folder / "metrics.jsonl").read_text()
    lines = text.splitlines(keepends=True)
    assert '"step":4' in lines[7] and '"kind":"step"' in lines[12]
    lines[7] = lines[7].replace('"step":4', '"step":5')  # gradients of step 4
    lines[12] = lines[12][:40] + "\n"  # losses of step 7
    made.write("".join(lines) + '{"kind":"gradients","step":11')  # which training is still writing
    done = run("affinity", "--run-dir", made.folder, "--json")
    found = json.loads(done.stdout)
    assert (found["steps"], found["damaged"], found["without_loss"]) == (8, 2, 1)
    assert "2 damaged lines of metrics.jsonl are left out, the first of them line 8" in done.stderr
    assert "1 lines of gradients are left out" in done.stderr
    kept = [i for i, step in enumerate(made.steps) if step not in (4, 7)]
    assert np.allclose(found["affinity"], np.mean([made.affinity[i] for i in kept], axis=0), rtol=1e-12)
    made.write("".join(line.replace("gradients", "gradient5") for line in text.splitlines(keepends=True)))
    fails(65, "affinity", "--run-dir", made.folder, says=["no line of gradients (10 damaged lines are left out)"])


@pytest.mark.parametrize("change, says", [
    ({"tasks": None}, 'no list "tasks"'), ({"tasks": ["nyt", 3]}, '"tasks" holds 3'), ({"tasks": ["nyt", "nyt"]}, "'nyt' twice"),
    ({"norm": [1.0]}, '"norm" has 1 entries for 2 tasks'), ({"norm": "x"}, 'no list "norm"'), ({"norm": [1.0, "x"]}, '"norm" holds "x"'),
    ({"cosine": [[], [0.1, 0.2]]}, 'row 1 of "cosine" is [0.1,0.2], expected a list of 1'), ({"cosine": [[]]}, '"cosine" has 1 entries'),
    ({"cosine": [[], [True]]}, '"cosine" holds true')])
def test_whole_lines_of_another_form(change, says, tmp_path):
    made = Run(tmp_path / "run", tasks=TASKS[:2], steps=3)
    made.lines[3] |= change
    made.write()
    fails(65, "affinity", "--run-dir", made.folder, says=["metrics.jsonl:4", "step 2", says])
