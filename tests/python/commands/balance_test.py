"""polyhead balance: weights from losses and inner products of gradients, line by line."""

import json
import os
import re
import select
import subprocess

import pytest

from program import command, environment, run

GRAM = [[2.0, -1.0], [-1.0, 3.0]]


def text_of(rows):
    return "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)


def balance(rows, *words):
    """The weights of each line."""
    done = run("balance", *words, input=text_of(rows))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line.keys() == {"weights"} for line in found)
    return [line["weights"] for line in found]


def refused(rows, *words, says, code=65, before=0):
    """The command ends with this code and one message; the weights of `before` lines were written."""
    done = run("balance", *words, input=text_of(rows))
    assert done.returncode == code, (done.returncode, done.stderr)
    assert len(done.stdout.splitlines()) == before
    assert done.stderr.startswith("polyhead balance: ") and done.stderr.count("\n") == 1, done.stderr
    for part in says:
        assert part in done.stderr
    return done.stderr


# What it reads


def test_equal_weights_need_only_the_number_of_tasks():
    rows = [{"gram": GRAM}, {"losses": [1, 2]}, {"norms": [0.5, 0]}, {"active": [True, True]}, "\n", {"static_weight": [1, 5]}]
    assert balance(rows) == [[0.5, 0.5]] * 5
    assert balance([{}, {"step": 7}], "--tasks", "a,b,c,d") == [[0.25] * 4] * 2
    assert balance([{"losses": [None, 2], "gram": None}]) == [[0.5, 0.5]]


def test_a_task_that_is_not_active_has_no_weight():
    assert balance([{"gram": GRAM, "active": [False, True]}, {"gram": GRAM}]) == [[0, 1], [0.5, 0.5]]
    assert balance([{"gram": GRAM, "active": [False, False]}]) == [[0, 0]]


def test_static_weights_from_every_place(tmp_path):
    static = ["--method", "static", "--tasks", "a, b"]
    assert balance([{}], *static) == [[0.5, 0.5]]
    assert balance([{}], *static, "--task.b.weight", 3) == [[0.25, 0.75]]
    assert balance([{"static_weight": [3, 1]}, {}], *static, "--task.b.weight", 3) == [[0.75, 0.25], [0.25, 0.75]]
    (tmp_path / "c.ini").write_text("[balance]\nmethod = static\n[task.x]\nweight = 4\n[task.y]\n")
    assert balance([{}], "-c", tmp_path / "c.ini") == [[0.8, 0.2]]
    assert balance([{}], "-c", tmp_path / "c.ini", "--task.y.weight", 4) == [[0.5, 0.5]]
    assert balance([{}], "-c", tmp_path / "c.ini", "--tasks", "y,x") == [[0.2, 0.8]]
    (tmp_path / "c.ini").write_text("[balance]\nmethod = static\n[task.y]\n[task.x]\nweight = 4\n")  # not in alphabetical order
    assert balance([{}], "-c", tmp_path / "c.ini") == [[0.2, 0.8]]
    # A file of a whole run, whose weights another method ignores.
    (tmp_path / "c.ini").write_text("[run]\nsteps = 9\ntasks = y, x\n[encoder]\nlayers = 2\n[balance]\nmethod = static\n[task.x]\nweight = 4\n")
    assert balance([{}], "-c", tmp_path / "c.ini") == [[0.2, 0.8]]
    assert balance([{}], "-c", tmp_path / "c.ini", "--balance.method", "equal") == [[0.5, 0.5]]


