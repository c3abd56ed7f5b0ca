"""The balancers, and what tests of training give them."""

QUIET = ["--run.eval_samples", 20, "--balance.telemetry_every", 0]
LOSSES = ["uncertainty", "dwa", "rlw", "gls", "imtl_l", "famo", "stch", "go4align"]
NORMS = ["gradnorm", "db_mtl", "excess_mtl"]
GRAM = ["pcgrad", "gradvac", "cagrad", "mgda", "imtl_g", "nash_mtl", "fairgrad", "aligned_mtl", "upgrad", "dual_proj", "con_fig", "pcd", "krum"]
MORE = {"pcd": ["--balance.primary", "style"], "dwa": ["--balance.dwa_window", 2]}
FOUR = ["--run.tasks", "topic,style,tags,lines"]


def options_of(method, steps=8):
    return [*QUIET, "--run.steps", steps, "--balance.method", method, *MORE.get(method, [])]
