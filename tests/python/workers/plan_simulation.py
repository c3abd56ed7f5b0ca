"""A discrete simulation of training steps, message by message. It shares no code with `polyhead plan`; from its JSON it
takes the samples of each worker, the seconds of a sample, the bytes of heads, and the machine's figures."""

import heapq
from itertools import count


class Simulation:
    def __init__(self, plan, width=4):
        self.plan, self.machine, self.width = plan, plan["machine"], width
        self.workers, self.per_node = len(plan["workers"]), plan["per_node"]
        self.now, self.events, self.order = 0.0, [], count()
        self.link_free = [0.0] * ((self.workers - 1) // self.per_node + 1)
        self.jobs = [dict() for _ in self.link_free]  # by node: what runs there, {worker: seconds left}
        self.jobs_at, self.jobs_version = [0.0] * len(self.link_free), [0] * len(self.link_free)
        self.collectives = {}
        self.ended = []  # (time, worker) of every step

    def at(self, time, call):
        heapq.heappush(self.events, (time, next(self.order), call))

    def run(self, steps):
        """Returns the seconds of a step, the mean over all but the first."""
        for worker in range(self.workers):
            self.go_on(worker, self.program(worker, steps))
        while self.events:
            self.now, _, call = heapq.heappop(self.events)
            call()
        ends = [max(time for time, of in self.ended if of == step) for step in range(steps)]
        return (ends[-1] - ends[0]) / (steps - 1)

    def program(self, worker, steps):
        """The actions of a worker, in order: ("work", seconds) or ("reduce", key, members, bytes)."""
        plan, mine = self.plan, self.plan["workers"][worker]
        everybody = range(self.workers)
        tasks = plan["tasks"]
        parameters = plan["encoder_parameters"] + sum(tasks[task]["parameters"] for task in mine["tasks"])
        seconds = sum(tasks[task]["seconds"] * samples for task, samples in zip(mine["tasks"], mine["samples"]))
        for step in range(steps):
            yield "work", parameters * self.machine["parameter_seconds"]
            yield "reduce", (step, "counts"), everybody, 8 * (2 * len(tasks) + 2)
            yield "work", seconds
            yield "reduce", (step, "encoder"), everybody, self.width * plan["encoder_parameters"]
            for task in mine["tasks"]:
                if len(tasks[task]["workers"]) > 1 and tasks[task]["samples"] > 0:
                    yield "reduce", (step, task), tasks[task]["workers"], self.width * tasks[task]["parameters"]
            yield "reduce", (step, "losses"), everybody, 8 * (len(tasks) + 4)
            self.ended.append((self.now, step))

    def go_on(self, worker, program):
        action = next(program, None)
        if action is None:
            return
        again = lambda: self.go_on(worker, program)
        if action[0] == "work":
            self.begin_work(worker, action[1], again)
        else:
            self.arrive(worker, *action[1:], again)

    # The processors of a node, shared fairly among the workers that compute.
    def begin_work(self, worker, seconds, then):
        node = worker // self.per_node
        self.pass_time(node)
        self.jobs[node][worker] = [seconds, then]
        self.expect(node)

    def rate(self, node):
        return min(1.0, self.machine["slots"] / len(self.jobs[node]))

    def pass_time(self, node):
        if self.jobs[node]:
            done = (self.now - self.jobs_at[node]) * self.rate(node)
            for job in self.jobs[node].values():
                job[0] -= done
        self.jobs_at[node] = self.now

    def expect(self, node):
        self.jobs_version[node] += 1
        if not self.jobs[node]:
            return
        version, first = self.jobs_version[node], min(job[0] for job in self.jobs[node].values())

        def end():
            if version != self.jobs_version[node]:
                return
            self.pass_time(node)
            done = [worker for worker, job in self.jobs[node].items() if job[0] <= 1e-12 + 1e-9 * self.now]
            for worker in done:
                self.at(self.now, self.jobs[node].pop(worker)[1])
            self.expect(node)

        self.at(self.now + max(first, 0) / self.rate(node), end)

    # An all-reduce: a ring within each node; between nodes halving and doubling, or where they are no power of two, the quicker of a
    # ring and of halving and doubling among as many as are one, to whom the others send theirs first.
    def arrive(self, worker, key, members, size, then):
        call = self.collectives.get(key)
        if call is None:
            nodes = {}
            for member in members:
                nodes.setdefault(member // self.per_node, []).append(member)
            call = self.collectives[key] = {"nodes": list(nodes), "local": nodes, "waiting": {node: [] for node in nodes}, "size": size,
                                            "seen": set(), "rounds": None}
        node = worker // self.per_node
        call["waiting"][node].append(then)
        if len(call["waiting"][node]) == len(call["local"][node]):
            # The reduction's half of the ring.
            self.at(self.now + self.ring(call, node), lambda: self.send(call, call["nodes"].index(node), 0))

    def ring(self, call, node):
        """The seconds of half a ring over a node's members."""
        here, one_node = len(call["local"][node]), len(self.link_free) == 1
        window = one_node and here == self.workers and call["size"] == self.width * self.plan["encoder_parameters"]
        bandwidth = self.machine["window_bandwidth" if window else "node_bandwidth"]
        return (here - 1) * (call["size"] / here / bandwidth + self.machine["node_latency"])

    def rounds(self, call):
        """[rounds][nodes]: (sends to, receives from, bytes sent), with nodes numbered as in the call."""
        nodes, size = len(call["nodes"]), call["size"]
        if nodes == 1:
            return []
        ring = [[((i + 1) % nodes, (i - 1) % nodes, size / nodes) for i in range(nodes)]] * (2 * (nodes - 1))
        core = 1 << (nodes.bit_length() - 1)
        rest, idle = nodes - core, (None, None, 0)
        halving = [[(i ^ distance, i ^ distance, size * distance / core) for i in range(core)] + [idle] * rest
                   for distance in (core >> k for k in range(1, core.bit_length()))]
        halved = halving + halving[::-1]
        if not rest:
            return halved
        fold = [(None, core + i, 0) if i < rest else idle for i in range(core)] + [(i, None, size) for i in range(rest)]
        unfold = [(core + i, None, size) if i < rest else idle for i in range(core)] + [(None, i, 0) for i in range(rest)]
        folded = [fold, *halved, unfold]
        return min(ring, folded, key=lambda way: sum(self.machine["latency"] + max(node[2] for node in each) / self.machine["bandwidth"]
                                                     for each in way))

    def send(self, call, index, number):
        if call["rounds"] is None:
            call["rounds"] = self.rounds(call)
        rounds = call["rounds"]
        node = call["nodes"][index]
        if number == len(rounds):
            for then in call["waiting"][node]:
                self.at(self.now + self.ring(call, node), then)
            return
        to, _, size = rounds[number][index]
        if to is None:
            self.receive(call, index, number, "sent")
            return
        start = max(self.now, self.link_free[node])
        sent = self.link_free[node] = start + size / self.machine["bandwidth"]
        self.at(sent + self.machine["latency"], lambda: self.receive(call, to, number, "received"))
        self.at(sent, lambda: self.receive(call, index, number, "sent"))

    def receive(self, call, index, number, what):
        """A node continues when it has sent and received the messages of the round."""
        call["seen"].add((index, number, what))
        needed = {(index, number, "sent")}
        if call["rounds"][number][index][1] is not None:
            needed.add((index, number, "received"))
        # What arrives before the round is begun waits for it.
        if needed <= call["seen"]:
            self.send(call, index, number + 1)
