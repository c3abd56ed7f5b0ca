"""Options that only some kinds of task have, from the command line and in a configuration file."""

import pytest

from program import SMALL, fails, run


@pytest.mark.parametrize("task, kind, option, value, having", [
    ("dictionary", "translation", "focal_gamma", 2, "classification has it"),
    ("ornament", "regression", "label_smoothing", 0.1, "classification and translation have it"),
    ("tags", "tagging", "decoder_layers", 3, "translation has it"),
    ("topic", "classification", "delta", 2, "regression has it"),
])
def test_an_option_that_the_kind_does_not_have(task, kind, option, value, having, data, tmp_path):
    says = [f"task.{task}.{option} = {value} (", f"task {task} is of the kind {kind}", having]
    fails(78, "train", "--run-dir", tmp_path / "run", "--data", data, *SMALL, f"--task.{task}.{option}", value, says=says)
    (tmp_path / "c.ini").write_text(f"[task.{task}]\n{option} = {value}\n")
    fails(78, "train", "--run-dir", tmp_path / "run", "--data", data, *SMALL, "-c", tmp_path / "c.ini", says=says)
    assert not (tmp_path / "run").exists()


def test_options_for_all_tasks_hold_in_a_mixture_of_kinds(data, tmp_path):
    words = ["train", "--data", data, *SMALL, "--run.task_patience", 3, "--run.eval_every", 5, "--task.topic.focal_gamma", 2]
    done = run(*words, "--print-config")
    assert done.returncode == 0, done.stderr
    # The configuration that a run stores has every option of every task.
    (tmp_path / "c.ini").write_text(done.stdout)
    again = run("train", "-c", tmp_path / "c.ini", "--print-config")
    assert again.returncode == 0, again.stderr
