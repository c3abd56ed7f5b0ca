#!/usr/bin/env python3
"""The studies that README.md describes: study.py keywords|shortcut|shared WORK [--seeds N] [--steps N] [--jobs N]

Each run's figures are kept in WORK/STUDY/CONFIGURATION.SEED.json; runs that are there are not made again.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import planted

HERE = Path(__file__).resolve().parent
PROGRAM = Path(os.environ.get("POLYHEAD_BINARY", HERE.parents[1] / "build" / "cpu" / "polyhead"))
HONEST = {"shortcut": ["alpha", "beta", "gamma"], "shared": ["large", "noisy", "small"]}
DRAWS = 10_000
MOST = 800  # samples of train that are measured

FIXED = "attention.importance=fixed"
WEIGHTS = "balance.method=static"
BALANCERS = ("uncertainty", "famo", "gradnorm", "db_mtl", "pcgrad", "cagrad", "nash_mtl", "fairgrad", "imtl_g", "upgrad")
SPREAD = {"τ = 4": "attention.temperature=4", "ε = 0.2": "attention.floor=0.2", "bonus 0.1": "attention.entropy_bonus=0.1"}
SHARED = {
    "default": [],
    **{f"importance {value}, fixed": [f"task.shortcut.importance={value}", FIXED] for value in (4, 16, 64, 256)},
    "importance 64, learned": ["task.shortcut.importance=64"],
    **{f"importance 64, fixed, {name}": ["task.shortcut.importance=64", FIXED, option] for name, option in SPREAD.items()},
    **{f"importance 64 of {task}, fixed": [f"task.{task}.importance=64", FIXED] for task in ("large", "small")},
    **{f"τ = {value}": [f"attention.temperature={value}"] for value in (0.5, 2)},
    **{name: [option] for name, option in SPREAD.items()},
    "independent": ["attention.mode=independent"],
    **{f"weight {value}": [WEIGHTS, f"task.shortcut.weight={value}"] for value in (4, 16, 64)},
    **{f"weight 16 of {task}": [WEIGHTS, f"task.{task}.weight=16"] for task in ("large", "noisy", "small")},
    **{method: [f"balance.method={method}"] for method in BALANCERS},
}

STUDIES = {
    "keywords": {"batch": 72, "steps": 500, "configurations": {mode: [f"attention.mode={mode}"] for mode in ("competitive", "independent", "mean", "first")}},
    "shortcut": {"batch": 64, "steps": 400, "configurations": {
        "default": [],
        **{f"importance {text}": [f"task.shortcut.importance={value}"] for text, value in (("1/16", 0.0625), ("1/4", 0.25), ("4", 4), ("16", 16))},
        "importance 16, fixed": ["task.shortcut.importance=16", "attention.importance=fixed"],
        **{f"τ = {value}": [f"attention.temperature={value}"] for value in (0.25, 0.5, 2, 4)},
        **{f"ε = {value}": [f"attention.floor={value}"] for value in (0.05, 0.2, 0.5)},
        **{f"bonus {value}": [f"attention.entropy_bonus={value}"] for value in (0.01, 0.1, 1)},
        "independent": ["attention.mode=independent"]}},
    "shared": {"batch": 64, "steps": 400, "configurations": {name: [*options, "balance.telemetry_every=20"] for name, options in SHARED.items()}},
}


def polyhead(*words, **more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run([PROGRAM, *map(str, words)], env=environment, capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"polyhead {words[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def samples(data, task, split):
    with open(data / f"{task}.{split}.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def update_shares(run):
    """The mean share of each task in the updates that were measured."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = [dict(zip(line["tasks"], line["update_share"])) for line in lines if line["kind"] == "gradients"]
    return {task: float(np.mean([shares[task] for shares in found])) for task in found[0]} if found else {}


def precision_at_1(keys, words, weights):
    """1 if the word with the largest weight is a key word. Words with equal weights share the score."""
    most = max(weights)
    best = [word for word, weight in zip(words, weights) if weight == most]
    return sum(word in keys for word in best) / len(best)


