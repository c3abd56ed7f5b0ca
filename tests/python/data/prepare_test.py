"""examples/debmix/prepare: parsing, splitting, ordering, leak check and error messages on small invented inputs."""
import importlib.machinery
import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "examples/debmix/prepare"


@pytest.fixture(scope="module")
def prepare():
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader = importlib.machinery.SourceFileLoader("prepare", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("prepare", loader))
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


PACKAGES = """Package: kite
Source: kites (1.2-3)
Description: short
Description-md5: m1
Tag: role::program, implemented-in::c,
 use::viewing
Section: contrib/graphics

Package: kite-doc
Description: no description field of ours
Section: doc


Package: rope
Description-md5: m2
Section: libs
"""

TRANSLATION = """Package: kite
Description-md5: m1
Description-it: aquilone  semplice
 Prima riga
 seconda riga.
 .
   * punto
 .

Package: rope
Description-md5: m2
Description-de: falsche Sprache
"""


def group(prepare, split, tag=""):
    """Returns the name of a group that the hash assigns to this split."""
    return next(f"{tag}g{i}" for i in range(1000) if prepare.split_of(f"{tag}g{i}") == split)


def test_stanzas_keep_continuation_lines(prepare):
    first, second, third = prepare.stanzas(PACKAGES)
    assert first["Tag"] == "role::program, implemented-in::c,\nuse::viewing"
    assert second["Package"] == "kite-doc" and third["Section"] == "libs"


def test_packages(prepare):
    assert prepare.parse_packages(PACKAGES) == [
        ("kites", "m1", "graphics", ["role::program", "implemented-in::c", "use::viewing"]),
        ("rope", "m2", "libs", [])]


def test_translation_and_description(prepare):
    assert prepare.parse_translation(TRANSLATION, "it") == {
        "m1": ("aquilone semplice", ["Prima riga seconda riga.", "* punto"])}
    assert prepare.description("title only") == ("title only", [])
    assert prepare.description("t\n.\na\n.\n.\nb") == ("t", ["a", "b"])


def test_wordnet(prepare):
    text = ("  1 licence line | not data\n"
            "00001740 05 n 01 dog 0 001 @ 00001930 n 0000 | a loyal  animal; \"he has a dog\"  \n"
            "00001930 44 n 01 nothing 0 000 | \n")
    rows = list(prepare.wordnet_rows("noun", text))
    assert rows == [("noun:00001740", "noun.animal", 'a loyal animal; "he has a dog"')]
    assert len(prepare.LEXNAMES) == 45 == len(set(prepare.LEXNAMES))


def test_vader(prepare):
    text = "7_1\t-0.5\tNot  good.\r\n7_2\t0\tNeutral.\r\n8_1\t1.25\tA tab\there.\r\nbroken line\r\n"
    assert list(prepare.vader_rows(text)) == [("7", -0.5, "Not good."), ("7", 0, "Neutral."), ("8", 1.25, "A tab here.")]


def test_conllu(prepare):
    text = ("# sent_id = 1\n1-2\tbunun\t_\t_\n1\tbu\tbu\tPRON\n2\tnun\t_\tADP\n2.1\tempty\t_\tX\n\n\n"
            "1\tgel\tgel\tVERB\n")
    assert list(prepare.conllu_rows(text)) == [(["bu", "nun"], ["PRON", "ADP"]), (["gel"], ["VERB"])]


def test_split_is_80_10_10_and_fixed(prepare):
    share = [sum(prepare.split_of(f"package-{i}") == s for i in range(20000)) / 20000 for s in range(3)]
    assert share == pytest.approx([0.8, 0.1, 0.1], abs=0.01)
    assert [prepare.split_of(g) for g in ("bash", "bzip2", "nano", "vim", "zlib")] == [0, 0, 0, 1, 0]  # never changes


def test_text_of_several_groups_goes_to_the_earliest_split(prepare):
    splits = prepare.Splits()
    for split in (2, 1, 2):
        splits.add("a", split)
    splits.add("b", 2)
    assert splits == {"a": 1, "b": 2}
    pairs = [{"text": "a", "target": "a"}, {"text": "a", "target": "b"}]
    assert prepare.by_split(pairs, splits) == [[], [pairs[0]], []]


