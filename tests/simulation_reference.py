"""The simulation, slowly: every iteration of every replica one by one, every event from one queue, no closed forms.

It exists to be compared with Ferry's engine. It shares no code with it, and where it can choose between fast and
obvious, it is obvious. Times in seconds from the trace's start, lengths in tokens.

    result = simulate(arrival_s, input_tokens, output_tokens, engine=Engine(...), time=IterationTime(...))
    result.first_token_s, result.last_token_s          arrays of N, NaN for what was refused
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

MINUTE = 60.0
SPOT_NOTICE_S = 120.0

# What happens first of all that happens at one time.
ITERATION_ENDS, LIFECYCLE, SAMPLE, ARRIVAL, ITERATION_STARTS = range(5)


@dataclass(frozen=True, kw_only=True)
class IterationTime:
    """Seconds an iteration takes: fixed + max(weights, per_token T) + per_sequence S + per_cached_token K + … A."""

    fixed: float
    weights: float = 0.0
    per_token: float = 0.0
    per_sequence: float = 0.0
    per_cached_token: float = 0.0
    per_attention_pair: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The limits of one replica."""

    max_sequences: int
    max_batched_tokens: int
    kv_blocks: int
    block_tokens: int = 16
    max_model_len: int | None = None
    lookahead_iterations: Literal[0, 1] = 1


Decide = Callable[[float, float | None, int, list[float], int], int]
"""(time, datapoint, desired until now, when each pending or serving instance comes or came into service, how many
drain) -> desired."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Instances and what happens to them. `decide` is asked each minute; see `Decide`."""

    initial_instances: int = 1
    routing: Literal["least_outstanding_requests", "round_robin"] = "least_outstanding_requests"
    start_s: float = 0.0
    warm_pool_size: int = 0
    warm_start_s: float = 0.0
    deregistration_delay_s: float = 300.0
    decide: Decide | None = None
    metric: Literal["load", "kv_use", "utilisation"] = "load"
    on_demand_base: int = 0
    spot_share: float = 0.0
    spot_interruptions_s: Sequence[float] = ()
    spot_interruption_slots: Sequence[int] | None = None


@dataclass(eq=False)
class Request:
    number: int
    arrival: float
    input: int
    output: int
    cached: int
    computed: int = 0
    generated: int = 0
    blocks: int = 0
    first: float = math.nan
    last: float = math.nan
    replica: int = -1
    retries: int = 0

    @property
    def known(self) -> int:
        return self.input + self.generated

    def restart(self) -> None:
        self.computed = self.generated = self.cached = self.blocks = 0
        self.first = math.nan
        self.retries += 1


