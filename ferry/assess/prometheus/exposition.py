"""Reads a saved `/metrics` page: Prometheus's text format 0.0.4, OpenMetrics, or an excerpt of one in a document.

A line that is meant as a sample and cannot be read takes its whole metric out: a histogram without one of its buckets
looks healthy and gives wrong quantiles. Lines of the document around an excerpt are passed over, and counted.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from ferry.artefacts import Finding
from ferry.assess.prometheus.series import LATEST_S, Page, Point, Series
from ferry.errors import UnreadableInput

LONGEST_LINE = 64 * 1024
SAVE = "save a page of values: curl -s http://ENGINE:8000/metrics > metrics.txt"
KNOWN = re.compile(r"(?:ray_|kserve_)?(?:vllm|sglang)[:_]|tgi_|nv_|trtllm_|ollama_|DCGM_FI_|dcgm_|nvidia_smi_|node_")
"""What belongs to Ferry's metrics. Others are read for their shape and not kept."""
KEPT_TOO = frozenset({"process_start_time_seconds"})

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_NUMBER = r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity|nan))"
_LABEL = r'\s*[a-zA-Z_][a-zA-Z0-9_]*\s*=\s*"(?:[^"\\]|\\.)*+"\s*'
# The library's parser takes what Go's does not (1_000, digits of other scripts, labels after a comma too many), so
# the shape of a line is held first. Possessive quantifiers: a hostile line costs time in proportion to its length.
SAMPLE = re.compile(
    rf"(?P<sample>(?P<name>{NAME})\s*(?P<labels>\{{(?:{_LABEL}(?:,{_LABEL})*+,?)?\s*\}})?\s*"
    rf"(?<=[\s}}])(?P<value>{_NUMBER}))(?:\s+(?P<time>-?[0-9]+(?:\.[0-9]+)?))?(?:\s+#\s*\{{.*)?\s*"
)
_MEANT = re.compile(rf"(?P<name>{NAME})\s*(?:\{{|\s[+-]?[0-9.]|(?:\s\S+)?$)")
_TYPE = re.compile(rf"#\s*TYPE\s+(?P<name>{NAME})\s+(?P<type>\w+)")
_HELP = re.compile(rf"#\s*(?:HELP|UNIT)\s+(?P<name>{NAME})")
_SUFFIX = re.compile(r"_(?:bucket|sum|count|total|created|gsum|gcount|info)$")


@dataclass
class _Found:
    """What the lines so far said."""

    points: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[int, Point]]] = field(default_factory=dict)
    samples: int = 0
    others: dict[str, None] = field(default_factory=dict)
    families: set[str] = field(default_factory=set)
    histogram: str = ""
    damaged: dict[str, tuple[int, str]] = field(default_factory=dict)
    around: list[tuple[int, str]] = field(default_factory=list)
    buckets: Counter[str] = field(default_factory=Counter)
    strays: list[tuple[str, str, int, str]] = field(default_factory=list)
    repeated: list[tuple[int, str]] = field(default_factory=list)


def parse(text: str, file: str) -> Page:
    """All samples of Ferry's metrics on a page. Raises UnreadableInput where it holds no sample at all."""
    found = _Found()
    seconds = 1.0 if re.search(r"^\s*# EOF\s*\Z", text, re.MULTILINE) else 0.001
    number = 0
    # A line ends at a line feed and nowhere else: labels hold other separators.
    for number, raw in enumerate(text.split("\n"), 1):
        _line(found, number, raw.strip(" \t\r"), seconds)
    if not found.samples:
        raise UnreadableInput(_why_none(found, text, file))
    for histogram, family, line, sample in found.strays:
        # One histogram's buckets stand together. A single one of another name among them has its name damaged.
        if found.buckets[family] == 1:
            found.damaged.setdefault(histogram, (line, sample))
    lost = {family_of(name) for name in found.damaged}
    series = [
        Series(name, dict(labels), _ordered(points), file, points[0][0])
        for (name, labels), points in found.points.items()
        if family_of(name) not in lost
    ]
    if not found.points and not found.damaged:
        names = ", ".join(list(found.others)[:3])
        raise UnreadableInput(f"{file}: holds {names}, and no metric that Ferry knows; {SAVE}")
    page = Page(file, "page", series)
    page.findings.extend(_findings(found, text, file, number))
    return page


def family_of(name: str) -> str:
    """The metric that a sample's name belongs to: without _bucket, _sum, _count, _total."""
    return _SUFFIX.sub("", name)


