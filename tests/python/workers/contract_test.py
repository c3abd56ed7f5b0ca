"""What scripts may rely on: metrics.jsonl, status.json, config.ini, evaluate --json, predict and --print-config."""

import json
import math
import random
import re
import shutil
import subprocess
from collections import Counter

import numpy as np
import pytest
import sacrebleu
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as entity_f1_score
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, mean_squared_error

from program import KINDS, TEXTS, command, edit_state, environment, fails, lines, newest, parameter_hash, parameters, run, status, steps, train, train_words

STEPS = 220
OPTIONS = ["--run.steps", STEPS, "--mixture.batch", 90, "--optimizer.lr", 5e-3, "--optimizer.warmup", 20, "--run.eval_every", 110]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("contract") / "run"
    train(folder, data, *OPTIONS, workers=2)
    return folder


def rows(planted, task, split="test"):
    return [json.loads(line) for line in (planted / "jsonl" / f"{task}.{split}.jsonl").read_text().splitlines()]


def evaluate(folder, *more):
    done = run("evaluate", "--run-dir", folder, "--json", "--threads", 1, *more)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)["tasks"]


def predict(folder, task, texts, *more, code=0):
    given = "".join(text if isinstance(text, str) else json.dumps(text, ensure_ascii=False) + "\n" for text in texts)
    done = run("predict", "--run-dir", folder, "--task", task, "--threads", 1, *more, input=given)
    assert done.returncode == code, done.stderr
    out = done.stdout.removesuffix("\n").split("\n") if done.stdout else []
    return [json.loads(line) for line in out] if code == 0 else (out, done.stderr)


@pytest.fixture(scope="module")
def scores(run_dir):
    return evaluate(run_dir)


# The run folder


