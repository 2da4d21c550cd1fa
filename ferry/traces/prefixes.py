"""How much of the prompts repeats: what a prefix cache of unlimited size would have found."""

from __future__ import annotations

from ferry.traces.database import Database

BLOCK_TOKENS = 512
"""Mooncake's trace (README, FAST 2025): each hash stands for 512 tokens and all that is before them."""


def find(database: Database) -> None:
    """Fill `cached_tokens` of each request: its leading blocks that an earlier request had.

    A hash covers everything before its block, so that the same hash means the same prefix. The last block of a prompt
    may be a partial one; a request's cached tokens are at most its prompt. In order of arrival, the file's order where
    two arrive at once.
    """
    database.rows(
        "CREATE TEMP TABLE turns AS SELECT rowid AS place, row_number() OVER (ORDER BY arrival_us, rowid) AS turn, "
        "input_tokens, blocks FROM rows WHERE kind = 0 AND blocks IS NOT NULL"
    )
    database.rows(
        "CREATE TEMP TABLE reused AS WITH each AS ("
        "SELECT place, turn, input_tokens, unnest(blocks) AS block, generate_subscripts(blocks, 1) AS nth FROM turns"
        "), first AS (SELECT block, min(turn) AS turn FROM each GROUP BY block) "
        "SELECT place, least(any_value(input_tokens), "
        f"{BLOCK_TOKENS} * coalesce(min(nth) FILTER (first.turn >= each.turn) - 1, count(*))) AS tokens "
        "FROM each JOIN first USING (block) GROUP BY place"
    )
    database.rows("UPDATE rows SET cached_tokens = 0 WHERE kind = 0 AND blocks IS NOT NULL")
    database.rows("UPDATE rows SET cached_tokens = reused.tokens FROM reused WHERE rows.rowid = reused.place")
    database.rows("DROP TABLE turns")
    database.rows("DROP TABLE reused")
