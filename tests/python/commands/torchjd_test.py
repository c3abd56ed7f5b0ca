"""The weights of polyhead balance equal those of the package torchjd, on 500 Gram matrices, or the condition that defines
them shows whose are right. Every test prints how many matrices it compared, and the largest relative difference between
the two directions J' w: the weights themselves are not unique where gradients are linearly dependent."""

import copy
import json
import sys
import warnings

import numpy as np
import pytest
import scipy.optimize

from program import ROOT, run

sys.path.insert(0, str(ROOT / "tests" / "parity"))
from torch_of_cache import load  # noqa: E402

torch = load()
import torchjd.aggregation as jd  # noqa: E402
import torchjd.scalarization as scalar  # noqa: E402
from torchjd.linalg import QuadprogProjector  # noqa: E402

SIZES = (1, 2, 3, 5, 8, 16, 32)
COUNT = 500
WIDTH = 40  # parameters
EQUAL = 1e-6


# The problems


def gradients(rng, tasks, form, spread):
    """[tasks, WIDTH]"""
    rank = max(1, tasks // 2) if form == "deficient" else WIDTH
    rows = rng.normal(size=(tasks, rank)) @ rng.normal(size=(rank, WIDTH)) / np.sqrt(rank)
    if form == "common":  # all have a part in common, so that no direction is bad for all
        rows += 2 * rng.normal(size=WIDTH)
    if form in ("parallel", "opposite"):
        sign = 1 if form == "parallel" else -1
        for i in range(1, tasks, 2):
            rows[i] = sign * rows[i - 1] + 10 ** rng.uniform(-3.5, -1) * rng.normal(size=WIDTH)
    if spread:
        rows *= 10 ** rng.uniform(-4, 4, size=(tasks, 1)) / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


@pytest.fixture(scope="module")
def problems():
    rng = np.random.default_rng(14)
    forms = ("random", "common", "parallel", "opposite", "deficient")
    return [gradients(rng, SIZES[i % len(SIZES)], forms[i // len(SIZES) % len(forms)], i // (len(SIZES) * len(forms)) % 2 == 1) for i in range(COUNT)]


def gram_of(rows):
    return rows @ rows.T


def weights_of(method, problems, *words, norms=None):
    """Our weights, from one process for all problems: a problem of T tasks has the first T of 32 tasks active."""
    most = max(len(rows) for rows in problems)
    lines = []
    for rows in problems:
        gram = np.zeros((most, most))
        gram[: len(rows), : len(rows)] = gram_of(rows)
        lines.append(json.dumps({"gram": gram.tolist(), "active": [i < len(rows) for i in range(most)]}))
    done = run("balance", "--method", method, *words, input="\n".join(lines), timeout=300)
    assert done.returncode == 0, done.stderr
    found = [np.array(json.loads(line)["weights"]) for line in done.stdout.splitlines()]
    assert len(found) == len(problems) and all(not weights[len(rows):].any() for weights, rows in zip(found, problems))
    return [weights[: len(rows)] for weights, rows in zip(found, problems)]


def differences(problems, ours, theirs):
    """The relative differences of directions."""
    for rows, a, b in zip(problems, ours, theirs, strict=True):
        one, other = a @ rows, b @ rows
        # A direction that is 0 up to rounding is compared with the terms that it is the sum of.
        scale = max(np.linalg.norm(one), np.linalg.norm(other), 1e-8 * (np.abs(a) @ np.linalg.norm(rows, axis=1)))
        yield np.linalg.norm(one - other) / scale if scale != 0 else 0.0


def report(method, found, more=""):
    found = list(found)
    print(f"{method}: {len(found)} matrices compared, largest relative difference {np.max(found):.2g}{more}")
    return np.max(found)


def array(tensor):
    return tensor.detach().numpy()


def tensor(values):
    return torch.tensor(np.asarray(values), dtype=torch.float64)


# Methods whose weights have a formula


def test_equal_and_static(problems):
    assert report("equal", differences(problems, weights_of("equal", problems), [array(jd.MeanWeighting()(tensor(gram_of(rows)))) for rows in problems])) < EQUAL
    lines = [json.dumps({"static_weight": (1.0 + np.arange(len(rows))).tolist()}) for rows in problems if len(rows) == 5]
    done = run("balance", "--method", "static", input="\n".join(lines))
    expected = array(jd.ConstantWeighting(tensor([1, 2, 3, 4, 5]) / 15)(tensor(np.eye(5))))
    assert all(np.allclose(json.loads(line)["weights"], expected, atol=1e-15) for line in done.stdout.splitlines()) and done.returncode == 0


def test_imtl_g(problems):
    """TorchJD solves G v = |g| by a pseudoinverse that drops gradients which are much shorter than others. The direction does not
    depend on the gradients' lengths, so it is given the cosines; the weights of unit gradients are w_i |g_i|."""
    theirs = []
    for rows in problems:
        norm = np.linalg.norm(rows, axis=1)
        weights = array(jd.IMTLG().gramian_weighting(tensor(gram_of(rows / norm[:, None])))) / norm
        theirs.append(weights / weights.sum() if weights.any() else weights)
    assert report("imtl_g", differences(problems, weights_of("imtl_g", problems), theirs)) < EQUAL


def test_con_fig(problems):
    """TorchJD computes the direction from the gradients, not from their inner products, which have half as many digits for the
    angle between gradients that are nearly parallel or opposite. Where no direction has equal angles with all gradients, ours is
    0, and TorchJD scales rounding errors up."""
    ours, found, none = weights_of("con_fig", problems), [], 0
    for rows, weights in zip(problems, ours):
        units = rows / np.linalg.norm(rows, axis=1)[:, None]
        if np.linalg.norm(np.linalg.pinv(units) @ np.ones(len(rows))) < 1e-9:
            none += 1
            assert not weights.any()
            continue
        theirs = array(jd.ConFIG()(tensor(rows)))
        found.append(np.linalg.norm(weights @ rows - theirs) / np.linalg.norm(theirs))
    assert len(found) > 0.9 * COUNT
    assert report("con_fig", found, f", {none} have no such direction") < EQUAL


def test_aligned_mtl(problems):
    """Both use the same formula and the same bound for eigenvalues that count as 0, so they agree where no eigenvalue is near
    it. Below 1e-9 times the largest, an eigenvalue has too few digits for a comparison to 1e-6, and its reciprocal is used."""
    for scale in ("min", "median", "rmse"):
        ours = weights_of("aligned_mtl", problems, "--balance.aligned_mtl_scale", scale)
        clear, theirs, left_out = [], [], 0
        for rows, weights in zip(problems, ours):
            values = np.linalg.eigvalsh(gram_of(rows)) / np.linalg.norm(gram_of(rows), 2)
            kept = values[values > len(rows) * np.finfo(float).eps]
            if kept.min() < 1e-9:
                left_out += 1
                continue
            clear.append((rows, weights))
            theirs.append(array(jd.AlignedMTL(scale_mode=scale).gramian_weighting(tensor(gram_of(rows)))))
        assert len(clear) > COUNT / 3
        assert report(f"aligned_mtl, {scale}", differences([rows for rows, _ in clear], [w for _, w in clear], theirs), f", {left_out} left out") < EQUAL


def test_krum(problems):
    """Equal up to a tie of the scores."""
    for byzantine, selected in ((0, 1), (1, 2), (2, 5)):
        fit = [rows for rows in problems if len(rows) >= max(byzantine + 3, selected)]
        ours = weights_of("krum", fit, "--balance.krum_byzantine", byzantine, "--balance.krum_selected", selected)
        theirs = [array(jd.Krum(byzantine, selected).gramian_weighting(tensor(gram_of(rows)))) for rows in fit]
        ties = 0
        for rows, a, b in zip(fit, ours, theirs):
            if np.array_equal(a, b):
                continue
            squares = np.diag(gram_of(rows))
            distance = np.sqrt(np.maximum(0, squares[:, None] + squares - 2 * gram_of(rows)))
            score = np.sort(distance, axis=1)[:, 1: len(rows) - byzantine - 1].sum(axis=1)
            assert np.allclose(np.sort(score[a > 0]), np.sort(score[b > 0]), rtol=1e-9)
            ties += 1
        print(f"krum, {byzantine} byzantine, {selected} selected: {len(fit)} matrices compared, {ties} with equal scores")
        assert ties < len(fit) / 4


# Methods with a random order. TorchJD's order is replaced by ours.


M64 = 2 ** 64 - 1


def mix64(x):
    x = (x + 0x9E3779B97F4A7C15) & M64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & M64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & M64
    return x ^ (x >> 31)


def derive(key, what):
    return mix64(key ^ mix64(what))


def order_of(tasks, step, task, seed=1):
    key = derive(derive(derive(seed, 0x6F72646572), step), task)
    return sorted((other for other in range(tasks) if other != task), key=lambda other: derive(key, other))


def test_pcgrad(problems, monkeypatch):
    ours = weights_of("pcgrad", problems)
    theirs = []
    for step, rows in enumerate(problems, 1):
        orders = iter([order_of(len(rows), step, task) + [task] for task in range(len(rows))])
        monkeypatch.setattr(torch, "randperm", lambda n: torch.tensor(next(orders)))
        theirs.append(array(jd.PCGrad().gramian_weighting(tensor(gram_of(rows)))))
    assert report("pcgrad", differences(problems, ours, theirs)) < EQUAL


@pytest.mark.parametrize("beta", [0.5, 0])
def test_gradvac(beta, problems, monkeypatch):
    """Without the 1e-8 that TorchJD adds to denominators. The target cosines are a state, so each size has a run of its own. Of
    linearly dependent gradients, the rest may be a rounding error, whose cosine would become a target: they are left out."""
    found = []
    for size in SIZES[1:]:
        mine = [rows for rows in problems if len(rows) == size
                and np.linalg.matrix_rank(rows / np.linalg.norm(rows, axis=1)[:, None], tol=1e-9) == size]
        theirs, vaccine = [], jd.GradVac(beta=beta, eps=0.0)
        for step, rows in enumerate(mine, 1):
            # The positions of the others among those of all but the task itself.
            orders = iter([[other - (other > task) for other in order_of(size, step, task)] for task in range(size)])
            monkeypatch.setattr(torch, "randperm", lambda n: torch.tensor(next(orders)))
            theirs.append(array(vaccine.gramian_weighting(tensor(gram_of(rows)))))
        found += differences(mine, weights_of("gradvac", mine, "--balance.gradvac_beta", beta), theirs)
    assert report(f"gradvac, beta {beta}", found) < EQUAL


# Methods that solve a problem of optimisation


@pytest.mark.parametrize("method", ["upgrad", "dual_proj"])
def test_projections(method, problems):
    """TorchJD adds 1e-4 to the diagonal of G / trace(G), which switches the projection off where norms differ by 100; ours
    adds 1e-8 to that of the cosines. TorchJD is given the cosines C, and regularises C / n; with the preferences |g_i| / n
    it then solves for w_i |g_i|."""
    theirs, weighting = [], {"upgrad": jd.UPGradWeighting, "dual_proj": jd.DualProjWeighting}[method]
    for rows in problems:
        n, norm = len(rows), np.linalg.norm(rows, axis=1)
        units = rows / norm[:, None]
        scale = norm.max()  # quadprog stops early for bounds of different sizes
        solve = weighting(tensor(norm / scale / n), QuadprogProjector(norm_eps=0.0, reg_eps=1e-8 / n))
        theirs.append(array(solve(tensor(gram_of(units)))) * scale / norm)
    ours = weights_of(method, problems)
    for rows, weights in zip(problems, ours):  # no task is hurt
        norm = np.linalg.norm(rows, axis=1)
        assert (gram_of(rows) @ weights / norm >= -1e-6 * (np.abs(weights) @ norm)).all()
    assert report(method, differences(problems, ours, theirs)) < EQUAL


def test_mgda(problems):
    """TorchJD takes at most 100 steps of Frank and Wolfe's method. Ours must have (G w)_i >= w' G w, which only the minimum
    has, and a norm that is not above TorchJD's; where TorchJD's steps suffice, the directions are equal."""
    ours, equal, found, better = weights_of("mgda", problems), [], [], 0
    for rows, weights in zip(problems, ours):
        gram, scale = gram_of(rows), np.abs(weights) @ np.linalg.norm(rows, axis=1)
        assert weights.min() >= 0 and weights.sum() == pytest.approx(1, abs=1e-12)
        square = weights @ gram @ weights
        assert ((gram @ weights - square) / np.linalg.norm(rows, axis=1) >= -1e-7 * scale).all()
        theirs = array(jd.MGDAWeighting(epsilon=1e-15, max_iters=100)(tensor(gram)))
        assert np.sqrt(max(0, square)) <= np.linalg.norm(theirs @ rows) + 1e-7 * scale
        gap = theirs @ gram @ theirs - (gram @ theirs).min()
        if gap <= 1e-13 * (theirs @ gram @ theirs):  # |d - d'|^2 <= gap
            found += differences([rows], [weights], [theirs])
        else:
            better += 1
    assert len(found) > COUNT / 4
    assert report("mgda", found, f"; TorchJD's steps did not suffice for {better}") < EQUAL


@pytest.mark.parametrize("c", [0.4, 2.0])
def test_cagrad(c, problems):
    """TorchJD stops at some 1e-8 of the objective, and so at 1e-4 of the direction. Both directions must be within c |g0| of the
    mean g0; the one whose smallest progress d · g_i is larger is right."""
    ours, found, better = weights_of("cagrad", problems, "--balance.cagrad_c", c), [], 0
    for rows, weights in zip(problems, ours):
        mean, norm = rows.mean(axis=0), np.linalg.norm(rows, axis=1)
        theirs = array(jd.CAGradWeighting(c=c, norm_eps=0.0)(tensor(gram_of(rows)))) @ rows
        direction = weights @ rows
        if not direction.any() or (np.abs(weights) @ norm) * 1e-5 > np.linalg.norm(direction):  # Pareto-stationary
            continue
        radius = c * np.linalg.norm(mean)
        assert np.linalg.norm(direction - mean) <= radius * (1 + 1e-6)
        progress, their_progress = (rows @ direction).min(), (rows @ theirs).min()
        assert progress >= their_progress - 1e-6 * norm.max() * (np.linalg.norm(theirs) + np.linalg.norm(theirs - mean) / 1e3)
        difference = np.linalg.norm(direction - theirs) / np.linalg.norm(theirs)
        found.append(difference)
        better += progress > their_progress
    assert len(found) > COUNT / 2
    report(f"cagrad, c {c}", found, f"; the objective was better than TorchJD's in {better}")
    assert np.median(found) < 1e-4


def residual(gram, weights, alpha):
    """How far G w = w^(-1/alpha) is from holding, for each task relative to the terms of the sum."""
    target = weights ** (-1 / alpha)
    return (np.abs(gram @ weights - target) / (np.abs(gram) @ weights + target)).max()


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_fairgrad(alpha, problems):
    """TorchJD minimises the squared residuals of G w = w^(-1/alpha) with scipy, which stops early for gradients of different
    lengths. Ours adds 1e-12 to the diagonal of the cosines, which changes a direction by 1e-12 / c^2 where its length is c times
    the sum of its terms' lengths."""
    ours, found, better, stationary = weights_of("fairgrad", problems, "--balance.fairgrad_alpha", alpha), [], 0, 0
    for rows, weights in zip(problems, ours):
        gram, norm = gram_of(rows), np.linalg.norm(rows, axis=1)
        assert weights.min() > 0
        assert residual(gram + 1e-12 * np.diag(norm ** 2), weights, alpha) < 1e-9
        left = np.linalg.norm(weights @ rows) / (weights @ norm)
        if left < 1e-5:
            stationary += 1
            continue
        theirs = array(jd.FairGradWeighting(alpha=alpha, max_iters=60)(tensor(gram)))
        if theirs.min() > 0 and residual(gram, theirs, alpha) < 1e-12:
            difference, = differences([rows], [weights], [theirs])
            assert difference < max(EQUAL, 1e-12 / left ** 2)
            found.append(difference)
        else:
            better += 1
    assert len(found) > COUNT / 3
    report(f"fairgrad, alpha {alpha}", found, f"; in {better} TorchJD's residual is above 1e-12, {stationary} are stationary")
    assert np.quantile(found, 0.9) < EQUAL


def test_nash_mtl(problems):
    """TorchJD stops early where gradients are nearly parallel or opposite, and scales the direction down to a length of at most
    1. Ours solves G w = 1 / w, so that |d|^2 = T; where TorchJD's weights solve it, the directions are the same."""
    ours, found, better = weights_of("nash_mtl", problems), [], 0
    for rows, weights in zip(problems, ours):
        norm = np.linalg.norm(rows, axis=1)
        assert weights.min() > 0
        gram = gram_of(rows) + 1e-12 * np.diag(norm ** 2)
        assert residual(gram, weights, 1) < 1e-9 and weights @ gram @ weights == pytest.approx(len(rows), abs=1e-14 * (weights @ norm) ** 2)
        left = np.linalg.norm(weights @ rows) / (weights @ norm)
        if len(rows) not in (2, 3, 5) or left < 1e-5 or norm.max() > 30 * norm.min():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = array(jd.NashMTL(n_tasks=len(rows), optim_niter=20).weighting(tensor(rows)))
        theirs *= np.linalg.norm(weights @ rows) / np.linalg.norm(theirs @ rows)
        if theirs.min() > 0 and residual(gram, theirs, 1) < 1e-8:
            difference, = differences([rows], [weights], [theirs])
            assert difference < max(EQUAL, 1e-8 / left ** 2)
            found.append(difference)
        else:
            better += 1
    assert len(found) > COUNT / 10
    report("nash_mtl", found, f"; in {better} TorchJD's residual is above 1e-8; ours solve the equation for all {COUNT}")
    assert np.quantile(found, 0.9) < EQUAL


def no_direction_suits(gradients):
    """Whether no direction has a positive product with each: some convex combination of them is 0."""
    units = gradients / np.linalg.norm(gradients, axis=1)[:, None]
    _, rest = scipy.optimize.nnls(np.vstack([units.T, np.ones(len(units))]), np.append(np.zeros(WIDTH), 1))
    return rest < 1e-9


def test_pcd(problems):
    """The squared norms have a moving average, so each size has a run of its own. TorchJD accepts a constraint that is violated
    by 1e-9 of the largest square, and so ignores those of gradients that are much shorter than others. Where the directions
    differ, ours fulfils the conditions of the minimum, and TorchJD's violates a constraint."""
    for tau, beta in ((0.02, 0.999), (0.5, 0.5)):
        found, ignored = [], 0
        for size in SIZES:
            mine, pcd, average = [rows for rows in problems if len(rows) == size], jd.PCD(tau, beta), np.zeros(size)
            ours = weights_of("pcd", mine, "--balance.pcd_tau", tau, "--balance.pcd_beta", beta)
            for step, (rows, weights) in enumerate(zip(mine, ours), 1):
                average = beta * average + (1 - beta) * np.diag(gram_of(rows))
                scale = 1 / np.sqrt(average / (1 - beta ** step) + 1e-8)
                theirs = array(pcd.gramian_weighting(tensor(gram_of(rows))))
                difference, = differences([rows], [weights], [theirs])
                if difference < EQUAL:
                    found.append(difference)
                    continue
                ignored += 1
                units = rows / np.linalg.norm(rows, axis=1)[:, None]

                def missing(weights):
                    """What the constraints of the secondary tasks lack, relative to the length of the direction."""
                    direction = weights / weights[0] * scale[0] @ rows
                    return (tau * np.linalg.norm(rows[1:], axis=1) * scale[1:] - units[1:] @ direction) / np.linalg.norm(direction)

                assert missing(theirs).max() > 1e-6
                if weights[1:].any():  # The multipliers are not negative, and only constraints that are equalities have one.
                    assert weights.min() >= 0 and missing(weights).max() < 1e-10
                    assert abs(missing(weights)[weights[1:] > 0]).max() < 1e-10
                else:
                    assert no_direction_suits(rows[1:])
        assert len(found) > 0.9 * COUNT
        assert report(f"pcd, tau {tau}, beta {beta}", found, f"; in {ignored} TorchJD ignores the constraint of a short gradient") < EQUAL


def test_excess_mtl():
    """The excess risks, of gradients as long as to make TorchJD's 1e-7 vanish. With one step of warm-up, TorchJD's first step
    gives equal weights and the first risks, as ours does."""
    rng = np.random.default_rng(15)
    for tasks in SIZES:
        excess, squares, lines, theirs = jd.ExcessMTL(robust_step_size=0.3, n_warmup_steps=1), np.zeros((tasks, WIDTH)), [], []
        for _ in range(20):
            rows = 1e4 * rng.normal(size=(tasks, WIDTH)) * rng.uniform(0.5, 2, size=(tasks, 1))
            squares += rows ** 2
            lines.append(json.dumps({"norms": np.sqrt((rows ** 2 / np.sqrt(squares)).sum(axis=1)).tolist()}))
            theirs.append(array(excess.weighting(tensor(rows))))
        done = run("balance", "--method", "excess_mtl", "--balance.excess_mtl_lr", 0.3, input="\n".join(lines))
        ours = [json.loads(line)["weights"] for line in done.stdout.splitlines()]
        print(f"excess_mtl: {tasks} tasks, 20 steps, largest difference {np.abs(np.array(ours) - theirs).max():.2g}")
        assert np.allclose(ours, theirs, rtol=EQUAL, atol=1e-12)


# Methods of losses: TorchJD returns a scalar, whose gradient with respect to the losses are the weights


def gradient_of(scalarizer, losses):
    values = tensor(losses).requires_grad_()
    gradient, = torch.autograd.grad(copy.deepcopy(scalarizer)(values), values)
    return array(gradient / gradient.sum())


def losses_of(tasks, steps):
    rng = np.random.default_rng(16)
    return np.exp(rng.normal(0, 0.2, size=(steps, tasks))) * np.linspace(1, 0.5, steps)[:, None]


@pytest.mark.parametrize("tasks", [1, 2, 5, 32])
@pytest.mark.parametrize("method", ["gls", "stch", "uncertainty", "imtl_l", "famo", "dwa"])
def test_methods_of_losses(method, tasks):
    """A line has the losses that the step before measured, so the first line's belong to no step, and ours learns from the
    second one on."""
    losses, words = losses_of(tasks, 60), {"stch": ["--balance.stch_warmup", 0], "dwa": ["--balance.dwa_window", 1]}.get(method, [])
    done = run("balance", "--method", method, *words, input="\n".join(json.dumps({"losses": row.tolist()}) for row in losses))
    assert done.returncode == 0, done.stderr
    ours = np.array([json.loads(line)["weights"] for line in done.stdout.splitlines()])
    shape = (tasks,)
    method_of = {"gls": scalar.GeometricMean, "stch": lambda: scalar.STCH(mu=0.5), "uncertainty": lambda: scalar.UW(shape), "imtl_l": lambda: scalar.IMTLL(shape),
                 "famo": lambda: scalar.FAMO(shape, lr=0.025, weight_decay=0.001), "dwa": lambda: scalar.DWA(temperature=2.0)}[method]
    scalarizer = method_of().double()
    if method in ("uncertainty", "imtl_l"):
        optimizer = torch.optim.Adam(scalarizer.parameters(), lr=0.01) if method == "uncertainty" else torch.optim.SGD(scalarizer.parameters(), lr=0.01)
    for step, row in enumerate(losses):
        if step > 0 and method in ("uncertainty", "imtl_l"):
            optimizer.zero_grad()
            scalarizer(tensor(row)).backward()
            for parameter in scalarizer.parameters():
                parameter.grad.clamp_(max=1)  # of imtl_l; never reached by uncertainty
            optimizer.step()
        if step > 1 and method == "famo":
            scalarizer(tensor(losses[step - 1]))
            scalarizer.update(tensor(row))
        if step > 0 and method == "dwa":
            scalarizer(tensor(row))
            scalarizer.step()
        assert np.allclose(ours[step], gradient_of(scalarizer, row), rtol=EQUAL, atol=0), step
    print(f"{method}: {tasks} tasks, 60 steps compared")
