"""WordPiece gives the same ids as the package tokenizers, with vocabularies made by the package, on names of languages,
places and scripts in more than a hundred languages (from the package pycountry)."""

import gettext
import json
import subprocess
from pathlib import Path

import pycountry
import pytest
from tokenizers import BertWordPieceTokenizer

from program import POLYHEAD

TOOL = Path(POLYHEAD).parent / "tests" / "data"


@pytest.fixture(scope="module")
def names():
    """At least 10,000 different lines of three names each, from every language in turn."""
    languages = []
    for path in sorted(Path(pycountry.LOCALES_DIR).glob("*/LC_MESSAGES/iso639-3.mo")) + sorted(
            Path(pycountry.LOCALES_DIR).glob("*/LC_MESSAGES/iso3166-*.mo")):
        with open(path, "rb") as file:
            translations = gettext.GNUTranslations(file)
        found = [text for text in translations._catalog.values() if isinstance(text, str) and text and "\n" not in text]
        languages.append([", ".join(found[i:i + 3]) for i in range(0, len(found), 3)])
    lines = []
    for row in range(max(map(len, languages))):
        lines += [language[row] for language in languages if row < len(language)]
    lines = list(dict.fromkeys(lines))[:20_000]
    assert len(lines) >= 10_000
    assert len({char for line in lines for char in line}) > 1_000
    return lines


@pytest.mark.parametrize("lower", [True, False], ids=["uncased", "cased"])
def test_ids_equal_those_of_tokenizers(tmp_path, names, lower):
    trained = BertWordPieceTokenizer(lowercase=lower)
    trained.train_from_iterator(names, vocab_size=6000, show_progress=False)
    vocabulary = trained.get_vocab()
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)) + "\n", encoding="utf-8")
    reference = BertWordPieceTokenizer(vocab=vocabulary, lowercase=lower)
    text = "".join(line + "\n" for line in names)
    done = subprocess.run([TOOL, "tokenize", "wordpiece", tmp_path / "vocab.txt"], input=text, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr
    ours = [line["ids"] for line in json.loads(done.stdout)]
    theirs = [encoding.ids for encoding in reference.encode_batch(names, add_special_tokens=False)]
    assert len(ours) == len(names)
    different = [(line, a, b) for line, a, b in zip(names, ours, theirs) if a != b]
    assert not different, (len(different), different[:3])
    assert sum(id != vocabulary["[UNK]"] for ids in theirs for id in ids) > 100_000
