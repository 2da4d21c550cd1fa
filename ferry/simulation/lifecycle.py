"""How instances come and go, and who gets a request: the fleet around the engines."""

from __future__ import annotations

import math

import numpy as np

from ferry.simulation.batching import completed_by, enqueue, shorten
from ferry.simulation.compiled import inlined, part
from ferry.simulation.fleet import SPOT_NOTICE_S
from ferry.simulation.state import (
    DRAINING,
    EMPTY,
    IN_SERVICE,
    NEVER,
    NOBODY,
    PENDING,
    UNROUTABLE,
    Engine,
    Record,
    Records,
    Requests,
    Rows,
    Settings,
)
from ferry.simulation.tournament import update


@part
def next_in_turn(fleet: Record, rows: Rows) -> int:
    """Row of the instance in service whose id follows the last one used, else of the lowest id."""
    following = NOBODY
    lowest = NOBODY
    for index in range(len(rows.state)):
        row = rows.state[index]
        if row.phase != IN_SERVICE:
            continue
        if lowest == NOBODY or row.instance < rows.state[lowest].instance:
            lowest = index
        if row.instance > fleet.last_routed and (following == NOBODY or row.instance < rows.state[following].instance):
            following = index
    chosen = lowest if following == NOBODY else following
    fleet.last_routed = rows.state[chosen].instance
    return chosen


@inlined
def assign(
    request: int, now_s: float, fleet: Record, rows: Rows, requests: Requests, engine: Engine, settings: Settings
) -> None:
    """Give a request to an instance in service, or let it wait at the gateway."""
    if fleet.in_service == 0:
        enqueue(fleet, requests, request)
        return
    index = next_in_turn(fleet, rows) if settings.is_round_robin else rows.route_row[1]
    row = rows.state[index]
    enqueue(row, requests, request)
    row.outstanding += 1
    update(rows.route_key, rows.route_row, index, (row.outstanding << 32) | row.instance)
    if row.is_idle:
        row.is_idle = 0
        row.starting = 1
        row.end_s = now_s
        row.last_start_s = now_s  # what comes at the same time is seen, too
        update(rows.due_key, rows.due_row, index, np.nextafter(now_s, NEVER))
    elif row.starting:
        if engine.lookahead and now_s > row.last_start_s:
            row.unseen += 1
    elif shorten(row, requests, engine, now_s):
        update(rows.due_key, rows.due_row, index, row.end_s)


@part
def assign_waiting(
    now_s: float, fleet: Record, rows: Rows, requests: Requests, engine: Engine, settings: Settings
) -> None:
    """Give out what waits at the gateway, in its order."""
    while fleet.waiting > 0 and fleet.in_service > 0:
        request = fleet.head
        fleet.head = requests.following[request]
        fleet.waiting -= 1
        assign(request, now_s, fleet, rows, requests, engine, settings)


@part
def end_instance(index: int, now_s: float, fleet: Record, rows: Rows, instances: Records) -> None:
    """The instance is gone; its row is free."""
    row = rows.state[index]
    if row.phase == PENDING:
        fleet.pending -= 1
        instances[row.instance].in_service_s = now_s
    elif row.phase == IN_SERVICE:
        fleet.in_service -= 1
    else:
        fleet.draining -= 1
    instances[row.instance].ended_s = now_s
    instances[row.instance].busy_s = row.busy_s
    row.phase = EMPTY
    update(rows.due_key, rows.due_row, index, NEVER)
    update(rows.route_key, rows.route_row, index, UNROUTABLE)


@part
def enter_service(index: int, now_s: float, fleet: Record, rows: Rows, instances: Records) -> None:
    """A pending instance takes requests from now on."""
    row = rows.state[index]
    row.phase = IN_SERVICE
    fleet.pending -= 1
    fleet.in_service += 1
    instances[row.instance].in_service_s = now_s
    update(rows.route_key, rows.route_row, index, np.int64(row.instance))


