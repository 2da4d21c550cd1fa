"""The table of Xids: NVIDIA's buckets, and what Ferry makes of them."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

import pytest

from ferry.catalog import table, xids
from ferry.errors import CatalogError
from templates.hybrid.cloud.bundle.node_metrics import APPLICATION_XIDS


def test_every_code_stands_once_in_order_with_its_source_and_its_date() -> None:
    codes = [each.code for each in xids.all_xids()]
    assert codes == sorted(set(codes))
    assert len(codes) == len(table.rows("xids")) == 110
    for each in xids.all_xids():
        assert each.name
        assert each.source == "docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html"
        assert each.as_of == date(2025, 10, 29)


def test_a_bucket_of_nvidias_asks_for_one_action() -> None:
    actions: dict[str, set[str]] = defaultdict(set)
    for each in xids.all_xids():
        actions[each.nvidia_action].add(each.action)
    # IGNORE: watch, and nothing for a test message. No bucket: Ferry's own word.
    assert {bucket: sorted(found) for bucket, found in actions.items()} == {
        "": ["contact-support", "follow", "watch"],
        "CHECK_MECHANICALS": ["check-power-cable"],
        "CHECK_UVM": ["follow"],
        "CONTACT_SUPPORT": ["contact-support"],
        "IGNORE": ["ignore", "watch"],
        "RESET_GPU": ["reset-gpu"],
        "RESTART_APP": ["restart-application"],
        "RESTART_BM": ["restart-server"],
        "RESTART_VM": ["restart-server"],
        "UPDATE_SWFW": ["update-driver"],
        "WORKFLOW_NVLINK5_ERR": ["check-link"],
        "WORKFLOW_NVLINK_ERR": ["check-link"],
        "WORKFLOW_XID_45": ["follow"],
        "WORKFLOW_XID_48": ["reset-gpu"],
        "XID_154": ["recovery-action"],
    }
    assert [each.code for each in xids.all_xids() if not each.nvidia_action] == list(range(162, 173))


@pytest.mark.parametrize(
    ("code", "kind", "action"),
    [
        (13, "application", "restart-application"),
        (31, "application", "restart-application"),
        (43, "application", "watch"),
        (48, "memory", "reset-gpu"),
        (63, "memory", "watch"),
        (64, "memory", "reset-gpu"),
        (74, "link", "check-link"),
        (79, "board", "restart-server"),
        (94, "memory", "restart-application"),
        (95, "memory", "reset-gpu"),
        (119, "driver", "reset-gpu"),
        (149, "link", "check-link"),
    ],
)
def test_a_code_is_of_a_part_of_the_machine(code: int, kind: str, action: str) -> None:
    found = xids.find(code)
    assert (found.kind, found.action) == (kind, action)


def test_what_a_node_in_the_cloud_does_not_count_is_an_applications_here_too() -> None:
    assert {xids.find(code).kind for code in APPLICATION_XIDS} == {"application"}


def test_a_code_that_is_not_there_is_an_error() -> None:
    with pytest.raises(CatalogError, match=r"^unknown Xid 999; the catalogue has 110, in ferry/catalog/xids.csv$"):
        xids.find(999)
