"""`ferry assess --discover DIR`: what a folder holds of the inputs that Ferry reads, and the site.yaml that follows.

`walk` lists the folder within bounds, `folders` finds model folders, `kinds` tries the readers on every other file
(`sample` is its beginning and end, `marks` what it is told by, `unknown` what is said of the rest). What they read is
`evidence`: `servers` and `services` put it together, `base` takes a site.yaml that is there already, `proposal` writes
one, `text` says what was found.
"""

from ferry.assess.discovery.discovery import Discovery, Used, discover
from ferry.assess.discovery.text import describe, missing, title
from ferry.assess.discovery.walk import Skipped

__all__ = ["Discovery", "Skipped", "Used", "describe", "discover", "missing", "title"]
