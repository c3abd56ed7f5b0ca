"""The metrics equal those of scikit-learn, scipy, sacrebleu and seqeval, on random and realistic cases (through
tests/tools/score.cpp)."""

import collections
import json
import math
import os
import random
import re
import string
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from scipy.stats import bootstrap, pearsonr, spearmanr
from seqeval.metrics import f1_score as entity_f1_score
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (accuracy_score, average_precision_score, f1_score, matthews_corrcoef, mean_absolute_error, mean_squared_error,
                             r2_score)

SENTENCES = [
    "The package 'libfoo-dev' contains headers, static libraries and 3.14 MB of documentation (see README.Debian).",
    "Il pacchetto «libfoo-dev» contiene gli header, le librerie statiche e 3,14 MB di documentazione.",
    "Dieses Paket enthält die für die Entwicklung nötigen Dateien – z. B. für größere Übungen.",
    "Küçük, hızlı bir metin düzenleyici; İstanbul'da yazıldı.",
    "これは高速な画像ビューアです。日本語に対応しています！",
    "快速的图像查看器,支持多种格式。",
    "Быстрый просмотрщик изображений: поддерживает PNG, JPEG и др.",
    "عارض صور سريع، يدعم العديد من الصيغ؟",
    "תוכנה חופשית – מהירה וקלה.",
    "यह एक तेज़ छवि दर्शक है।",
    "Price: $1,000.50 -- or 20-30% off!!! <skipped> &quot;quoted&quot; &amp;lt; A&amp;B e.g. x^2_y ~z`w` [1] {2} a/b @me #tag",
    "emoji 👩‍👩‍👧 and 🏳️‍🌈 flags, e\u0301 against é, ligature ﬁ",
    "1.2.3,4 5-6 -7 8- .9 10. ,11 12, a.b c,d e-f ... ,,, --- 1.a a.1 1,-2",
    "line one-\nline two\nline three\r\ntab\there\x0bvt\x0cff\x1cfs\x85nel\u00a0nbsp\u3000wide\u2028ls\u200bzero",
    "word",
    "ü",
    ".",
    " ",
    "\n",
    "-\n",
    "",
]
PIECES = ["a", "b", "the", " ", "  ", ".", ",", "-", "0", "12", "é", "ß", "日", "👍", "\n", "-\n", "\u00a0", "&lt;", "&amp;",
          "<skipped>", "'", '"', "/", "\t", "\u2009", "!", "(", ")", "=", "\ufffd"]
BYTES = [b"\x80", b"\xc0\xaf", b"\xc3", b"\xe0\x80\x80", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\xff",
         b"\xf8\x88", b"ab", b" ", b".", b"1,", b"\xc3\xa9", b"\xf0\x90\x80", b"\xe1\x80\xc3\xa9", b"\x00"]


def score(cases):
    beside = Path(os.environ.get("POLYHEAD_BINARY", "build/cpu/polyhead")).parent / "tests" / "score"
    tool = os.environ.get("POLYHEAD_SCORE", str(beside))
    result = subprocess.run([tool], input="\n".join(json.dumps(case) for case in cases), capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.split("\n") if line]


def compare_texts(cases):
    """Each case is a list of (hypothesis, reference), as bytes."""
    ours = score([{"hypotheses": [h.hex() for h, _ in case], "references": [r.hex() for _, r in case]} for case in cases])
    assert len(ours) == len(cases)
    tokenize = Tokenizer13a()
    bleu, chrf = BLEU(force=True), CHRF()
    above_zero = 0
    for case, mine in zip(cases, ours):
        hypotheses = [h.decode("utf-8", "replace") for h, _ in case]
        references = [r.decode("utf-8", "replace") for _, r in case]
        assert mine["tokens"] == [tokenize(h) for h in hypotheses]
        assert mine["bleu"] == pytest.approx(bleu.corpus_score(hypotheses, [references]).score, abs=1e-6), case
        assert mine["chrf"] == pytest.approx(chrf.corpus_score(hypotheses, [references]).score, abs=1e-6), case
        above_zero += mine["bleu"] > 0
    return above_zero


def damaged(text, rng):
    """A translation that is partly correct: words are dropped, repeated or swapped, or characters changed."""
    words = text.split(" ")
    for _ in range(rng.randrange(4)):
        if not words:
            break
        i = rng.randrange(len(words))
        what = rng.randrange(4)
        if what == 0:
            del words[i]
        elif what == 1:
            words.insert(i, words[i])
        elif what == 2:
            j = rng.randrange(len(words))
            words[i], words[j] = words[j], words[i]
        else:
            words[i] = words[i][::-1]
    return " ".join(words)


