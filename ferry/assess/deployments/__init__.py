"""How it runs today: what compose files, units, manifests and scripts start, and with which flags.

`parse` reads one file into a `Reading` of jobs; `combine` puts drop-ins on their units; `checks` says what a job's own
flags mean for the move, `crosschecks` what contradicts the site. One module a format: `compose`, `systemd`,
`kubernetes`, `scripts` (shell and Slurm). `documents` is YAML with limits, `shell` a shell's words, `launches` finds
the program among those that only start others, `flags` and `engines` read its arguments, `redaction` keeps secrets out.
Nothing is ever run, and no file but the one given is opened.
"""

from ferry.assess.deployments.crosschecks import about_deployments, combine
from ferry.assess.deployments.parse import LARGEST_BYTES, looks_like, parse
from ferry.assess.deployments.reading import Reading

__all__ = ["LARGEST_BYTES", "Reading", "about_deployments", "combine", "looks_like", "parse"]
