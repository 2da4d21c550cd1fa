"""`assess`: read a site.yaml and everything that it names, and say what is known, assumed and unknown."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from ferry.artefacts import (
    Assessment,
    Cluster,
    ClusterMetrics,
    Constraints,
    Deployment,
    ExchangeRate,
    Figure,
    Finding,
    FurtherCosts,
    LocalCosts,
    Location,
    Money,
    Serving,
    Slo,
    TraceFacts,
    Training,
    assumed,
    now,
    unknown,
    upstream,
)
from ferry.assess import collectives, crosschecks, deployments, gpus, prometheus, synchronisation, trace
from ferry.assess.files import LARGEST_TEXT_BYTES, read_text
from ferry.assess.models import read_model
from ferry.assess.prometheus import EngineReading
from ferry.assess.prometheus.series import Page
from ferry.assess.site import CostsPart, ExchangeRatePart, PrometheusPart, RequestsPart, ServingPart, Site, read_site


def assess(
    site_path: Path, *, artefact_folder: Path | None = None, progress: trace.Progress | None = None
) -> Assessment:
    """Assess a site. `artefact_folder` is where the result will be written: `made_from` is relative to it.

    `progress` is called with the bytes of a long trace that are read, and with those that there are.

    Raises UnknownSchema, InvalidField or UnreadableInput; nothing is written.
    """
    return _Reading(site_path, artefact_folder or site_path.parent, progress).assessment()


class _Reading:
    """One pass over a site: opens what site.yaml names, and remembers what was read and what was found."""

    def __init__(self, site_path: Path, artefact_folder: Path, progress: trace.Progress | None) -> None:
        self.site = read_site(site_path)
        self.folder = site_path.parent
        self.artefact_folder = artefact_folder
        self.progress = progress
        self.read: dict[Path, None] = {site_path: None}
        self.findings: list[Finding] = []
        self.model_names: dict[str, str] = {}

    def assessment(self) -> Assessment:
        site = self.site
        readings = [
            gpus.parse(self._text(path, gpus.LARGEST_BYTES), path.as_posix()) for path in site.cluster.nvidia_smi
        ]
        machines = gpus.by_machine(readings)
        samples = [gpus.samples_of(group) for group in machines if any(reading.gpus for reading in group)]
        cluster = Cluster(
            nodes=site.cluster.nodes,
            gpus_per_node=site.cluster.gpus_per_node,
            accelerator=site.cluster.accelerator,
            accelerator_seen=", ".join(dict.fromkeys(name for sample in samples for name in sample.names)) or None,
            purchased=site.cluster.purchased.isoformat() if site.cluster.purchased else None,
            gpu_utilization=crosschecks.gpu_utilization(samples),
            machines=[gpus.machine(group) for group in machines],
        )
        cluster = crosschecks.with_metrics(cluster, self._cluster_metrics())
        logs = [collectives.parse(self._text(path), path.as_posix()) for path in site.cluster.nccl_tests]
        runs = [run for log in logs for run in log.collectives]
        training = [Training(name=job.name, launcher=job.launcher, nodes=job.nodes) for job in site.training]
        serving = [self._service(part) for part in site.serving]
        costs = _costs(site.costs)
        jobs = self._deployments()
        self.findings += [finding for log in logs for finding in log.findings]
        self.findings += gpus.about_machines(machines, cluster)
        self.findings += crosschecks.about_gpus(cluster, samples)
        self.findings += crosschecks.about_software(site.cluster.software)
        self.findings += crosschecks.about_cluster_metrics(cluster)
        self.findings += crosschecks.about_network(cluster, logs, training)
        models = [service.model for service in serving]
        synchronisations = synchronisation.synchronisations(cluster, runs, site.training, models)
        self.findings += synchronisation.findings(synchronisations, site.training)
        self.findings += deployments.about_deployments(jobs, cluster, serving, training, self.model_names)
        self.findings += crosschecks.about_costs(costs)
        return Assessment(
            schema_=Assessment.SCHEMA,
            made_at=now(),
            made_from=[upstream(path, self.artefact_folder) for path in self.read],
            site=site.name,
            # The uplink is plan-transfer's, which reads it in site.yaml.
            location=Location(**site.location.model_dump(exclude={"uplink_mbps"})),
            cluster=cluster,
            collectives=runs,
            synchronisations=synchronisations,
            serving=serving,
            training=training,
            deployments=jobs,
            costs=costs,
            constraints=_constraints(site),
            findings=crosschecks.by_severity(self.findings),
        )

    def _service(self, part: ServingPart) -> Serving:
        label = part.model.as_posix()
        folder = read_model(self.folder / part.model, label)
        self.read.update(dict.fromkeys(folder.read))
        self.findings += folder.findings
        engine = self._engine(part)
        service = Serving(
            name=part.name,
            engine=part.engine,
            model=folder.facts,
            trace=self._trace(part.requests) if part.requests else None,
            metrics=engine.metrics if engine else None,
            slo=Slo(**part.slo.model_dump()),
        )
        self.model_names[part.name] = engine.model_name if engine else ""
        self.findings += crosschecks.about_service(service, self.model_names[part.name])
        return service

    def _deployments(self) -> list[Deployment]:
        readings = [
            deployments.parse(self._text(path, deployments.LARGEST_BYTES), path.as_posix())
            for path in self.site.deployments
        ]
        self.findings += [finding for reading in readings for finding in reading.findings]
        return deployments.combine([job for reading in readings for job in reading.jobs])

    def _engine(self, part: ServingPart) -> EngineReading | None:
        if part.prometheus:
            source, given = part.prometheus.url, part.prometheus
            pages = [prometheus.ask_engine(self._access(given), part.engine, window_days=given.window_days)]
        elif part.metrics:
            source = ", ".join(path.as_posix() for path in part.metrics)
            pages = [self._page(path) for path in part.metrics]
        else:
            return None
        reading = prometheus.engine_metrics(
            pages,
            engine=part.engine,
            source=source,
            served_as=(part.name, part.model.name),
            time_zone=self.site.location.time_zone,
        )
        self.findings += reading.findings
        return reading

    def _cluster_metrics(self) -> ClusterMetrics | None:
        part = self.site.cluster
        if part.prometheus:
            source = part.prometheus.url
            pages = [prometheus.ask_cluster(self._access(part.prometheus), window_days=part.prometheus.window_days)]
        elif part.metrics:
            source = ", ".join(path.as_posix() for path in part.metrics)
            pages = [self._page(path) for path in part.metrics]
        else:
            return None
        reading = prometheus.cluster_metrics(pages, source=source, time_zone=self.site.location.time_zone)
        self.findings += reading.findings
        return reading.metrics

    def _page(self, path: Path) -> Page:
        page = prometheus.read(self.folder / path, path.as_posix())
        self.read[self.folder / path] = None
        return page

    def _access(self, part: PrometheusPart) -> prometheus.Access:
        ca_file = self.folder / part.ca_file if part.ca_file else None
        return prometheus.Access(part.url, part.token_env, part.username_env, part.password_env, ca_file)

    def _trace(self, part: RequestsPart) -> TraceFacts:
        path, label = self.folder / part.trace, part.trace.as_posix()
        facts, found = trace.read(path, part, label, self.site.location.time_zone, self.progress)
        self.read[path] = None
        self.findings += found
        return facts

    def _text(self, path: Path, largest_bytes: int = LARGEST_TEXT_BYTES) -> str:
        text = read_text(self.folder / path, path.as_posix(), largest_bytes)
        self.read[self.folder / path] = None
        return text


def _costs(part: CostsPart) -> LocalCosts:
    """The cost items as stated: nobody measured them, so they are assumed; what is left out is unknown."""

    def money(amount: Decimal | None, key: str) -> Money:
        if amount is None:
            return Money(currency=part.currency, basis="unknown", source=f"site.yaml: costs.{key} is left out")
        return Money(amount=amount, currency=part.currency, basis="assumed", source=f"site.yaml: costs.{key}")

    def figure(value: float | None, unit: str, key: str) -> Figure:
        if value is None:
            return unknown(unit, f"site.yaml: costs.{key} is left out")
        return assumed(value, unit, f"site.yaml: costs.{key}")

    servers, power, staff, reliability = part.servers, part.power, part.staff, part.reliability
    return LocalCosts(
        currency=part.currency,
        server_count=servers.count,
        server_price_each=money(servers.price_each, "servers.price_each"),
        server_lifetime_months=figure(servers.lifetime_months, "months", "servers.lifetime_months"),
        server_residual_share=figure(servers.residual_share, "share", "servers.residual_share"),
        nvme_array=money(part.nvme_array, "nvme_array"),
        cooling=money(part.cooling, "cooling"),
        power_kw_full_load=figure(power.kw_full_load, "kW", "power.kw_full_load"),
        power_kw_idle=figure(power.kw_idle, "kW", "power.kw_idle"),
        power_price_per_kwh=money(power.price_per_kwh, "power.price_per_kwh"),
        power_usage_effectiveness=figure(power.pue, "ratio", "power.pue"),
        staff_people=figure(staff.people, "people", "staff.people"),
        staff_price_per_person_year=money(staff.price_per_person_year, "staff.price_per_person_year"),
        mtbf_hours=figure(reliability.mtbf_hours, "hours", "reliability.mtbf_hours"),
        mttr_hours=figure(reliability.mttr_hours, "hours", "reliability.mttr_hours"),
        further=_further(part),
        exchange_rates=[_rate(one) for one in part.exchange_rates],
    )


def _further(part: CostsPart) -> FurtherCosts:
    """The items that most sites do not count: only those that are stated."""

    def figure(value: float | None, unit: str, key: str) -> Figure | None:
        return None if value is None else assumed(value, unit, f"site.yaml: costs.{key}")

    def money(amount: Decimal | None, key: str) -> Money | None:
        if amount is None:
            return None
        return Money(amount=amount, currency=part.currency, basis="assumed", source=f"site.yaml: costs.{key}")

    delay = part.delay
    return FurtherCosts(
        server_resale_share=figure(part.servers.resale_share, "share", "servers.resale_share"),
        racks=figure(part.racks.count, "racks", "racks.count"),
        rack_price_per_month=money(part.racks.price_per_month, "racks.price_per_month"),
        staff_freed_share=figure(part.staff.freed_share, "share", "staff.freed_share"),
        price_per_hour_down=money(part.reliability.price_per_hour_down, "reliability.price_per_hour_down"),
        delay_days_at_home=figure(delay.days_at_home, "days", "delay.days_at_home"),
        delay_days_on_aws=figure(delay.days_on_aws, "days", "delay.days_on_aws"),
        delays_per_year=figure(delay.times_per_year, "a year", "delay.times_per_year"),
        price_per_day_of_delay=money(delay.price_per_day, "delay.price_per_day"),
    )


def _rate(part: ExchangeRatePart) -> ExchangeRate:
    base, quote = part.pair.split("/")
    return ExchangeRate(base=base, quote=quote, rate=part.rate, as_of=part.as_of.isoformat(), source=part.source)


def _constraints(site: Site) -> Constraints:
    part = site.constraints
    budget = None
    if part.monthly_budget is not None:
        source = "site.yaml: constraints.monthly_budget"
        budget = Money(amount=part.monthly_budget, currency=site.costs.currency, basis="assumed", source=source)
    return Constraints(
        regions_allowed=part.regions_allowed,
        residency=part.residency,
        compliance=list(part.compliance),
        monthly_budget=budget,
        deadline=part.deadline.isoformat() if part.deadline else None,
    )
