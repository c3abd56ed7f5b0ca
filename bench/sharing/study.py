#!/usr/bin/env python3
"""The study that README.md describes: study.py RAW WORK [--parts three-5,six-5,…] [--seeds N] [--jobs N] [-- OPTIONS]

RAW is a folder that examples/debmix/prepare has written. WORK gets the data sets, the runs, the JSON of each comparison
and PART.md with a table for each part (affinity.txt for the part affinity). To continue an interrupted study, run the
same command again. OPTIONS are added to all runs. Standard library only.
"""
import argparse
import configparser
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM = Path(os.environ.get("POLYHEAD_BINARY", HERE.parents[1] / "build" / "cpu" / "polyhead"))
SMALL = ["sentiment-movies", "sentiment-amazon", "sentiment-nyt"]
TWELVE = ["section", "role", "implemented", "lexname", "langid", *SMALL, "en-it", "en-de", "descriptions", "pos-tr"]
PACKAGES = ["section", "role", "implemented"]  # tasks of the same texts
SIX = [*PACKAGES, *SMALL]
SHARES = [100, 25, 5]  # percent of each task's train samples
BALANCERS = ["uncertainty", "famo", "db_mtl", "pcgrad", "cagrad", "nash_mtl", "fairgrad", "upgrad", "pcd"]
EVERY = {100: 60, 25: 40, 5: 20}  # steps between evaluations on valid, by share

# Options of each system, besides base.ini.
three = {"run.tasks": ", ".join(SMALL), "mixture.kind": "proportional"}
six = {"run.tasks": ", ".join(SIX), "mixture.kind": "uniform", "mixture.batch": 96}
# The early stopping of twelve looks at the three small tasks only.
twelve = {"run.tasks": ", ".join(TWELVE), "run.best": ", ".join(f"{task}:loss" for task in SMALL), "mixture.kind": "uniform", "mixture.batch": 144, "run.steps": 400}
large = {"encoder.layers": 4, "encoder.dim": 256, "encoder.ffn": 1024, "optimizer.lr": 5e-4}
SYSTEMS = {
    **{task: {"run.tasks": task} for task in TWELVE},
    "three": three,
    "six": six,
    "packages": {"run.tasks": ", ".join(PACKAGES), "mixture.kind": "uniform"},
    "twelve": twelve,
    **{f"4x256-{task}": {"run.tasks": task} | large for task in SMALL},
    "4x256-three": three | large,
    **{f"three-temperature-{t}": three | {"mixture.kind": "temperature", "mixture.temperature": t} for t in (2, 5)},
    **{f"three-weight-{w}": three | {"balance.method": "static", "task.sentiment-amazon.weight": w, "task.sentiment-nyt.weight": w} for w in (0.33, 3)},
    **{f"three-{method}": three | {"balance.method": method} for method in BALANCERS},
    **{f"six-temperature-{t}": six | {"mixture.kind": "temperature", "mixture.temperature": t} for t in (1, 2, 5)},
}


def against_alone(system, tasks):
    return [(system, task) for task in tasks]


# part: (percent, [(system, the system that it is compared with)])
PARTS = {
    **{f"three-{share}": (share, against_alone("three", SMALL)) for share in SHARES},
    **{f"twelve-{share}": (share, [*against_alone("twelve", SMALL), ("twelve", "three")]) for share in SHARES},
    "six-5": (5, against_alone("six", SIX)),
    "packages-5": (5, against_alone("packages", PACKAGES)),
    "mixtures-three": (25, [(name, "three") for name in SYSTEMS if name.startswith(("three-temperature", "three-weight"))]),
    "mixtures-six": (5, [(f"six-temperature-{t}", "six") for t in (1, 2, 5)]),
    "balancers-three": (25, [(f"three-{method}", "three") for method in BALANCERS]),
    "sizes": (25, [("4x256-three", f"4x256-{task}") for task in SMALL] + [("4x256-three", "three")]),
}


def polyhead(*words):
    environment = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} | os.environ
    done = subprocess.run([PROGRAM, *map(str, words)], env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)  # 75: interrupted by a signal; run the same command again to continue
    return done.stdout


def share_of(lines, share):
    """The train samples of a share (percent). A larger share has those of a smaller one. Every label keeps at least one sample."""
    kept, seen = [], set()
    for line in lines:
        sample = json.loads(line)
        labels = set(sample.get("tags", [sample["label"]] if "label" in sample else []))
        if int.from_bytes(hashlib.sha256(line).digest()[:8], "big") % 10_000 < share * 100 or labels - seen:
            kept.append(line)
            seen |= labels
    return kept