@part
def drain(index: int, now_s: float, delay_s: float, fleet: Record, rows: Rows, instances: Records) -> None:
    """An instance in service takes no more requests, and ends when its last is finished, or after `delay_s`."""
    row = rows.state[index]
    if row.outstanding == 0:
        end_instance(index, now_s, fleet, rows, instances)
        return
    row.phase = DRAINING
    row.until_s = now_s + delay_s
    fleet.in_service -= 1
    fleet.draining += 1
    update(rows.route_key, rows.route_row, index, UNROUTABLE)


@part
def take_back(index: int, now_s: float, fleet: Record, rows: Rows, requests: Requests) -> None:
    """End the iteration in flight without result, and let the instance's requests wait at the gateway to begin anew."""
    row = rows.state[index]
    if not row.is_idle and not row.starting:
        row.busy_s += now_s - row.started_s
        fleet.iterations += completed_by(row, now_s)
    running = rows.finishing[index]
    count = row.decoding
    for entry in range(count):
        running[entry] &= 0xFFFFFFFF
    for entry in range(row.ending_prompts):
        running[count] = rows.prompts[index, entry]
        count += 1
    if row.partial != NOBODY:
        running[count] = row.partial
        count += 1
    for entry in range(1, count):  # by admission
        request = running[entry]
        at = entry
        while at > 0 and requests.admission[running[at - 1]] > requests.admission[request]:
            running[at] = running[at - 1]
            at -= 1
        running[at] = request
    for entry in range(count):
        begin_anew(running[entry], fleet, requests)
    request = row.head
    for _ in range(row.waiting):
        following = requests.following[request]
        begin_anew(request, fleet, requests)
        request = following


@part
def begin_anew(request: int, fleet: Record, requests: Requests) -> None:
    """Let a request wait at the gateway as if it had just come; it is counted as a retry."""
    requests.generated[request] = 0
    requests.cached_tokens[request] = 0
    requests.retries[request] += 1
    enqueue(fleet, requests, request)


@part
def row_of(phase: int, until_s: float, rows: Rows) -> int:
    """Row of the instance of the lowest id in `phase` whose time has come, or NOBODY."""
    found = NOBODY
    for index in range(len(rows.state)):
        row = rows.state[index]
        is_due = row.phase == phase and (phase == IN_SERVICE or row.until_s <= until_s)
        if is_due and (found == NOBODY or row.instance < rows.state[found].instance):
            found = index
    return found


@part
def newest(phase: int, rows: Rows) -> int:
    """Row of the instance of the highest id in `phase`; there is one."""
    found = NOBODY
    for index in range(len(rows.state)):
        row = rows.state[index]
        if row.phase == phase and (found == NOBODY or row.instance > rows.state[found].instance):
            found = index
    return found


@part
def spot_in_service(slot: int, rows: Rows, instances: Records) -> int:
    """Row of the Spot instance in service that has `slot` older ones beside it, or NOBODY."""
    newest_passed = NOBODY
    while True:
        found = NOBODY
        for index in range(len(rows.state)):
            row = rows.state[index]
            is_next = row.phase == IN_SERVICE and instances[row.instance].is_spot and row.instance > newest_passed
            if is_next and (found == NOBODY or row.instance < rows.state[found].instance):
                found = index
        if found == NOBODY or slot == 0:
            return found
        newest_passed = rows.state[found].instance
        slot -= 1


@part
def change_phases(
    now_s: float, fleet: Record, rows: Rows, requests: Requests, instances: Records, engine: Engine, settings: Settings
) -> None:
    """What is due: into service, ends of draining, Spot notices; each by id."""
    while True:
        index = row_of(PENDING, now_s, rows)
        if index == NOBODY:
            break
        enter_service(index, now_s, fleet, rows, instances)
    assign_waiting(now_s, fleet, rows, requests, engine, settings)
    while True:
        index = row_of(DRAINING, now_s, rows)
        if index == NOBODY:
            break
        take_back(index, now_s, fleet, rows, requests)
        end_instance(index, now_s, fleet, rows, instances)
        assign_waiting(now_s, fleet, rows, requests, engine, settings)
    while fleet.notices_given < len(settings.notices_s) and settings.notices_s[fleet.notices_given] <= now_s:
        index = spot_in_service(settings.notice_slots[fleet.notices_given], rows, instances)
        fleet.notices_given += 1
        if index != NOBODY:
            drain(index, now_s, SPOT_NOTICE_S, fleet, rows, instances)


