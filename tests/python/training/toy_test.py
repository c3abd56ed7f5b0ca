"""examples/toy: where each balancer ends on a problem with two parameters, compared with the outcomes that papers and earlier
measurements found."""

import json
import subprocess
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

import program
from pages import SOURCE, read, run_page
from program import environment

TOY = Path(program.POLYHEAD).parent / "toy"
PAGE = "examples/toy/README.md"
STUCK = None
FRONT = "on the front"  # anywhere: paths that cross the kink of a logarithm depend on rounding
ANY = "stuck or on the front"


class Near(float):
    """Up to 0.25, as the 1e-12 on the diagonal of the cosines moves it along the front."""


# Where the front is reached: x1. CAGrad's setting (arXiv 2110.14048, figure 3), from (-8.5, 7.5), (-8.5, -5) and (9, 9).
ONE = {
    "equal": [STUCK, 0, STUCK],
    "mgda": [-3.32, -6.99, 3.33],
    "pcgrad": [FRONT, -6.45, FRONT],
    "cagrad": [0, 0, 0],  # the optimum of the mean loss
    "upgrad": [FRONT, FRONT, FRONT],
}
# The setting of Nash-MTL and FAMO, from (-8.5, 7.5), (0, 0), (9, 9), (-7.5, -0.5) and (9, -1). TorchJD's UPGrad is stuck from (9,
# 9) too, and ends where the mean gradient does from everywhere else, since its regulariser switches the projection off where
# norms differ. Ours leaves the valley as PCGrad does, with 1e-8 on the cosines; on the front, where the gradients cancel out
# in more digits than that, it drifts along the front towards the optimum of the mean.
TENTH = {
    "equal": [-5.73, -5.73, STUCK, -5.73, -5.73],
    "cagrad": [-5.73, -5.73, ANY, -5.73, -5.73],
    "aligned_mtl": [-5.73, -5.73, ANY, -5.73, FRONT],
    "mgda": [-1.98, 6.10, 6.98, -4.26, 7.00],
    "pcgrad": [FRONT, -3.35, STUCK, -3.82, 5.03],
    "upgrad": [FRONT, FRONT, ANY, FRONT, FRONT],
    "imtl_g": [-2.26, 0, 2.43, -3.39, 5.30],
    "nash_mtl": [-2.93, 0, 2.94, -3.29, 4.91],
    "fairgrad": [FRONT, Near(3.76), Near(4.25), Near(-3.73), Near(5.93)],
    "famo": [FRONT, 0.08, 0.34, -0.95, 1.76],
}


def call(*words, code=0):
    done = subprocess.run([TOY, *map(str, words)], env=environment(), capture_output=True, encoding="utf-8", timeout=500)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the commands of the page write: the ends of all runs, by scale and method, and the folder."""
    folder = tmp_path_factory.mktemp("toy")
    run_page(PAGE, read(SOURCE / PAGE), folder, also=["tests/python/training/toy_test.py"])
    ends = {}
    for line in map(json.loads, (folder / "OUT" / "ends.jsonl").read_text().splitlines()):
        ends.setdefault((line["scale"], line["method"]), []).append(line)
    return ends, folder / "OUT"


def reached(ends, scale, method):
    """x1 of the end of each run."""
    return [line["end"][0] if line["on_front"] else STUCK for line in ends[scale, method]]


def matches(found, expected):
    return expected is ANY or (found is not STUCK if expected is FRONT else found is STUCK if expected is STUCK else found == pytest.approx(expected, abs=0.25 if isinstance(expected, Near) else 0.05))


@pytest.mark.parametrize("scale, expected", [(1, ONE), (0.1, TENTH)])
def test_the_published_outcomes(scale, expected, whole):
    ends, _ = whole
    for method, values in expected.items():
        found = reached(ends, scale, method)
        assert len(found) == len(values) and all(map(matches, found, values)), (method, found, values)


def test_methods_that_do_not_depend_on_scale(whole):
    """Their ends are the same in both settings, from the starts that these have in common."""
    ends, _ = whole
    for method in ("nash_mtl", "imtl_g"):
        one, tenth = reached(ends, 1, method), reached(ends, 0.1, method)
        assert STUCK not in one
        for mine, other in ((one[0], tenth[0]), (one[2], tenth[2])):
            assert mine == pytest.approx(other, abs=0.25)  # they cross the kink


def test_the_pictures(whole):
    ends, folder = whole
    for scale in (1, 0.1):
        root = xml.parse(folder / f"scale-{scale}.svg").getroot()
        svg = "{http://www.w3.org/2000/svg}"
        methods = [method for one, method in ends if one == scale]
        assert [text.text for text in root.iter(f"{svg}text")] == methods and len(methods) > 20
        starts = len(ends[scale, "equal"])
        assert len(list(root.iter(f"{svg}circle"))) == 2 * starts * len(methods)
        paths = [path.get("d") for path in root.iter(f"{svg}path") if path.get("d").count("L") > 1 and path.get("stroke-width") is None]
        assert len(paths) == starts * len(methods)


@pytest.mark.parametrize("words, code, says", [
    (["--methods", "mean"], 78, "there is no such balancer"),
    (["--steps", "5"], 2, "there is no option --steps"),
    (["--out"], 2, "--out has no value"),
    (["--offset", "-1"], 2, "--offset is '-1', expected a number >= 0"),
    (["--threads", "x"], 2, "--threads is 'x'"),
    (["--balance.cagrad", "1"], 2, "there is no option --balance.cagrad"),
    (["--balance.cagrad_c", "x"], 78, "balance.cagrad_c = x"),
    (["--balance.cagrad_c", "-1"], 78, "cagrad_c"),
    (["--methods", "gls", "--offset", "0"], 0, ""),
])
def test_options(words, code, says):
    done = call(*words, code=code)
    assert says in done.stderr and done.stderr.count("toy: ") == (code != 0)
