from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferry.errors import InvalidField
from ferry.models.names import Reference, check_model, check_name, collision, key_problem, parse_reference, path_problem


def test_a_version_is_named_by_itself_or_by_a_channel() -> None:
    assert parse_reference("r1-32b@2026-11-01") == Reference("r1-32b", version="2026-11-01")
    assert parse_reference("r1-32b:stable") == Reference("r1-32b", channel="stable")
    assert [str(parse_reference(text)) for text in ("a1@b", "a1:b")] == ["a1@b", "a1:b"]


@pytest.mark.parametrize("text", ["r1", "r1@", "@1", "r1@1:stable", "R1@1", "r1@../x", "r1@.", "-r1@1", "r1:a/b", ""])
def test_what_names_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        parse_reference(text)


@given(st.text())
def test_a_name_never_leaves_its_folder(text: str) -> None:
    for check in (check_model, lambda name: check_name(name, "version")):
        try:
            name = check(text)
        except InvalidField:
            continue
        assert name.isascii()
        assert "/" not in name
        assert name.strip(".")
        assert not name.startswith((".", "-"))


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("a/b.safetensors", None),
        ("ünïcode/模型.bin", None),
        (".hidden", None),
        ("a b", None),
        ("/etc/passwd", "is absolute"),
        ("../x", "has an empty step, '.' or '..'"),
        ("a/../b", "has an empty step, '.' or '..'"),
        ("a/./b", "has an empty step, '.' or '..'"),
        ("a//b", "has an empty step, '.' or '..'"),
        ("a/", "has an empty step, '.' or '..'"),
        ("", "has an empty step, '.' or '..'"),
        ("a\\b", "has a backslash or a control character"),
        ("a\nb", "has a backslash or a control character"),
        ("a\0b", "has a backslash or a control character"),
        ("caf\udce9", "is not UTF-8"),
        ("manifest.json", "is the name of the version's own manifest or signature"),
        ("manifest.json.sig", "is the name of the version's own manifest or signature"),
        ("sub/manifest.json", None),
        ("é" * 128, "has a step of more than 255 bytes"),
    ],
)
def test_a_path_is_plain_and_relative(path: str, problem: str | None) -> None:
    assert path_problem(path) == problem


def test_a_key_has_at_most_1024_bytes() -> None:
    path = "/".join(["d" * 250] * 4)
    assert len(f"models/r1/1/{path}") == 1015
    assert key_problem("r1", "1", path + "/" + "f" * 8) is None
    assert key_problem("r1", "1", path + "/" + "f" * 9) == "makes a key of 1025 bytes, S3 takes 1024"


def test_names_that_file_systems_take_for_one_collide() -> None:
    assert collision(["a", "b", "a"]) == ("a", "a")
    assert collision(["caf\u00e9", "cafe\u0301"]) == ("caf\u00e9", "cafe\u0301")
    assert collision(["README", "readme"]) is None
    assert collision(["README", "readme"], folding_case=True) == ("README", "readme")
    assert collision(["stra\u00dfe", "STRASSE"], folding_case=True) == ("stra\u00dfe", "STRASSE")
    assert collision(["a/b", "a"]) == ("a", "a/b")
    assert collision(["a/b", "a.b", "a-b"]) is None
