"""task.NAME.lr, warmup and weight_decay: updates equal those of torch.optim.AdamW with a group of parameters for each head. And
optimizer.freeze_encoder: the encoder keeps its values at first, and resuming in between changes nothing."""

import json
import math
import sys
import types

import numpy as np
import pytest
from safetensors.numpy import load_file

from program import ROOT, fails, files, log, parameters, status, steps, train, train_words

TASKS = ["topic", "tags", "dictionary"]
STEPS, FROZEN = 6, 2
OWN = {"topic": {"lr": 3e-3, "warmup": 0}, "tags": {"weight_decay": 0.5, "warmup": 4}}
SHARED = {"lr": 1e-3, "warmup": 3, "weight_decay": 0.1}


def torch_adamw():
    sys.path.insert(0, str(ROOT / "tests" / "parity"))
    from torch_of_cache import load

    torch = load()
    stub = types.ModuleType("torch._dynamo")  # which needs packages that are not installed, and is not used here
    stub.disable = lambda function, *_, **__: function
    stub.graph_break = lambda: None
    sys.modules["torch._dynamo"] = torch._dynamo = stub
    return torch


def rate(options, step):
    """The cosine schedule after a linear warm-up."""
    if step <= options["warmup"]:
        return options["lr"] * step / options["warmup"]
    done = (step - 1 - options["warmup"]) / max(1, STEPS - options["warmup"])
    return options["lr"] * 0.5 * (1 + math.cos(math.pi * done))


def decays(name):
    return name.endswith("weight") and "norm" not in name


def owner_options(owner):
    return SHARED | OWN.get(owner.removeprefix("head."), {})


def options_of_run(*more):
    words = ["--run.tasks", ",".join(TASKS), "--run.steps", STEPS, "--run.dtype", "float64"]
    for key, value in SHARED.items():
        words += [f"--optimizer.{key}", value]
    for task, own in OWN.items():
        for key, value in own.items():
            words += [f"--task.{task}.{key}", value]
    return [*words, *more]


def checkpoint(folder, step):
    """The arrays of a checkpoint: owner -> kind of file -> name -> array."""
    found = {}
    for file in (folder / "checkpoints" / f"step-{step:06}").glob("*.safetensors"):
        owner, kind = file.name.removesuffix(".safetensors"), "weights"
        if owner.endswith(".optimizer"):
            owner, kind = owner.removesuffix(".optimizer"), "moments"
        found.setdefault(owner, {})[kind] = load_file(file)
    return found


def test_updates_equal_those_of_torch_with_groups_of_parameters(data, tmp_path):
    """The gradients follow from the first moments of two checkpoints."""
    folder = tmp_path / "run"
    train(folder, data, *options_of_run("--optimizer.freeze_encoder", FROZEN, "--run.checkpoint_every", 1, "--run.keep", 99), timeout=300)
    states = [checkpoint(folder, step) for step in range(1, STEPS + 1)]
    torch = torch_adamw()
    values, groups = {}, []
    for owner, found in states[0].items():
        for decayed in (True, False):
            names = [name for name in found["weights"] if decays(name) == decayed]
            for name in names:
                values[owner, name] = torch.nn.Parameter(torch.tensor(found["weights"][name]))
            if names:
                groups.append({"params": [values[owner, name] for name in names], "owner": owner,
                               "weight_decay": owner_options(owner)["weight_decay"] if decayed else 0.0})
    assert {group["owner"] for group in groups} == {"encoder", *(f"head.{task}" for task in TASKS)}
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8, foreach=False)
    for (owner, name), value in values.items():
        if owner != "encoder" or not FROZEN:
            moments = states[0][owner]["moments"]
            optimizer.state[value] = {"step": torch.tensor(1.0), "exp_avg": torch.tensor(moments[f"mean.{name}"]),
                                      "exp_avg_sq": torch.tensor(moments[f"square.{name}"])}
    compared = 0
    for step in range(2, STEPS + 1):
        before, after = states[step - 2], states[step - 1]
        for group in optimizer.param_groups:
            group["lr"] = rate(owner_options(group["owner"]), step)
        for (owner, name), value in values.items():
            means = [state[owner]["moments"][f"mean.{name}"] for state in (before, after)]
            frozen = owner == "encoder" and step <= FROZEN
            value.grad = None if frozen else torch.tensor((means[1] - 0.9 * means[0]) / 0.1)
        optimizer.step()
        for (owner, name), value in values.items():
            expected, found = value.detach().numpy(), after[owner]["weights"][name]
            assert np.abs(found - expected).max() < 1e-10, (step, owner, name)
            compared += step > FROZEN and bool(np.any(found != before[owner]["weights"][name]))
    assert compared > 100  # something moves
    for line in steps(folder):
        step = line["step"]
        assert line["lr"] == pytest.approx(0 if step <= FROZEN else rate(SHARED, step), rel=1e-12)
        expected = {task: rate(owner_options(task), step) for task in TASKS}
        assert line.get("head_lr", {}) == pytest.approx({task: lr for task, lr in expected.items() if lr != line["lr"]}, rel=1e-12)


def test_values_of_the_encoder_change_nothing(data, tmp_path):
    """A head with the encoder's own values gets the bits of one without values."""
    train(tmp_path / "plain", data, "--run.steps", 4)
    own = [word for task in TASKS for word in (f"--task.{task}.lr", 1e-3, f"--task.{task}.warmup", 5, f"--task.{task}.weight_decay", 0.01)]
    train(tmp_path / "own", data, "--run.steps", 4, *own, "--optimizer.freeze_encoder", 0)
    assert files(tmp_path / "own") == files(tmp_path / "plain")
    assert log(tmp_path / "own") == log(tmp_path / "plain")


