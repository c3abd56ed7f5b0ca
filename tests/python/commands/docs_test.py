"""The pages are true: links lead somewhere, options and commands exist, lines are short, and what is marked runs."""

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

from program import POLYHEAD, ROOT, environment, run

SOURCE = Path(os.environ.get("POLYHEAD_SOURCE", ROOT)).resolve()
CONFIGURATION = SOURCE / "docs" / "configuration.md"  # generated from the program's help, which cli_test.py compares
PAGES = sorted(path for path in SOURCE.rglob("*.md")
               if not any(part == "build" or part.startswith(".") for part in path.relative_to(SOURCE).parts))
SECTIONS = "run|encoder|attention|optimizer|mixture|balance|dataset|task"
LONGEST_LINE, LONGEST_README = 120, 130
RUN_MARK = "<!-- run -->"  # on the line before a block of sh: the test runs it


def name_of(page):
    return str(page.relative_to(SOURCE))


# How a page is read


class Page:
    """Lines of prose, blocks of code, and spans of code within lines, each with its line number."""

    def __init__(self, text):
        self.prose, self.blocks, self.headings = [], [], []
        block, marked = None, False
        for number, line in enumerate(text.splitlines(), 1):
            if line.startswith("```"):
                if block is None:
                    block = {"language": line[3:].strip(), "line": number, "lines": [], "run": marked}
                else:
                    self.blocks.append(block)
                    block = None
            elif block is not None:
                block["lines"].append(line)
            else:
                self.prose.append((number, line))
                if heading := re.match(r"#+ (.*)", line):
                    self.headings.append(heading[1])
            marked = line == RUN_MARK
        assert block is None, f"the block of line {block['line']} has no end"
        self.spans = [(number, span) for number, line in self.prose for span in re.findall(r"`([^`]+)`", line)]

    def anchors(self):
        """As GitHub names them: the second of two equal headings ends in -1."""
        seen, names = {}, set()
        for heading in self.headings:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
            slug = "".join(c for c in text if c.isalnum() or c in " -_").replace(" ", "-")
            names.add(slug if slug not in seen else f"{slug}-{seen[slug]}")
            seen[slug] = seen.get(slug, 0) + 1
        return names

    def links(self):
        text = re.sub(r"`[^`]+`", "code", "\n".join(line for _, line in self.prose))
        return re.findall(r"\]\(([^)\s]+)\)", text)


@functools.cache
def read(page):
    return Page(page.read_text(encoding="utf-8"))


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
    """Command -> its options by docs/configuration.md."""
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
    """All --section.key of train and import."""
    return {name for names in chapters().values() for name in names if "." in name}


def full(name):
    """--task.section.teacher -> --task.NAME.teacher"""
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
    """The commands that a page tells to type: (line, words that follow the program)."""
    texts = [(number, span) for number, span in parsed.spans if re.match(r"(\S*/)?polyhead \w|launch/local ", span)]
    for block in parsed.blocks:
        if block["language"] in ("", "sh"):
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


def faults(page, parsed):
    return [*broken_links(page, parsed), *bad_lines(parsed), *unknown_options(parsed), *unknown_commands(parsed)]


# The tests


@pytest.mark.parametrize("page", [page for page in PAGES if page != CONFIGURATION], ids=name_of)
def test_a_page_is_true(page):
    found = faults(page, read(page))
    assert not found, f"{name_of(page)}:\n" + "\n".join(found)


def test_the_links_of_the_generated_page():
    assert list(broken_links(CONFIGURATION, read(CONFIGURATION))) == []


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
    ("```\nlaunch/local -n 2 train \\\n  --datas DIR\n```", "train --datas"),
    ("```sh\nbuild/cpu/polyhead evaluate --run-dir RUN --task section\n```", "evaluate --task"),
    ("`polyhead verify --rehashed`", "verify --rehashed"),
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
    "```text\npolyhead train: hang: rank 2\n```",
    "`polyhead inspect --data DIR --samples 3`",
])
def test_a_right_page_passes(text):
    assert faults(SOURCE / "PAGE.md", Page(text)) == []


MARKED = [page for page in PAGES if any(block["run"] for block in read(page).blocks)]


def test_the_first_steps_are_run():
    assert SOURCE / "docs" / "getting-started.md" in MARKED
    for page in PAGES:  # no mark is lost on something else than a block of sh
        marks = sum(line == RUN_MARK for _, line in read(page).prose)
        assert marks == sum(block["run"] and block["language"] == "sh" for block in read(page).blocks), name_of(page)


@pytest.mark.parametrize("page", MARKED, ids=name_of)
def test_marked_commands_succeed(page, tmp_path):
    """In order, in one folder that looks like the source's, with the program that is tested."""
    (tmp_path / "build" / "cpu").mkdir(parents=True)
    program = Path(POLYHEAD).resolve()
    (tmp_path / "build" / "cpu" / "polyhead").symlink_to(program)
    for folder in ("launch", "examples"):
        (tmp_path / folder).symlink_to(SOURCE / folder)
    for block in read(page).blocks:
        if block["run"]:
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", "\n".join(block["lines"])], cwd=tmp_path,
                                  env=environment(POLYHEAD_BINARY=str(program)), stdin=subprocess.DEVNULL,
                                  capture_output=True, encoding="utf-8", timeout=500)
            assert done.returncode == 0, f"{name_of(page)}, the block of line {block['line']}:\n{done.stdout}{done.stderr}"
