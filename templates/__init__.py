"""The one Jinja2 environment. A template's name is its path below `templates/`, without a leading slash.

    render("hybrid/local/compose.yaml.j2", image=image)

An unknown variable is an error (StrictUndefined); only `*.html` and `*.html.j2` are escaped on their own, so every
other template quotes what it is given with one of the filters:

    sh    one shell word; a list becomes words                    docker run {{ image | sh }}
    unit  one word of a systemd command line; a list likewise     ExecStart=/usr/bin/docker run {{ image | unit }}
    json  JSON, which is also a YAML flow value                   name: {{ name | json }}
    yaml  YAML block text; indent it with `indent`                {{ rules | yaml | indent(2) }}
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

ROOT = Path(__file__).parent


def render(name: str, **values: Any) -> str:
    """Fill in a template.

    Raises `jinja2.TemplateNotFound`, and `jinja2.UndefinedError` where a value is missing.
    """
    return environment().get_template(name).render(values)


@cache
def environment() -> Environment:
    """The environment that `render` uses."""
    made = Environment(
        loader=FileSystemLoader(ROOT),
        autoescape=select_autoescape(["html", "html.j2"], default_for_string=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"sh": _words(shlex.quote), "unit": _words(unit_word), "json": _json, "yaml": _yaml}
    return made


def unit_word(word: str) -> str:
    """One word of a systemd `Exec…=` line: `%`, `$`, quotes and backslashes lose their meaning (systemd.service(5)).

    Raises ValueError for a control character: a unit file has no safe way to carry a line break.
    """
    if re.search(r"[\x00-\x1f\x7f]", word):
        raise ValueError(f"a unit's command line cannot carry the control character in {word!r}")
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return plain if re.fullmatch(r"[A-Za-z0-9_@%$+=:,./-]+", plain) else f'"{plain}"'


def _words(quote: Callable[[str], str]) -> Callable[[Any], str]:
    def words(value: Any) -> str:
        values = value if isinstance(value, list | tuple) else [value]
        return " ".join(quote(str(one)) for one in values)

    return words


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