def test_step_lines(run_dir):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    for line in (run_dir / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    found = steps(run_dir)
    assert [line["step"] for line in found] == list(range(1, STEPS + 1))
    for line in found:
        assert {"kind", "step", "loss", "weight", "tokens", "seconds", "wait", "ids_hash"} <= line.keys()
        assert set(line["loss"]) == set(line["weight"]) == set(KINDS)
        assert all(isinstance(value, float) and value >= 0 for value in line["loss"].values())
        assert sum(line["weight"].values()) == pytest.approx(1)
        assert isinstance(line["tokens"], int) and line["tokens"] > 50
        assert isinstance(line["seconds"], float) and line["seconds"] > 0
        assert isinstance(line["wait"], float) and line["wait"] >= 0
        assert re.fullmatch("[0-9a-f]{16}", line["ids_hash"])
    assert len({line["ids_hash"] for line in found}) == STEPS


def test_eval_lines(run_dir):
    found = [line for line in lines(run_dir) if line["kind"] == "eval"]
    assert sorted((line["step"], line["task"]) for line in found) == sorted((step, task) for step in (110, STEPS) for task in KINDS)
    for line in found:
        assert line.keys() == {"kind", "step", "split", "task", "metrics", "check"} and line["split"] == "valid"
        wanted = {"classification": {"accuracy", "macro_f1", "matthews"}, "tagging": {"accuracy", "macro_f1"},
                  "multilabel": {"micro_f1", "macro_f1", "average_precision", "subset_accuracy"},
                  "regression": {"mse", "mae", "r2", "pearson", "spearman"}}.get(KINDS[line["task"]], {"perplexity"})
        assert wanted | {"loss"} <= line["metrics"].keys()
        assert all(isinstance(value, float) for value in line["metrics"].values())


def test_epochs_lines(run_dir, data):
    tasks = {task["name"]: task["splits"]["train"]["samples"] for task in json.loads((data / "dataset.json").read_text())["tasks"]}
    found = [line for line in lines(run_dir) if line["kind"] == "epochs"]
    # A batch of 90 for nine tasks, shared out by temperature 2.
    assert [line["step"] for line in found] == [110, STEPS]
    for line in found:
        assert line.keys() == {"kind", "step", "epochs", "check"} and line["epochs"].keys() == tasks.keys()
        assert sum(line["epochs"][task] * samples for task, samples in tasks.items()) == pytest.approx(90 * line["step"])
        assert line["epochs"] == pytest.approx({task: found[-1]["epochs"][task] * line["step"] / STEPS for task in tasks})


def test_the_last_eval_lines_are_what_evaluate_says(run_dir):
    later = evaluate(run_dir, "--split", "valid")
    for line in [line for line in lines(run_dir) if line["kind"] == "eval"][-len(KINDS):]:
        for metric, value in line["metrics"].items():
            assert later[line["task"]][metric] == pytest.approx(value, rel=1e-4), (line["task"], metric)


def test_status(run_dir):
    assert status(run_dir) == {"state": "done", "exit_code": 0, "step": STEPS, "last_checkpoint": f"checkpoints/step-{STEPS:06}",
                               "parameter_hash": parameter_hash(run_dir), "epochs": lines(run_dir)[-1]["epochs"]}


def test_logs_name_workers_and_processes(run_dir):
    for rank in (0, 1):
        text = (run_dir / "logs" / f"rank-{rank:04}.log").read_text()
        assert f"worker {rank} of 2" in text and f"ended after step {STEPS}" in text


def test_the_resolved_configuration_is_a_configuration(run_dir):
    before = (run_dir / "metrics.jsonl").read_bytes()
    done = run("train", "-c", run_dir / "config.ini", workers=2)
    assert done.returncode == 0, done.stderr
    assert (run_dir / "metrics.jsonl").read_bytes() == before


# evaluate


def test_evaluate_keys(scores):
    assert set(scores) == set(KINDS)
    for task, kind in KINDS.items():
        wanted = {"classification": {"accuracy", "macro_f1", "majority"}, "tagging": {"accuracy", "macro_f1", "majority"},
                  "translation": {"bleu", "chrf", "copy_chrf", "perplexity"}, "masked_lm": {"perplexity", "accuracy"},
                  "multilabel": {"micro_f1", "micro_f1_low", "majority_micro_f1", "average_precision", "prior_average_precision"},
                  "regression": {"mse", "mse_high", "mean_mse", "mae", "r2", "pearson", "spearman"}}[kind]
        assert wanted | {"samples"} <= scores[task].keys()
        assert scores[task]["samples"] == 60 and isinstance(scores[task]["samples"], int)
        assert all(math.isfinite(value) for value in scores[task].values())
        if "perplexity" in wanted:
            assert scores[task]["perplexity"] == pytest.approx(math.exp(scores[task]["loss"]))


def test_what_was_planted_is_learned(scores):
    for task in ("topic", "style", "tags", "reply", "wind"):
        assert scores[task]["accuracy_low"] > scores[task]["majority"] + 0.2, scores[task]
    assert scores["dictionary"]["perplexity_high"] < scores["dictionary"]["unigram_perplexity"] / 2
    assert scores["lines"]["perplexity"] < scores["lines"]["unigram_perplexity"] * 1.2
    assert scores["dictionary"]["chrf"] > scores["dictionary"]["copy_chrf"]
    assert scores["subjects"]["micro_f1_low"] > scores["subjects"]["majority_micro_f1"] + 0.2
    assert scores["subjects"]["average_precision"] > scores["subjects"]["prior_average_precision"] + 0.2
    assert scores["ornament"]["mse_high"] < scores["ornament"]["mean_mse"] / 2 and scores["ornament"]["pearson"] > 0.7


def test_label_sets_and_values_score_as_their_predictions(run_dir, planted, scores):
    given = rows(planted, "subjects")
    found = predict(run_dir, "subjects", [{"text": row["text"]} for row in given])
    names = sorted({label for row in given for label in row["labels"]})
    assert names == sorted(found[0]["probabilities"])
    for row in found:
        assert sorted(row["labels"]) == [name for name in names if row["probabilities"][name] >= 0.5]
    gold = [[name in row["labels"] for name in names] for row in given]
    told = [[name in row["labels"] for name in names] for row in found]
    mine = scores["subjects"]
    assert mine["micro_f1"] == pytest.approx(f1_score(gold, told, average="micro"), abs=1e-6)
    assert mine["macro_f1"] == pytest.approx(f1_score(gold, told, average="macro"), abs=1e-6)
    assert mine["subset_accuracy"] == pytest.approx(accuracy_score(gold, told), abs=1e-6)
    probabilities = [[row["probabilities"][name] for name in names] for row in found]
    assert mine["average_precision"] == pytest.approx(average_precision_score(gold, probabilities, average="macro"), abs=1e-6)
    sets = Counter(tuple(row["labels"]) for row in rows(planted, "subjects", "train"))
    most = [[[name in labels for name in names]] * len(gold) for labels, count in sets.items() if count == max(sets.values())]
    assert any(mine["majority_micro_f1"] == pytest.approx(f1_score(gold, told, average="micro"), abs=1e-6) for told in most)

    given = rows(planted, "ornament")
    found = [row["value"] for row in predict(run_dir, "ornament", [{"text": row["text"]} for row in given])]
    gold = [row["value"] for row in given]
    mine = scores["ornament"]
    assert mine["mse"] == pytest.approx(mean_squared_error(gold, found), rel=1e-5)
    assert mine["pearson"] == pytest.approx(pearsonr(gold, found).statistic, abs=1e-6)
    assert mine["spearman"] == pytest.approx(spearmanr(gold, found).statistic, abs=1e-3)  # neighbours may swap by rounding
    train_values = [row["value"] for row in rows(planted, "ornament", "train")]
    mean = sum(train_values) / len(train_values)
    assert mine["mean_mse"] == pytest.approx(mean_squared_error(gold, [mean] * len(gold)), rel=1e-9)
    statistics = next(task["statistics"] for task in json.loads((newest(run_dir) / "state.json").read_text())["model"]["tasks"]
                      if task["name"] == "ornament")
    assert statistics["mean"] == pytest.approx([mean]) and statistics["deviation"] == pytest.approx([np.std(train_values)])


def test_pairs_score_as_their_predictions_and_read_which_text_is_the_second(run_dir, planted, scores):
    given = rows(planted, "reply")
    found = predict(run_dir, "reply", [{"text": row["text"], "second": row["second"]} for row in given])
    right = [row["label"] == gold["label"] for row, gold in zip(found, given)]
    assert scores["reply"]["accuracy"] == pytest.approx(sum(right) / len(right), abs=1e-9)
    assert "segment.weight" in parameters(run_dir)["encoder"]
    assert abs(parameters(run_dir)["encoder"]["segment.weight"]).max() > 0.01
    swapped = predict(run_dir, "reply", [{"text": row["second"], "second": row["text"]} for row in given])
    assert sum(row["label"] == gold["label"] for row, gold in zip(swapped, given)) < len(given) / 3


def test_majority_and_accuracy_are_the_predictions(run_dir, planted, scores):
    for task in ("topic", "style", "tags"):
        key, given = ("tags", "words") if task == "tags" else ("label", "text")
        flat = lambda rows: sum((row[key] for row in rows), []) if task == "tags" else [row[key] for row in rows]
        majority = Counter(flat(rows(planted, task, "train"))).most_common(1)[0][0]
        gold = flat(rows(planted, task))
        assert scores[task]["majority"] == pytest.approx(gold.count(majority) / len(gold))
        said = flat(predict(run_dir, task, [{given: row[given]} for row in rows(planted, task)]))
        assert scores[task]["accuracy"] == pytest.approx(accuracy_score(gold, said))
        assert scores[task]["macro_f1"] == pytest.approx(f1_score(gold, said, average="macro", labels=sorted(set(gold)), zero_division=0))


def test_bleu_and_chrf_are_sacrebleus(run_dir, planted, scores):
    gold = rows(planted, "dictionary")
    said = [row["translation"] for row in predict(run_dir, "dictionary", [{"text": row["text"]} for row in gold])]
    references = [[row["target"] for row in gold]]
    for texts, prefix in ((said, ""), ([row["text"] for row in gold], "copy_")):
        assert scores["dictionary"][f"{prefix}bleu"] == pytest.approx(sacrebleu.corpus_bleu(texts, references).score, abs=1e-6)
        assert scores["dictionary"][f"{prefix}chrf"] == pytest.approx(sacrebleu.corpus_chrf(texts, references).score, abs=1e-6)


def test_beam_search_from_the_command_line(run_dir, planted):
    gold = rows(planted, "dictionary")
    given = [{"text": row["text"]} for row in gold]
    greedy, wide = predict(run_dir, "dictionary", given), predict(run_dir, "dictionary", given, "--beam", 6, "--length-penalty", 0)
    assert predict(run_dir, "dictionary", given, "--beam", 1) == greedy
    fails(2, "predict", "--run-dir", run_dir, "--task", "dictionary", "--beam", 1, "--length-penalty", 3, says=["--length-penalty 3", "no effect"])
    assert [row["translation"] for row in wide] != [row["translation"] for row in greedy]
    assert sum(row["log_probability"] for row in wide) > sum(row["log_probability"] for row in greedy)
    # Whatever shares a batch; rounding may turn a near tie.
    alone = predict(run_dir, "dictionary", given, "--beam", 6, "--length-penalty", 0, "--batch", 1)
    assert sum(a["translation"] == b["translation"] for a, b in zip(alone, wide, strict=True)) >= len(gold) - 1
    assert [row["log_probability"] for row in alone] == pytest.approx([row["log_probability"] for row in wide], abs=1e-3)
    longer = predict(run_dir, "dictionary", given, "--beam", 6, "--length-penalty", 4)
    assert sum(len(row["translation"]) for row in longer) > sum(len(row["translation"]) for row in wide)
    found = evaluate(run_dir, "--tasks", "dictionary", "--beam", 6, "--length-penalty", 0)["dictionary"]
    references = [[row["target"] for row in gold]]
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf([row["translation"] for row in wide], references).score, abs=0.3)
    for option, value in (("--beam", 0), ("--length-penalty", -1)):
        fails(78, "predict", "--run-dir", run_dir, "--task", "dictionary", option, value, says=[option[2:], str(value)])