def test_every_pair_of_sentences():
    cases = [[(h.encode(), r.encode())] for h in SENTENCES for r in SENTENCES]
    assert compare_texts(cases) >= 10


def test_corpora_of_damaged_sentences():
    rng = random.Random(1)
    cases = []
    for _ in range(300):
        references = [rng.choice(SENTENCES) for _ in range(rng.randrange(1, 12))]
        cases.append([(damaged(r, rng).encode(), r.encode()) for r in references])
    assert compare_texts(cases) >= 200


def test_random_pieces():
    rng = random.Random(2)

    def text():
        return "".join(rng.choice(PIECES) for _ in range(rng.choice([0, 1, 2, 3, 5, 8, 20, 60]))).encode()

    cases = [[(text(), text()) for _ in range(rng.randrange(1, 6))] for _ in range(700)]
    assert compare_texts(cases) >= 100


def test_bytes_that_are_not_utf8():
    rng = random.Random(3)

    def text():
        return b"".join(rng.choice(BYTES) for _ in range(rng.randrange(12)))

    compare_texts([[(b, b) for b in BYTES]] + [[(text(), text())] for _ in range(500)])
    compare_texts([[(bytes(rng.randrange(256) for _ in range(40)), text())] for _ in range(300)])


def test_no_text_at_all():
    assert score([{"hypotheses": [], "references": []}]) == [{"bleu": 0, "chrf": 0, "tokens": []}]


