from __future__ import annotations

import shlex

import pytest
from jinja2 import UndefinedError

from templates import environment, unit_word

HOSTILE = ["plain", "two words", "it's", '"quoted"', "$HOME `id` $(id)", "100%", "back\\slash", "", ";", "a;b|c>d"]


def test_a_missing_value_is_an_error_and_not_an_empty_string() -> None:
    with pytest.raises(UndefinedError, match="'missing' is undefined"):
        environment().from_string("{{ missing }}").render()


def test_the_shell_reads_back_the_words_that_were_quoted_for_it() -> None:
    assert shlex.split(environment().from_string("{{ words | sh }}").render(words=HOSTILE)) == HOSTILE


@pytest.mark.parametrize("word", HOSTILE)
def test_a_unit_gives_no_character_a_meaning(word: str) -> None:
    quoted = unit_word(word)
    assert [part.replace("$$", "$").replace("%%", "%") for part in shlex.split(quoted)] == [word]
    assert quoted != ";"  # alone, it would end the command


def test_a_line_break_cannot_be_smuggled_into_a_unit() -> None:
    with pytest.raises(ValueError, match="control character"):
        unit_word("--a\nExecStartPre=/bin/false")


def test_only_html_is_escaped() -> None:
    assert environment().autoescape("report/page.html.j2") is True  # type: ignore[operator]
    assert environment().autoescape("report/page.html") is True  # type: ignore[operator]
    assert environment().autoescape("hybrid/cloud/node.sh.j2") is False  # type: ignore[operator]
