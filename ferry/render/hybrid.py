"""The hybrid template, filled in: what stays at home (`local/`) and what the cloud's nodes get (`cloud/`).

Pure: a plan, the stack's settings and the site's addresses in, file names and contents out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ferry.artefacts import Plan
from ferry.catalog import xids
from ferry.errors import InvalidField, RenderError
from ferry.render import alerts
from ferry.traffic.gateway.command import ARGUMENTS, DRAIN_SECONDS, FLUSH_MILLISECONDS
from ferry.traffic.gateway.routes import Routes, Stage
from ferry.traffic.tokens import envoy_filters
from stacks.settings import GatewayTierSettings, ModelVersion, Settings
from templates import render
from templates.engine_metrics import ENGINES
from templates.gateway_node import PORT as TIER_PORT
from templates.node import NodeBoot, user_data

GATEWAY = "gateway"
OPERATORS_OWN = ("prometheus/targets/servers.yaml", "prometheus/targets/alertmanagers.yaml")
"""Files of `local/` that are written once and then belong to the operator."""
TOKENS_OWN = tuple(f"gateway/filters/{name}.yaml" for name in ("authentication", "revocation", "rate_limit"))
"""Likewise, and then `ferry token` writes them: to render again must not let everybody in."""

CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where Debian, Red Hat and macOS keep the certificate authorities that the system trusts."""

ENGINE_PORTS = {"sglang": 30000}  # docs.sglang.io/advanced_features/server_arguments.html; the others use 8000
MAX_CONNECTIONS = 10_000
RENDEZVOUS_PORT = 29_400  # torchrun's own default
GPU_HOT_CELSIUS = 85
SCHEDULERS = {"slurm": ("slurm", "sbatch", "srun"), "kubernetes": ("kube", "k8s", "pytorchjob", "mpijob", "volcano")}
"""What the name of a training job's launcher says of the scheduler: the runbook's commands follow from it."""

# Safe on every site: they name only what is not wanted, so that NCCL keeps its choice of transport.
NCCL = {"NCCL_DEBUG": "WARN", "NCCL_SOCKET_IFNAME": "^lo,docker,veth,br-"}
ENGINE_IDLE_SECONDS = 4
"""A connection to an engine that is idle for longer is not used again. The HTTP server of vLLM and SGLang closes it
after 5 s (uvicorn's timeout_keep_alive), and a request that meets this moment would be lost."""
RETRY_AFTER_SECONDS = 2
KEEPALIVE_SECONDS = 60
"""Of clients' connections in the cloud. A network load balancer forgets one of TLS after 350 s of silence, and a TCP
keepalive counts: docs.aws.amazon.com/elasticloadbalancing/latest/network/network-load-balancers.html."""
STREAMED = "'content-type' in response.headers && response.headers['content-type'].startsWith('text/event-stream')"
FINISHED = (
    "response.flags == 0 && response.code_details == 'via_upstream' && "
    f"(!({STREAMED}) || !(request.url_path in ['/v1/chat/completions', '/v1/completions']) || "
    "('ferry' in metadata.filter_metadata && 'stream_end' in metadata.filter_metadata['ferry']))"
)
"""CEL: nothing went wrong on the way, and OpenAI's two kinds of streams ended with `data: [DONE]`."""
OUTLIER_DETECTION = {
    # An engine's own 5xx is an answer; only a gateway's error or a broken connection takes an address out.
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 5,
    "consecutive_gateway_failure": 5,
    "enforcing_consecutive_gateway_failure": 100,
    "enforcing_consecutive_5xx": 0,
    # By default 10 %: of one engine, none.
    "max_ejection_percent": 100,
}
KNOWN_AFTER_UP = "known-after-up"