def import_share(raw, work, share):
    """Imports the data with a share of each task's train samples, and the tokenizer of the whole data. Returns the folder."""
    data, texts = work / f"data-{share}", work / f"raw-{share}"
    if (data / "dataset.json").exists():
        return data
    if share == 100:
        polyhead("import", "-c", raw / "debmix.ini", "--out", data)
        return data
    texts.mkdir(parents=True, exist_ok=True)
    description = configparser.ConfigParser()
    description.read(raw / "debmix.ini")
    for task in set(description.sections()) - {"dataset", *(f"task.{task}" for task in TWELVE)}:
        del description[task]
    for task in TWELVE:
        for split in ("train", "valid", "test"):
            lines = (raw / f"{task}.{split}.jsonl").read_bytes().splitlines(keepends=True)
            (texts / f"{task}.{split}.jsonl").write_bytes(b"".join(share_of(lines, share) if split == "train" else lines))
    del description["dataset"]["vocab_size"]
    description["dataset"]["vocab"] = str(import_share(raw, work, 100) / "tokenizer.model")
    with open(texts / "debmix.ini", "w", encoding="utf-8") as out:
        description.write(out)
    polyhead("import", "-c", texts / "debmix.ini", "--out", data)
    return data


def write_ini(work, system):
    """Writes a configuration: base.ini and a system's options. Returns the file."""
    config = configparser.ConfigParser()
    config.read(HERE / "base.ini")
    for key, value in SYSTEMS[system].items():
        section, name = key.rsplit(".", 1)
        if not config.has_section(section):
            config.add_section(section)
        config[section][name] = str(value)
    file = work / "systems" / f"{system}.ini"
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w", encoding="utf-8") as out:
        config.write(out)
    return file


def compare(raw, work, share, name, system, words, options):
    """Compares with the given words, unless this was done before. Returns the file with the JSON of the comparison."""
    file = work / "compared" / f"{share}-{name}-{options.seeds}.json"
    if not file.exists():
        told = polyhead("compare", "-c", write_ini(work, system), *words, "--data", import_share(raw, work, share), "--until", "best",
                        "--run.eval_every", EVERY[share], "--seeds", options.seeds, "--jobs", options.jobs, "--run.threads", 1, "--json", *options.more)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(told, encoding="utf-8")
    return file


def compare_two(raw, work, share, system, other, options):
    """Returns the JSON of a comparison of two systems."""
    words = ["--against", write_ini(work, other), "--out", work / f"runs-{share}"]
    return json.loads(compare(raw, work, share, f"{system}-against-{other}", system, words, options).read_text(encoding="utf-8"))


def affinity(raw, work, options):
    """Trains six tasks alone, in pairs and all together. Returns how the affinities of the joint run agree with the gains of the pairs."""
    measured = compare(raw, work, 5, "pairs", "six", ["--pairs", "--out", work / "pairs-5"], options)
    run = work / "affinity-5"
    polyhead("train", "-c", write_ini(work, "six"), "--data", import_share(raw, work, 5), "--run-dir", run, "--run.eval_every", EVERY[5], "--run.best", "each", "--balance.telemetry_every", 2,
             "--run.threads", 1, *options.more)
    return polyhead("affinity", "--run-dir", run, "--groups", 2, "--against", measured)


def verdict(row):
    return "gained" if row["difference_low"] > 0 else "lost" if row["difference_high"] < 0 else "not apart"


def rows_of(told, system, other):
    for task, row in told["tasks"].items():
        yield [system, other, task, row["metric"], f"{row['first']:.4f}", f"{row['second']:.4f}",
               f"{row['difference']:+.4f} ({row['difference_low']:+.4f} to {row['difference_high']:+.4f})", verdict(row), f"{row['first_gap']:.3f}",
               f"{row['second_gap']:.3f}", f"{row['first_samples']:.0f}", f"{row['second_samples']:.0f}", f"{row['second_seconds'] or 0:.0f}"]


def table(rows):
    head = ["system", "against", "task", "metric", "against", "system", "difference (95 %)", "", "gap against", "gap", "samples against", "samples", "seconds"]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path)
    parser.add_argument("work", type=Path)
    parts = [*PARTS, "affinity"]
    parser.add_argument("--parts", default=",".join(parts), help=f"of {', '.join(parts)}; separated by commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:end])
    options.more = arguments[end + 1:]
    chosen = options.parts.split(",")
    if wrong := [part for part in chosen if part not in parts]:
        parser.error(f"there is no part {', '.join(wrong)}; there are {', '.join(parts)}")
    for part in chosen:
        if part == "affinity":
            (options.work / "affinity.txt").write_text(affinity(options.raw, options.work, options), encoding="utf-8")
            continue
        share, compared = PARTS[part]
        rows = []
        for system, other in compared:
            rows += rows_of(compare_two(options.raw, options.work, share, system, other, options), system, other)
        (options.work / f"{part}.md").write_text(table(rows), encoding="utf-8")
        print(f"## {part}\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