def squad_words(text):
    """A transcription of normalize_answer of SQuAD's evaluation script."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def squad_f1(answer, reference):
    """compute_f1 of the script for SQuAD 2.0, of words."""
    common = sum((collections.Counter(answer) & collections.Counter(reference)).values())
    if not answer or not reference:
        return float(answer == reference)
    if common == 0:
        return 0.0
    precision, recall = common / len(answer), common / len(reference)
    return 2 * precision * recall / (precision + recall)


def test_answers_as_the_script_of_squad_scores_them():
    rng = random.Random(8)
    pieces = ["a", "an", "the", "The", "AN", "A.", "(the)", "the-end", "theatre", "x_a", "Éa", "a\u0301", "日本", "a日", "²a", "É", "İstanbul", "ÄÖ",
              "n't", "$5,000", "1990s", "U.S.", "—", "…", "\u00a0", "\u2003", "\t", "\u001c", "«", "the\u200b", "ﬁ", "ß", "ǅ", "", "New", "York", "new york"]

    def text():
        return rng.choice(["", " "]).join(rng.choice(pieces) + rng.choice([" ", "", ", "]) for _ in range(rng.randrange(6)))

    cases = [("the Norman", ["Normans"]), ("The", ["a"]), ("", [""]), ("the cat", ["cat!", "dog"]), ("in the late 1990s", ["late 1990s", "1990s"]),
             ("b b c", ["b c c"]), ("nothing", ["else"]), ("x", [])]
    cases += [(text(), [text() for _ in range(rng.randrange(1, 4))]) for _ in range(3000)]
    cases += [(" ".join(rng.sample(words, min(len(words), 4))), [" ".join(words)]) for words in (sentence.split() for sentence in SENTENCES)]
    given = [{"answer": answer.encode().hex(), "answers": [r.encode().hex() for r in references]} for answer, references in cases]
    for (answer, references), mine in zip(cases, score(given), strict=True):
        words = squad_words(answer)
        assert mine["exact_match"] == max((float(words == squad_words(r)) for r in references), default=0), (answer, references)
        assert mine["f1"] == pytest.approx(max((squad_f1(words, squad_words(r)) for r in references), default=0), abs=1e-12), (answer, references)


def test_classification():
    rng = random.Random(4)
    cases = []
    for _ in range(1000):
        classes = rng.choice([1, 2, 3, 10, 45])
        size = rng.choice([1, 2, 5, 50, 300])
        used = rng.randrange(1, classes + 1)  # some classes occur nowhere, some only among the predictions
        gold = [rng.randrange(used) for _ in range(size)]
        right = rng.choice([0.0, 0.3, 0.9, 1.0])
        predicted = [g if rng.random() < right else rng.randrange(classes) for g in gold]
        cases.append({"classes": classes, "gold": gold, "predicted": predicted})
    for case, mine in zip(cases, score(cases), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            f1 = f1_score(case["gold"], case["predicted"], average="macro")
            correlation = matthews_corrcoef(case["gold"], case["predicted"])
        assert mine["accuracy"] == pytest.approx(accuracy_score(case["gold"], case["predicted"]), abs=1e-12)
        assert mine["macro_f1"] == pytest.approx(f1, abs=1e-12), case
        assert mine["matthews"] == pytest.approx(correlation, abs=1e-9), case


def test_no_predictions():
    assert score([{"classes": 3, "gold": [], "predicted": []}]) == [{"accuracy": 0, "macro_f1": 0, "matthews": 0}]
    assert score([{"width": 3, "labels": [], "probabilities": []}]) == [dict.fromkeys(LABEL_METRICS, 0)]
    assert score([{"width": 2, "values": [], "predicted": []}]) == [dict.fromkeys(VALUE_METRICS, 0)]


LABEL_METRICS = ["micro_f1", "macro_f1", "average_precision", "subset_accuracy"]
VALUE_METRICS = ["mse", "mae", "r2", "pearson", "spearman"]


def test_label_sets():
    rng = np.random.default_rng(5)
    cases = []
    for _ in range(1000):
        samples, classes = rng.choice([1, 2, 5, 40, 200]), rng.choice([1, 2, 3, 12])
        labels = rng.random((samples, classes)) < rng.choice([0, 0.1, 0.5, 1], classes)  # some labels occur nowhere, some everywhere
        # Scores that know something; rounded ones have ties, with one half among them.
        scores = np.clip(rng.random((samples, classes)) * 0.7 + 0.3 * labels, 0, 1)
        digits = rng.choice([1, 2, 16])
        cases.append((labels.astype(int), np.round(scores, digits)))
    given = [{"width": labels.shape[1], "labels": labels.ravel().tolist(), "probabilities": scores.ravel().tolist()}
             for labels, scores in cases]
    for (labels, scores), mine in zip(cases, score(given), strict=True):
        # One label is a column to scikit-learn, not a class and its opposite.
        told = (scores >= 0.5).astype(int)
        column = {"average": None, "zero_division": 0} if labels.shape[1] > 1 else {"zero_division": 0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            each = f1_score(labels, told, **column)
            precision = [average_precision_score(labels[:, c], scores[:, c]) for c in range(labels.shape[1])]
            if labels.shape[1] > 1:
                assert mine["macro_f1"] == pytest.approx(f1_score(labels, told, average="macro", zero_division=0), abs=1e-9)
                assert mine["average_precision"] == pytest.approx(average_precision_score(labels, scores, average="macro"), abs=1e-9)
        micro = f1_score(labels.ravel(), told.ravel(), zero_division=0)
        assert mine["micro_f1"] == pytest.approx(micro, abs=1e-9)
        assert mine["macro_f1"] == pytest.approx(np.mean(each), abs=1e-9)
        assert mine["average_precision"] == pytest.approx(np.mean(precision), abs=1e-9)
        assert mine["subset_accuracy"] == pytest.approx(accuracy_score(labels, told), abs=1e-12)


def test_values():
    rng = np.random.default_rng(6)
    cases = []
    for _ in range(1000):
        shape = rng.choice([1, 2, 3, 40, 300]), rng.choice([1, 1, 2, 4])
        gold = rng.normal(rng.choice([0, 100]), rng.choice([0, 0.01, 30]), shape)
        told = gold * rng.choice([1, -1, 0]) + rng.normal(0, rng.choice([0, 0.1, 10]), shape)
        if rng.random() < 0.5:  # ties, on one side or on both
            gold = np.round(gold)
            told = np.round(told) if rng.random() < 0.5 else told
        cases.append((gold, told))
    cases += [(np.full((5, 1), 2.0), np.full((5, 1), 2.0)), (np.full((5, 1), 0.1), np.arange(5.0).reshape(5, 1))]
    given = [{"width": gold.shape[1], "values": gold.ravel().tolist(), "predicted": told.ravel().tolist()} for gold, told in cases]
    defined = 0
    for (gold, told), mine in zip(cases, score(given), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = {"mse": mean_squared_error(gold, told), "mae": mean_absolute_error(gold, told), "r2": r2_score(gold, told)}
            for name, function in (("pearson", pearsonr), ("spearman", spearmanr)):
                each = [function(gold[:, k], told[:, k]).statistic if len(gold) > 1 else math.nan for k in range(gold.shape[1])]
                defined += not np.isnan(each).any()
                expected[name] = np.mean(np.nan_to_num(each))
        for name, value in expected.items():
            assert mine[name] == pytest.approx(0 if math.isnan(value) else value, rel=1e-9, abs=1e-7), (name, gold, told)
    assert defined > 500


def test_models_of_real_data():
    """Predictions of simple models of scikit-learn on digits and diabetes."""
    x, y = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x[:300] / 16, y[:300])
    told, sure = model.predict(x[300:] / 16), model.predict_proba(x[300:] / 16)
    gold = np.eye(10, dtype=int)[y[300:]]
    values = np.stack([load_diabetes().target, load_diabetes().data[:, 2]], 1)
    guess = Ridge().fit(load_diabetes().data[:200, [0, 3, 8]], values[:200]).predict(load_diabetes().data[:, [0, 3, 8]])
    classes, labels, numbers = score([
        {"classes": 10, "gold": y[300:].tolist(), "predicted": told.tolist()},
        {"width": 10, "labels": gold.ravel().tolist(), "probabilities": sure.ravel().tolist()},
        {"width": 2, "values": values.ravel().tolist(), "predicted": guess.ravel().tolist()}])
    assert 0.8 < classes["accuracy"] < 1
    assert classes == pytest.approx({"accuracy": accuracy_score(y[300:], told), "macro_f1": f1_score(y[300:], told, average="macro"),
                                     "matthews": matthews_corrcoef(y[300:], told)}, abs=1e-9)
    assert labels["average_precision"] == pytest.approx(average_precision_score(gold, sure, average="macro"), abs=1e-9)
    assert labels["micro_f1"] == pytest.approx(f1_score(gold, sure >= 0.5, average="micro", zero_division=0), abs=1e-9)
    assert numbers["mse"] == pytest.approx(mean_squared_error(values, guess), rel=1e-9)
    assert numbers["r2"] == pytest.approx(r2_score(values, guess), abs=1e-9)
    for name, function in (("pearson", pearsonr), ("spearman", spearmanr)):
        each = [function(values[:, k], guess[:, k]).statistic for k in range(2)]
        assert numbers[name] == pytest.approx(np.mean(each), abs=1e-9) and np.mean(each) > 0.2


REAL_TAGS = [  # "Ada Lovelace met Charles Babbage in London ." and the like
    "B-PER I-PER O B-PER I-PER O B-LOC O",
    "B-ORG I-ORG I-ORG O O B-LOC O B-LOC O O",
    "B-LOC B-LOC I-LOC O",  # two places side by side
    "O O O O O O",
    "O O B-MISC I-MISC I-MISC I-MISC O O B-PER O O B-ORG",
    "B-PER",
    "B-a-b I-a-b O B-a O",  # a type with a hyphen
]


def compare_entities(cases):
    """Each case is labels and sentences of (gold, predicted) tags."""
    mine = score([{"bio": labels, "gold": [[labels.index(tag) for tag in gold] for gold, _ in sentences],
                   "predicted": [[labels.index(tag) if tag else -1 for tag in told] for _, told in sentences]} for labels, sentences in cases])
    between = 0
    for (labels, sentences), found in zip(cases, mine, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gold, told = [gold for gold, _ in sentences], [[tag or "O" for tag in told] for _, told in sentences]
            expected = entity_f1_score(gold, told) if any(gold) else 0
        assert found["entity_f1"] == pytest.approx(expected, abs=1e-9), sentences
        between += 0 < expected < 1
    return between


def test_entities():
    rng = random.Random(7)
    cases = []
    for _ in range(1000):
        types = rng.sample(["PER", "LOC", "ORG", "x", "a-b", "PERSON"], rng.randrange(1, 5))
        letters = rng.choice(["BI", "BI", "BIES", "I"])  # BIO and IOB1, IOBES, and IOB1 where no two entities touch
        labels = ["O"] + [f"{letter}-{name}" for name in types for letter in letters] if rng.random() < 0.9 else ["O", "B", "I", "E", "S"]
        weights = [rng.choice([1, 5])] + [rng.choice([0.2, 1, 3]) for _ in labels[1:]]  # any order: an I may come first, or after another type
        right = rng.choice([0.0, 0.5, 0.9, 1.0])
        sentences = []
        for _ in range(rng.choice([0, 1, 1, 3, 10])):
            gold = rng.choices(labels, weights, k=rng.choice([0, 1, 2, 8, 30]))
            told = [tag if rng.random() < right else rng.choice(labels) for tag in gold]
            cut = rng.randrange(len(gold) + 1) if rng.random() < 0.1 else len(gold)  # the words after it were not shown
            sentences.append((gold, told[:cut] + [None] * (len(gold) - cut)))
        cases.append((labels, sentences))
    assert compare_entities(cases) >= 300
    real = [line.split() for line in REAL_TAGS]
    labels = sorted({tag for tags in real for tag in tags} | {"I-a"})
    damaged_tags = [[(gold, [tag if rng.random() < 0.8 else rng.choice(labels) for tag in gold]) for gold in real] for _ in range(200)]
    assert compare_entities([(labels, [(gold, gold) for gold in real])] + [(labels, sentences) for sentences in damaged_tags]) >= 190


def test_which_labels_are_bio():
    yes = [["O", "B-x", "I-x"], ["B", "I", "O"], ["B-x"], ["I-x", "B-y"], ["O", "I-x"], ["O", "S-x"], ["B-x", "I-x", "E-x", "S-x", "O"], ["B", "I", "E", "S"]]
    no = [["NOUN", "O"], ["O"], ["O", "I"], ["O", "S", "E"], ["B", "M", "E", "S"], ["O", "B-x", "L-x"], ["O", "B-"], ["O", "Bx"], ["O", "B-x", "-"], ["O", "B-x", ""], ["o", "B-x"], []]
    told = score([{"bio": labels, "gold": [], "predicted": []} for labels in yes + no])
    assert [case["is_bio"] for case in told] == [True] * len(yes) + [False] * len(no)
    assert {case["entity_f1"] for case in told} == {0}


def mix64(x):
    """The finaliser of splitmix64, which the program's random generator uses."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def derive(key, what):
    return mix64(np.uint64(key) ^ mix64(np.asarray(what, np.uint64)))


