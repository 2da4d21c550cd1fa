"""Health checks of Route 53 that look at an alarm: moto takes them, and forgets which alarm that is.

`install` makes moto keep what `CreateHealthCheck` and `UpdateHealthCheck` say of it, and `GetHealthCheck` say it again.
"""

from __future__ import annotations

from typing import Any

from moto.route53.models import HealthCheck
from moto.route53.responses import Route53

KEPT = ("AlarmIdentifier", "InsufficientDataHealthStatus")

_create: Any = Route53.create_health_check
_update: Any = Route53.update_health_check
_config: Any = vars(HealthCheck)["health_check_config"].fget


def install() -> None:
    """Make moto's Route 53, in this process, keep them. Installing twice is the same as once."""
    responses: Any = Route53
    responses.create_health_check = _create_with_alarm
    responses.update_health_check = _update_with_alarm
    check: Any = HealthCheck
    check.health_check_config = property(_config_with_alarm)


def _create_with_alarm(response: Any) -> Any:
    answer = _create(response)
    given = response._get_param("HealthCheckConfig")
    answer.result["HealthCheck"].kept = {key: given[key] for key in KEPT if key in given}
    return answer


def _update_with_alarm(response: Any) -> Any:
    answer = _update(response)
    given = {key: value for key in KEPT if (value := response._get_param(key))}
    answer.result["HealthCheck"].kept = {**answer.result["HealthCheck"].kept, **given}
    return answer


def _config_with_alarm(check: Any) -> dict[str, Any]:
    kept: dict[str, Any] = getattr(check, "kept", {})
    return {**_config(check), **kept}
