"""Runs with a balancer are resumed bit for bit, with everything that changes how gradients are combined."""

import pytest
from safetensors.numpy import load_file

from balancers import LOSSES, NORMS, options_of
from program import KINDS, files, log, run, steps, train


@pytest.mark.parametrize("method", [*LOSSES, *NORMS, "pcgrad", "gradvac", "pcd"])
def test_resumed_equals_never_stopped(method, data, tmp_path):
    options = [*options_of(method), "--run.checkpoint_every", 3]
    train(tmp_path / "whole", data, *options, workers=2)
    for stop in (4, 0):
        train(tmp_path / "parts", data, *options, "--run.stop_at", stop, workers=2)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert log(tmp_path / "parts") == log(tmp_path / "whole")


@pytest.mark.parametrize("options", [
    ["--balance.every", 3], ["--balance.scope", "last_block"], ["--balance.scope", "sketch", "--balance.sketch_size", 512],
    ["--run.accumulate", 3], ["--encoder.activation_checkpointing", "blocks"], ["--optimizer.shard", "world", "--optimizer.ema", 0.9],
], ids=str)
def test_resumed_in_every_form(options, data, tmp_path):
    words = [*options_of("upgrad"), *options]
    train(tmp_path / "whole", data, *words, workers=3)
    for stop in (4, 0):
        train(tmp_path / "parts", data, *words, "--run.stop_at", stop, workers=3)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert log(tmp_path / "parts") == log(tmp_path / "whole")


@pytest.mark.parametrize("method", ["mgda", "db_mtl", "excess_mtl"])
def test_a_sharded_optimizer_gives_the_same_bits(method, data, tmp_path):
    for shard in ("none", "world"):
        train(tmp_path / shard, data, *options_of(method), "--optimizer.shard", shard, "--optimizer.clip", 0.1, workers=3)
    assert files(tmp_path / "none") == files(tmp_path / "world")
    for x, y in zip(log(tmp_path / "none"), log(tmp_path / "world"), strict=True):
        assert {key: x[key] for key in x if key != "sent"} == {key: y[key] for key in y if key != "sent"}


def test_accumulation_gives_the_same_update(data, tmp_path):
    for parts in (1, 3):
        train(tmp_path / f"{parts}", data, *options_of("fairgrad"), "--run.accumulate", parts, "--run.dtype", "float64", workers=2)
    for x, y in zip(steps(tmp_path / "1"), steps(tmp_path / "3"), strict=True):
        assert y["loss"] == pytest.approx(x["loss"], rel=1e-8)


def test_buffers_are_saved_by_task(data, tmp_path):
    train(tmp_path, data, *options_of("excess_mtl", 1), workers=2)
    folder = tmp_path / "checkpoints" / (tmp_path / "checkpoints" / "latest").read_text().strip()
    shapes = {name: value.shape for name, value in load_file(folder / "encoder.safetensors").items()}
    for task in KINDS:
        buffer = load_file(folder / f"head.{task}.balance.safetensors")
        assert {name: value.shape for name, value in buffer.items()} == shapes
        assert all((value >= 0).all() for value in buffer.values())
        assert any((value > 0).any() for value in buffer.values())
    assert run("verify", "--run-dir", tmp_path).returncode == 0
    # Another number of workers cuts them anew.
    train(tmp_path, data, *options_of("excess_mtl", 2), workers=3)
    file = folder.parent / (folder.parent / "latest").read_text().strip() / "head.tags.balance.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert run("verify", "--run-dir", tmp_path).returncode == 65
