"""How tests read the Markdown pages, and how they run the commands that the pages show.

A block of a page is one of these, by its language:

- `sh`: commands. They run, in the order of the page, in one folder, and must succeed.
- `text`: what the block of `sh` before it prints. Its lines must be among those that were printed, in the same order;
  numbers may differ, as they depend on the machine, and `…` stands for any text.
- `ini`, `json`, `cpp`: the content of files. docs_test.py compares keys of ini with those that the program has, and
  docs_commands_test.py those of json.
- no language: a drawing, without commands.

Comments on the line before a block, which readers do not see:

- `<!-- not run: REASON -->`: the block is not run, or its output is not compared.
- `<!-- run by: PATH -->`: the test PATH runs the block or compares it, and docs_test.py does not.
- `<!-- given: NAME, NAME -->`: the commands need these files; tests/python/stand_ins.py makes small ones.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from program import POLYHEAD, ROOT, environment

SOURCE = Path(os.environ.get("POLYHEAD_SOURCE", ROOT)).resolve()
PAGES = sorted(path for path in SOURCE.rglob("*.md")
               if not any(part == "build" or part.startswith(".") for part in path.relative_to(SOURCE).parts))
MARK = re.compile(r"<!-- (not run|run by|given): (.+) -->")
LANGUAGES = ("sh", "text", "ini", "json", "cpp", "")


def name_of(page):
    return str(page.relative_to(SOURCE))


class Page:
    """Lines of prose, blocks of code, and spans of code within lines, each with its line number."""

    def __init__(self, text):
        self.prose, self.blocks, self.headings = [], [], []
        block, marks = None, {}
        for number, line in enumerate(text.splitlines(), 1):
            if line.startswith("```"):
                if block is None:
                    block = {"language": line[3:].strip(), "line": number, "lines": [], "marks": marks}
                else:
                    self.blocks.append(block)
                    block = None
                marks = {}
            elif block is not None:
                block["lines"].append(line)
            else:
                self.prose.append((number, line))
                if heading := re.match(r"#+ (.*)", line):
                    self.headings.append(heading[1])
                mark = MARK.fullmatch(line)
                marks = marks | {mark[1]: mark[2]} if mark else {}
        assert block is None, f"the block of line {block['line']} has no end"
        self.spans = [(number, span) for number, line in self.prose for span in re.findall(r"`([^`]+)`", line)]

    def anchors(self):
        """The names that GitHub gives to headings: the second of two equal headings ends in -1."""
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


def elsewhere(block):
    return "not run" in block["marks"] or "run by" in block["marks"]


# What a page shows as output


def pattern(line):
    """A regular expression for a line of output. Numbers, the bars of small charts and the width of columns may differ."""
    line = re.sub(r"[▁-█](?:[ ▁-█]*[▁-█])?", "▁", line.rstrip())
    parts = re.split(r"(…|▁|\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?| +|-{3,})", line)
    kinds = {"…": ".*", "▁": "[▁-█][ ▁-█]*"}

    def expression(part):
        if part in kinds:
            return kinds[part]
        if re.match(r"\d", part):
            return r"\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?"
        if re.fullmatch(" +", part):
            return r"\s+"
        return "-{2,}" if re.fullmatch("-{3,}", part) else re.escape(part)

    return "".join(expression(part) for part in parts)


def missing_line(shown, printed):
    """The first shown line that is not among the printed ones in this order, or none."""
    rest = iter(printed)
    for line in shown:
        if line.strip() not in ("", "…") and not any(re.fullmatch(pattern(line), other.rstrip()) for other in rest):
            return line
    return None


def shown_message(page, words, *variable, until=None):
    """The message of a page's block of text that contains the words, on one line, with `…` for what varies from run to run."""
    message = next(text for block in read(SOURCE / page).blocks if words in (text := " ".join(block["lines"])))
    for part in variable:
        assert part in message, message
        message = message.replace(part, "…")
    return message.partition(until)[0] + "…" if until else message


# Running


def folder_of_commands(folder):
    """Makes the folder look like the source after launch/setup. Configurations of the examples are short, and scripts that would
    fetch data make small ones."""
    import stand_ins

    program = Path(POLYHEAD).resolve()
    (folder / "build").mkdir(parents=True)
    (folder / "build" / "cpu").symlink_to(program.parent)
    for name in ("CMakePresets.json", "CMakeLists.txt", "bench", "docs", "launch", "tests"):
        (folder / name).symlink_to(SOURCE / name)
    shutil.copytree(SOURCE / "examples", folder / "examples")
    for file in (folder / "examples").glob("*/*.ini"):
        if file.stem in stand_ins.SHORTENED:
            stand_ins.shorten(file)
    for name in ("debmix", "digits"):
        script(folder / "examples" / name / "prepare", f'exec "{sys.executable}" "{SOURCE}/tests/python/stand_ins.py" {name} "$@"')
    tools = folder / ".tools"
    tools.mkdir()
    (tools / "polyhead").symlink_to(program)
    script(tools / "python", f'exec "{sys.executable}" "{SOURCE}/tests/python/stand_ins.py" python "$@"')
    # What launch/setup stores in ~/.cache/polyhead, also if POLYHEAD_CACHE names another folder.
    (folder / ".home" / ".cache").mkdir(parents=True)
    (folder / ".home" / ".cache" / "polyhead").symlink_to(Path(sys.prefix).parent)
    # The tests that a page names must exist. They do not run within a test.
    script(tools / "ctest", f'"{shutil.which("ctest")}" -N "$@" | tee ctest.txt; grep -q "Total Tests: [1-9]" ctest.txt')
    return tools


def script(file, text):
    file.unlink(missing_ok=True)
    file.write_text(f"#!/bin/bash\nset -euo pipefail\n{text}\n")
    file.chmod(0o755)


def run_page(name, page, folder, *, also=(), **variables):
    """Runs the blocks of a page, and those that are marked as run by one of the tests `also`; compares the output that it shows."""
    import stand_ins

    tools = folder_of_commands(folder)
    variables = {"POLYHEAD_BINARY": str(Path(POLYHEAD).resolve()), "PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(folder / ".home"),
                 "PYTHONDONTWRITEBYTECODE": "1", **variables}
    printed = None
    for block in page.blocks:
        marks, where = block["marks"], f"{name}, the block of line {block['line']}"
        if elsewhere(block) and marks.get("run by") not in also:
            continue
        if block["language"] == "sh":
            for name in marks.get("given", "").split(", "):
                if name:
                    stand_ins.give(name, folder)
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", "\n".join(block["lines"])], cwd=folder,
                                  env=environment(**variables), stdin=subprocess.DEVNULL,
                                  capture_output=True, encoding="utf-8", timeout=1000)
            assert done.returncode == 0, f"{where}:\n{done.stdout}{done.stderr}"
            printed = done.stdout.splitlines() + done.stderr.splitlines()
        elif block["language"] == "text":
            assert printed is not None, f"{where} shows output, but nothing ran before it"
            line = missing_line(block["lines"], printed)
            assert line is None, f"{where} shows a line that was not printed:\n{line}\nprinted:\n" + "\n".join(printed)