@part
def next_change(fleet: Record, rows: Rows, settings: Settings) -> float:
    """When `change_phases` has something to do next, in s."""
    time_s = NEVER
    for index in range(len(rows.state)):
        row = rows.state[index]
        if row.phase == PENDING or row.phase == DRAINING:
            time_s = min(time_s, row.until_s)
    if fleet.notices_given < len(settings.notices_s):
        time_s = min(time_s, settings.notices_s[fleet.notices_given])
    return time_s


@part
def is_next_on_demand(fleet: Record, rows: Rows, instances: Records, settings: Settings) -> bool:
    """Whether the group launches an on-demand instance next."""
    base = min(settings.on_demand_base, fleet.desired)
    wanted = base + math.ceil((fleet.desired - base) * (1.0 - settings.spot_share) - 1e-9)
    have = 0
    for index in range(len(rows.state)):
        row = rows.state[index]
        if (row.phase == PENDING or row.phase == IN_SERVICE) and not instances[row.instance].is_spot:
            have += 1
    return bool(have < wanted)


@part
def launch(now_s: float, fleet: Record, rows: Rows, instances: Records, settings: Settings) -> bool:
    """Launch one instance. Returns False, and does nothing, when there is no room for it in the arrays."""
    index = 0
    while index < len(rows.state) and rows.state[index].phase != EMPTY:
        index += 1
    if index == len(rows.state) or fleet.launched == len(instances):
        return False
    instance = instances[fleet.launched]
    instance.launched_s = now_s
    instance.is_spot = not is_next_on_demand(fleet, rows, instances, settings)
    start_s = settings.start_s
    if now_s == 0.0:
        start_s = 0.0  # the initial ones, of before the trace
    elif not instance.is_spot:
        for warm in range(len(settings.warm_ready_s)):
            if settings.warm_ready_s[warm] <= now_s:
                settings.warm_ready_s[warm] = now_s + settings.start_s
                start_s = settings.warm_start_s
                break
    row = rows.state[index]
    row.instance = fleet.launched
    row.phase = PENDING
    row.until_s = now_s + start_s
    row.iterations = 0
    row.decoding = 0
    row.computed = 0
    row.done = 0
    row.ending_prompts = 0
    row.partial = NOBODY
    row.waiting = 0
    row.unseen = 0
    row.held_sequences = 0
    row.held_blocks = 0
    row.is_idle = 1
    row.starting = 0
    row.admitted = 0
    row.outstanding = 0
    row.last_start_s = now_s
    row.busy_s = 0.0
    row.busy_before_s = 0.0
    for residue in range(rows.residues.shape[1]):
        rows.residues[index, residue] = 0
    fleet.launched += 1
    fleet.pending += 1
    if start_s == 0.0:
        enter_service(index, now_s, fleet, rows, instances)
    return True


@part
def reach_desired(now_s: float, fleet: Record, rows: Rows, instances: Records, settings: Settings) -> bool:
    """Launch or end instances until as many as desired are pending and in service.

    Returns False when the arrays have no room for another instance: with larger ones, it goes on.
    """
    while fleet.in_service + fleet.pending < fleet.desired:
        if not launch(now_s, fleet, rows, instances, settings):
            return False
    while fleet.in_service + fleet.pending > fleet.desired:
        if fleet.pending > 0:
            end_instance(newest(PENDING, rows), now_s, fleet, rows, instances)
        else:
            drain(newest(IN_SERVICE, rows), now_s, settings.deregistration_delay_s, fleet, rows, instances)
    return True
