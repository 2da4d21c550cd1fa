"""What one engine does: composes its batch, runs iterations until the batch changes, and ends them.

Between two changes of the batch every iteration is pure decoding with the same sequences, and reads one more token of
each: n of them take n step + n (n - 1) growth, with growth half of what one more token of each costs. Blocks of KV
cache are counted only where they might not suffice: requests that hold x tokens hold (sum of x + padding) / block
tokens, and the padding follows from how many requests have which remainder.
"""

from __future__ import annotations

import math

import numpy as np

from ferry.simulation.compiled import inlined, part
from ferry.simulation.state import NEVER, NOBODY, Engine, Entries, Record, Requests
from ferry.simulation.workload import Integers

LAST = np.iinfo(np.int64).max
"""An entry that is behind all others of a heap."""


@inlined
def boundary(row: Record, iteration: int) -> float:
    """When iteration `iteration` of the segment starts, in s; that of `iterations` is its end."""
    start_s: float = row.started_s + iteration * row.step_s + iteration * (iteration - 1) * row.growth_s
    return start_s


@inlined
def first_boundary_from(row: Record, time_s: float) -> int:
    """The first iteration of the segment that starts at `time_s` or later."""
    passed = time_s - row.started_s
    linear = row.step_s - row.growth_s
    root = 2.0 * passed / (linear + math.sqrt(linear * linear + 4.0 * row.growth_s * passed))
    iteration = int(root)
    while iteration > 0 and boundary(row, iteration - 1) >= time_s:  # the root is rounded
        iteration -= 1
    while boundary(row, iteration) < time_s:
        iteration += 1
    return iteration


@part
def completed_by(row: Record, time_s: float) -> int:
    """How many iterations of the segment have ended at `time_s`, before the segment's end."""
    iteration = first_boundary_from(row, time_s)
    return iteration if boundary(row, iteration) == time_s else iteration - 1


@inlined
def blocks_of(tokens: int, engine: Engine) -> int:
    """Blocks that hold so many tokens."""
    return (tokens + (1 << engine.block_shift) - 1) >> engine.block_shift


@part
def decoding_blocks(row: Record, residues: Integers, steps: int, engine: Engine) -> int:
    """Blocks that the decoding requests hold after `steps` more iterations."""
    mask = (1 << engine.block_shift) - 1
    padding = 0
    for residue in range(mask + 1):
        padding += residues[residue] * (-(residue + row.done + steps) & mask)
    blocks: int = (row.computed + row.decoding * steps + padding) >> engine.block_shift
    return blocks


@part
def steps_that_fit(row: Record, residues: Integers, engine: Engine) -> int:
    """How many iterations of pure decoding the KV cache has blocks for."""
    mask = (1 << engine.block_shift) - 1
    free = engine.kv_blocks - decoding_blocks(row, residues, 0, engine)
    steps: int = (free // row.decoding) << engine.block_shift
    free %= row.decoding
    while True:
        free -= residues[-(row.done + steps) & mask]
        if free < 0:
            return steps
        steps += 1


@part
def count_anew(row: Record, finishing: Entries, engine: Engine) -> None:
    """Let the count of iterations done begin anew before it outgrows its half of an entry.

    It goes down by a multiple of a block, so that remainders stay what they are. To be called each minute: fewer than
    2**30 iterations, of a microsecond at least, are done until the next time.
    """
    if row.done >= 1 << 30:
        passed = (row.done >> engine.block_shift) << engine.block_shift
        row.done -= passed
        for entry in range(row.decoding):
            finishing[entry] -= passed << 32


@inlined
def push_finishing(heap: Entries, count: int, entry: int) -> None:
    """Add an entry to a binary heap of `count`."""
    at = count
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent] <= entry:
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = entry


@inlined
def pop_finishing(heap: Entries, count: int) -> None:
    """Take the least entry out of a binary heap of `count`; its place is then behind the heap's end."""
    last = count - 1
    entry = heap[last]
    heap[last] = LAST  # so that each child within the heap has a sibling
    at = 0
    child = 1
    while child < last:
        child += heap[child + 1] < heap[child]
        if heap[child] >= entry:
            break
        heap[at] = heap[child]
        at = child
        child = 2 * at + 1
    heap[at] = entry if last > 0 else LAST