@pytest.mark.parametrize("option, value, says", [("lr", 0, "> 0"), ("lr", "fast", "number"), ("warmup", -1, ">= 0"), ("warmup", 0.5, "whole number"),
                                                 ("weight_decay", -0.1, ">= 0")])
def test_wrong_values(option, value, says, data, tmp_path):
    fails(78, *train_words(tmp_path / "run", data, f"--task.topic.{option}", value), says=[f"task.topic.{option} is '{value}'", says])
    assert not (tmp_path / "run").exists()


def test_a_run_with_other_values_is_another_run(data, tmp_path):
    folder = tmp_path / "run"
    train(folder, data, *options_of_run("--run.stop_at", 2))
    changed = options_of_run()
    changed[changed.index("--task.topic.lr") + 1] = 1e-3
    fails(78, *train_words(folder, data, *changed), says=["another configuration", "task.topic.lr"])
    fails(78, *train_words(folder, data, *options_of_run("--optimizer.freeze_encoder", 1)), says=["another configuration", "optimizer.freeze_encoder"])
    train(folder, data, *options_of_run())
    train(tmp_path / "whole", data, *options_of_run())
    assert files(folder) == files(tmp_path / "whole")


# The frozen encoder

SHORT = ["--run.steps", 8, "--optimizer.freeze_encoder", 5]
FORMS = {
    "plain": ([], 1),
    "two workers": ([], 2),
    "in parts": (["--optimizer.shard", "world", "--optimizer.ema", 0.9, "--run.accumulate", 2], 2),
    "any number of workers": (["--run.reproducible", "world", "--run.micro_batch", 4], 2),
    "recomputed activations": (["--encoder.activation_checkpointing", "blocks", "--attention.entropy_bonus", 0.1], 1),
    "adapters": (["--encoder.share", "adapters", "--encoder.activation_checkpointing", "blocks"], 2),
}


def counts(folder, step):
    return json.loads((folder / "checkpoints" / f"step-{step:06}" / "state.json").read_text())["optimizer_steps"]


@pytest.mark.parametrize("form", FORMS)
def test_the_encoder_keeps_its_values_and_resuming_in_between_changes_nothing(form, data, tmp_path):
    options, workers = FORMS[form]
    whole, parts, keep = tmp_path / "whole", tmp_path / "parts", ["--run.checkpoint_every", 1, "--run.keep", 99]
    train(whole, data, *SHORT, *options, *keep, workers=workers, timeout=300)
    first = checkpoint(whole, 1)
    for step in range(2, 6):
        found = checkpoint(whole, step)
        assert all(np.array_equal(found["encoder"]["weights"][name], value) for name, value in first["encoder"]["weights"].items()), step
        assert not any(value.any() for value in found["encoder"]["moments"].values())
        assert any(not np.array_equal(found["head.topic"]["weights"][name], value) for name, value in first["head.topic"]["weights"].items())
        assert counts(whole, step)["encoder"] == 0 and counts(whole, step)["head.topic"] == step
    assert any(not np.array_equal(checkpoint(whole, 6)["encoder"]["weights"][name], value) for name, value in first["encoder"]["weights"].items())
    assert counts(whole, 8)["encoder"] == 3
    assert [line["gradient_norm"] == 0 for line in steps(whole)] == [True] * 5 + [False] * 3
    for stop in (3, 5, 7):
        train(parts, data, *SHORT, *options, *keep, "--run.stop_at", stop, workers=workers, timeout=300)
    train(parts, data, *SHORT, *options, *keep, workers=workers, timeout=300)
    assert files(parts) == files(whole) and log(parts) == log(whole)


def test_any_number_of_workers_gives_the_same_bits(data, tmp_path):
    for workers in (1, 3):
        train(tmp_path / str(workers), data, *SHORT, "--run.reproducible", "world", workers=workers, timeout=300)
    assert status(tmp_path / "1")["parameter_hash"] == status(tmp_path / "3")["parameter_hash"]


def test_heads_learn_the_same_as_beside_an_encoder_that_learns_nothing(data, tmp_path):
    """In the first step, a frozen encoder gives the heads the same gradients as one that is trained."""
    for frozen in (0, 1):
        train(tmp_path / str(frozen), data, "--run.steps", 1, "--optimizer.freeze_encoder", frozen)
    one, two = (parameters(tmp_path / str(frozen)) for frozen in (0, 1))
    for owner in one:
        same = all(np.array_equal(value, two[owner][name]) for name, value in one[owner].items())
        assert same == (owner != "encoder"), owner


def test_with_a_teacher(data, tmp_path):
    train(tmp_path / "teacher", data, "--run.steps", 2)
    distilled = [*SHORT, "--task.topic.teacher", tmp_path / "teacher"]
    train(tmp_path / "whole", data, *distilled)
    train(tmp_path / "parts", data, *distilled, "--run.stop_at", 3)
    train(tmp_path / "parts", data, *distilled)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_a_negative_number_of_steps_is_refused(data, tmp_path):
    fails(78, *train_words(tmp_path / "run", data, "--optimizer.freeze_encoder", -1), says=["optimizer.freeze_encoder is '-1'", ">= 0"])
