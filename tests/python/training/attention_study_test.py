"""The studies of task attention on planted tasks (bench/attention): the generators, the statistics, and two runs of a
few steps."""

import json
import sys

import numpy as np
import pytest

from program import POLYHEAD, ROOT

sys.path.insert(0, str(ROOT / "bench" / "attention"))
import planted
import study


def read(folder, task, split):
    return [json.loads(line) for line in (folder / f"{task}.{split}.jsonl").read_text().splitlines()]


def classes_of(sample, task):
    return [word[len(task)] for word in sample["text"].split() if word.startswith(task)]


@pytest.mark.parametrize("name", planted.SETS)
def test_the_same_bytes_every_time(name, tmp_path):
    for folder in ("one", "two"):
        planted.write(name, tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)
    vocabulary = (tmp_path / "one" / "vocab.txt").read_text().split()
    assert len(set(vocabulary)) == len(vocabulary)
    train = read(tmp_path / "one", planted.SETS[name]["tasks"][0], "train")
    assert {word for sample in train for word in sample["text"].split()} <= set(vocabulary)


def test_keywords(tmp_path):
    planted.write("keywords", tmp_path)
    tasks = planted.SETS["keywords"]["tasks"]
    for sample in read(tmp_path, "three", "test"):
        assert classes_of(sample, "three") == [sample["label"]] and len(sample["keys"]) == 1
        assert all(len(classes_of(sample, task)) == 1 for task in tasks)


def test_the_cue_holds_in_train_only(tmp_path):
    planted.write("shortcut", tmp_path)
    agree = {}
    for task in planted.SETS["shortcut"]["tasks"]:
        for split in ("train", "test"):
            samples = read(tmp_path, task, split)
            cues = [next(word for word in sample["text"].split() if word.startswith("cue")) for sample in samples]
            agree[task, split] = np.mean(["abcd"[int(cue[3:])] == sample["label"] for cue, sample in zip(cues, samples)])
            for sample in samples:
                found = classes_of(sample, task)
                assert len(found) == 3 and found.count(sample["label"]) == 2
    assert agree.pop(("shortcut", "train")) == 1
    assert all(0.15 < share < 0.35 for share in agree.values()), agree


def test_shared_words(tmp_path):
    planted.write("shared", tmp_path)
    sizes, wrong, cues = {}, {}, {}
    for task, classes in planted.CLASS_OF_GROUP.items():
        assert sorted(classes) == [0, 0, 1, 1, 2, 2, 3, 3]
        for split in ("train", "test"):
            samples = read(tmp_path, task, split)
            sizes[task, split] = len(samples)
            found = []
            for sample in samples:
                groups = [word[3] for word in sample["text"].split() if word.startswith("key")]
                group = max("abcdefgh", key=groups.count)
                assert len(groups) == 3 and groups.count(group) == 2
                other = next(g for g in groups if g != group)
                label = classes["abcdefgh".index(group)]
                assert classes["abcdefgh".index(other)] != label
                found.append("abcd"[label] != sample["label"])
            wrong[task, split] = np.mean(found)
            cues[task, split] = np.mean(["abcd"[int(sample["text"].split("cue")[1][0])] == sample["label"] for sample in samples])
    assert {task: sizes[task, "train"] for task in planted.CLASS_OF_GROUP} == {"shortcut": 800, "large": 3200, "noisy": 800, "small": 200}
    assert 0.15 < wrong.pop(("noisy", "train")) < 0.3 and set(wrong.values()) == {0}  # a drawn label is right by chance in one of four
    assert cues.pop(("shortcut", "train")) == 1 and all(0.15 < share < 0.35 for share in cues.values())
    pairs = [{frozenset(g for g in range(8) if classes[g] == c) for c in range(4)} for classes in planted.CLASS_OF_GROUP.values()]
    assert len(set().union(*pairs)) == 16  # no two tasks put the same two groups together


def test_update_shares(tmp_path):
    lines = [{"kind": "gradients", "tasks": ["a", "b"], "update_share": share} for share in ([0.2, 0.8], [0.4, 0.6])]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [{"kind": "step"}, *lines]))
    assert study.update_shares(tmp_path) == {"a": pytest.approx(0.3), "b": pytest.approx(0.7)}


def test_precision_at_1():
    assert study.precision_at_1(["b"], ["a", "b"], [0.2, 0.3]) == 1
    assert study.precision_at_1(["b"], ["a", "b"], [0.3, 0.2]) == 0
    assert study.precision_at_1(["b"], ["a", "b", "c", "b"], [0.5, 0.5, 0.5, 0.5]) == 0.5


def runs(*rights):
    return [{"test": {"t": {"right": text}}} for text in rights]


def test_delta_m_and_its_interval():
    joint, alone = runs("1110" * 10, "1100" * 10), {"t": runs("1000" * 10, "1100" * 10)}
    value, sampled = study.delta_m(joint, alone, "test", ["t"], study.draws(2, 2000, {"t": 40}))
    assert value == pytest.approx(100 * (5 - 3) / 3)
    low, high = study.interval(sampled)
    assert low < value < high and low == pytest.approx(0)  # both seeds the second: equal runs
    joint = runs("1110", "1100")
    same, of_draws = study.delta_m(joint, {"t": joint}, "test", ["t"], study.draws(2, 100, {"t": 4}))
    assert same == 0 and not np.nan_to_num(of_draws).any()
    # One draw, by hand: seed 1 twice; samples 0 and 1 twice each.
    table = study.right(joint, "test", "t")
    assert study.accuracies(table, np.array([[0, 2]]), np.array([[2, 2, 0, 0]])) == [1]
    assert study.accuracies(table, np.array([[2, 0]]), np.array([[0, 0, 1, 3]])) == [0.25]


@pytest.mark.parametrize("difference, said", [((-2, -3, -1), "harm"), ((2, 1, 3), "cure"), ((1, -1, 2), "undecided")])
def test_a_claim_needs_an_interval_without_0(difference, said):
    assert study.verdict({"name": "τ = 4", "against default": difference}) == said


@pytest.mark.parametrize("name, configurations", [("keywords", ["competitive", "mean"]), ("shortcut", ["default", "independent"]),
                                                  ("shared", ["default", "cagrad"])])
def test_a_study_runs_and_goes_on(name, configurations, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "PROGRAM", POLYHEAD)
    monkeypatch.setattr(study, "DRAWS", 100)
    monkeypatch.setitem(planted.SETS[name], "splits", {"train": 40, "valid": 8, "test": 20})
    if "train" in planted.SETS[name]:
        monkeypatch.setitem(planted.SETS[name], "train", {"small": 20})
    chosen = {key: [option.replace("telemetry_every=20", "telemetry_every=1") for option in study.STUDIES[name]["configurations"][key]] for key in configurations}
    monkeypatch.setitem(study.STUDIES[name], "configurations", chosen)
    study.main([name, str(tmp_path), "--seeds", "1", "--steps", "2"])
    report = (tmp_path / f"{name}.md").read_text()
    assert all(f"\n| {key} | " in report for key in configurations)
    assert (tmp_path / f"{name}.svg").exists() == (name != "keywords")
    capsys.readouterr()
    study.main([name, str(tmp_path), "--seeds", "1", "--steps", "2"])  # nothing is run again
    assert capsys.readouterr().out.strip() == report.strip()
    with pytest.raises(SystemExit, match="another number of steps"):
        study.main([name, str(tmp_path), "--seeds", "1", "--steps", "3"])
