#!/usr/bin/env python3
"""Planted data for the studies of task attention: planted.py keywords|shortcut|shared FOLDER (README.md beside this file says what is in them)

Writes TASK.SPLIT.jsonl, vocab.txt (every word is one piece) and FOLDER/SET.ini for `polyhead import`. Each line also says which of its words
are its task's key words ("keys"). The same bytes every time. Standard library only.
"""
import json
import random
import sys
from pathlib import Path

SETS = {
    "keywords": {"tasks": ["one", "two", "three", "four", "five", "six"], "classes": 4, "words": 6,
                 "splits": {"train": 2000, "valid": 200, "test": 500}},
    "shortcut": {"tasks": ["shortcut", "alpha", "beta", "gamma"], "classes": 4, "words": 8,
                 "splits": {"train": 800, "valid": 200, "test": 500}},
    "shared": {"tasks": ["shortcut", "large", "noisy", "small"], "classes": 4, "words": 24,
               "splits": {"train": 800, "valid": 200, "test": 500}, "train": {"large": 3200, "small": 200}},
}
# shared: the class that each of the eight groups of key words has for a task. No two tasks put the same two groups into one class.
CLASS_OF_GROUP = {"shortcut": [0, 1, 2, 3, 3, 2, 1, 0], "large": [0, 0, 1, 1, 2, 2, 3, 3], "noisy": [0, 1, 2, 3, 0, 1, 2, 3], "small": [0, 1, 1, 0, 2, 3, 3, 2]}
WRONG_LABELS = 0.3  # share of noisy's train samples whose label is drawn
NOISE = [f"noise{i}" for i in range(200)]
CUES = [f"cue{i}" for i in range(4)]


def key_word(task, label, draw, count):
    return f"{task}{'abcd'[label]}{draw.randrange(count)}"


def keywords_sample(task, about, label, split, draw):
    """Words and label: one key word of every task among 8 to 14 words of noise. The classes of the other tasks' key words are random."""
    words = draw.choices(NOISE, k=draw.randint(8, 14))
    words += [key_word(other, label if other == task else draw.randrange(4), draw, about["words"]) for other in about["tasks"]]
    return words, label


def shortcut_sample(task, about, label, split, draw):
    """Words and label: two key words of the label's class, one of another class, one of each other task; a cue; 6 to 10 words of noise."""
    other_class = (label + draw.randint(1, 3)) % 4
    words = draw.choices(NOISE, k=draw.randint(6, 10))
    words += [key_word(task, c, draw, about["words"]) for c in (label, label, other_class)]
    words += [key_word(other, draw.randrange(4), draw, about["words"]) for other in about["tasks"] if other != task]
    holds = task == "shortcut" and split == "train"
    return [*words, CUES[label if holds else draw.randrange(4)]], label


def shared_sample(task, about, label, split, draw):
    """Words and label: two key words of one group of the label's class, one of a group of another class; a cue; 6 to 10 words of noise."""
    groups = CLASS_OF_GROUP[task]
    words = draw.choices(NOISE, k=draw.randint(6, 10))
    group = draw.choice([g for g in range(8) if groups[g] == label])
    other = draw.choice([g for g in range(8) if groups[g] != label])
    words += [f"key{'abcdefgh'[g]}{draw.randrange(about['words'])}" for g in (group, group, other)]
    cue = label if task == "shortcut" and split == "train" else draw.randrange(4)
    if task == "noisy" and split == "train" and draw.random() < WRONG_LABELS:
        label = draw.randrange(4)
    return [*words, CUES[cue]], label


def key_words(name, about):
    if name == "shared":
        return [f"key{group}{i}" for group in "abcdefgh" for i in range(about["words"])]
    return [f"{task}{c}{i}" for task in about["tasks"] for c in "abcd" for i in range(about["words"])]


def size(about, task, split):
    return about["train"].get(task, about["splits"][split]) if split == "train" and "train" in about else about["splits"][split]


def write(name, folder):
    about, sample = SETS[name], {"keywords": keywords_sample, "shortcut": shortcut_sample, "shared": shared_sample}[name]
    folder.mkdir(parents=True, exist_ok=True)
    ini = [f"[dataset]\nname = {name}\ntokenizer = wordpiece\nvocab = vocab.txt\nmax_length = 64\n"]
    for task in about["tasks"]:
        ini.append(f"[task.{task}]\nkind = classification\nlicense = generated")
        for split in about["splits"]:
            draw = random.Random(f"{name} {task} {split}")
            with open(folder / f"{task}.{split}.jsonl", "w", encoding="utf-8") as file:
                for i in range(size(about, task, split)):
                    words, label = sample(task, about, i % about["classes"], split, draw)
                    draw.shuffle(words)
                    start = "key" if name == "shared" else task
                    line = {"text": " ".join(words), "label": "abcd"[label], "keys": sorted({w for w in words if w.startswith(start)})}
                    file.write(json.dumps(line) + "\n")
            ini.append(f"{split} = {task}.{split}.jsonl")
        ini.append("")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *NOISE, *CUES, *key_words(name, about)]) + "\n")
    (folder / f"{name}.ini").write_text("\n".join(ini))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in SETS:
        sys.exit(__doc__)
    write(sys.argv[1], Path(sys.argv[2]))