def system_ca_file() -> str:
    """The system's certificate authorities, or Debian's place for them where none is found."""
    return next((name for name in CA_FILES if Path(name).is_file()), CA_FILES[0])


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where things are at the site. Nothing listens beyond loopback unless it is asked for."""

    gateway_host: str = "127.0.0.1"
    gateway_port: int = 8080
    admin_port: int = 9901
    engine_host: str = "127.0.0.1"
    engine_port: int | None = None
    """None: the engine's own default."""
    cloud_host: str | None = None
    """Where the load balancer is reached; None: at its domain name."""
    cloud_port: int = 443
    ca_file: str = field(default_factory=system_ca_file)

    @classmethod
    def named(cls, *, gateway: str | None = None, engine: str | None = None, ca_file: Path | None = None) -> Addresses:
        """Addresses as a person writes them, `host:port`; None keeps the default. Raises InvalidField."""
        given: dict[str, Any] = {}
        if gateway is not None:
            given["gateway_host"], given["gateway_port"] = _host_and_port(gateway)
        if engine is not None:
            given["engine_host"], given["engine_port"] = _host_and_port(engine)
        if ca_file is not None:
            given["ca_file"] = str(ca_file)
        return cls(**given)


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or ":" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidField(f"{text!r} is no address; give a host and a port from 1 to 65535, as in 127.0.0.1:8080")
    return host, int(port)


def routes(settings: Settings, present: Routes | None) -> Routes:
    """The gateway's routes: what the settings say, with the weights, mirror and generation that are there.

    Raises RenderError where a share of the traffic goes to a version that the settings do not have any more.
    """
    gateway = settings.gateway
    versions = [version.name for version in gateway.home_versions]
    weights = {"local": 100, "cloud": 0} | dict.fromkeys(versions, 0)
    if present:
        if lost := {name: share for name, share in present.weights.items() if share and name not in weights}:
            shares = ", ".join(f"{share} % of the requests to {name}" for name, share in lost.items())
            raise RenderError(
                f"the gateway sends {shares}, which gateway.home_versions does not have any more; "
                "move its weight first, or put it back"
            )
        weights |= {name: share for name, share in present.weights.items() if name in weights}
    return Routes(
        weights=weights,
        mirror=present.mirror if present and present.mirror and present.mirror.cluster in weights else None,
        generation=present.generation if present else 0,
        versions={name: name for name in versions},
        version_header=gateway.version_header,
        user_header=gateway.user_header,
        stages=tuple(Stage(prefix=stage.prefix, cluster=stage.name) for stage in gateway.stages),
        mirror_hosts={"cloud": gateway.domain_name},
    )


def local_files(
    plan: Plan,
    settings: Settings,
    addresses: Addresses,
    present: Routes | None,
    exporters: Sequence[str] | None = None,
) -> dict[str, str]:
    """What stays at home: path below `local/` to content. `present`: the gateway's routes, where it has some.

    `exporters` run on each server of the site, by the names of `alerts.EXPORTERS`; None: what is usual there.
    """
    jobs = alerts.usual_exporters(plan) if exporters is None else exporters
    values = _local_values(plan, settings, addresses, routes(settings, present)) | {
        "exporters": {job: alerts.EXPORTERS[job] for job in jobs}
    }
    rules, left_out = alerts.rule_files(values)
    values |= {"left_out": left_out, "alerts": [name for text in rules.values() for name in alerts.names(text)]}
    names = [
        *("README.md", "runbook.md", "prometheus/prometheus.yaml", *OPERATORS_OWN),
        *(["prometheus/dcgm-counters.csv"] if "dcgm" in jobs else []),
    ]
    files = {name: render(f"hybrid/local/{name}.j2", **values) for name in names}
    files |= {f"prometheus/rules/{name}.yaml": text for name, text in rules.items()}
    files |= gateway_files(settings, addresses, present, site=plan.site, engine=plan.serving_facts.engine)
    for each in values["jobs"]:
        for template, suffix in (("compose.yaml", "compose.yaml"), ("job.sbatch", "sbatch")):
            file_name = f"{each['slug']}.{suffix}"
            files[f"training/{file_name}"] = render(
                f"hybrid/local/training/{template}.j2", **values, **each, file_name=file_name
            )
    return files


def gateway_files(
    settings: Settings, addresses: Addresses, present: Routes | None, *, site: str, engine: str
) -> dict[str, str]:
    """The gateway's folder: path below `local/` to content. `engine`: the kind that runs at home."""
    divided = routes(settings, present)
    values = _gateway_values(settings, addresses, divided, site, engine)
    names = ("gateway/envoy.yaml", "gateway/ferry-gateway.service", "gateway/ferry-audit.service")
    return {name: render(f"hybrid/local/{name}.j2", **values) for name in names} | {
        "gateway/routes/routes.yaml": divided.dump(),
        **{f"gateway/filters/{name}.yaml": text for name, text in everybody().items()},
        # Envoy makes no folders. What lies in these two is nobody's to commit: requests, keys.
        "gateway/logs/.gitignore": "*\n",
        "gateway/state/.gitignore": "*\n",
    }