@inlined
def enqueue(row: Record, requests: Requests, request: int) -> None:
    """Put a request at the end of the queue."""
    requests.following[request] = NOBODY
    if row.waiting == 0:
        row.head = request
    else:
        requests.following[row.tail] = request
    row.tail = request
    row.waiting += 1


@part
def preempt_last(row: Record, finishing: Entries, residues: Integers, requests: Requests, engine: Engine) -> None:
    """Take the request that was admitted last out of the batch, and put it at the front of the queue."""
    if row.partial != NOBODY:
        last = row.partial
        row.partial = NOBODY
    else:
        at = 0
        for candidate in range(1, row.decoding):
            if requests.admission[finishing[candidate] & 0xFFFFFFFF] > requests.admission[finishing[at] & 0xFFFFFFFF]:
                at = candidate
        last = np.int32(finishing[at] & 0xFFFFFFFF)
        remaining = (finishing[at] >> 32) - row.done
        generated = requests.output_tokens[last] - remaining
        computed = requests.input_tokens[last] + generated - 1
        requests.generated[last] = generated
        row.computed -= computed
        residues[(computed - row.done) & ((1 << engine.block_shift) - 1)] -= 1
        row.decoding -= 1
        finishing[at] = finishing[row.decoding]
        for count in range(row.decoding):  # a heap again, entry by entry
            push_finishing(finishing, count, finishing[count])
    requests.cached_tokens[last] = 0
    requests.following[last] = row.head if row.waiting > 0 else NOBODY
    row.head = last
    if row.waiting == 0:
        row.tail = last
    row.waiting += 1


@inlined
def compose(
    row: Record,
    finishing: Entries,
    prompts: Integers,
    residues: Integers,
    requests: Requests,
    engine: Engine,
    now_s: float,
) -> int:
    """Compose the next batch and start its segment at `now_s`. Returns how many requests were preempted.

    The segment's end is in row.end_s; NEVER when there is nothing to do.
    """
    block = 1 << engine.block_shift
    preempted = 0
    while True:
        capacity = engine.kv_blocks - row.held_blocks
        before = preempted
        chunk = 0
        other_blocks = 0  # of prompts
        if row.partial != NOBODY:
            known = requests.input_tokens[row.partial] + requests.generated[row.partial]
            chunk = min(known - row.partial_computed, engine.max_batched_tokens - row.decoding)
            other_blocks = blocks_of(row.partial_computed + chunk, engine)
        # At most, each decoding request's last block has one token.
        most = row.computed + (row.decoding + other_blocks) * block
        if most > capacity * block:
            while decoding_blocks(row, residues, 1, engine) + other_blocks > capacity:
                preempt_last(row, finishing, residues, requests, engine)
                preempted += 1
                chunk = 0
                other_blocks = 0
        tokens = row.decoding
        sequences = row.decoding
        cached = row.computed + row.decoding
        pairs = 0.0
        row.ending_prompts = 0
        if row.partial != NOBODY:
            request = row.partial
            read = row.partial_computed
            tokens += chunk
            sequences += 1
            if chunk == 1 and read >= requests.input_tokens[request]:
                cached += read + 1
            else:
                pairs += chunk * (read + (chunk + 1) * 0.5)
            row.partial_chunk = chunk
            if read + chunk == requests.input_tokens[request] + requests.generated[request]:
                prompts[0] = request
                row.ending_prompts = 1
                row.partial = NOBODY
        if preempted == before:
            seen = row.waiting - row.unseen
            budget = engine.max_batched_tokens - tokens
            places = engine.max_sequences - sequences - row.held_sequences
            is_counted = False
            while seen > 0 and places > 0 and budget > 0:
                request = row.head
                read = requests.cached_tokens[request]
                known = requests.input_tokens[request] + requests.generated[request]
                chunk = min(known - read, budget)
                needed = blocks_of(read + chunk, engine)
                if not is_counted:
                    most = row.computed + (row.decoding + other_blocks + needed) * block
                    if most > capacity * block:
                        other_blocks += decoding_blocks(row, residues, 1, engine)
                        is_counted = True
                if is_counted and other_blocks + needed > capacity:
                    break
                other_blocks += needed
                row.head = requests.following[request]
                row.waiting -= 1
                seen -= 1
                places -= 1
                budget -= chunk
                tokens += chunk
                sequences += 1
                pairs += chunk * (read + (chunk + 1) * 0.5)
                requests.admission[request] = row.admitted
                row.admitted += 1
                if read + chunk == known:
                    prompts[row.ending_prompts] = request
                    row.ending_prompts += 1
                else:
                    row.partial = request
                    row.partial_computed = read
                    row.partial_chunk = chunk
        if sequences > 0:
            break
        if row.waiting == 0:
            row.is_idle = 1
            row.end_s = NEVER
            row.held_sequences = 0
            row.held_blocks = 0
            return preempted
        row.unseen = 0  # nothing is in flight: what has come, and what is free, counts now
        row.held_sequences = 0
        row.held_blocks = 0

    iterations = 1
    if row.decoding == sequences:
        iterations = (finishing[0] >> 32) - row.done
        is_provisional = row.unseen > 0 or row.held_sequences > 0 or preempted > 0
        if is_provisional and row.waiting > 0:
            iterations = 1
        elif row.computed + row.decoding * (iterations + block - 1) > (engine.kv_blocks - row.held_blocks) * block:
            iterations = 1 if row.held_blocks > 0 else min(iterations, steps_that_fit(row, residues, engine))
    row.unseen = 0
    row.held_sequences = 0
    row.held_blocks = 0
    row.started_s = now_s
    row.iterations = iterations
    row.step_s = (
        engine.fixed
        + max(engine.weights, engine.per_token * tokens)
        + engine.per_sequence * sequences
        + engine.per_cached_token * cached
        + engine.per_attention_pair * pairs
    )
    row.growth_s = 0.5 * engine.per_cached_token * row.decoding
    row.end_s = boundary(row, iterations)
    row.last_start_s = boundary(row, iterations - 1)
    return preempted


