"""The study of when sharing pays (bench/sharing): the shares of the data, and parts of it with a few steps."""

import json
import sys

import pytest

from program import POLYHEAD, ROOT

sys.path.insert(0, str(ROOT / "bench" / "sharing"))
import study as sharing

LABELS = ["one", "two", "three"]


def lines_of(task, count):
    for i in range(count):
        words = [f"word{(7 * i + j) % 11}" for j in range(6)]
        text = " ".join(words) + f" {LABELS[i % 3]} {task} {i}"
        if task == "pos-tr":
            yield {"words": words, "tags": [LABELS[(i + j) % 3] for j in range(6)]}
        elif task in ("en-it", "en-de"):
            yield {"source": text, "target": " ".join(reversed(words))}
        elif task == "descriptions":
            yield {"text": text}
        else:
            yield {"text": text, "label": LABELS[i % 3]}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Twelve small tasks with the names and kinds of debmix."""
    folder = tmp_path_factory.mktemp("raw")
    kinds = {"pos-tr": "tagging", "en-it": "translation", "en-de": "translation", "descriptions": "masked_lm"}
    ini = ["[dataset]", "name = debmix", "tokenizer = sentencepiece", "vocab_size = 200"]
    for task in [*sharing.TWELVE, "title-match"]:
        ini += [f"[task.{task}]", f"kind = {kinds.get(task, 'classification')}"]
        for split, count in (("train", 120), ("valid", 12), ("test", 12)):
            (folder / f"{task}.{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines_of(task, count)))
            ini.append(f"{split} = {task}.{split}.jsonl")
    (folder / "debmix.ini").write_text("\n".join(ini) + "\n")
    return folder


def test_a_larger_share_has_the_samples_of_a_smaller_one(raw):
    lines = (raw / "role.train.jsonl").read_bytes().splitlines(keepends=True)
    shares = [sharing.share_of(lines, share) for share in (1, 5, 25, 100)]
    assert [set(a) - set(b) for a, b in zip(shares, shares[1:])] == [set()] * 3
    assert shares[3] == lines and 18 <= len(shares[2]) <= 42
    for kept in shares:
        assert {json.loads(line)["label"] for line in kept} == set(LABELS)
    tags = [json.loads(line)["tags"] for line in sharing.share_of((raw / "pos-tr.train.jsonl").read_bytes().splitlines(keepends=True), 1)]
    assert {tag for sample in tags for tag in sample} == set(LABELS)


FEW = ["--seeds", "1", "--jobs", "1", "--", "--run.steps", "4", "--encoder.dim", "8", "--encoder.ffn", "8", "--encoder.heads", "2"]


def test_parts_of_the_study_run_and_go_on(raw, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sharing, "PROGRAM", POLYHEAD)
    monkeypatch.setattr(sharing, "EVERY", {100: 2, 25: 2, 5: 2})
    monkeypatch.setattr(sharing, "SIX", sharing.SMALL)
    monkeypatch.setitem(sharing.SYSTEMS, "six", {"run.tasks": ", ".join(sharing.SMALL)})
    monkeypatch.setitem(sharing.SYSTEMS, "twelve", {key: value for key, value in sharing.SYSTEMS["twelve"].items() if key != "run.steps"})
    monkeypatch.setitem(sharing.PARTS, "balancers-three", (25, [("three-cagrad", "three")]))
    words = [str(raw), str(tmp_path), "--parts", "three-25,twelve-25,balancers-three,affinity"]
    sharing.main([*words, *FEW])
    said = capfd.readouterr()
    assert said.err.count(": trained in ") == 3 + 1 + 1 + 1 + 3 + 3  # alone, three, twelve, cagrad; of the affinity: alone and pairs
    report = (tmp_path / "twelve-25.md").read_text()
    for system in (*sharing.SMALL, "three"):
        assert f"| twelve | {system} | " in report
    assert report in said.out
    assert "Spearman" in (tmp_path / "affinity.txt").read_text()
    data = json.loads((tmp_path / "data-25" / "dataset.json").read_text())
    assert sorted(task["name"] for task in data["tasks"]) == sorted(sharing.TWELVE)
    sharing.main([*words, *FEW])
    again = capfd.readouterr()
    assert ": trains" not in again.err and again.out == said.out


def test_a_wrong_part_is_named(raw, tmp_path, capfd):
    with pytest.raises(SystemExit) as ended:
        sharing.main([str(raw), str(tmp_path), "--parts", "six-5,nine"])
    assert ended.value.code == 2 and "there is no part nine; there are three-100, " in capfd.readouterr().err


@pytest.mark.parametrize("low, high, said", [(0.01, 0.03, "gained"), (-0.03, -0.01, "lost"), (-0.01, 0.01, "not apart")])
def test_a_claim_needs_an_interval_without_0(low, high, said):
    assert sharing.verdict({"difference_low": low, "difference_high": high}) == said


def test_every_system_and_part_is_complete():
    for share, compared in sharing.PARTS.values():
        assert share in sharing.SHARES
        assert all(system in sharing.SYSTEMS and other in sharing.SYSTEMS for system, other in compared)