def _line(found: _Found, number: int, line: str, seconds: float) -> None:
    if not line or line.startswith("#"):
        if match := _TYPE.match(line):
            found.families.add(match["name"])
            found.histogram = match["name"] if match["type"] == "histogram" else ""
        elif match := _HELP.match(line):
            found.families.add(match["name"])
        return
    match = SAMPLE.fullmatch(line) if len(line) <= LONGEST_LINE else None
    time_s = float(match["time"]) * seconds if match and match["time"] else None
    if match is None or not 0 <= (time_s or 0) <= LATEST_S:
        _not_a_sample(found, number, line)
        return
    name = match["name"]
    if match["labels"] is None and not re.search(r"[:_]", name):
        return  # a word and a number, as documents have them
    found.samples += 1
    if name.endswith("_bucket"):
        found.buckets[family_of(name)] += 1
        if found.histogram and KNOWN.match(found.histogram) and family_of(name) != family_of(found.histogram):
            found.strays.append((found.histogram, family_of(name), number, line))
    if not KNOWN.match(name) and name not in KEPT_TOO:
        found.others[name] = None
        return
    try:
        (family,) = text_string_to_metric_families(match["sample"])
    except ValueError:  # such as a label that is named twice
        _not_a_sample(found, number, line)
        return
    sample = family.samples[0]
    key = (name, tuple(sorted(sample.labels.items())))
    points = found.points.setdefault(key, [])
    if points and points[-1][1].time_s == time_s:
        found.repeated.append((number, name))
        points.pop()
    points.append((number, Point(time_s, float(match["value"]))))


def _not_a_sample(found: _Found, number: int, line: str) -> None:
    match = _MEANT.match(line)
    if match and (KNOWN.match(match["name"]) or family_of(match["name"]) in found.families):
        found.damaged.setdefault(match["name"], (number, line))
    elif found.histogram and "{" in line and KNOWN.match(found.histogram):
        found.damaged.setdefault(found.histogram, (number, line))
    else:
        found.around.append((number, line))


def _ordered(points: list[tuple[int, Point]]) -> list[Point]:
    return sorted((point for _, point in points), key=lambda point: point.time_s or 0.0)


def _findings(found: _Found, text: str, file: str, lines: int) -> list[Finding]:
    findings = [
        Finding(
            severity="warning",
            code="metrics-damaged-line",
            seen=f"{_short(line)!r} is no sample",
            where=f"{file}:{number}",
            means=f"nothing of {family_of(name)} is used: one lost bucket would shift its quantiles unseen",
            remedy="save the page again, whole: curl -s http://ENGINE:8000/metrics > metrics.txt",
        )
        for name, (number, line) in list(found.damaged.items())[:20]
    ]
    if found.around:
        number, line = found.around[0]
        findings.append(
            Finding(
                severity="info",
                code="metrics-excerpt",
                seen=f"{len(found.around)} of {lines} lines are no samples, the first: {_short(line)!r}",
                where=f"{file}:{number}",
                means="it is an excerpt within a document: what was left out of it is unknown",
                remedy="save the whole page: curl -s http://ENGINE:8000/metrics > metrics.txt",
            )
        )
    if found.repeated:
        number, name = found.repeated[0]
        findings.append(
            Finding(
                severity="warning",
                code="metrics-repeated-series",
                seen=f"{len(found.repeated)} series stand there again with the same labels, the first: {name}",
                where=f"{file}:{number}",
                means="two pages in one file, of one server or of two: the last one is used, never their mean",
                remedy="save one file for each server, once",
            )
        )
    last = text.rsplit("\n", 1)[-1].strip()
    if last and SAMPLE.fullmatch(last) and KNOWN.match(last):
        findings.append(
            Finding(
                severity="info",
                code="metrics-without-last-line-end",
                seen=f"the last line has no line end: {_short(last)!r}",
                where=f"{file}:{lines}",
                means="the page may be cut off there: its last number could have had more digits",
                remedy="save the page again, whole",
            )
        )
    return findings


def _why_none(found: _Found, text: str, file: str) -> str:
    start = text.lstrip("\ufeff \t\r\n")
    if not start:
        return f"{file}: is empty; {SAVE}"
    if re.match(r"<!doctype|<\?xml|<html", start, re.IGNORECASE):
        return f"{file}: is a web page, perhaps a login; {SAVE}"
    if re.search(r"^(?:scrape_configs|remote_write|rule_files|alerting):", text, re.MULTILINE):
        return f"{file}: is the configuration of a Prometheus server, not its metrics; {SAVE}, or give prometheus.url"
    if re.search(r"^groups:", text, re.MULTILINE):
        return f"{file}: is a file of Prometheus rules, not metrics; {SAVE}"
    if found.damaged:
        number, line = next(iter(found.damaged.values()))
        return f"{file}:{number}: {_short(line)!r} is not Prometheus's text format, or is cut off; {SAVE}"
    named = Counter(match[0] for match in re.finditer(rf"\b(?:{KNOWN.pattern})[a-zA-Z0-9_:]+", text))
    if named:
        names = ", ".join(list(named)[:3])
        return f"{file}: names {len(named)} metrics ({names}{', …' if len(named) > 3 else ''}) and no value; {SAVE}"
    number, line = found.around[0] if found.around else (1, start)
    return f"{file}:{number}: {_short(line)!r} is not Prometheus's text format; {SAVE}"


def _short(line: str) -> str:
    return line if len(line) <= 80 else f"{line[:77]}…"
