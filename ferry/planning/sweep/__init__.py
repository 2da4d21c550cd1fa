"""`ferry plan --sweep`: every fleet of a grid, replayed with the site's requests or ruled out by a stated bound.

`grid` says what is searched, `space` makes candidates of it, `bounds` rules out what cannot hold the promise,
`replaying` replays one candidate, `workers` many at once, and `search` puts them together. `front`, `picture` and
`text` show what was given up.
"""