def test_reads_a_file(tmp_path):
    (tmp_path / "in.jsonl").write_text(text_of([{"gram": GRAM}, {"losses": [1, 2]}]).rstrip("\n"))
    assert balance([], "--in", tmp_path / "in.jsonl") == [[0.5, 0.5]] * 2
    for file, says in (("none.jsonl", "cannot be opened"), (".", "is a folder")):
        refused([], "--in", tmp_path / file, says=[str(tmp_path), says])
    with open(tmp_path / "in.jsonl", "a") as out:
        done = subprocess.run(command("balance", "--in", tmp_path / "in.jsonl"), env=environment(), stdout=out, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "standard output goes to the file that is read" in done.stderr


def test_answers_each_line_at_once():
    process = subprocess.Popen(command("balance"), env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    for _ in range(2):
        process.stdin.write(text_of([{"gram": GRAM}]))
        assert select.select([process.stdout], [], [], 60)[0]
        assert json.loads(process.stdout.readline()) == {"weights": [0.5, 0.5]}
    process.stdin.close()
    assert process.wait(timeout=60) == 0


def test_a_closed_output_is_an_error():
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(command("balance"), env=environment(), input=text_of([{"gram": GRAM}]), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 73 and "cannot be written" in done.stderr


# Methods of each kind


def test_every_method_weights_the_tasks():
    """One line that has everything serves all methods."""
    line = {"gram": GRAM, "losses": [0.5, 2], "norms": [2 ** 0.5, 3 ** 0.5]}
    for method in methods():
        first, second = balance([line, line], "--method", method)
        assert len(first) == len(second) == 2 and all(weight > 0 for weight in first + second), method


def methods():
    text = re.search(r"--balance.method, --method .* One of (.*)\. \[equal\]", run("help", "balance").stdout)[1]
    return text.split(", ")


def test_losses():
    assert balance([{"losses": [1, 3]}, {"losses": [2, 2]}], "--method", "gls") == [pytest.approx([0.75, 0.25]), [0.5, 0.5]]
    # A task whose loss is not known has an equal share, and a number below all losses makes them positive.
    assert balance([{"losses": [1, 3, None]}], "--method", "gls") == [pytest.approx([0.5, 1 / 6, 1 / 3])]
    assert balance([{"losses": [-1, 1]}], "--method", "gls", "--balance.loss_floor", -2) == [pytest.approx([0.75, 0.25])]
    refused([{"gram": GRAM}], "--method", "gls", says=["standard input:1: gls reads losses, but the line has none", '"losses"'])


def test_norms():
    """Either as such, or from the diagonal of the inner products. If there are both, the norms count."""
    for row in ({"norms": [2, 4]}, {"gram": [[4, 1], [1, 16]]}, {"norms": [2, 4], "gram": [[9, 0], [0, 9]]}):
        assert balance([row], "--method", "db_mtl") == [pytest.approx([2, 1])]
    assert balance([{"norms": [2, 4, 8], "active": [True, True, False]}], "--method", "db_mtl") == [pytest.approx([2, 1, 0])]
    refused([{"losses": [1, 2]}], "--method", "db_mtl", says=["standard input:1: db_mtl reads norms of gradients, but the line has none", '"norms"'])


def test_inner_products():
    """The formula of UPGrad for two tasks: half of PCGrad's weights."""
    expected = [(1 + 1 / 2) / 2, (1 + 1 / 3) / 2]
    assert balance([{"gram": GRAM}], "--method", "upgrad") == [pytest.approx(expected, rel=1e-6)]
    assert balance([{"gram": GRAM}], "--method", "pcgrad") == [pytest.approx([2 * weight for weight in expected])]
    # A task that is not active changes nothing, whatever its row has.
    wide = [[2, 1, -1], [1, 5, -3], [-1, -3, 3]]
    assert balance([{"gram": wide, "active": [True, False, True]}], "--method", "pcgrad") == [pytest.approx([1.5, 0, 4 / 3])]
    refused([{"norms": [1, 2], "losses": [1, 2]}], "--method", "mgda",
            says=["standard input:1: mgda reads inner products of gradients, but the line has none", '"gram"'])


def test_options_of_a_method(tmp_path):
    assert balance([{"gram": GRAM}], "--method", "cagrad", "--balance.cagrad_c", 0) == [pytest.approx([0.5, 0.5])]
    with_default = balance([{"gram": GRAM}], "--method", "cagrad")
    assert with_default != balance([{"gram": GRAM}], "--method", "cagrad", "--balance.cagrad_c", 1)
    (tmp_path / "c.ini").write_text("[balance]\nmethod = cagrad\ncagrad_c = 1\n")
    assert balance([{"gram": GRAM}], "-c", tmp_path / "c.ini") == balance([{"gram": GRAM}], "--method", "cagrad", "--balance.cagrad_c", 1)
    assert balance([{"gram": GRAM}], "-c", tmp_path / "c.ini", "--balance.cagrad_c", 0.4) == with_default
    # Options of the file that do not belong to the method of the command line are no mistake; on the command line they are.
    assert balance([{"gram": GRAM}], "-c", tmp_path / "c.ini", "--method", "equal") == [[0.5, 0.5]]
    refused([], "--method", "mgda", "--balance.cagrad_c", 1, code=78, says=["balance.cagrad_c = 1", "no effect without balance.method = cagrad"])
    refused([], "--method", "cagrad", "--balance.cagrad_c", -1, code=78, says=["balance.cagrad_c is '-1', expected a number >= 0"])


def test_the_primary_task_has_a_name():
    """pcd keeps the direction of the primary task where the other one is not hurt much."""
    gram = [{"gram": [[1, 0.5], [0.5, 1]]}]
    assert balance(gram, "--method", "pcd") == [pytest.approx([1, 0])]
    assert balance(gram, "--method", "pcd", "--balance.primary", "task2") == [pytest.approx([0, 1])]
    assert balance(gram, "--method", "pcd", "--balance.primary", "b", "--tasks", "a,b") == [pytest.approx([0, 1])]
    for words in ([], ["--tasks", "x,y"]):
        refused(gram, "--method", "pcd", "--balance.primary", "a", *words, code=78, says=["balance.primary = a", "no such task"])


def test_lines_are_the_steps_of_one_balancer():
    rows = [{"losses": [1, 1]}, {"losses": [1, 1]}, {"losses": [1, 0.5]}]
    together = balance(rows, "--method", "famo")
    assert together[2] != balance(rows[2:], "--method", "famo")[0]  # the logits have learned
    assert together[2] == balance(rows, "--method", "famo")[2]


def test_random_choices_depend_on_seed_and_step():
    rows = [{"losses": [1, 2]}] * 3
    drawn = balance(rows, "--method", "rlw")
    assert len({tuple(weights) for weights in drawn}) == 3
    assert balance([{"losses": [1, 2], "step": 3}], "--method", "rlw") == drawn[2:]
    assert balance([{"losses": [1, 2], "step": 2}, {"losses": [1, 2]}], "--method", "rlw") == drawn[1:]
    assert drawn != balance(rows, "--method", "rlw", "--run.seed", 2)


# What it refuses


@pytest.mark.parametrize("row, says", [
    ("nonsense\n", ["this line is not JSON", "expected an object per line, such as {\"gram\""]),
    ("[1, 2]\n", ["is of type array, expected {\"gram\""]),
    ('{"gram": [[1]], "gram": [[2]]}\n', ["gram", "twice"]),
    ({"grams": GRAM}, ['has the key "grams" (did you mean gram?)', "gram, norms, losses, static_weight, active, step"]),
    ({"gram": 3}, ['"gram" is of type number, expected a list']),
    ({"gram": []}, ['"gram" is empty, expected an entry for each task']),
    ({"gram": [[1, 2]]}, ['row 0 of "gram" has 2 entries, but "gram" has 1 rows', "square"]),
    ({"gram": [[2, 0], [0]]}, ['row 1 of "gram" has 1 entries, but "gram" has 2 rows', "square"]),
    ({"gram": [1, 2]}, ['row 0 of "gram" is not a list']),
    ({"gram": [[2, 1], [1.1, 2]]}, ['"gram" is not symmetric: [1][0] is 1.1, but [0][1] is 1']),
    ({"gram": [[2, 0], [0, -3]]}, ['"gram"[1][1] is -3', "not negative"]),
    ({"gram": [[1, 2], [2, 1]]}, ['"gram"[1][0] is 2, which two gradients of norms 1 and 1 cannot have']),
    ({"gram": [[0, 1], [1, 9]]}, ["which two gradients of norms 3 and 0 cannot have"]),
    ({"gram": [[1, None], [None, 1]]}, ['"gram"[0][1] is null, expected a finite number']),
    ({"gram": [["1"]]}, ['"gram"[0][0] is "1", expected a finite number']),
    ('{"gram": [[1e999]]}\n', ["1e999"]),
    ('{"losses": [NaN]}\n', ["is not JSON"]),
    ({"gram": GRAM, "losses": [1]}, ['"losses" has 1 entries, expected 2, as "gram" has']),
    ({"losses": [1, 2, 3], "active": [True]}, ['"active" has 1 entries, expected 3, as "losses" has']),
    ({"losses": [True]}, ['"losses"[0] is true, expected a finite number']),
    ({"losses": "a"}, ['"losses" is of type string, expected a list']),
    ({"norms": [1, -2]}, ['"norms"[1] is -2, expected a number >= 0']),
    ({"static_weight": [0]}, ['"static_weight"[0] is 0, expected a number > 0']),
    ({"active": [1]}, ['"active"[0] is 1, expected true or false']),
    ({"gram": GRAM, "step": 0}, ['"step" is 0, expected a whole number from 1']),
    ({"gram": GRAM, "step": 1.5}, ['"step" is 1.5, expected a whole number from 1']),
    ({}, ["does not say how many tasks there are", "--tasks"]),
])
def test_bad_lines(row, says):
    refused([row], says=["standard input:1: ", *says])


def test_the_message_names_the_line_and_the_lines_before_it_are_answered(tmp_path):
    (tmp_path / "in.jsonl").write_text(text_of([{"gram": GRAM}, "\n", {"losses": [1, 2]}, {"gram": [[1]]}, {"gram": GRAM}]))
    refused([], "--in", tmp_path / "in.jsonl", before=2, says=[f"{tmp_path / 'in.jsonl'}:4: has 1 tasks, expected 2 (task1, task2)"])
    refused([{"gram": GRAM}], "--tasks", "a,b,c", says=["standard input:1: has 2 tasks, expected 3 (a, b, c)"])


def test_rounding_errors_of_a_matrix_are_no_error():
    assert balance([{"gram": [[2, -1 - 1e-9], [-1, 3]]}, {"gram": [[1, 1 + 1e-9], [1, 1]]}]) == [[0.5, 0.5]] * 2


def test_wrong_options(tmp_path):
    refused([], "--method", "mean", code=78, says=["balance.method is 'mean', expected one of", "equal, static"])
    refused([], "--tasks", "a,b,a", code=78, says=["run.tasks = a,b,a", "task 'a' is given twice"])
    refused([], "--tasks", "a,b", "--method", "static", "--task.c.weight", 2, code=78, says=["task.c.weight: there is no such task; the tasks are a, b"])
    refused([], "--method", "static", "--task.c.weight", 2, code=78, says=["task.c.weight: there is no such task; give the names of all tasks, in order"])
    refused([], "--tasks", "a,b", "--task.a.weight", 2, code=78, says=["task.a.weight = 2", "no effect without balance.method = static or"])
    refused([], "--method", "static", "--tasks", "a", "--task.a.weight", 0, code=78, says=["task.a.weight is '0', expected a number > 0"])
    refused([], "--run.seed", -1, code=78, says=["run.seed is '-1', expected a whole number >= 0"])
    refused([], "--run.steps", 5, code=2, says=["there is no option --run.steps"])
    (tmp_path / "c.ini").write_text("[balance]\nmethud = static\n")
    refused([], "-c", tmp_path / "c.ini", code=78, says=["c.ini:2: [balance] has no key 'methud' (did you mean method?)"])
    refused([], "-c", tmp_path / "none.ini", code=78, says=["none.ini"])


def test_help():
    done = run("help", "balance")
    assert done.returncode == 0
    for option in ("--config, -c", "--in", "--run.tasks, --tasks", "--run.seed", "--balance.method, --method", "--task.NAME.weight"):
        assert f"  {option} " in done.stdout
    assert "--encoder" not in done.stdout
