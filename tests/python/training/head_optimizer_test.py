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
STEPS, FROZEN = 6, 0
OWN = {"topic": {"lr": 3e-3, "warmup": 0}, "tags": {"weight_decay": 0.5, "warmup": 4}}
SHARED = {"lr": 1e-3, "warmup": 3, "weight_decay": 0.1}


def torch_adamw():
    sys.path.insert(0, str(ROOT / "tests" / "parity"))
    from torch_of_cache import load

    torch = load()
    stub = types.ModuleType("torch._dynamo")  # which needs packages that are not installed, and is not used here
    stub.disable = lambda function, *_, **__: function
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
    train(folder, data, *options_of_run("--run.checkpoint_every", 1, "--run.keep", 99), timeout=300)
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
    train(tmp_path / "own", data, "--run.steps", 4, *own)
    assert files(tmp_path / "own") == files(tmp_path / "plain")
    assert log(tmp_path / "own") == log(tmp_path / "plain")


@pytest.mark.parametrize("option, value, says", [("lr", 0, "> 0"), ("lr", "fast", "number"), ("warmup", -1, ">= 0"), ("warmup", 0.5, "whole number"),
                                                 ("weight_decay", -0.1, ">= 0")])
def test_wrong_values(option, value, says, data, tmp_path):
    fails(78, *train_words(tmp_path / "run", data, f"--task.topic.{option}", value), says=[f"task.topic.{option} = {value}", says])
    assert not (tmp_path / "run").exists()


def test_a_run_with_other_values_is_another_run(data, tmp_path):
    folder = tmp_path / "run"
    train(folder, data, *options_of_run("--run.stop_at", 2))
    fails(78, *train_words(folder, data, *options_of_run("--task.topic.lr", 1e-3)), says=["another configuration", "task.topic.lr"])
    train(folder, data, *options_of_run())
    train(tmp_path / "whole", data, *options_of_run())
    assert files(folder) == files(tmp_path / "whole")