def taken(key, n):
    """n numbers below n, drawn as in the bootstrap."""
    return ((derive(key, np.arange(n)) >> np.uint64(32)) * np.uint64(n) >> np.uint64(32)).astype(int)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_paired_bootstrap_equals_numpy():
    rng = np.random.default_rng(6)
    cases = []
    for seeds, samples in [(1, 1), (1, 40), (2, 7), (3, 250), (5, 33)]:
        first, second = rng.random((2, seeds, samples, 2))
        first[..., 1], second[..., 1] = rng.integers(1, 4, (seeds, samples)), 1
        cases.append((first, second))
    given = [{"first": a.reshape(len(a), -1).tolist(), "second": b.reshape(len(b), -1).tolist(), "draws": 300, "seed": 11 + i}
             for i, (a, b) in enumerate(cases)]
    for i, ((first, second), mine) in enumerate(zip(cases, score(given), strict=True)):
        expected = []
        for d in range(300):
            key = derive(11 + i, d)
            rows, seeds = taken(key, first.shape[1]), taken(derive(key, 1), len(first))
            expected.append([np.mean([each[s, rows, 0].sum() / each[s, rows, 1].sum() for s in seeds]) for each in (first, second)])
        expected = np.array(expected)
        assert mine["first"] == pytest.approx(expected[:, 0], rel=1e-12)
        assert mine["second"] == pytest.approx(expected[:, 1], rel=1e-12)
        assert [mine["low"], mine["high"]] == pytest.approx(np.percentile(expected[:, 1] - expected[:, 0], [2.5, 97.5]), rel=1e-10)


