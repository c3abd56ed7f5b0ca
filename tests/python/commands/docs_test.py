"""The pages are correct: links lead somewhere, options and commands exist, lines are short. docs_commands_test.py runs the commands."""

import functools
import re
import subprocess
import sys

import pytest

from pages import LANGUAGES, MARK, PAGES, SOURCE, Page, elsewhere, missing_line, name_of, read
from program import run

CONFIGURATION = SOURCE / "docs" / "configuration.md"  # generated from the program's help, which cli_test.py compares
SECTIONS = "run|encoder|attention|optimizer|mixture|balance|dataset|task"
LONGEST_LINE, LONGEST_README, MOST_NOT_RUN = 120, 130, 12
# Papers and tools that the pages cite. Other hosts, such as mirrors and package registries, are not named.
HOSTS = {"arxiv.org", "doi.org", "ui.perfetto.dev"}


# What the program knows


@functools.cache
def help_of(command):
    done = run(command, "--help", timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def commands():
    done = run("--help", timeout=300)
    return set(re.findall(r"^  ([a-z]+) {2,}\S", done.stdout, re.MULTILINE)) | {"help"}


def options_in(text):
    """--section.key, --flag and -f at the start of the lines of a help text."""
    return {name for line in re.findall(r"^  (-[^\s,]+(?:, -[^\s,]+)*)(?: |$)", text, re.MULTILINE) for name in line.split(", ")}


@functools.cache
def chapters():
    """The options of each command, from docs/configuration.md."""
    parts = re.split(r"^## polyhead ([a-z]+)$", CONFIGURATION.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {command: options_in(text) for command, text in zip(parts[1::2], parts[2::2])}
    train = {name for name in found["train"] if "." in name or name in ("--data", "--run-dir")}
    for command in ("compare", "plan", "doctor"):
        found[command] = found[command] | train
    return found


def flags_of(command):
    return (chapters()[command] if command in chapters() else options_in(help_of(command))) | {"--help"}


@functools.cache
def options():
    """All options --section.key of train and import."""
    return {name for names in chapters().values() for name in names if "." in name}


def full(name):
    """Replaces the name of a task: --task.section.teacher becomes --task.NAME.teacher."""
    return re.sub(r"^--task\..+\.([a-z_0-9]+)$", r"--task.NAME.\1", name)


# What can be wrong in a page


def broken_links(page, parsed):
    for link in parsed.links():
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if target != page and (not target.is_relative_to(SOURCE) or not target.exists()):
            yield f"{link}: there is no such file"
        elif anchor and anchor not in (parsed if target == page else read(target)).anchors():
            yield f"{link}: the page has no such heading"


def missing_files(parsed):
    """Files of the source that a page names. NAME and the like stand for any name."""
    for number, span in parsed.spans:
        for name in re.findall(r"^(?:core|datasets|distributed|launch|tests|examples|bench|docs|cmake)/[\w./{},-]+$", span):
            start, _, rest = name.partition("{")
            endings, _, end = rest.partition("}")
            for path in [start + ending + end for ending in endings.split(",")]:
                if not re.search(r"NAME|TASK", path) and not (SOURCE / path).exists():
                    yield f"line {number}: there is no {path}"


def bad_lines(parsed):
    for number, line in parsed.prose:
        if len(line) > LONGEST_LINE and not line.startswith("|"):
            yield f"line {number} has {len(line)} characters"
        if line.count("`") % 2 == 1:
            yield f"line {number} breaks a span of code"


def unknown_options(parsed):
    texts = parsed.spans + [(block["line"], "\n".join(block["lines"])) for block in parsed.blocks]
    for number, text in texts:
        for name in re.findall(rf"(?<![\w-])--(?:{SECTIONS})\.[\w.-]*\w", text):
            if full(name) not in options():
                yield f"line {number}: {name}"
        for name in re.findall(rf"(?<![\w.-])((?:{SECTIONS})\.[\w.-]*\w) = ", text):
            if full("--" + name) not in options():
                yield f"line {number}: {name} = "
    for number, span in parsed.spans:
        # A name alone. Of the other sections, names of files and tensors look like it: encoder.safetensors, attention.norm.
        if re.fullmatch(r"(?:run|optimizer|mixture|balance|task\.[A-Z]+)\.[a-z_0-9]+", span) and span != "run.lock" \
                and full("--" + span) not in options():
            yield f"line {number}: {span}"
    for block in parsed.blocks:
        if block["language"] == "ini":
            yield from unknown_keys(block)


def unknown_keys(block):
    section = None
    for number, line in enumerate(block["lines"], block["line"] + 1):
        if heading := re.match(r"\[([^\]]+)\]", line):
            section = heading[1]
        elif key := re.match(r"([\w-]+)\s*=", line):
            if section is None or full(f"--{section}.{key[1]}") not in options():
                yield f"line {number}: {key[1]} of [{section}]"


def typed(parsed):
    """The commands that a page shows: (line, words that follow the program)."""
    texts = [(number, span) for number, span in parsed.spans if re.match(r"(\S*/)?polyhead \w|launch/local ", span)]
    for block in parsed.blocks:
        if block["language"] == "sh":
            for number, line in enumerate("\n".join(block["lines"]).replace("\\\n", " ").split("\n"), block["line"] + 1):
                texts += [(number, part) for part in re.split(r"[|;]|&&", re.sub(r"(^|\s)#.*", "", line))]
    start = r"(?:^|\s)(?:(?:\S*/)?polyhead(?:-[a-z]+)?|\S*launch/local(?:\s+-n\s+\S+|\s+--preset\s+\S+)*)\s+([a-z].*)"
    for number, text in texts:
        if found := re.search(start, text):
            yield number, found[1].split()
        elif found := re.search(r"launch/slurm/train\.sbatch\s+(.*)", text):
            yield number, ["train", *found[1].split()]


def unknown_commands(parsed):
    for number, words in typed(parsed):
        command = words[0]
        if command not in commands():
            yield f"line {number}: polyhead {command}"
        elif command != "help":
            for word in words[1:]:
                if word.startswith("--") and full(word.split("=")[0]) not in flags_of(command):
                    yield f"line {number}: polyhead {command} {word}"


def bad_blocks(parsed):
    before = None
    for block in parsed.blocks:
        language, where = block["language"], f"the block of line {block['line']}"
        if language not in LANGUAGES:
            yield f"{where} has the language {language}"
        if language == "" and any(re.match(r"\s*(\./)?(polyhead|build|launch|examples|mpirun|cmake|ctest|python3?)[ /]", line) for line in block["lines"]):
            yield f"{where} has commands, but is not marked as sh"
        if language == "text" and not elsewhere(block) and before != "sh":
            yield f"{where} is output, but no block of sh is before it"
        if len(block["marks"].get("not run", "a good reason").split()) < 3:
            yield f"{where} is not run, but does not say why"
        if "run by" in block["marks"] and not (SOURCE / block["marks"]["run by"]).is_file():
            yield f"{where} is run by a test that is not there: {block['marks']['run by']}"
        before = language
    marks = sum(bool(MARK.fullmatch(line)) for _, line in parsed.prose)
    if marks != sum(len(block["marks"]) for block in parsed.blocks):
        yield "a mark is not on the line before a block"


def places_of_one_machine(parsed):
    """Folders and hosts that only one machine has."""
    texts = parsed.prose + [(block["line"], "\n".join(block["lines"])) for block in parsed.blocks]
    for number, text in texts:
        for path in re.findall(r"(?<![\w./~}*-])/(?:home|root|work|tmp|mnt|opt|srv|Users|data|scratch)\b[\w./-]*", text):
            yield f"line {number}: the absolute path {path}"
        for host in re.findall(r"\b(?:[a-z0-9-]+\.)+(?:org|com|net|io|dev|internal|cloud)\b", text):
            if host not in HOSTS:
                yield f"line {number}: the host {host}"


def faults(page, parsed):
    return [*broken_links(page, parsed), *missing_files(parsed), *bad_lines(parsed), *bad_blocks(parsed), *places_of_one_machine(parsed), *unknown_options(parsed),
            *unknown_commands(parsed)]


# The tests


@pytest.mark.parametrize("page", [page for page in PAGES if page != CONFIGURATION], ids=name_of)
def test_a_page_is_true(page):
    found = faults(page, read(page))
    assert not found, f"{name_of(page)}:\n" + "\n".join(found)


def test_the_generated_page():
    parsed = read(CONFIGURATION)
    assert [*broken_links(CONFIGURATION, parsed), *bad_lines(parsed), *places_of_one_machine(parsed)] == []


def test_the_readme_is_short():
    assert len((SOURCE / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README


def test_every_page_is_reached_from_the_readme():
    reached, left = set(), [SOURCE / "README.md"]
    while left:
        page = left.pop()
        if page in reached:
            continue
        reached.add(page)
        paths = [(page.parent / link.partition("#")[0]).resolve() for link in read(page).links() if ":" not in link]
        left += [path for path in paths if path.suffix == ".md" and path.exists()]
    assert [name_of(page) for page in PAGES if page not in reached] == []


@pytest.mark.parametrize("text, says", [
    ("[a](nowhere.md)", "nowhere.md: there is no such file"),
    ("[a](README.md#nowhere)", "no such heading"),
    ("## A heading\n[a](#another-heading)", "no such heading"),
    ("word " * 30, "characters"),
    ("`polyhead\ntrain`", "breaks a span"),
    ("`--optimizer.learning_rate 1`", "--optimizer.learning_rate"),
    ("`run.step = 3`", "run.step"),
    ("`optimizer.rate`", "optimizer.rate"),
    ("`task.NAME.teachers`", "task.NAME.teachers"),
    ("```ini\n[run]\nstep = 3\n```", "step of [run]"),
    ("```sh\npolyhead trian --data DIR\n```", "polyhead trian"),
    ("```sh\nlaunch/local -n 2 train \\\n  --datas DIR\n```", "train --datas"),
    ("```sh\nbuild/cpu/polyhead evaluate --run-dir RUN --task section\n```", "evaluate --task"),
    ("`polyhead verify --rehashed`", "verify --rehashed"),
    ("```\nlaunch/local -n 2 train\n```", "not marked as sh"),
    ("```bash\nls\n```", "has the language bash"),
    ("```text\nas printed\n```", "no block of sh is before it"),
    ("<!-- not run: slow -->\n```sh\nls\n```", "does not say why"),
    ("<!-- run by: tests/none.py -->\n```sh\nls\n```", "run by a test that is not there"),
    ("<!-- not run: needs a GPU -->\n\n```sh\nls\n```", "not on the line before a block"),
    ("data in /home/somebody/data", "the absolute path"),
    ("from mirror.example.org", "the host"),
    ("`core/heads/{head,hed}.h`", "core/heads/hed.h"),
])
def test_a_wrong_page_is_found(text, says):
    found = faults(SOURCE / "PAGE.md", Page(text))
    assert found and all(says in fault for fault in found), found


@pytest.mark.parametrize("text", [
    "## A heading\n## A heading\n[a](#a-heading-1) [b](README.md) `[c](nowhere.md)`",
    "| " + "word " * 30 + "|",
    "`--task.en-it.teacher RUN` `optimizer.lr` `encoder.safetensors`",
    "```ini\n[task.topic]\nkind = classification\n```",
    "```sh\necho '{}' | polyhead predict --run-dir RUN --task t    # polyhead nothing\n```",
    "<!-- not run: a worker is stopped -->\n```text\npolyhead train: hang: rank 2\n```",
    "```sh\nls\n```\n```text\na\n```",
    "`polyhead inspect --data DIR --samples 3`",
])
def test_a_right_page_passes(text):
    assert faults(SOURCE / "PAGE.md", Page(text)) == []


def test_few_blocks_are_not_run():
    marked = [f"{name_of(page)}, line {block['line']}: {block['marks']['not run']}"
              for page in PAGES for block in read(page).blocks if "not run" in block["marks"]]
    assert len(marked) <= MOST_NOT_RUN, "\n".join(marked)


def scripts_not_run():
    """(page, line, script, its words) of the commands of scripts in blocks that are not run."""
    for page in PAGES:
        for block in read(page).blocks:
            if block["language"] == "sh" and "not run" in block["marks"]:
                for part in re.split(r"\n|&&|\|", "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in block["lines"])):
                    if found := re.match(r"\s*(?:\S*python3?\s+)?(?:\./)?((?:launch|bench|examples|tests)/\S+)(.*)", part):
                        yield name_of(page), block["line"], found[1], found[2].split()


def test_scripts_that_are_not_run_have_the_options():
    found = list(scripts_not_run())
    assert len(found) >= 10
    for page, line, script, words in found:
        assert (SOURCE / script).is_file(), f"{page}, the block of line {line}: there is no {script}"
        options = {word for word in words if word.startswith("--")}
        if options:
            command = [sys.executable] if script.endswith(".py") else []
            done = subprocess.run([*command, SOURCE / script, "--help"], capture_output=True, encoding="utf-8", timeout=300)
            assert done.returncode == 0 and options <= set(re.findall(r"--[a-z-]+", done.stdout)), (page, line, script, done.stderr)


@pytest.mark.parametrize("shown, right", [
    ("step 380.5 ms: compute 303.9 (mean)", True),
    ("step 1,380 ms: compute   3e-05 (mean)", True),
    ("step … (mean)", True),
    ("step 380.5 ms: computed 303.9 (mean)", False),
    ("step 380.5 ms: compute", False),
    ("a line of which nothing was printed", False),
])
def test_output_is_compared_by_its_words(shown, right):
    printed = ["worker  heads", "step 12.25 ms: compute 7 (mean)", "limit: none"]
    assert (missing_line(["worker heads", "…", shown, "limit: none"], printed) is None) == right
    assert missing_line(["limit: none", "worker heads"], printed) == "worker heads"  # in this order