def test_classify_votes_and_drops_ties_and_small_classes(prepare):
    pairs = [("x", "libs"), ("x", "libs"), ("x", "doc"), ("y", "libs"), ("y", "doc"), ("z", "doc")]
    assert prepare.classify(pairs) == [{"text": "x", "label": "libs"}, {"text": "z", "label": "doc"}]
    doc = [{"text": "z", "label": "doc"}, {"text": "w", "label": "doc"}]
    assert prepare.classify(pairs + [("w", "doc")], min_count=2) == doc


def test_label_sets_vote_and_drop_ties_and_small_labels(prepare):
    pairs = [("x", {"a", "b"}), ("x", {"b", "a"}), ("x", {"a"}), ("y", {"a"}), ("y", {"b"}), ("z", {"b", "c"}), ("w", {"c"})]
    assert prepare.label_sets(pairs) == [{"text": "x", "labels": ["a", "b"]}, {"text": "z", "labels": ["b", "c"]},
                                         {"text": "w", "labels": ["c"]}]
    assert prepare.label_sets(pairs[:-1], min_count=2) == [{"text": "x", "labels": ["b"]}, {"text": "z", "labels": ["b"]}]


def test_match_takes_paragraphs_of_other_packages(prepare):
    rows = [{"text": f"title {i}", "second": f"paragraph {i}"} for i in range(200)]
    sources = {text: {f"source{i // 4}"} for i, row in enumerate(rows) for text in row.values()}
    found = prepare.match(rows, sources)
    assert found == prepare.match(rows, sources) and [r["text"] for r in found] == [r["text"] for r in rows]
    assert 70 < sum(r["label"] == "yes" for r in found) < 130
    for row, pair in zip(rows, found):
        assert (pair["second"] == row["second"]) == (pair["label"] == "yes")
        assert pair["label"] == "yes" or not sources[pair["text"]] & sources[pair["second"]]
    assert len({r["second"] for r in found if r["label"] == "no"}) > 50  # not always the same
    alone = prepare.match(rows, {text: {"one"} for text in sources})
    assert {r["label"] for r in alone} == {"yes"}  # where there is no other package, none is made up


def test_translate_takes_titles_and_aligned_paragraphs(prepare):
    ours = {"1": ("small editor", ["It edits text.", "It is small."]), "2": ("small editor", ["Untranslated text."]),
            "3": ("another tool", ["one paragraph here", "two"])}
    theirs = {"1": ("piccolo editor", ["Modifica testi.", "È piccolo."]), "2": ("editor minuto", ["Untranslated text."]),
              "3": ("un altro strumento", ["un solo paragrafo"]), "4": ("non esiste", [])}
    assert prepare.translate(ours, theirs) == [
        {"text": "small editor", "target": "piccolo editor"}, {"text": "It edits text.", "target": "Modifica testi."},
        {"text": "It is small.", "target": "È piccolo."}, {"text": "another tool", "target": "un altro strumento"}]


def test_identify_leaves_out_shared_and_short_texts(prepare):
    texts = {"en": {"1": ("a shared title", ["an English paragraph"]), "2": ("short", [])},
             "de": {"1": ("a shared title", ["ein deutscher Absatz", "x" * 300])}}
    rows = sorted((r["label"], r["text"]) for r in prepare.identify(texts))
    assert rows == [("de", "ein deutscher Absatz"), ("en", "an English paragraph")]


def test_langid_order_says_nothing_about_the_language(prepare):
    texts = {lang: {str(i): (f"title {i} in {lang}", []) for i in range(n)} for lang, n in (("da", 9000), ("es", 1250))}
    rows = [prepare.identify(texts), [{"text": "a", "label": "da"}], [{"text": "b", "label": "es"}]]
    task = prepare.Task("langid", "classification", "debian", "", "", rows)
    prepare.finish(task)
    assert len(task.rows[0]) == 2500
    assert sum(r["label"] == "da" for r in task.rows[0][:500]) == pytest.approx(250, abs=50)


