"""optimizer.shard = world: files are bitwise equal to those without it, and each worker holds only its part of the
state."""

import pytest

from program import files, log, parameter_hash, train

OPTIONS = ["--run.steps", 12, "--run.eval_every", 6, "--run.eval_samples", 20, "--run.checkpoint_every", 5]
FORMS = {
    "plain": [],
    "averages and layer decay": ["--optimizer.ema", 0.9, "--optimizer.layer_decay", 0.7],
    "doubles, clipped": ["--run.dtype", "float64", "--optimizer.clip", 0.1],
    "any number of workers": ["--run.reproducible", "world"],
    "small": ["--encoder.layers", 1, "--encoder.dim", 2, "--encoder.heads", 1, "--encoder.ffn", 2, "--attention.heads", 1],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("workers", [2, 3])
def test_same_bits_as_without(form, workers, data, tmp_path):
    for shard in ("none", "world"):
        train(tmp_path / shard, data, *OPTIONS, *FORMS[form], "--optimizer.shard", shard, workers=workers)
    assert files(tmp_path / "world") == files(tmp_path / "none")
    assert log(tmp_path / "world") == log(tmp_path / "none")


def test_one_worker_may_ask_for_it(data, tmp_path):
    train(tmp_path / "none", data, *OPTIONS)
    train(tmp_path / "world", data, *OPTIONS, "--optimizer.shard", "world")
    assert files(tmp_path / "world") == files(tmp_path / "none")


def test_a_run_goes_on_either_way_and_with_other_workers(data, tmp_path):
    exact = [*OPTIONS, "--run.reproducible", "world", "--optimizer.ema", 0.9]
    train(tmp_path / "whole", data, *exact)
    for stop, shard, workers in ((3, "world", 4), (6, "none", 2), (9, "world", 2), (0, "world", 3)):
        train(tmp_path / "parts", data, *exact, "--run.stop_at", stop, "--optimizer.shard", shard, workers=workers)
    assert parameter_hash(tmp_path / "parts") == parameter_hash(tmp_path / "whole")
    found, expected = files(tmp_path / "parts"), files(tmp_path / "whole")
    assert {name: found[name] for name in found if name != "state.json"} == \
           {name: expected[name] for name in expected if name != "state.json"}