def measure(run, data, task, split, attention, most=None):
    """A task's predictions on (the first samples of) a split: whether each is correct, and its precision at 1."""
    gold = samples(data, task, split)[:most]
    text = "".join(json.dumps({"text": sample["text"]}) + "\n" for sample in gold)
    more = ["--attention"] if attention else []
    found = [json.loads(line) for line in polyhead("predict", "--run-dir", run, "--task", task, "--threads", 1, "--batch", 128, *more, input=text).splitlines()]
    assert len(found) == len(gold)
    out = {"right": "".join(str(int(a["label"] == b["label"])) for a, b in zip(gold, found))}
    if attention:
        out["precision"] = [precision_at_1(a["keys"], b["attention"]["words"], b["attention"]["weights"][task]) for a, b in zip(gold, found)]
    return out


def make_run(job):
    """Trains and measures one configuration with one seed, unless this was done before."""
    file, study, work, name, options, tasks, seed, steps = job
    if file.exists():
        return
    data, run, about = work / study / "data", file.with_suffix(".run"), STUDIES[study]
    every_task = planted.SETS[study]["tasks"]
    batch = about["batch"] // len(every_task) * len(tasks)
    words = [word for option in options for word in ("--" + option.split("=")[0], option.split("=")[1])]
    polyhead("train", "-c", HERE / "base.ini", "--data", work / study / "set", "--run-dir", run, "--run.tasks", ", ".join(tasks), "--run.seed", seed,
             "--run.steps", steps, "--mixture.batch", batch, "--run.threads", 1, *words)
    result = {"name": name, "seed": seed, "steps": steps,
              "test": {task: measure(run, data, task, "test", study == "keywords") for task in tasks},
              "train": {task: measure(run, data, task, "train", False, MOST) for task in tasks} if study == "shortcut" or name.startswith("alone") else {},
              "update share": update_shares(run) if study == "shared" else {},
              "report": json.loads(polyhead("evaluate", "--run-dir", run, "--split", "test", "--json", "--threads", 1)).get("attention")}
    partial = file.with_suffix(".part")
    partial.write_text(json.dumps(result))
    partial.rename(file)
    shutil.rmtree(run)
    print(name, seed, {task: round(found["right"].count("1") / len(found["right"]), 3) for task, found in result["test"].items()}, flush=True)


def right(results, split, task):
    """[seeds, samples] of 0 and 1."""
    return np.array([[int(c) for c in result[split][task]["right"]] for result in results], dtype=float)


def draws(seeds, count, sizes):
    """How often each seed and each sample of each task is drawn: [draws, seeds], {task: [draws, samples]}. sizes: samples of each task."""
    random = np.random.default_rng(1)
    return random.multinomial(seeds, [1 / seeds] * seeds, count), {task: random.multinomial(size, [1 / size] * size, count) for task, size in sizes.items()}


def accuracies(table, by_seed, by_sample):
    """The value of each draw: [draws]."""
    return ((by_seed @ table) * by_sample).sum(1) / (by_seed.sum(1) * by_sample.sum(1))


def delta_m(joint, alone, split, tasks, drawn):
    """Mean over tasks of 100 (joint - alone) / alone, of the data and of each draw."""
    def of(by_seed, by_samples):
        parts = []
        for task in tasks:
            j, a = (accuracies(right(runs, split, task), by_seed, by_samples[task]) for runs in (joint, alone[task]))
            parts.append(100 * (j - a) / a)
        return np.mean(parts, axis=0)
    ones = np.ones((1, len(joint))), {task: np.ones((1, len(joint[0][split][task]["right"]))) for task in tasks}
    return of(*ones)[0], of(*drawn)


def interval(values):
    return tuple(np.percentile(values, [2.5, 97.5]))