def tier_files(
    settings: Settings,
    tier: GatewayTierSettings,
    present: Mapping[str, str],
    *,
    site: str,
    engine: str,
    addresses: Addresses | None = None,
) -> dict[str, str]:
    """The folder of the gateway in the cloud: its path below the gateway's folder to content.

    The configuration is that of home, seen from the cloud: everything goes to the cloud's side, and home is its
    fallback where the tier has an address for it. `present` are the filters that home has now, by the paths that
    `TOKENS_OWN` names. `addresses`: those of a rehearsal.
    """
    home = tier.home_engine.rpartition(":") if tier.home_engine else None
    addresses = addresses or Addresses(
        gateway_host="0.0.0.0",  # noqa: S104 (in a container without another address)
        gateway_port=TIER_PORT,
        engine_host=home[0] if home else "127.0.0.1",
        engine_port=int(home[2]) if home else None,
        ca_file=CA_FILES[0],  # Envoy's image is made of Debian's or Ubuntu's
    )
    divided = replace(
        routes(settings, None),
        weights={"local": 0, "cloud": 100} if home else {"cloud": 100},
        versions={},
        stages=(),
    )
    values = _gateway_values(settings, addresses, divided, f"{site}-cloud", engine)
    values |= {"home_versions": {}, "stages": {}, "keepalive_seconds": KEEPALIVE_SECONDS}
    if home is None:
        values["local_address"] = None
    return {
        "envoy.yaml": render("hybrid/local/gateway/envoy.yaml.j2", **values),
        "envoy.env": f"ENVOY_ARGUMENTS={' '.join(ARGUMENTS)}\n",
        "routes/routes.yaml": divided.dump(),
        **{f"filters/{name}.yaml": text for name, text in everybody().items()},
        **{name.removeprefix(f"{GATEWAY}/"): text for name, text in present.items()},
        # Where the node's folder for them is mounted.
        "logs/.gitignore": "*\n",
    }


def everybody() -> dict[str, str]:
    """The filters of a gateway that asks for no tokens, by name."""
    return {
        "authentication": envoy_filters.authentication_for_everybody(),
        "revocation": envoy_filters.revocation_for_everybody(),
        "rate_limit": envoy_filters.rate_limit_for_everybody(),
    }


def cloud_files(plan: Plan, settings: Settings, bundle_name: str, verification_key: str) -> dict[str, str]:
    """What a person reads before `pulumi up`: path below `cloud/` to content. Raises RenderError."""
    files = {
        "README.md": render(
            "hybrid/cloud/README.md.j2",
            environment=settings.environment,
            region=settings.region,
            versions=settings.model_versions,
            bundle_name=bundle_name,
            verification_key=verification_key,
        )
    }
    for version in settings.model_versions:
        try:
            files[f"user-data.{version.name}.yaml"] = user_data(_boot(settings, version, verification_key))
        except ValueError as error:
            raise RenderError(f"model version {version.name} of {plan.environment}: {error}") from error
    return files


def _boot(settings: Settings, version: ModelVersion, verification_key: str) -> NodeBoot:
    return NodeBoot(
        environment=settings.environment,
        region=settings.region,
        partition=settings.partition,
        version_name=version.name,
        group_name=f"ferry-{settings.environment}-{version.name}",
        lifecycle_hook_name=f"lifecycle-hook-{KNOWN_AFTER_UP}",
        model=version.model,
        model_version=version.version,
        bucket=f"model-bucket-{KNOWN_AFTER_UP}",
        node_bundle_key=f"bundles/{KNOWN_AFTER_UP}/node-bundle.tar.gz",
        verification_key=verification_key,
        registry=f"registry-{KNOWN_AFTER_UP}",
        engine=version.engine,
        log_group=f"log-group-{KNOWN_AFTER_UP}",
        boot_timeout_seconds=version.fleet.boot_timeout_seconds,
    )


