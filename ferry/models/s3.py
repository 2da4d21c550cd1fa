"""The transport that speaks to S3, or to what speaks its protocol, through botocore.

Credentials come from botocore's ordinary chain: environment, profile, `credential_process`, instance role. botocore
itself repeats what is throttled or interrupted, with backoff and jitter.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from ferry.errors import Altered, Conflict, TransferError
from ferry.models.checksums import crc64nvme as checksum_of
from ferry.models.crew import LARGE_FILES_AT_ONCE, PARTS_AT_ONCE, SMALL_FILES_AT_ONCE
from ferry.models.transport import Part, Stored, Upload

if TYPE_CHECKING:
    from botocore.session import Session
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

MISSING = {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}
CHANGED = {"PreconditionFailed", "412", "ConditionalRequestConflict", "OperationAborted"}
CORRUPTED = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "InvalidPart"}
TRIES = 5
LARGEST_COPY_BYTES = 5 * 2**30
"""Of one CopyObject: docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html"""
COPY_PART_BYTES = 512 * 2**20
DELETE_BATCH = 1000
RECEIVE_BYTES = 2**20


def client_for(bucket: str, endpoint_url: str | None, session: Session) -> S3Client:
    """Make a client of this session. Raises TransferError where botocore finds no region."""
    config = Config(
        max_pool_connections=PARTS_AT_ONCE + SMALL_FILES_AT_ONCE + LARGE_FILES_AT_ONCE,
        retries={"mode": "standard", "max_attempts": 8},
        # The older way to presign, which botocore keeps for some regions, knows only one endpoint for them all.
        signature_version="s3v4",
        # Virtual-hosted names need a domain; an endpoint that was named may have none.
        s3={"addressing_style": "path" if endpoint_url else "auto"},
    )
    # Nothing here reads a time, and reading one for each object takes most of the time of a long listing.
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    try:
        client: Any = session.create_client("s3", endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as error:
        raise TransferError(f"s3://{bucket}: {error}; set AWS_REGION, or a profile that has one") from error
    made: S3Client = client
    return made


class S3Transport:
    """One bucket. botocore's client may be shared by threads."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client, self.bucket = client, bucket

    @staticmethod
    def connect(bucket: str, *, endpoint_url: str | None = None) -> S3Transport:
        """Make a client. Raises TransferError where botocore finds no region."""
        return S3Transport(client_for(bucket, endpoint_url, get_session()), bucket)

    # ---- requests that decide ----

    def head(self, key: str) -> Stored | None:
        """An object with its checksum, or None where there is none."""
        try:
            answer = self._client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if _code(error) in MISSING:
                return None
            raise self._failed(error, key) from error
        except BotoCoreError as error:
            raise self._failed(error, key) from error
        whole = answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
        return Stored(
            key,
            answer["ContentLength"],
            answer["ETag"],
            answer.get("ChecksumCRC64NVME") if whole else None,
        )

    def list(self, prefix: str) -> Iterator[Stored]:
        """All objects whose key starts so."""
        page, token = self._page(prefix, None)
        yield from page
        while token is not None:
            page, token = self._page(prefix, token)
            yield from page

    def list_folders(self, prefix: str) -> Sequence[str]:
        """The next step of all keys that start so."""
        pages = self._pages("list_objects_v2", Prefix=prefix, Delimiter="/")
        return [
            entry["Prefix"].removeprefix(prefix).rstrip("/")
            for page in pages
            for entry in page.get("CommonPrefixes", [])
        ]

    def get(self, key: str) -> tuple[bytes, str] | None:
        """A small object and its etag."""

        def ask() -> tuple[bytes, str]:
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            return answer["Body"].read(), answer["ETag"]

        try:
            return self._persist(ask, key)
        except TransferError as error:
            if isinstance(error.__cause__, ClientError) and _code(error.__cause__) in MISSING:
                return None
            raise

    def put_small(self, key: str, content: bytes, *, replacing: str | None) -> str:
        """Write a small object over exactly the etag given, or only where there is none."""
        return self.put(key, content, checksum_of(content), replacing=replacing).etag

    def versioned(self) -> bool:
        """Whether the bucket keeps versions."""
        answer = self._ask(lambda: self._client.get_bucket_versioning(Bucket=self.bucket), "")
        return answer.get("Status") == "Enabled"

    def mark_deleted(self, keys: Sequence[str]) -> None:
        """Put delete markers on objects."""
        for start in range(0, len(keys), DELETE_BATCH):
            batch = keys[start : start + DELETE_BATCH]
            answer = self._ask(
                lambda batch=batch: self._client.delete_objects(  # type: ignore[misc]
                    Bucket=self.bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
                ),
                batch[0],
            )
            if refused := answer.get("Errors"):
                raise TransferError(
                    f"s3://{self.bucket}/{refused[0].get('Key')}: was not marked: {refused[0].get('Message')}; "
                    "the role needs s3:DeleteObject"
                )

    def copy(self, source: Stored, key: str, *, replacing: str | None) -> Stored:
        """Copy an object within the bucket."""
        if source.size > LARGEST_COPY_BYTES:
            return self._copy_in_parts(source, key, replacing)
        answer = self._ask(
            lambda: self._client.copy_object(
                Bucket=self.bucket,
                Key=key,
                CopySource={"Bucket": self.bucket, "Key": source.key},
                CopySourceIfMatch=source.etag,
                ChecksumAlgorithm="CRC64NVME",
                **_condition(replacing),
            ),
            source.key,
        )
        result = answer["CopyObjectResult"]
        return Stored(key, source.size, result["ETag"], result.get("ChecksumCRC64NVME"))

    def _copy_in_parts(self, source: Stored, key: str, replacing: str | None) -> Stored:
        if source.crc64nvme is None:
            raise Altered(f"s3://{self.bucket}/{source.key}: has no CRC64NVME to check the copy by; push it again")
        upload = self.begin_upload(key)
        starts = range(0, source.size, COPY_PART_BYTES)
        parts = [
            self.copy_part(upload, number, source, start, min(COPY_PART_BYTES, source.size - start))
            for number, start in enumerate(starts, start=1)
        ]
        return self.complete_upload(upload, parts, source.size, source.crc64nvme, replacing=replacing)

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """Multipart uploads under way."""
        for page in self._pages("list_multipart_uploads", Prefix=prefix):
            for entry in page.get("Uploads", []):
                yield Upload(entry["Key"], entry["UploadId"])

    def begin_upload(self, key: str) -> Upload:
        """Begin a multipart upload with CRC64NVME over the whole object."""
        answer = self._ask(
            lambda: self._client.create_multipart_upload(
                Bucket=self.bucket, Key=key, ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT"
            ),
            key,
        )
        return Upload(key, answer["UploadId"])

    def parts(self, upload: Upload) -> dict[int, Part] | None:
        """What an upload holds already, or None where it is gone."""
        found: dict[int, Part] = {}
        try:
            for page in self._pages("list_parts", Key=upload.key, UploadId=upload.upload_id):
                for entry in page.get("Parts", []):
                    number = entry["PartNumber"]
                    found[number] = Part(number, entry["Size"], entry["ETag"], entry.get("ChecksumCRC64NVME"))
        except TransferError as error:
            if isinstance(error.__cause__, ClientError) and _code(error.__cause__) in MISSING:
                return None
            raise
        return found

    def copy_part(self, upload: Upload, number: int, source: Stored, start: int, length: int) -> Part:
        """Fill a part from an object."""
        answer = self._ask(
            lambda: self._client.upload_part_copy(
                Bucket=self.bucket,
                Key=upload.key,
                UploadId=upload.upload_id,
                PartNumber=number,
                CopySource={"Bucket": self.bucket, "Key": source.key},
                CopySourceIfMatch=source.etag,
                CopySourceRange=f"bytes={start}-{start + length - 1}",
            ),
            source.key,
        )
        result = answer["CopyPartResult"]
        return Part(number, length, result["ETag"], result.get("ChecksumCRC64NVME"))

    def complete_upload(
        self, upload: Upload, parts: Sequence[Part], size: int, crc64nvme: str, *, replacing: str | None
    ) -> Stored:
        """Make the object of its parts."""
        listed: list[dict[str, Any]] = []
        for part in sorted(parts, key=lambda part: part.number):
            checksum = {} if part.crc64nvme is None else {"ChecksumCRC64NVME": part.crc64nvme}
            listed.append({"PartNumber": part.number, "ETag": part.etag, **checksum})
        arguments: dict[str, Any] = {"MultipartUpload": {"Parts": listed}, **_condition(replacing)}
        answer = self._write(
            lambda: self._client.complete_multipart_upload(
                Bucket=self.bucket,
                Key=upload.key,
                UploadId=upload.upload_id,
                ChecksumCRC64NVME=crc64nvme,
                ChecksumType="FULL_OBJECT",
                MpuObjectSize=size,
                **arguments,
            ),
            Stored(upload.key, size, "", crc64nvme),
        )
        if isinstance(answer, Stored):
            return answer
        return Stored(upload.key, size, answer["ETag"], answer.get("ChecksumCRC64NVME"))

    # ---- requests that carry bytes ----

    def put(self, key: str, content: bytes | memoryview, crc64nvme: str, *, replacing: str | None) -> Stored:
        """Write an object in one request."""
        answer = self._write(
            lambda: self._client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=bytes(content),
                ChecksumAlgorithm="CRC64NVME",
                ChecksumCRC64NVME=crc64nvme,
                **_condition(replacing),
            ),
            Stored(key, len(content), "", crc64nvme),
        )
        if isinstance(answer, Stored):
            return answer
        return Stored(key, len(content), answer["ETag"], crc64nvme)

    def upload_part(self, upload: Upload, number: int, content: bytes | memoryview, crc64nvme: str) -> Part:
        """Send one part."""
        answer = self._persist(
            lambda: self._client.upload_part(
                Bucket=self.bucket,
                Key=upload.key,
                UploadId=upload.upload_id,
                PartNumber=number,
                Body=bytes(content),
                ChecksumCRC64NVME=crc64nvme,
            ),
            upload.key,
        )
        return Part(number, len(content), answer["ETag"], crc64nvme)

    def read(self, key: str, start: int, length: int) -> bytes | bytearray:
        """Bytes of an object. They are received into their place, so that a chunk is in memory once."""

        def ask() -> bytearray:
            answer = self._client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={start}-{start + length - 1}")
            body: Any = answer["Body"]
            content = bytearray(length)
            filled = 0
            with memoryview(content) as view:
                while count := body.readinto(view[filled : filled + RECEIVE_BYTES]):
                    filled += count
            return content if filled == length else content[:filled]

        return self._persist(ask, key)

    # ---- how to ask ----

    def _page(self, prefix: str, token: str | None) -> tuple[Sequence[Stored], str | None]:
        """A page of a listing, and the token of the next one."""
        more = {} if token is None else {"ContinuationToken": token}
        answer = self._ask(
            lambda: self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **more),  # type: ignore[arg-type]
            prefix,
        )
        page = [Stored(entry["Key"], entry["Size"], entry["ETag"]) for entry in answer.get("Contents", [])]
        return page, answer.get("NextContinuationToken")

    def _pages(self, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        paginator: Any = self._client.get_paginator(operation)  # type: ignore[call-overload]
        try:
            yield from paginator.paginate(Bucket=self.bucket, **arguments)
        except (ClientError, BotoCoreError) as error:
            raise self._failed(error, arguments.get("Prefix", arguments.get("Key", ""))) from error

    def _ask(self, request: Callable[[], T], key: str) -> T:
        try:
            return request()
        except (ClientError, BotoCoreError) as error:
            raise self._failed(error, key) from error

    def _write(self, request: Callable[[], T], wanted: Stored) -> T | Stored:
        """Write under a condition, or complete an upload.

        botocore repeats a request whose answer was lost. Then the condition fails on our own object, or the upload is
        gone because it is complete: what lies there decides.
        """
        try:
            return self._persist(request, wanted.key)
        except (Conflict, TransferError) as error:
            gone = isinstance(error.__cause__, ClientError) and _code(error.__cause__) in MISSING
            if isinstance(error, Conflict) or gone:
                found = self.head(wanted.key)
                if found is not None and (found.size, found.crc64nvme) == (wanted.size, wanted.crc64nvme):
                    return found
            raise

    def _persist(self, request: Callable[[], T], key: str) -> T:
        """Ask again where bytes were altered on their way, or a body broke off: botocore itself does not."""
        for attempt in range(TRIES):
            try:
                return request()
            except ClientError as error:
                if _code(error) not in CORRUPTED or attempt == TRIES - 1:
                    raise self._failed(error, key) from error
            except BotoCoreError as error:
                if attempt == TRIES - 1:
                    raise self._failed(error, key) from error
            time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311 - jitter, not a secret
        raise AssertionError("the last attempt returns or raises")

    def _failed(self, error: ClientError | BotoCoreError, key: str) -> TransferError | Altered | Conflict:
        place = f"s3://{self.bucket}/{key}"
        if isinstance(error, ClientError) and _code(error) in CHANGED:
            return Conflict(f"{place}: somebody else wrote it meanwhile; look who, and start again")
        if isinstance(error, ClientError) and _code(error) in CORRUPTED:
            return Altered(f"{place}: the store refuses what arrived: {error}; look for a faulty link or memory")
        return TransferError(
            f"{place}: {' '.join(str(error).split())}; run the same command again, it goes on from here"
        )


def _condition(replacing: str | None) -> dict[str, Any]:
    return {"IfNoneMatch": "*"} if replacing is None else {"IfMatch": replacing}


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")