def test_entity_f1_of_bio_tags_is_seqevals(tmp_path):
    rng = random.Random(8)
    parts = [(["anna"], "PER"), (["anna", "lee"], "PER"), (["rome"], "LOC"), (["new", "york"], "LOC"), (["lee"], "ORG")]
    gold = {}
    for split, count in (("train", 200), ("valid", 20), ("test", 60)):
        gold[split] = []
        for _ in range(count):
            words, tags = [], []
            for _ in range(rng.choice([1, 3, 40])):  # the long ones are cut
                if rng.random() < 0.5:
                    entity, kind = rng.choice(parts)
                    words += entity
                    tags += [f"{letter}-{kind}" for letter in "BIIII"[:len(entity)]]
                else:
                    words.append(rng.choice(["saw", "left", "and"]))
                    tags.append("O")
            gold[split].append({"words": words, "tags": tags})
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in gold[split]))
    (tmp_path / "d.ini").write_text("[dataset]\nname = x\nvocab_size = 30\nmax_length = 40\n[task.names]\nkind = tagging\n"
                                    "train = train.jsonl\nvalid = valid.jsonl\ntest = test.jsonl\n")
    done = run("import", "-c", tmp_path / "d.ini", "--out", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    train(tmp_path / "run", tmp_path / "data", "--run.steps", 60, "--optimizer.lr", 5e-3)
    told = [row["tags"] for row in predict(tmp_path / "run", "names", [{"words": row["words"]} for row in gold["test"]])]
    assert any(None in tags for tags in told)
    expected = entity_f1_score([row["tags"] for row in gold["test"]], [[tag or "O" for tag in tags] for tags in told])
    found = evaluate(tmp_path / "run")["names"]
    assert found["entity_f1"] == pytest.approx(expected, abs=1e-9) and 0.1 < expected < 0.95
    assert found["entity_f1_low"] < expected < found["entity_f1_high"] and found["majority_entity_f1"] == 0
    assert found["accuracy_low"] < found["accuracy"] < found["accuracy_high"]
    assert [line for line in lines(tmp_path / "run") if line["kind"] == "eval"][-1]["metrics"]["entity_f1"] > 0.1
    table = run("evaluate", "--run-dir", tmp_path / "run").stdout
    assert re.search(r"entity F1 .* to .*majority class.* above", table) and table.index("entity F1") < table.index("accuracy")


def test_evaluate_chooses_tasks_samples_and_prints_a_table(run_dir):
    chosen = evaluate(run_dir, "--tasks", "tags,style", "--samples", 10, "--split", "train")
    assert {task: found["samples"] for task, found in chosen.items()} == {"style": 10, "tags": 10}
    done = run("evaluate", "--run-dir", run_dir, "--samples", 20, "--threads", 1)
    assert done.returncode == 0 and "majority class" in done.stdout and "copy of the source" in done.stdout
    for task in KINDS:
        assert re.search(rf"^{task} +{KINDS[task]} +20 ", done.stdout, re.M)


def test_evaluate_refusals(run_dir, tmp_path):
    fails(78, "evaluate", "--run-dir", run_dir, "--tasks", "topics", says=["task topics", "topic, style, tags, dictionary, lines, subjects, ornament, reply, wind"])
    fails(78, "evaluate", "--run-dir", tmp_path / "none", says=[str(tmp_path / "none"), "--run-dir"])
    fails(2, "evaluate", says=["--run-dir"])
    fails(65, "evaluate", "--run-dir", run_dir, "--data", tmp_path / "none", says=[str(tmp_path / "none"), "dataset.json"])


def test_evaluate_says_when_there_is_nothing_to_evaluate(run_dir, data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    file = tmp_path / "data" / "dataset.json"
    manifest = json.loads(file.read_text())
    for task in manifest["tasks"]:
        del task["splits"]["test"]
    file.write_text(json.dumps(manifest))
    fails(78, "evaluate", "--run-dir", run_dir, "--data", tmp_path / "data", "--json", says=["test samples", str(tmp_path / "data"), "--split"])


def test_evaluate_refuses_another_tokenizer(run_dir, data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    file = tmp_path / "data" / "dataset.json"
    manifest = json.loads(file.read_text())
    manifest["tokenizer"]["sha256"] = "0" * 64
    file.write_text(json.dumps(manifest))
    fails(65, "evaluate", "--run-dir", run_dir, "--data", tmp_path / "data", says=["another tokenizer", str(tmp_path / "data"), "--data"])


def test_output_that_cannot_be_written(run_dir):
    words = command("evaluate", "--run-dir", run_dir, "--samples", 1, "--threads", 1)
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, env=environment(), stdout=full, stderr=subprocess.PIPE, encoding="utf-8", timeout=60)
    assert done.returncode == 73 and "cannot be written" in done.stderr


def test_an_evaluation_that_is_not_finite(data, tmp_path):
    assert "diverged" in train(tmp_path / "run", data, "--run.steps", 2, "--optimizer.lr", 1e30, "--optimizer.warmup", 0, code=76).stderr
    found = [line["metrics"]["loss"] for line in lines(tmp_path / "run") if line["kind"] == "eval"]
    assert None in found


# predict


def test_predict_keeps_order_and_other_keys(run_dir):
    given = [{"id": i, "text": f"savoni sitimi sota pilutu {'kene ' * (i % 7)}", "nested": {"ä": [1, None, 2.5, "☃"]}, "z": True, "a": i / 7}
             for i in range(100)]
    found = predict(run_dir, "topic", given)
    assert len(found) == 100
    for before, after in zip(given, found):
        assert {key: after[key] for key in before} == before
        assert list(after) == [*before, "label", "probability"]
        assert after["label"] in ("harbour", "kitchen", "orchard", "workshop") and 0.25 <= after["probability"] <= 1
    for size in (1, 7):
        again = predict(run_dir, "topic", given, "--batch", size)
        assert [row["label"] for row in again] == [row["label"] for row in found]
        assert [row["probability"] for row in again] == pytest.approx([row["probability"] for row in found], abs=1e-5)


def test_predict_every_kind(run_dir):
    assert set(predict(run_dir, "style", [{"text": "tase vedesa"}])[0]) == {"text", "label", "probability"}
    by_words, by_text = predict(run_dir, "tags", [{"words": ["sesa", "feve", "kipa"]}, {"text": " sesa  feve kipa"}])
    assert by_words["tags"] == by_text["tags"] and len(by_words["tags"]) == 3
    assert set(by_words["tags"]) <= {"NAME", "DEED", "TRAIT", "PLACE", "OWNED", "FREE"}
    assert set(predict(run_dir, "dictionary", [{"text": "futu pige satu kiri"}])[0]) == {"text", "translation", "log_probability"}
    assert set(predict(run_dir, "wind", [{"features": [[0, 2.5, 0, 0]]}])[0]) == {"features", "label", "probability"}
    assert set(predict(run_dir, "subjects", [{"text": "futu"}])[0]) == {"text", "labels", "probabilities"}
    assert set(predict(run_dir, "ornament", [{"text": "futu"}])[0]) == {"text", "value"}
    assert [len(row["tokens"]) for row in predict(run_dir, "lines", [{"text": "sule <mask> kopu <mask>"}, {"text": "sule"}])] == [2, 0]


def test_predict_long_and_strange_texts(run_dir):
    strange = ["x", "é" * 30, "漢字 и кириллица ☃ 🐧", "\t \\ \" \u2028 \u0000", "e\u0301", "a" * 5000, "savoni " * 3000, "<mask> </s> <s>"]
    for task in TEXTS:
        found = predict(run_dir, task, [{"text": text} | ({"second": text} if task == "reply" else {}) for text in strange])
        assert [row["text"] for row in found] == strange
    tags = predict(run_dir, "tags", [{"words": ["sesa"] * 1000}])[0]["tags"]
    assert len(tags) == 1000 and tags[0] == "NAME" and tags[-1] is None  # too far behind to be read


def test_predict_cuts_where_import_cut(run_dir, tmp_path):
    """Words of which no token is read have no tag."""
    def tagged(folder, *more):
        return sum(tag is not None for tag in predict(folder, "tags", [{"words": ["sesa"] * 300}], *more)[0]["tags"])
    assert json.loads((newest(run_dir) / "state.json").read_text())["model"]["max_length"] == 64  # as synthetic says
    assert tagged(run_dir) == tagged(run_dir, "--max-length", 64) < tagged(run_dir, "--max-length", 128)
    shutil.copytree(run_dir, tmp_path / "run")
    for file in (tmp_path / "run" / "checkpoints").glob("*/state.json"):  # of a data set that does not say
        edit_state(file, lambda state: state["model"].pop("max_length"))
    assert tagged(tmp_path / "run") == tagged(run_dir, "--max-length", 128)
    fails(78, "predict", "--run-dir", run_dir, "--task", "tags", "--max-length", 3, says=["max-length", "3"])


def test_predict_files(run_dir, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "tase vedesa"}\r\n\n{"text": "kateli"}')
    done = run("predict", "--run-dir", run_dir, "--task", "style", "--in", tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [json.loads(line)["text"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == ["tase vedesa", "kateli"]
    assert predict(run_dir, "style", []) == []


@pytest.mark.parametrize("bad, says", [("{\"text\": \n", "JSON"), ("[1]\n", "object"), ("{\"texts\": \"a\"}\n", "\"text\""),
                                       ("{\"text\": 7}\n", "\"text\""), ("{\"text\": \" \"}\n", "empty")])
def test_predict_names_a_bad_line_and_keeps_what_came_before(run_dir, bad, says):
    out, errors = predict(run_dir, "topic", [{"text": "a", "n": 1}, "\n", {"text": "b", "n": 2}, bad, {"text": "c"}], code=65)
    assert [json.loads(line)["n"] for line in out] == [1, 2]
    assert errors.startswith("polyhead predict: standard input:4: ") and says in errors and errors.count("\n") == 1


def test_predict_names_a_line_that_is_not_utf8(run_dir, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(b'{"text": "a"}\n{"text": "\xff\xfe"}\n')
    done = run("predict", "--run-dir", run_dir, "--task", "topic", "--in", tmp_path / "in.jsonl")
    assert done.returncode == 65 and "in.jsonl:2: " in done.stderr and len(done.stdout.splitlines()) == 1


def test_predict_refusals(run_dir, tmp_path):
    fails(78, "predict", "--run-dir", run_dir, "--task", "topics", says=["task topics", "topic, style"])
    fails(78, "predict", "--run-dir", tmp_path / "none", "--task", "topic", says=[str(tmp_path / "none"), "--run-dir"])
    fails(2, "predict", "--run-dir", run_dir, says=["--task"])
    fails(65, "predict", "--run-dir", run_dir, "--task", "topic", "--in", tmp_path / "none", says=[str(tmp_path / "none")])
    fails(73, "predict", "--run-dir", run_dir, "--task", "topic", "--out", tmp_path / "no" / "out", says=[str(tmp_path / "no" / "out")])


def test_a_run_is_of_use_without_its_data(run_dir, planted, tmp_path):
    """The run folder has everything that predict needs, also after it was moved."""
    shutil.copytree(run_dir, tmp_path / "moved")
    hidden = planted / "hidden"
    (planted / "data").rename(hidden)
    try:
        assert predict(tmp_path / "moved", "style", [{"text": "tase"}])[0]["label"] in ("plain", "ornate")
    finally:
        hidden.rename(planted / "data")


# --print-config


def test_print_config(data, tmp_path):
    (tmp_path / "c.ini").write_text("[run]\nseed = 5\n[encoder]\nlayers = 3 # three\n[task.tags]\ndropout = 0.25\n")
    words = ["train", "-c", "c.ini", "--data", data, "--run-dir", tmp_path / "run", "--encoder.dim", 48, "--print-config"]
    done = run(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    section, found = "", {}
    for line in done.stdout.splitlines():
        if line.startswith("["):
            section = line.split("]")[0][1:]
        elif " = " in line:
            key, value = line.split(" = ", 1)
            found[f"{section}.{key.strip()}"] = value
    for key, value, origin in (("run.seed", "5", "c.ini:2"), ("encoder.layers", "3", "c.ini:4"), ("task.tags.dropout", "0.25", "c.ini:6"),
                               ("encoder.dim", "48", "command line"), ("encoder.heads", "4", "default"),
                               ("run.tasks", "topic, style, tags, dictionary, lines, subjects, ornament, reply, wind", "data set")):
        assert found[key].startswith(value) and origin in found[key], found[key]
    assert not (tmp_path / "run").exists()
    (tmp_path / "again.ini").write_text(done.stdout)
    again = run("train", "-c", "again.ini", "--print-config", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    values = lambda text: re.sub(r"\s*#.*", "", text)
    assert values(again.stdout) == values(done.stdout)


def test_print_config_needs_no_run_folder(data):
    done = run("train", "--data", data, "--print-config")
    assert done.returncode == 0, done.stderr
    assert "[optimizer]" in done.stdout