def test_paired_bootstrap_agrees_with_scipy():
    """The random numbers differ, so the ends of intervals agree up to the error of 10,000 draws."""
    rng = np.random.default_rng(7)
    first = (rng.random(400) < 0.7).astype(float)
    second = np.where(rng.random(400) < 0.85, first, rng.random(400) < 0.8)
    mine, = score([{"first": [np.stack([first, np.ones(400)], 1).ravel().tolist()],
                    "second": [np.stack([second, np.ones(400)], 1).ravel().tolist()], "draws": 10000, "seed": 1}])
    theirs = bootstrap((first, second), lambda a, b, axis: np.mean(b, axis) - np.mean(a, axis), paired=True, vectorized=True,
                       n_resamples=10000, method="percentile", rng=np.random.default_rng(8)).confidence_interval
    width = theirs.high - theirs.low
    assert 0.02 < width < 0.08
    assert [mine["low"], mine["high"]] == pytest.approx([theirs.low, theirs.high], abs=0.06 * width)


def test_paired_bootstrap_of_seeds():
    """Systems that differ only by the seed: the interval equals that of numpy's draws of seeds."""
    gains = np.array([0.0, 0.1, 0.3, 0.2])
    first = [[0.5, 1] * 6 for _ in gains]
    second = [[0.5 + gain, 1] * 6 for gain in gains]
    mine, = score([{"first": first, "second": second, "draws": 10000, "seed": 3}])
    drawn = np.random.default_rng(9).choice(gains, (20000, 4)).mean(1)
    assert [mine["low"], mine["high"]] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.0251)
    assert np.mean(mine["second"]) - 0.5 == pytest.approx(gains.mean(), abs=0.005)