@dataclass(eq=False)
class Replica:
    number: int
    engine: Engine
    time: IterationTime
    spot: bool
    launched: float
    serves_from: float
    state: Literal["pending", "in service", "draining", "gone"] = "pending"
    gone: float = math.nan
    free_blocks: int = 0
    inbox: deque[tuple[float, Request]] = field(default_factory=deque)
    waiting: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    batch: list[tuple[Request, int]] = field(default_factory=list)
    started: float = -math.inf
    follows: bool = False
    start_is_due: bool = False
    held_slots: int = 0
    held_blocks: int = 0
    preemptions: int = 0
    iterations: int = 0
    busy: float = 0.0
    busy_in_minute: float = 0.0

    def __post_init__(self) -> None:
        self.free_blocks = self.engine.kv_blocks

    @property
    def outstanding(self) -> int:
        return len(self.inbox) + len(self.waiting) + len(self.running)

    def start(self, now: float) -> float | None:
        """Compose the next batch and say when it ends; None when there is nothing to do."""
        ahead = self.follows and self.engine.lookahead_iterations == 1
        self._take(self.started if ahead else now)
        if not ahead:
            self._give_back()
        self.batch = self._compose()
        self._give_back()
        if not self.batch and ahead:
            self._take(now)
            self.batch = self._compose()
        if not self.batch:
            self.follows = False
            return None
        self.started = now
        return now + self._seconds()

    def end(self, now: float) -> list[Request]:
        """The batch has run: tokens come out, and some requests are finished."""
        finished = []
        for request, new in self.batch:
            request.computed += new
            if request.computed < request.known:
                continue
            request.generated += 1
            if request.generated == 1:
                request.first = now
            if request.generated == request.output:
                request.last = now
                request.replica = self.number
                finished.append(request)
        for request in finished:
            self.running.remove(request)
            self.held_slots += 1
            self.held_blocks += request.blocks
            request.blocks = 0
        self.batch = []
        self.follows = True
        self.iterations += 1
        return finished

    def _take(self, until: float) -> None:
        while self.inbox and self.inbox[0][0] <= until:
            self.waiting.append(self.inbox.popleft()[1])

    def _give_back(self) -> None:
        self.free_blocks += self.held_blocks
        self.held_blocks = self.held_slots = 0

    def _needs(self, request: Request, new: int) -> int:
        return math.ceil((request.computed + new) / self.engine.block_tokens) - request.blocks

    def _allocate(self, request: Request, new: int) -> None:
        blocks = self._needs(request, new)
        self.free_blocks -= blocks
        request.blocks += blocks

    def _compose(self) -> list[tuple[Request, int]]:
        batch: list[tuple[Request, int]] = []
        budget = self.engine.max_batched_tokens
        preempted = False
        at = 0
        while at < len(self.running) and budget > 0:
            request = self.running[at]
            new = min(request.known - request.computed, budget)
            while request in self.running and self._needs(request, new) > self.free_blocks:
                self._preempt()
                preempted = True
            if request not in self.running:
                break
            self._allocate(request, new)
            batch.append((request, new))
            budget -= new
            at += 1
        while (
            not preempted
            and self.waiting
            and len(self.running) + self.held_slots < self.engine.max_sequences
            and budget > 0
        ):
            request = self.waiting[0]
            request.computed = request.cached
            new = min(request.known - request.computed, budget)
            if self._needs(request, new) > self.free_blocks:
                request.computed = 0
                break
            self.waiting.popleft()
            self.running.append(request)
            self._allocate(request, new)
            batch.append((request, new))
            budget -= new
        return batch

    def _preempt(self) -> None:
        victim = self.running.pop()
        self.free_blocks += victim.blocks
        victim.blocks = victim.computed = victim.cached = 0
        self.waiting.appendleft(victim)
        self.preemptions += 1

    def _seconds(self) -> float:
        tokens = context = pairs = 0.0
        for request, new in self.batch:
            tokens += new
            if new == 1 and request.computed >= request.input:
                context += request.computed + 1
            else:
                pairs += new * (request.computed + (new + 1) / 2)
        t = self.time
        matrices = max(t.weights, t.per_token * tokens)
        sequences = t.per_sequence * len(self.batch)
        return t.fixed + matrices + sequences + t.per_cached_token * context + t.per_attention_pair * pairs


@dataclass(frozen=True, kw_only=True)
class Minute:
    """What was seen at the end of a minute. `datapoint` is None when no instance was in service."""

    time_s: float
    in_service: int
    pending: int
    draining: int
    desired: int
    running: int
    waiting: int
    gateway: int
    load: float | None
    kv_use: float | None
    utilisation: float | None


@dataclass(frozen=True, kw_only=True)
class Result:
    first_token_s: np.ndarray
    last_token_s: np.ndarray
    replica: np.ndarray
    retries: np.ndarray
    refused: np.ndarray
    minutes: list[Minute]
    instance_seconds: dict[str, float]
    busy_s: float
    preemptions: int
    iterations: int
    requests_in_system_s: float
    end_s: float