def debian(prepare):
    """300 source packages. Every three share a paragraph, and the libraries share a title."""
    packages, texts = [], {lang: {} for lang in ("en", "it", "de")}
    for i in range(300):
        md5, kind = f"m{i}", "libs" if i % 2 else "games"
        packages.append((f"source{i}", md5, kind, ["role::program", f"implemented-in::{'c' if i % 2 else 'perl'}", "use::playing",
                                                  *(["use::viewing"] if i % 3 else [])]))
        shared = f"This paragraph stands in three packages, number {i // 3}."
        title = "a common library" if i % 2 else f"amusing game {i}"
        texts["en"][md5] = (title, [f"Package {i} in short, for who has no time.", shared, f"The description of package {i} alone."])
        texts["it"][md5] = (f"gioco o libreria {i}", [f"Pacchetto {i} in breve, per chi ha fretta.", f"Questo paragrafo sta in tre pacchetti {i // 3}",
                                                      f"Descrizione {i} sola."])
        texts["de"][md5] = (f"Spiel oder Bibliothek {i}", [])
    return packages, texts


def test_debian_tasks_do_not_leak(prepare):
    packages, texts = debian(prepare)
    tasks = {t.name: t for t in prepare.debian_tasks(packages, texts)}
    assert list(tasks) == ["section", "role", "implemented", "langid", "en-it", "en-de", "descriptions", "uses", "title-match"]
    for task in tasks.values():
        prepare.finish(task)
    prepare.check_leaks(tasks.values())
    assert tasks["section"].classes() == 2 and tasks["langid"].classes() == 3
    assert sum(map(len, tasks["section"].rows)) == 300
    assert tasks["section"].rows[0][0]["text"].endswith("alone.")
    assert tasks["uses"].classes() == 2 and sum(map(len, tasks["uses"].rows)) == 300
    assert {tuple(r["labels"]) for r in tasks["uses"].rows[0]} == {("playing",), ("playing", "viewing")}
    assert {r["label"] for r in tasks["title-match"].rows[0]} == {"yes", "no"}
    # A paragraph of several packages is in the earliest of their splits, in every task.
    for split, rows in enumerate(tasks["descriptions"].rows):
        for row in rows:
            if "three packages" in row["text"]:
                k = int(row["text"].rstrip(".").split()[-1])
                assert split == min(prepare.split_of(f"source{i}") for i in range(3 * k, 3 * k + 3))
    # The libraries' title has one translation in en-it, though they have 150.
    assert sum(r["text"] == "a common library" for rows in tasks["en-it"].rows for r in rows) == 1


def test_leaks_are_found(prepare):
    def task(name, *rows):
        return prepare.Task(name, "classification", "debian", "", "", [list(r) for r in rows])

    a = task("a", [{"text": "one", "label": "x"}], [{"text": "two", "label": "x"}], [])
    prepare.check_leaks([a, task("b", [{"text": "one", "label": "y"}], [], [])])
    with pytest.raises(prepare.PrepareError, match="'two' is in train of b and in valid of a"):
        prepare.check_leaks([a, task("b", [{"text": "two", "label": "y"}], [], [])])
    with pytest.raises(prepare.PrepareError, match="in test of p and in train of a"):
        prepare.check_leaks([a, task("p", [], [], [{"text": "uno", "target": "one"}])])
    with pytest.raises(prepare.PrepareError, match="'two' is in train of m and in valid of a"):
        prepare.check_leaks([a, task("m", [{"text": "one", "second": "two", "label": "no"}], [], [])])
    with pytest.raises(prepare.PrepareError, match="task c: 'one' occurs twice"):
        prepare.check_leaks([task("c", [{"text": "one", "label": "x"}] * 2, [], [])])


