from __future__ import annotations

import pytest

from ferry.artefacts import NotEmulated
from ferry.errors import UnknownProperty
from ferry.rehearsal.handlers import Inputs


def inputs(**properties: object) -> Inputs:
    return Inputs("aws:s3/bucket:Bucket", "models", properties, [])


def test_a_property_that_nobody_asked_for_is_an_error() -> None:
    given = inputs(bucket="a", acl="private", policy="{}")
    given.take("bucket")
    with pytest.raises(UnknownProperty) as raised:
        given.finish()
    assert str(raised.value) == (
        "aws:s3/bucket:Bucket models: no handler for acl, policy; add it to ferry/rehearsal/handlers"
    )


def test_a_nested_property_that_nobody_asked_for_is_an_error_with_its_path() -> None:
    given = inputs(versioning={"status": "Enabled", "mfaDelete": "Disabled"}, rules=[{"id": "a"}, {"id": "b", "x": 1}])
    nested = given.nested("versioning")
    assert nested is not None
    nested.take("status")
    for rule in given.each("rules"):
        rule.take("id")
    assert sorted(given.unhandled()) == ["rules[].x", "versioning.mfaDelete"]


def test_a_property_given_as_null_counts_as_not_given() -> None:
    given = inputs(acl=None)
    given.skip("acl", "no reason")
    given.finish()
    assert (given.take("acl", "private"), given.not_emulated, given.fates()) == ("private", [], {})


def test_zero_and_false_count_as_given() -> None:
    given = inputs(size=0, flag=False)
    assert (given.take("size", 5), given.take("flag", True)) == (0, False)


def test_a_skipped_property_is_listed_with_its_path_and_reason() -> None:
    given = inputs(rule={"kms": "key"})
    nested = given.nested("rule")
    assert nested is not None
    nested.skip("kms", "not kept")
    given.finish()
    assert given.not_emulated == [
        NotEmulated(resource="aws:s3/bucket:Bucket models", property="rule.kms", why="not kept")
    ]
    assert given.fates() == {"rule": "sent", "rule.kms": "not emulated"}


def test_a_missing_object_is_none_and_a_missing_list_is_empty() -> None:
    assert (inputs().nested("rule"), inputs().each("rules")) == (None, [])


def test_a_name_that_is_given_is_kept_and_another_is_made_from_the_logical_name() -> None:
    assert inputs(bucket="Mine").autoname("bucket") == "Mine"
    assert inputs().autoname("bucket") == inputs().autoname("bucket") == "models-18acb98"
    assert inputs().autoname("bucket", max_length=12) == "mode-18acb98"


def test_tags_become_the_list_that_most_services_want() -> None:
    assert inputs(tags={"Name": "models"}).tags() == [{"Key": "Name", "Value": "models"}]
