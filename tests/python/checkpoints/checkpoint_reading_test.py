"""evaluate, predict and verify read a run while it trains and removes old checkpoints. Each of them finds a
whole one."""

import json

import pytest

from program import run, start, wait_for


@pytest.mark.parametrize("more", [[], ["--run.eval_every", 1, "--run.best", "topic:loss", "--run.eval_samples", 5]], ids=["plain", "best"])
def test_readers_beside_a_training_that_keeps_one(more, data, tmp_path):
    run_dir = tmp_path / "run"
    process = start(run_dir, data, "--run.tasks", "topic", "--run.steps", 1000000, "--run.checkpoint_every", 1, "--run.keep", 1, "--mixture.batch", 1, *more)
    wait_for(lambda: (run_dir / "checkpoints" / ("best" if more else "latest")).exists(), process)
    seen = []
    for i in range(6):
        which = ["--checkpoint", "best"] if more and i % 2 else []
        if i % 3 == 2:
            done = run("verify", "--run-dir", run_dir)
        elif i % 3 == 1:
            done = run("predict", "--run-dir", run_dir, "--task", "topic", *which, input='{"text": "a b"}\n')
        else:
            done = run("evaluate", "--run-dir", run_dir, "--split", "valid", "--samples", 4, "--json", *which)
            seen += [json.loads(done.stdout)["step"]] if done.returncode == 0 else []
        assert done.returncode == 0 and "copy" not in done.stderr, done.stderr
    process.terminate()
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 75, errors
    assert len(seen) == 2 and seen[0] <= seen[1] and (more or seen[0] < seen[1])
