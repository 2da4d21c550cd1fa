"""`ferry assess --discover` as a stranger meets it: a folder of files, a proposal, three values, an assessment."""

from __future__ import annotations

import json
from pathlib import Path

from ferry.artefacts import Assessment, read
from tests.e2e.conftest import Ferry


def test_a_folder_becomes_a_site_and_the_site_an_assessment(ferry: Ferry, site: Path, tmp_path: Path) -> None:
    folder = site.parent
    site.unlink()
    (folder / "train.sh").write_text("#!/bin/sh\nexec torchrun --nproc-per-node 8 train.py\n")
    said = ferry("assess", "--discover", "site", "--site", "site/site.yaml")
    assert (said.code, [path.name for path in tmp_path.iterdir()]) == (0, ["site"])
    fill_in = "fill in location.country, location.time_zone, costs.currency, then: ferry assess site/site.yaml"
    assert fill_in in said.err

    text = (
        site.read_text().replace("country: FILL-IN", "country: US").replace("zone: FILL-IN", "zone: America/New_York")
    )
    site.write_text(text.replace("currency: FILL-IN", "currency: USD"))
    said = ferry("assess", "--discover", "site", "-o", "out/assessment.yaml")
    assert said.code == 0
    assessment = read(Assessment, tmp_path / "out" / "assessment.yaml")
    assert (assessment.cluster.nodes, assessment.cluster.gpus_per_node) == (2, 8)
    assert [service.name for service in assessment.serving] == ["assistant"]
    assert [job.name for job in assessment.training] == ["train"]
    # Nobody said what the servers cost: unknown, and not 0.
    assert assessment.costs.server_price_each.amount is None
    assert assessment.costs.power_price_per_kwh.basis == "unknown"


def test_as_json_it_is_one_document_with_the_site_and_the_assessment(ferry: Ferry, site: Path, tmp_path: Path) -> None:
    (site.parent / "more.csv").write_bytes((site.parent / "gpu-node-1_nvidia_smi.csv").read_bytes())
    said = ferry("assess", "--discover", site.parent, "--site", "new.yaml", "--json")
    assert (said.code, said.err) == (0, "")
    document = json.loads(said.out)
    assert document["written"] == "new.yaml"
    assert document["site"]["cluster"]["nvidia_smi"] == [
        "site/gpu-node-1_nvidia_smi.csv",
        "site/gpu-node-2_nvidia_smi.csv",
        "site/more.csv",
    ]
    assert [one["path"] for one in document["skipped"]] == ["README.md", "make.py"]
    assert document["assessment"]["site"] == "example-site"
    assert (tmp_path / "new.yaml").read_text() == document["site_yaml"]