@inlined
def shorten(row: Record, requests: Requests, engine: Engine, time_s: float) -> bool:
    """After a request came at `time_s` and was put in the queue: end the segment where it can be admitted.

    Returns whether the segment's end has changed.
    """
    is_shorter = False
    if row.iterations > 1 and row.waiting == 1 and row.decoding < engine.max_sequences:
        iterations = first_boundary_from(row, time_s) + engine.lookahead
        if iterations < row.iterations:
            row.iterations = iterations
            row.end_s = boundary(row, iterations)
            row.last_start_s = boundary(row, iterations - 1)
            is_shorter = True
    if engine.lookahead and time_s > row.last_start_s:
        row.unseen += 1
    return is_shorter


@inlined
def end_segment(
    row: Record, finishing: Entries, prompts: Integers, residues: Integers, requests: Requests, engine: Engine
) -> int:
    """Give out the tokens of the segment in flight, which ends now. Returns how many requests finished."""
    mask = (1 << engine.block_shift) - 1
    now_s = row.end_s
    row.done += row.iterations
    row.computed += row.decoding * row.iterations
    row.busy_s += now_s - row.started_s
    finished = 0
    while row.decoding > 0 and finishing[0] >> 32 == row.done:
        request = finishing[0] & 0xFFFFFFFF
        pop_finishing(finishing, row.decoding)
        row.decoding -= 1
        computed = requests.input_tokens[request] + requests.output_tokens[request] - 1
        row.computed -= computed
        residues[(computed - row.done) & mask] -= 1
        requests.last_token_s[request] = now_s
        requests.instance[request] = row.instance
        row.held_blocks += blocks_of(computed, engine)
        finished += 1
    for index in range(row.ending_prompts):
        request = prompts[index]
        generated = requests.generated[request] + 1
        computed = requests.input_tokens[request] + generated - 1
        if generated == 1:
            requests.first_token_s[request] = now_s
        remaining = requests.output_tokens[request] - generated
        if remaining == 0:
            requests.last_token_s[request] = now_s
            requests.instance[request] = row.instance
            row.held_blocks += blocks_of(computed, engine)
            finished += 1
        else:
            push_finishing(finishing, row.decoding, ((row.done + remaining) << 32) | request)
            row.decoding += 1
            row.computed += computed
            residues[(computed - row.done) & mask] += 1
    row.ending_prompts = 0
    if row.partial != NOBODY:
        row.partial_computed += row.partial_chunk
    row.outstanding -= finished
    if engine.lookahead:
        row.held_sequences = finished
    else:
        row.held_blocks = 0
    return finished