def table(rows):
    return "\n".join(["| " + " | ".join(map(str, row)) + " |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]]]) + "\n"


def keywords_report(results):
    rows = [["mode", "precision at 1", "least and largest of the seeds", "accuracy"]]
    for name, runs in results.items():
        by_seed = [np.mean([np.mean(found["precision"]) for found in run["test"].values()]) for run in runs]
        accuracy = np.mean([right(runs, "test", task).mean() for task in runs[0]["test"]])
        rows.append([name, f"{np.mean(by_seed):.4f}", f"{min(by_seed):.4f} to {max(by_seed):.4f}", f"{accuracy:.4f}"])
    return table(rows)


def focus_rows(study, results, alone):
    """The results of every configuration of shortcut or shared, for the table and the picture."""
    seeds, first = len(results["default"]), results["default"][0]
    drawn = {split: draws(seeds, DRAWS, {task: len(found["right"]) for task, found in first[split].items()}) for split in ("train", "test")}
    measured = [(key, split, of) for key, split, of in (("train", "train", HONEST[study]), ("test", "test", HONEST[study]), ("own train", "train", ["shortcut"]),
                                                        ("own test", "test", ["shortcut"])) if first[split]]
    rows, default = [], None
    for name, runs in results.items():
        mean = lambda key: np.mean([run["report"]["all"][key] for run in runs])
        row = {"name": name, "effective": mean("effective_tasks"), "focused": mean("focused"),
               "dead": np.mean([len(run["report"]["dead"]) for run in runs]),
               "to shortcut": np.mean([run["report"]["tasks"]["shortcut"]["importance"] for run in runs]) if name != "independent" else None,
               "update": {task: np.mean([run["update share"][task] for run in runs]) for task in first.get("update share", {})},
               "accuracy": {task: right(runs, "test", task).mean() for task in first["test"]}}
        for key, split, of in measured:
            value, sampled = delta_m(runs, alone, split, of, drawn[split])
            row[key] = (value, *interval(sampled))
            if key == "test":
                default = (value, sampled) if default is None else default
                row["against default"] = (value - default[0], *interval(sampled - default[1]))
        rows.append(row)
    return rows


def verdict(row):
    _, low, high = row["against default"]
    return "" if row["name"] == "default" else "harm" if high < 0 else "cure" if low > 0 else "undecided"


def show(triple):
    return "{:+.2f} ({:+.2f} to {:+.2f})".format(*triple)


def alone_table(alone):
    rows = [["task alone", "train accuracy", "test accuracy"]]
    for task, runs in alone.items():
        rows.append([task, f"{right(runs, 'train', task).mean():.3f}", f"{right(runs, 'test', task).mean():.3f}"])
    return table(rows)


def shortcut_report(rows, alone):
    out = [["configuration", "effective tasks", "words above 0.9", "dead tasks", "importance of shortcut", "Δm honest, train", "Δm honest, test", "against default",
            "", "Δm shortcut, train", "Δm shortcut, test"]]
    for row in rows:
        out.append([row["name"], f"{row['effective']:.2f}", f"{row['focused']:.3f}", f"{row['dead']:.1f}",
                    "" if row["to shortcut"] is None else f"{row['to shortcut']:.3f}", show(row["train"]), show(row["test"]),
                    "" if row["name"] == "default" else show(row["against default"]), verdict(row), show(row["own train"]), show(row["own test"])])
    return alone_table(alone) + "\n" + table(out)


def shared_report(rows, alone):
    tasks = list(rows[0]["accuracy"])
    out = [["configuration", "effective tasks", "words above 0.9", "dead tasks", *(f"update share: {task}" for task in tasks), *(f"accuracy: {task}" for task in tasks),
            "Δm honest, test", "against default", ""]]
    for row in rows:
        out.append([row["name"], f"{row['effective']:.2f}", f"{row['focused']:.3f}", f"{row['dead']:.1f}", *(f"{row['update'][task]:.2f}" for task in tasks),
                    *(f"{row['accuracy'][task]:.3f}" for task in tasks), show(row["test"]), "" if row["name"] == "default" else show(row["against default"]), verdict(row)])
    return alone_table(alone) + "\n" + table(out)


def picture(rows, panels, left):
    """A panel for each (title, key of the rows, colour): numbers as bars, (value, low, high) as points with intervals."""
    top, step, wide, gap = 50, 24, 210, 40
    height = top + step * len(rows) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + len(panels) * (wide + gap)} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{left + len(panels) * (wide + gap)}" height="{height}" fill="white"/>']
    for p, (title, key, colour) in enumerate(panels):
        x0 = left + p * (wide + gap)
        bounds = [v for row in rows for v in (row[key] if isinstance(row[key], tuple) else (0, row[key]))] + [0]
        low, high = min(bounds), max(bounds)
        x = lambda value: x0 + wide * (value - low) / ((high - low) or 1)
        out.append(f'<text x="{x0}" y="20">{title}</text>')
        for tick in [0, *(bound for bound in (low, high) if abs(x(bound) - x(0)) > 35)]:
            out.append(f'<text x="{x(tick):.0f}" y="38" text-anchor="middle" fill="#666">{tick:.1f}</text>')
        out.append(f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{top - 6}" y2="{height - 14}" stroke="#bbb"/>')
        for i, row in enumerate(rows):
            y = top + step * i + 8
            if p == 0:
                out.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{row["name"]}</text>')
            if isinstance(row[key], tuple):
                value, least, most = row[key]
                out.append(f'<line x1="{x(least):.1f}" x2="{x(most):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="1.5"/>'
                           f'<circle cx="{x(value):.1f}" cy="{y}" r="4" fill="{colour}"/>')
            else:
                out.append(f'<rect x="{x(0):.1f}" y="{y - 6}" width="{x(row[key]) - x(0):.1f}" height="12" fill="{colour}"/>')
    return "\n".join([*out, "</svg>"]) + "\n"


def shortcut_picture(rows):
    return picture(rows, [("effective tasks a word", "effective", "#888"), ("Δm of the honest tasks, train (%)", "train", "#1f77b4"),
                          ("Δm of the honest tasks, test (%)", "test", "#1f77b4"), ("Δm of shortcut, test (%)", "own test", "#d62728")], 150)


def shared_picture(rows):
    rows = [row | {"of shortcut": row["update"]["shortcut"]} for row in rows]
    return picture(rows, [("effective tasks a word", "effective", "#888"), ("update share of shortcut", "of shortcut", "#888"),
                          ("Δm of the honest tasks, test (%)", "test", "#1f77b4"), ("Δm of shortcut, test (%)", "own test", "#d62728")], 225)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="instead of the study's own number")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    options = parser.parse_args(arguments)
    study, about = options.study, STUDIES[options.study]
    folder, tasks = options.work / study, planted.SETS[study]["tasks"]
    if not (folder / "set" / "dataset.json").exists():
        planted.write(study, folder / "data")
        polyhead("import", "-c", folder / "data" / f"{study}.ini", "--out", folder / "set")
    seeds, steps = range(1, options.seeds + 1), options.steps or about["steps"]
    runs = {name: (words, tasks) for name, words in about["configurations"].items()}
    if study in HONEST:
        runs |= {f"alone {task}": ([], [task]) for task in tasks}
    file = lambda name, seed: folder / f"{name.replace('/', ' of ')}.{seed}.json"
    jobs = [(file(name, seed), study, options.work, name, words, of, seed, steps) for seed in seeds for name, (words, of) in runs.items()]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(make_run, jobs))
    results = {name: [json.loads(file(name, seed).read_text()) for seed in seeds] for name in runs}
    if any(run["steps"] != steps for found in results.values() for run in found):
        sys.exit(f"{folder}: it holds runs of another number of steps; use another WORK")
    if study == "keywords":
        report = keywords_report(results)
    else:
        alone = {task: results.pop(f"alone {task}") for task in tasks}
        rows = focus_rows(study, results, alone)
        report = {"shortcut": shortcut_report, "shared": shared_report}[study](rows, alone)
        drawing = {"shortcut": shortcut_picture, "shared": shared_picture}[study](rows)
        (options.work / f"{study}.svg").write_text(drawing, encoding="utf-8")
    (options.work / f"{study}.md").write_text(report, encoding="utf-8")
    print(report)


if __name__ == "__main__":
    main(sys.argv[1:])