def test_groups_of_the_other_tasks(prepare):
    train, test = group(prepare, 0, "sentiment-x:")[12:], group(prepare, 2, "sentiment-x:")[12:]
    text = f"{train}_1\t1\tgood\n{test}_1\t-1\tbad\n{test}_2\t1\tgood\n{test}_3\t2\tfine\n"
    files = {"sentiment-x": text, "sentiment-movies": ""}
    (task, *_) = prepare.sentiment_tasks(files)
    assert task.rows == [[{"text": "good", "label": "positive"}], [],
                         [{"text": "bad", "label": "negative"}, {"text": "fine", "label": "positive"}]]
    movies = group(prepare, 0, "sentiment-movies:")[17:], group(prepare, 2, "sentiment-movies:")[17:]
    text = f"{movies[0]}\t1\tgood\n{movies[1]}\t-1.5\tbad\n{movies[1]}\t0\tgood\n{movies[1]}\t0\tneither\n"
    labelled, rated = prepare.sentiment_tasks({"sentiment-movies": text})
    assert [[r["text"] for r in rows] for rows in labelled.rows] == [["good"], [], ["bad"]]
    assert rated.kind == "regression"
    assert rated.rows == [[{"text": "good", "value": 0.5}], [], [{"text": "bad", "value": -1.5}, {"text": "neither", "value": 0}]]
    prepare.check_leaks([labelled, rated])
    tagging = prepare.tagging_task(["1\tgel\t_\tVERB\n", "1\tgel\t_\tNOUN\n"])
    assert [r for rows in tagging.rows for r in rows] == [{"words": ["gel"], "tags": ["VERB"]}]
    lex = prepare.lexname_task({"noun": "00000001 05 n | a dog\n00000002 05 n | a dog\n"})
    assert sorted(map(len, lex.rows)) == [0, 0, 1]


def test_finish_orders_caps_and_keeps_to_known_classes(prepare):
    def task():
        rows = [{"text": f"t{i}", "label": "ab"[i % 2]} for i in range(100)]
        valid = rows[80:90] + [{"text": "n", "label": "new"}]
        return prepare.Task("t", "classification", "f", "", "", [rows[:80], valid, rows[90:]])

    full, again, small = task(), task(), task()
    again.rows = [list(reversed(r)) for r in again.rows]
    for t, cap in ((full, None), (again, None), (small, 20)):
        prepare.finish(t, cap)
    assert full.rows == again.rows and [len(r) for r in full.rows] == [80, 10, 10]
    assert [r["text"] for r in full.rows[0]] != [f"t{i}" for i in range(80)]
    assert [len(r) for r in small.rows] == [16, 2, 2] and small.rows[0] == full.rows[0][:16]
    with pytest.raises(prepare.PrepareError, match="task t: no samples in test"):
        prepare.finish(prepare.Task("t", "masked_lm", "f", "", "", [[{"text": "a"}], [{"text": "b"}], []]))


def test_mirror(prepare):
    targets = ("http://x/ubuntu/ noble main Ubuntu\nhttp://s/debian-security/ bookworm-security main Debian\n"
               "http://m/debian/ trixie main Debian\n")
    assert prepare.choose_mirror(targets) == "http://m/debian/"
    assert prepare.choose_mirror(targets + "http://n/deb/ bookworm main\n") == "http://n/deb/"
    assert prepare.choose_mirror("http://n/debian/ bookworm contrib Debian\n") is None


def test_write_and_come_back(prepare, tmp_path, monkeypatch, capsys):
    def build(cache):
        assert cache.is_dir()
        tasks = prepare.debian_tasks(*debian(prepare))
        return tasks + [prepare.tagging_task(f"1\tkelime{i}\t_\tNOUN\n" for i in range(100))], {"list": "0" * 64}

    monkeypatch.setattr(prepare, "build", build)
    out = tmp_path / "out"
    assert prepare.main([str(out)]) == 0
    rows = [json.loads(line) for line in (out / "en-it.train.jsonl").read_text().splitlines()]
    assert rows and all(set(r) == {"text", "target"} for r in rows)
    ini = (out / "debmix.ini").read_text()
    assert "[task.en-it]\nkind = translation\ntrain = en-it.train.jsonl\n" in ini
    assert "source_language = en\ntarget_language = it\n" in ini and "[task.pos-tr]\nkind = tagging\n" in ini
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["sha256"] == {"list": "0" * 64} and provenance["tasks"]["en-it"]["samples"]["train"] == len(rows)
    assert "section" in capsys.readouterr().out

    monkeypatch.setattr(prepare, "build", lambda cache: pytest.fail("built a finished folder again"))
    assert prepare.main([str(out)]) == 0
    assert "nothing to do" in capsys.readouterr().out

    monkeypatch.setattr(prepare, "build", build)  # another --small is another data set
    assert prepare.main([str(out), "--small", "30"]) == 0
    assert len((out / "descriptions.train.jsonl").read_text().splitlines()) == 24


