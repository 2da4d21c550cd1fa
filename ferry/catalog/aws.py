"""Sessions and errors of the calls that read prices and quotas from AWS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ferry.catalog import regions
from ferry.errors import CatalogError

PRICE_LIST_REGIONS = {"aws": "us-east-1", "aws-us-gov": "us-east-1", "aws-cn": "cn-northwest-1"}
"""Where the Price List API answers for a partition (botocore's endpoints); GovCloud's prices are in the public list."""


class Clients:
    """Makes clients. Tests hand in their own."""

    def client(self, service: str, region: str) -> Any:
        """A client of a service in a region, with credentials and profile as boto3 finds them."""
        import boto3
        from botocore.config import Config

        # botocore's own answer to throttling and lost connections: exponential back-off with jitter.
        config = Config(retries={"mode": "standard", "total_max_attempts": 5})
        session: Any = boto3.session.Session()
        return session.client(service, region_name=region, config=config)


def price_list_region(region: str) -> str:
    """The region whose Price List endpoint knows a region's prices."""
    return PRICE_LIST_REGIONS[regions.find(region).partition]


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn what botocore raises into a CatalogError on one line that says what to do."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    try:
        yield
    except NoCredentialsError as error:
        raise CatalogError(
            f"{what}: no AWS credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run aws sso login"
        ) from error
    except ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        raise CatalogError(
            f"{what}: AWS refuses {error.operation_name} with {code}: {' '.join(said.split())}"
        ) from error
    except (BotoCoreError, NoRegionError) as error:
        raise CatalogError(f"{what}: {' '.join(str(error).split())}") from error