class Simulation:
    def __init__(self, requests: list[Request], engine: Engine, time: IterationTime, fleet: Fleet) -> None:
        self.engine, self.time, self.fleet = engine, time, fleet
        self.requests = requests
        self.replicas: list[Replica] = []
        self.gateway: deque[Request] = deque()
        self.refused: set[int] = set()
        self.minutes: list[Minute] = []
        self.left = len(requests)
        self.last_routed = -1
        self.now = 0.0
        self.in_system = 0
        self.requests_in_system_s = 0.0
        self.queue: list[tuple[float, int, int, Callable[[], None]]] = []
        self.events = 0
        self.desired = fleet.initial_instances
        self.warm_ready_s = [0.0] * fleet.warm_pool_size

    def run(self) -> Result:
        for _ in range(self.fleet.initial_instances):
            self._enter_service(self._launch(at_once=True))
        for request in self.requests:
            self._at(request.arrival, ARRIVAL, partial(self._arrive, request))
        times = self.fleet.spot_interruptions_s
        slots = self.fleet.spot_interruption_slots
        for time, slot in zip(times, [0] * len(times) if slots is None else slots, strict=True):
            self._at(time, LIFECYCLE, partial(self._interrupt, slot))
        self._at(MINUTE, SAMPLE, self._minute)
        while self.left:
            time, _, _, action = heapq.heappop(self.queue)
            self.requests_in_system_s += self.in_system * (time - self.now)
            self.now = time
            action()
        return self._result()

    def _at(self, time: float, kind: int, action: Callable[[], None]) -> None:
        self.events += 1
        heapq.heappush(self.queue, (time, kind, self.events, action))

    # Requests

    def _arrive(self, request: Request) -> None:
        total = request.input + request.output
        blocks = math.ceil(total / self.engine.block_tokens)
        if blocks > self.engine.kv_blocks or total > (self.engine.max_model_len or math.inf):
            self.refused.add(request.number)
            self.left -= 1
            return
        self.in_system += 1
        self._route(request)

    def _route(self, request: Request) -> None:
        serving = self._all("in service")
        if not serving:
            self.gateway.append(request)
            return
        if self.fleet.routing == "round_robin":
            replica = min(serving, key=lambda one: (one.number <= self.last_routed, one.number))
            self.last_routed = replica.number
        else:
            replica = min(serving, key=lambda one: (one.outstanding, one.number))
        replica.inbox.append((self.now, request))
        self._start_soon(replica)

    # Iterations

    def _start_soon(self, replica: Replica) -> None:
        if not replica.batch and not replica.start_is_due:
            replica.start_is_due = True
            self._at(self.now, ITERATION_STARTS, lambda: self._start(replica))

    def _start(self, replica: Replica) -> None:
        replica.start_is_due = False
        if replica.state == "gone":
            return
        end = replica.start(self.now)
        if end is not None:
            self._at(end, ITERATION_ENDS, lambda: self._end(replica))

    def _end(self, replica: Replica) -> None:
        if replica.state == "gone":
            return
        self._count_busy(replica)
        finished = replica.end(self.now)
        self.left -= len(finished)
        self.in_system -= len(finished)
        if replica.state == "draining" and not replica.outstanding:
            self._leave(replica)
        else:
            self._start_soon(replica)

    def _count_busy(self, replica: Replica) -> None:
        """Seconds of the running iteration that lie in the minute that is not yet sampled."""
        seconds = self.now - max(replica.started, MINUTE * len(self.minutes))
        replica.busy += seconds
        replica.busy_in_minute += seconds

    # Instances

    def _all(self, *states: str) -> list[Replica]:
        return [replica for replica in self.replicas if replica.state in states]

    def _launch(self, *, at_once: bool = False) -> Replica:
        spot = self._next_is_spot()
        ready = [time for time in self.warm_ready_s if time <= self.now]
        if at_once:
            serves_from = self.now
        elif ready and not spot:
            self.warm_ready_s.remove(ready[0])
            self.warm_ready_s.append(self.now + self.fleet.start_s)
            serves_from = self.now + self.fleet.warm_start_s
        else:
            serves_from = self.now + self.fleet.start_s
        replica = Replica(len(self.replicas), self.engine, self.time, spot, self.now, serves_from)
        self.replicas.append(replica)
        return replica

    def _next_is_spot(self) -> bool:
        """A base on demand and a share of the rest, rounded in favour of on demand."""
        base = min(self.fleet.on_demand_base, self.desired)
        wanted = base + math.ceil((self.desired - base) * (1 - self.fleet.spot_share) - 1e-9)
        return sum(not one.spot for one in self._all("pending", "in service")) >= wanted

    def _enter_service(self, replica: Replica) -> None:
        if replica.state != "pending":
            return
        replica.state = "in service"
        queue, self.gateway = self.gateway, deque()
        for request in queue:
            self._route(request)

    def _drain(self, replica: Replica, seconds: float) -> None:
        replica.state = "draining"
        if not replica.outstanding:
            self._leave(replica)
        else:
            self._at(self.now + seconds, LIFECYCLE, lambda: self._stop(replica))

    def _stop(self, replica: Replica) -> None:
        if replica.state == "gone":
            return
        if replica.batch:
            self._count_busy(replica)
        self._leave(replica)
        unfinished = [*replica.running, *replica.waiting, *(request for _, request in replica.inbox)]
        for request in unfinished:
            request.restart()
            self._route(request)

    def _leave(self, replica: Replica) -> None:
        replica.state = "gone"
        replica.gone = self.now

    def _interrupt(self, slot: int) -> None:
        spot = [replica for replica in self._all("in service") if replica.spot]
        if slot < len(spot):
            self._drain(spot[slot], SPOT_NOTICE_S)
            self._scale()

    # Each minute

    def _minute(self) -> None:
        serving = self._all("in service")
        leaving = self._all("draining")
        for replica in serving + leaving:
            if replica.batch:
                self._count_busy(replica)

        def mean(values: list[float]) -> float | None:
            return sum(values) / len(values) if values else None

        datapoints = {
            "load": mean([one.outstanding / self.engine.max_sequences for one in serving]),
            "kv_use": mean([sum(r.blocks for r in one.running) / self.engine.kv_blocks for one in serving]),
            "utilisation": mean([one.busy_in_minute / MINUTE for one in serving]),
        }
        counts = {
            "in_service": len(serving),
            "pending": len(self._all("pending")),
            "draining": len(leaving),
            "running": sum(len(one.running) for one in serving + leaving),
            "waiting": sum(one.outstanding - len(one.running) for one in serving + leaving) + len(self.gateway),
            "gateway": len(self.gateway),
        }
        for replica in self.replicas:
            replica.busy_in_minute = 0.0
        if self.fleet.decide is not None:
            since = [one.serves_from for one in self._all("pending", "in service")]
            datapoint = datapoints[self.fleet.metric]
            self.desired = self.fleet.decide(self.now, datapoint, self.desired, since, len(leaving))
        minute = Minute(
            time_s=self.now,
            desired=self.desired,
            load=datapoints["load"],
            kv_use=datapoints["kv_use"],
            utilisation=datapoints["utilisation"],
            **counts,
        )
        self.minutes.append(minute)
        self._scale()
        self._at(self.now + MINUTE, SAMPLE, self._minute)

    def _scale(self) -> None:
        for _ in range(self.desired - len(self._all("pending", "in service"))):
            replica = self._launch()
            self._at(replica.serves_from, LIFECYCLE, partial(self._enter_service, replica))
        while len(self._all("pending", "in service")) > self.desired:
            if pending := self._all("pending"):
                self._leave(pending[-1])
            else:
                self._drain(self._all("in service")[-1], self.fleet.deregistration_delay_s)

    def _result(self) -> Result:
        def array(name: str) -> np.ndarray:
            return np.array([getattr(request, name) for request in self.requests])

        seconds = {"on-demand": 0.0, "spot": 0.0}
        for replica in self.replicas:
            until = replica.gone if replica.state == "gone" else self.now
            seconds["spot" if replica.spot else "on-demand"] += until - replica.launched
        return Result(
            first_token_s=array("first"),
            last_token_s=array("last"),
            replica=array("replica"),
            retries=array("retries"),
            refused=np.array([request.number in self.refused for request in self.requests]),
            minutes=self.minutes,
            instance_seconds=seconds,
            busy_s=sum(replica.busy for replica in self.replicas),
            preemptions=sum(replica.preemptions for replica in self.replicas),
            iterations=sum(replica.iterations for replica in self.replicas),
            requests_in_system_s=self.requests_in_system_s,
            end_s=self.now,
        )


def simulate(
    arrival_s: Sequence[float] | np.ndarray,
    input_tokens: Sequence[int] | np.ndarray,
    output_tokens: Sequence[int] | np.ndarray,
    *,
    engine: Engine,
    time: IterationTime,
    fleet: Fleet | None = None,
    cached_tokens: Sequence[int] | np.ndarray | None = None,
) -> Result:
    """Simulate a workload sorted by arrival."""
    cached = [0] * len(arrival_s) if cached_tokens is None else cached_tokens
    columns = zip(arrival_s, input_tokens, output_tokens, cached, strict=True)
    requests = [
        Request(number, float(arrival), int(length), int(output), int(hit))
        for number, (arrival, length, output, hit) in enumerate(columns)
    ]
    return Simulation(requests, engine, time, fleet or Fleet()).run()
