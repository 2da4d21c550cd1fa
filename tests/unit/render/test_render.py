from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from ferry.artefacts import Slo, Training
from ferry.errors import (
    FerryError,
    GatewayError,
    InputError,
    InvalidField,
    RenderError,
    TamperedArtefact,
    UnknownSchema,
)
from ferry.render import Addresses, Rendered, render
from ferry.traffic.gateway import GatewayFolder, Mirror, Routes, Stage
from stacks.settings import Settings
from tests.plans import config, make_plan, write_plan

LOCAL = [
    "README.md",
    "gateway/envoy.yaml",
    "gateway/ferry-audit.service",
    "gateway/ferry-gateway.service",
    "gateway/filters/authentication.yaml",
    "gateway/filters/rate_limit.yaml",
    "gateway/filters/revocation.yaml",
    "gateway/logs/.gitignore",
    "gateway/routes/routes.yaml",
    "gateway/state/.gitignore",
    "prometheus/dcgm-counters.csv",
    "prometheus/prometheus.yaml",
    "prometheus/rules/bmc.yaml",
    "prometheus/rules/disk.yaml",
    "prometheus/rules/engine.yaml",
    "prometheus/rules/gateway.yaml",
    "prometheus/rules/gpu.yaml",
    "prometheus/rules/network.yaml",
    "prometheus/rules/node.yaml",
    "prometheus/rules/xid.yaml",
    "prometheus/targets/alertmanagers.yaml",
    "prometheus/targets/servers.yaml",
    "runbook.md",
    "training/finetune.compose.yaml",
    "training/finetune.sbatch",
]
CLOUD = ["README.md", "node-bundle.tar.gz", "node-bundle.tar.gz.sig", "user-data.chat.yaml"]


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest())
        for path in folder.rglob("*")
        if path.is_file()
    }


def changes(rendered: Rendered, folder: Path) -> dict[str, str]:
    return {file.path.relative_to(folder).as_posix(): file.change for file in rendered.files}


def test_a_plan_becomes_the_stack_file_and_both_sides(project: Path, tmp_path: Path) -> None:
    rendered = render(write_plan(tmp_path / "plan.yaml"), project=project)
    expected = {
        "stacks/Pulumi.qa.yaml": "new",
        **{f"build/qa/cloud/{name}": "new" for name in CLOUD},
        **{f"build/qa/local/{name}": "new" for name in LOCAL},
    }
    assert changes(rendered, project) == expected
    assert rendered.files[0].path == rendered.stack_file
    assert all(file.path.is_file() for file in rendered.files)


def test_the_program_accepts_the_stack_file_of_a_new_environment(project: Path, tmp_path: Path) -> None:
    rendered = render(write_plan(tmp_path / "plan.yaml"), project=project)
    settings = Settings.load(rendered.stack_file)
    assert settings.region == "us-east-1"
    assert settings.environment == "qa"
    assert settings.audit.mode == "COMPLIANCE"
    assert settings.audit.retention_days == 184
    assert settings.gateway.domain_name == "llm.site.example"
    assert settings.gateway.allowed_cidrs == []
    assert settings.model_versions[0].fleet.max_size == 4
    assert settings.node_bundle is not None
    assert settings.node_bundle.path == "build/qa/cloud/node-bundle.tar.gz"
    text = rendered.stack_file.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=schema.json\n# The stack qa.")


def test_the_bundle_is_signed_with_the_key_that_the_stack_trusts(project: Path, tmp_path: Path) -> None:
    rendered = render(write_plan(tmp_path / "plan.yaml"), project=project)
    bundle = Settings.load(rendered.stack_file).node_bundle
    assert bundle is not None
    key: Any = load_pem_public_key(bundle.verification_key.encode())
    signature = (project / f"{bundle.path}.sig").read_bytes()
    key.verify(signature, (project / bundle.path).read_bytes())
    assert rendered.signing_key_created
    assert rendered.signing_key == project / ".ferry" / "signing-key.pem"
    assert stat.S_IMODE(rendered.signing_key.stat().st_mode) == 0o600