def test_other_systems_are_told_what_to_do(prepare, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prepare.shutil, "which", lambda tool: None)
    assert prepare.main([str(tmp_path / "out")]) == 78
    error = capsys.readouterr().err
    assert "debmix needs Debian's apt: apt-get, dpkg" in error and "--data synthetic" in error


def test_apt_without_mirror_or_lists(prepare, tmp_path, monkeypatch):
    answers = {"indextargets": "http://x/ubuntu/ noble main Ubuntu\n", "update": b""}
    monkeypatch.setattr(prepare, "require_debian", lambda: None)
    monkeypatch.setattr(prepare, "run", lambda command, doing, **o: next(v for k, v in answers.items() if k in command))
    with pytest.raises(prepare.PrepareError, match="apt sources name none") as e:
        prepare.Apt(tmp_path)
    assert e.value.code == 78
    answers["indextargets"] = "http://m/debian/ bookworm main Debian\n"
    apt = prepare.Apt(tmp_path)
    assert (tmp_path / "sources.list").read_text().endswith("http://m/debian/ bookworm main\n")
    with pytest.raises(prepare.PrepareError, match="brought no binary-amd64_Packages, i18n_Translation-en") as e:
        apt.fetch()
    assert e.value.code == 65


def test_pip_is_asked_for(prepare, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare.sys, "executable", "/bin/false")
    monkeypatch.setattr(prepare.shutil, "which", lambda tool: None)
    with pytest.raises(prepare.PrepareError, match="needs pip, which is not installed.*python3-pip") as e:
        prepare.pip_download("turkish-treebanks==1.0.0", tmp_path)
    assert e.value.code == 78


def test_altered_archive_is_refused(prepare, tmp_path, monkeypatch):
    def fake(command, doing, **options):
        if "download" in command:
            (pathlib.Path(command[command.index("--dest") + 1]) / "p-1.tar.gz").write_bytes(b"altered")
        return b""

    monkeypatch.setattr(prepare, "PYPI", {"p==1": ("p-1.tar.gz", "0" * 64)})
    monkeypatch.setattr(prepare, "run", fake)
    with pytest.raises(prepare.PrepareError, match="p-1.tar.gz should have SHA-256 0000") as e:
        prepare.pip_download("p==1", tmp_path)
    assert e.value.code == 65 and not (tmp_path / "p-1.tar.gz").exists()

    digest = prepare.hashlib.sha256(b"altered").hexdigest()
    monkeypatch.setattr(prepare, "PYPI", {"p==1": ("p-1.tar.gz", digest)})
    assert prepare.pip_download("p==1", tmp_path).read_bytes() == b"altered"
    monkeypatch.setattr(prepare, "run", lambda *a, **k: pytest.fail("fetched what the cache has"))
    assert prepare.pip_download("p==1", tmp_path).exists()


def test_build_stub_names_the_package(prepare, tmp_path):
    stub = {"__name__": "sys"}
    exec(prepare.BUILD_STUB.format(name="p", version="1"), stub)
    assert stub["get_requires_for_build_wheel"]() == []
    info = stub["prepare_metadata_for_build_wheel"](str(tmp_path))
    assert (tmp_path / info / "METADATA").read_text().splitlines()[1:] == ["Name: p", "Version: 1"]


def test_failed_command_is_quoted(prepare):
    with pytest.raises(prepare.PrepareError, match=r"(?s)trying it failed \(exit 3 of sh\).*no such host"):
        prepare.run(["sh", "-c", "echo no such host >&2; exit 3"], "trying it")


def test_usage_and_unwritable_folder(tmp_path):
    usage = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path), "--small", "3"], capture_output=True, text=True)
    assert usage.returncode == 2 and "at least 10" in usage.stderr
    (tmp_path / "file").write_text("")
    write = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path / "file/out")], capture_output=True, text=True)
    assert write.returncode == 73 and "Traceback" not in write.stderr and "free space" in write.stderr