def _gateway_values(
    settings: Settings, addresses: Addresses, divided: Routes, site: str, engine: str
) -> dict[str, Any]:
    gateway = settings.gateway
    engine_port = addresses.engine_port or ENGINE_PORTS.get(engine, 8000)
    limit = {
        "max_connections": MAX_CONNECTIONS,
        "max_pending_requests": MAX_CONNECTIONS,
        "max_requests": MAX_CONNECTIONS,
        # Each request that a dead engine did not take is a retry: three at once, Envoy's default, would lose the rest.
        "max_retries": MAX_CONNECTIONS,
    }
    cloud = {"host": addresses.cloud_host or gateway.domain_name, "port": addresses.cloud_port}
    return {
        "environment": settings.environment,
        "site": site,
        "engine_port": engine_port,
        "engine_address": f"{addresses.engine_host}:{engine_port}",
        "addresses": addresses,
        "keepalive_seconds": None,
        "local_address": _endpoint(f"{addresses.engine_host}:{engine_port}"),
        "cloud_address": cloud | {"name": gateway.domain_name},
        "home_versions": {each.name: _endpoint(each.address) for each in gateway.home_versions},
        "stages": {each.name: _endpoint(each.address) for each in gateway.stages},
        "token_claims": f"{envoy_filters.METADATA}:{envoy_filters.CLAIMS}",
        "streamed": STREAMED,
        "finished": FINISHED,
        "engine_idle_seconds": ENGINE_IDLE_SECONDS,
        "retry_after_seconds": RETRY_AFTER_SECONDS,
        "drain_seconds": DRAIN_SECONDS,
        "envoy_arguments": ARGUMENTS,
        "flush_milliseconds": FLUSH_MILLISECONDS,
        "domain_name": gateway.domain_name,
        "token_checked": gateway.jwt is not None,
        "version_header": gateway.version_header,
        "idle_timeout_seconds": gateway.idle_timeout_seconds,
        "upstream_idle_seconds": max(1, gateway.idle_timeout_seconds - 5),
        "max_connections": MAX_CONNECTIONS,
        "circuit_breakers": {"thresholds": [limit]},
        "outlier_detection": OUTLIER_DETECTION,
        "weights": divided.weights,
    }


def _local_values(plan: Plan, settings: Settings, addresses: Addresses, divided: Routes) -> dict[str, Any]:
    engine = plan.serving_facts.engine
    monitoring = settings.monitoring
    return _gateway_values(settings, addresses, divided, plan.site, engine) | {
        "serving": plan.serving,
        "engine": engine,
        "known_engines": sorted(ENGINES),
        "metrics": ENGINES.get(engine),
        "ttft_p99_seconds": None if plan.slo.ttft_p99_ms is None else f"{plan.slo.ttft_p99_ms / 1000:g}",
        "latency_p99_seconds": f"{monitoring.latency_p99_seconds:g}",
        "queue_per_instance": monitoring.queue_per_instance,
        "error_rate_percent": f"{monitoring.error_rate_percent:g}",
        "gpu_hot_celsius": GPU_HOT_CELSIUS,
        "xids": xids.all_xids(),
        "xid_alerts": alerts.xid_alerts(),
        "actions": alerts.ACTIONS,
        "schedulers": _schedulers(plan),
        "runbook": "runbook.md",
        "jobs": _jobs(plan),
        "nccl": NCCL,
        "rendezvous_port": RENDEZVOUS_PORT,
        "nodes": None if plan.cluster is None else plan.cluster.nodes,
        "gpus_per_node": None if plan.cluster is None else plan.cluster.gpus_per_node,
    }


def _schedulers(plan: Plan) -> list[str]:
    launchers = [job.launcher.lower() for job in plan.training]
    return [
        name for name, words in SCHEDULERS.items() if any(word in launcher for word in words for launcher in launchers)
    ]


def _endpoint(address: str) -> dict[str, Any]:
    host, port = _host_and_port(address)
    return {"host": host, "port": port, "name": address}


def _jobs(plan: Plan) -> list[Mapping[str, Any]]:
    """The training jobs, each with a name that is safe as a file, a compose project and a Slurm job."""
    jobs: list[Mapping[str, Any]] = [
        {"job": job, "slug": re.sub(r"[^a-z0-9]+", "-", job.name.lower()).strip("-") or f"job-{at}"}
        for at, job in enumerate(plan.training, start=1)
    ]
    slugs = [each["slug"] for each in jobs]
    if twice := sorted({str(slug) for slug in slugs if slugs.count(slug) > 1}):
        raise RenderError(f"several training jobs would be written as {', '.join(twice)}; give them distinct names")
    return jobs