def test_rendering_again_writes_nothing(project: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.yaml")
    first = render(plan, project=project)
    before = snapshot(project)
    again = render(plan, project=project)
    assert snapshot(project) == before
    assert (again.count("unchanged"), again.count("kept")) == (len(first.files) - 5, 5)
    assert not again.signing_key_created


def test_no_rendered_file_names_a_time_or_this_machine(project: Path, tmp_path: Path) -> None:
    rendered = render(write_plan(tmp_path / "plan.yaml"), project=project)
    for file in rendered.files:
        content = file.path.read_bytes()
        assert str(tmp_path).encode() not in content, file.path
        assert b"2026-11-24" not in content, file.path


def test_another_plan_changes_what_depends_on_it(project: Path, tmp_path: Path) -> None:
    render(write_plan(tmp_path / "plan.yaml"), project=project)
    slower = Slo(ttft_p99_ms=3500)
    rendered = render(write_plan(tmp_path / "plan.yaml", slo=slower), project=project)
    assert {path for path, change in changes(rendered, project).items() if change == "changed"} == {
        "build/qa/local/prometheus/rules/engine.yaml",
        "build/qa/local/runbook.md",
    }


def test_weights_and_targets_survive_the_next_render(project: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.yaml")
    render(plan, project=project)
    local = project / "build/qa/local"
    routes, servers = local / "gateway/routes/routes.yaml", local / "prometheus/targets/servers.yaml"
    gateway = GatewayFolder(local / "gateway")
    mirror = Mirror(cluster="cloud", percent=10)
    moved = replace(gateway.read_routes(), weights={"local": 25, "cloud": 75}, mirror=mirror)
    gateway.write_routes(moved, fence=3)
    text = routes.read_text()
    servers.write_text("- targets: [gpu-1, gpu-2]\n")
    render(plan, project=project)
    assert routes.read_text() == text
    assert gateway.read_routes().generation == 3
    assert servers.read_text() == "- targets: [gpu-1, gpu-2]\n"


def test_who_may_come_in_survives_the_next_render(project: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.yaml")
    render(plan, project=project)
    filters = project / "build/qa/local/gateway/filters"
    for name in ("authentication", "revocation", "rate_limit"):
        (filters / f"{name}.yaml").write_text(f"# {name}\n")
    render(plan, project=project)
    assert [path.read_text() for path in sorted(filters.iterdir())] == [
        *("# authentication\n", "# rate_limit\n", "# revocation\n")
    ]


def test_versions_stages_and_stickiness_of_the_settings_stand_in_the_routes(project: Path, tmp_path: Path) -> None:
    gateway = {
        "domain_name": "llm.site.example",
        "home_versions": [{"name": "r2", "address": "gpu-2:8000"}],
        "stages": [{"name": "images", "prefix": "/v1/images", "address": "gpu-3:9000"}],
        "user_header": "x-user",
    }
    plan = write_plan(tmp_path / "plan.yaml", config=config(gateway=gateway))
    folder = GatewayFolder(project / "build/qa/local/gateway")
    render(plan, project=project)
    assert folder.read_routes() == Routes(
        weights={"local": 100, "cloud": 0, "r2": 0},
        versions={"r2": "r2"},
        user_header="x-user",
        stages=(Stage(prefix="/v1/images", cluster="images"),),
        mirror_hosts={"cloud": "llm.site.example"},
    )
    assert folder.clusters() == ("local", "r2", "images", "cloud")


def test_a_version_that_has_traffic_cannot_be_taken_away(project: Path, tmp_path: Path) -> None:
    gateway = {"domain_name": "llm.site.example", "home_versions": [{"name": "r2", "address": "gpu-2:8000"}]}
    plan = write_plan(tmp_path / "plan.yaml", config=config(gateway=gateway))
    rendered = render(plan, project=project)
    folder = GatewayFolder(project / "build/qa/local/gateway")
    folder.write_routes(replace(folder.read_routes(), weights={"local": 90, "r2": 10}), fence=0)
    stack = rendered.stack_file.read_text()
    rendered.stack_file.write_text(re.sub(r"    home_versions:\n(    .*\n)+", "    home_versions: []\n", stack))
    with pytest.raises(RenderError, match=r"sends 10 % of the requests to r2, which gateway\.home_versions does not"):
        render(plan, project=project)


@pytest.mark.parametrize("name", ["local", "cloud", "local-then-cloud", "twice"])
def test_a_cluster_has_a_name_of_its_own(project: Path, tmp_path: Path, name: str) -> None:
    stages = [
        {"name": "twice", "prefix": "/a", "address": "gpu-3:9000"},
        {"name": name, "prefix": "/b", "address": "b:1"},
    ]
    gateway = {"domain_name": "llm.site.example", "stages": stages}
    with pytest.raises(InvalidField, match=f"{name} is taken; give each a name of its own"):
        render(write_plan(tmp_path / "plan.yaml", config=config(gateway=gateway)), project=project)


def test_routes_without_weights_stop_the_render(project: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.yaml")
    render(plan, project=project)
    (project / "build/qa/local/gateway/routes/routes.yaml").write_text("resources: []\n")
    before = snapshot(project)
    with pytest.raises(GatewayError, match=r"routes\.yaml: no routes in it: .*; `ferry render` writes one"):
        render(plan, project=project)
    assert snapshot(project) == before


def test_a_key_that_the_operator_trusts_beside_the_signing_key_stays(project: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.yaml")
    render(plan, project=project)
    file = project / "stacks" / "Pulumi.qa.yaml"
    stack = yaml.safe_load(file.read_text())
    own = stack["config"]["ferry:node_bundle"]["verification_key"]
    of_kms = ec.derive_private_key(1, ec.SECP256R1()).public_key()
    both = own + of_kms.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    stack["config"]["ferry:node_bundle"]["verification_key"] = both
    file.write_text(yaml.safe_dump(stack))
    bundle = Settings.load(render(plan, project=project).stack_file).node_bundle
    assert bundle is not None
    assert bundle.verification_key == both
    booted = (project / "build/qa/cloud/user-data.chat.yaml").read_text()
    assert "verification-keys/2.pem" in booted


def test_build_files_go_where_they_are_wanted(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    rendered = render(write_plan(tmp_path / "plan.yaml"), project=project, out=out)
    assert not (project / "build").exists()
    assert sorted(path.relative_to(out / "local").as_posix() for path in (out / "local").rglob("*.*")) == LOCAL
    bundle = Settings.load(rendered.stack_file).node_bundle
    assert bundle is not None
    assert bundle.path == "../elsewhere/cloud/node-bundle.tar.gz"


def test_the_project_is_found_from_a_folder_inside_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "components")
    assert render(write_plan(tmp_path / "plan.yaml")).stack_file == project / "stacks" / "Pulumi.qa.yaml"


def test_the_operators_gateway_wins_in_the_stack_and_at_home(project: Path, tmp_path: Path) -> None:
    (project / "stacks" / "Pulumi.qa.yaml").write_text(
        "config:\n  ferry:gateway:\n    domain_name: mine.example\n    allowed_cidrs: [203.0.113.10/32]\n"
    )
    rendered = render(write_plan(tmp_path / "plan.yaml"), project=project)
    assert Settings.load(rendered.stack_file).gateway.domain_name == "mine.example"
    assert 'sni: "mine.example"' in (project / "build/qa/local/gateway/envoy.yaml").read_text()


def test_notes_say_what_the_operator_has_to_know(project: Path, tmp_path: Path) -> None:
    (project / "stacks" / "Pulumi.qa.yaml").write_text("config:\n  ferry:model_versions:\n    - name: old\n")
    without_gateway = {key: value for key, value in config().items() if key != "ferry:gateway"}
    with pytest.raises(InvalidField, match=r"Pulumi\.qa\.yaml: gateway: Field required"):
        render(write_plan(tmp_path / "plan.yaml", config=without_gateway), project=project)
    rendered = render(write_plan(tmp_path / "plan.yaml"), project=project)
    assert rendered.notes == (
        "The model version old is not in the plan and was taken out of the stack file.",
        "llm.site.example is a placeholder: set ferry:gateway.domain_name to a name of your own.",
        "Nobody can reach the load balancer: list the gateway at home in ferry:gateway.allowed_cidrs.",
        f"{project}/.ferry/signing-key.pem is new: whoever holds it decides what the nodes run. "
        "Keep it safe, and out of git.",
    )


def test_a_new_stack_without_a_domain_name_gets_a_placeholder_and_says_so(project: Path, tmp_path: Path) -> None:
    without_gateway = {key: value for key, value in config().items() if key != "ferry:gateway"}
    rendered = render(write_plan(tmp_path / "plan.yaml", config=without_gateway), project=project)
    assert Settings.load(rendered.stack_file).gateway.domain_name == "llm.example.com"
    assert "llm.example.com is a placeholder: set ferry:gateway.domain_name to a name of your own." in rendered.notes


def test_the_result_has_a_form_for_machines(project: Path, tmp_path: Path) -> None:
    document = render(write_plan(tmp_path / "plan.yaml"), project=project).dump()
    assert document["environment"] == "qa"
    assert document["signing_key_created"] is True
    assert document["files"][0] == {"path": f"{project}/stacks/Pulumi.qa.yaml", "change": "new"}


# ---- the site ----


def test_training_jobs_are_written_with_the_sites_numbers(project: Path, tmp_path: Path) -> None:
    jobs = [
        Training(name="Fine Tune/R1", launcher="slurm", nodes=3),
        Training(name="eval", launcher="torchrun", nodes=1),
    ]
    render(write_plan(tmp_path / "plan.yaml", training=jobs), project=project)
    training = project / "build/qa/local/training"
    assert sorted(path.name for path in training.iterdir()) == [
        *("eval.compose.yaml", "eval.sbatch", "fine-tune-r1.compose.yaml", "fine-tune-r1.sbatch")
    ]
    batch = (training / "fine-tune-r1.sbatch").read_text()
    assert "#SBATCH --nodes=3\n" in batch
    assert "#SBATCH --gpus-per-node=8\n" in batch


def test_without_the_number_of_gpus_the_launcher_counts_them(project: Path, tmp_path: Path) -> None:
    render(write_plan(tmp_path / "plan.yaml", cluster=None), project=project)
    training = project / "build/qa/local/training"
    batch = (training / "finetune.sbatch").read_text()
    assert "--gpus-per-node" not in batch
    assert "--nproc-per-node=gpu" in batch
    compose = yaml.safe_load((training / "finetune.compose.yaml").read_text())
    (device,) = compose["services"]["train"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["count"] == "all"


def test_two_jobs_that_would_share_a_file_are_refused(project: Path, tmp_path: Path) -> None:
    jobs = [Training(name="a b", launcher="slurm", nodes=1), Training(name="a-b", launcher="slurm", nodes=1)]
    with pytest.raises(RenderError, match="several training jobs would be written as a-b"):
        render(write_plan(tmp_path / "plan.yaml", training=jobs), project=project)


def test_an_engine_without_known_metrics_has_no_rules_but_for_down(project: Path, tmp_path: Path) -> None:
    serving = make_plan().serving_facts.model_copy(update={"engine": "ollama"})
    render(write_plan(tmp_path / "plan.yaml", serving_facts=serving), project=project)
    local = project / "build/qa/local"
    rules = yaml.safe_load((local / "prometheus/rules/engine.yaml").read_text())["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == ["FerryEngineDown"]
    assert "whose metrics Ferry knows (sglang, vllm)" in (local / "README.md").read_text()


@pytest.mark.parametrize(
    ("engine", "addresses", "expected"),
    [
        ("vllm", Addresses(), "127.0.0.1:8000"),
        ("sglang", Addresses(), "127.0.0.1:30000"),
        ("sglang", Addresses(engine_host="gpu-1", engine_port=9000), "gpu-1:9000"),
    ],
)
def test_the_engine_is_where_it_listens_by_itself_or_where_it_is_said(
    project: Path, tmp_path: Path, engine: str, addresses: Addresses, expected: str
) -> None:
    serving = make_plan().serving_facts.model_copy(update={"engine": engine})
    render(write_plan(tmp_path / "plan.yaml", serving_facts=serving), project=project, addresses=addresses)
    scrapes = yaml.safe_load((project / "build/qa/local/prometheus/prometheus.yaml").read_text())["scrape_configs"]
    assert scrapes[0]["static_configs"] == [{"targets": [expected]}]


def test_what_an_earlier_plan_left_over_is_named_and_stays(project: Path, tmp_path: Path) -> None:
    render(write_plan(tmp_path / "plan.yaml"), project=project)
    rendered = render(write_plan(tmp_path / "plan.yaml", training=[]), project=project)
    training = project / "build/qa/local/training"
    assert rendered.notes[-2:] == (
        f"{training}/finetune.compose.yaml is left over from an earlier plan.",
        f"{training}/finetune.sbatch is left over from an earlier plan.",
    )
    assert (training / "finetune.sbatch").is_file()


@pytest.mark.parametrize("name", ["llm.example.org", "example.com", "chat.site-a.example"])
def test_a_reserved_name_is_called_a_placeholder(project: Path, tmp_path: Path, name: str) -> None:
    rendered = render(write_plan(tmp_path / "plan.yaml", config=config(gateway={"domain_name": name})), project=project)
    assert rendered.notes[0] == f"{name} is a placeholder: set ferry:gateway.domain_name to a name of your own."


def test_a_name_of_ones_own_and_an_open_door_need_no_note(project: Path, tmp_path: Path) -> None:
    gateway = {"domain_name": "llm.examples.net", "allowed_cidrs": ["203.0.113.10/32"]}
    plan = write_plan(tmp_path / "plan.yaml", config=config(gateway=gateway))
    render(plan, project=project)
    assert render(plan, project=project).notes == ()


def test_addresses_are_read_as_a_person_writes_them() -> None:
    assert Addresses.named(gateway="0.0.0.0:80", engine="gpu-1:8001", ca_file=Path("/ca.pem")) == Addresses(
        gateway_host="0.0.0.0", gateway_port=80, engine_host="gpu-1", engine_port=8001, ca_file="/ca.pem"
    )
    assert Addresses.named() == Addresses()


@pytest.mark.parametrize("text", ["8080", ":8080", "host", "host:", "host:0", "host:65536", "a:b:1", "host:x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidField, match="is no address; give a host and a port"):
        Addresses.named(gateway=text)


# ---- what is refused: one line, and nothing written ----


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"nodes_per_replica": 2}, RenderError, "a replica on 2 nodes is refused until a component exists for it"),
        ({"verdict": "stay"}, RenderError, "the verdict is stay; to render all the same, say --override-verdict"),
        ({"config": config() | {"other:key": 1}}, RenderError, "this one has other:key"),
        ({"config": config() | {"ferry:node_bundle": {}}}, RenderError, "ferry:node_bundle is not a plan's to decide"),
        ({"config": config(environment="qa2")}, RenderError, "its config says 'qa2'"),
        ({"config": config(audit={"retention_days": 180})}, InvalidField, "180"),
        ({"config": config(scaling={"scale_out_above": 0.2, "scale_in_below": 0.3})}, InvalidField, "scale"),
        ({"config": config(fleet={"min_size": "many"})}, InvalidField, "model_versions.0.fleet.min_size"),
        ({"config": config(gateway={"domain_name": {"secure": "v1:a:b"}})}, InvalidField, "domain_name is encrypted"),
        (
            {"config": config() | {"ferry:model_versions": [
                config()["ferry:model_versions"][0] | {"engine": {"image": "a:b", "extra_arguments": ["--x" * 9000]}}
            ]}},
            RenderError,
            "EC2 takes 16384",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict | type) else str(value)[:30],
)  # fmt: skip
def test_a_plan_that_cannot_be_rendered_leaves_no_file(
    project: Path, tmp_path: Path, changed: dict[str, Any], error: type[FerryError], message: str
) -> None:
    plan = write_plan(tmp_path / "plan.yaml", **changed)
    before = snapshot(tmp_path)
    with pytest.raises(error) as caught:
        render(plan, project=project)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert snapshot(tmp_path) == before


def test_the_verdict_stay_can_be_overridden(project: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.yaml", verdict="stay")
    assert render(plan, project=project, override_verdict=True).stack_file.is_file()


def test_a_tampered_plan_is_refused_unless_it_is_forced(project: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.yaml")
    plan.write_text(plan.read_text().replace("max_size: 4", "max_size: 5"))
    before = snapshot(tmp_path)
    with pytest.raises(TamperedArtefact, match="changed after Ferry wrote it"):
        render(plan, project=project)
    assert snapshot(tmp_path) == before
    rendered = render(plan, project=project, force=True)
    assert Settings.load(rendered.stack_file).model_versions[0].fleet.max_size == 5


def test_an_assessment_is_no_plan(project: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("schema: ferry/assessment/v1\n")
    with pytest.raises(UnknownSchema, match="ferry/assessment/v1"):
        render(tmp_path / "plan.yaml", project=project)


def test_a_folder_without_the_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidField, match=r"no Pulumi\.yaml"):
        render(write_plan(tmp_path / "plan.yaml"), project=tmp_path)


# ---- the signing key ----


def test_a_stack_that_trusts_another_key_is_not_signed_with_a_new_one(project: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.yaml")
    render(plan, project=project)
    (project / ".ferry" / "signing-key.pem").rename(tmp_path / "kept.pem")
    before = snapshot(tmp_path)
    with pytest.raises(RenderError, match="the stack trusts a signing key, and there is none at"):
        render(plan, project=project)
    assert snapshot(tmp_path) == before
    assert render(plan, project=project, signing_key=tmp_path / "kept.pem").count("changed") == 0


def test_another_existing_key_is_refused_too(project: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.yaml")
    render(plan, project=project)
    render(write_plan(tmp_path / "other.yaml", environment="other"), project=project, signing_key=tmp_path / "b.pem")
    with pytest.raises(RenderError, match=r"b\.pem is another one"):
        render(plan, project=project, signing_key=tmp_path / "b.pem")


def test_a_key_that_others_can_read_is_refused(project: Path, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.yaml")
    rendered = render(plan, project=project)
    rendered.signing_key.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        render(plan, project=project)
