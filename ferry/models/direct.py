"""The transport whose bytes go straight from memory into a socket and back, and which reads long listings itself.

botocore copies what it sends and receives several times, and hands each piece through Python. awscrt does so too as
soon as the caller wants the bytes and not a file, which hashing them as they pass needs (bench/README.md has figures).
Here the standard library's HTTP client sends a part from where it was hashed and receives one where it is hashed.
botocore still says where the bucket is, who asks, and signs; every other request is botocore's. Payloads are signed by
their CRC64NVME, which the store checks, not by a second SHA-256, as botocore does over TLS, too.

An answer that is neither success nor a passing failure is left to botocore, which asks again and says what is wrong.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qs, quote, unquote, unquote_plus, urlsplit
from xml.etree import ElementTree

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.httpsession import get_cert_path
from botocore.session import get_session
from botocore.utils import get_environ_proxies

from ferry.errors import TransferError
from ferry.models.patience import LONGEST_WAIT_S, Pace, Patience
from ferry.models.s3 import CORRUPTED, S3Transport, client_for
from ferry.models.transport import Part, Stored, Upload

if TYPE_CHECKING:
    from botocore.session import Session
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

PASSING = {429, 500, 502, 503, 504}
THROTTLED = {429, 503}
TRIES = 10
TIMEOUT_S = 60
"""Of connecting, and of each send and receive; botocore's own."""
PACED_BYTES = 2**16
S3_XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"
LARGEST_ANSWER_BYTES = 2**16
"""Of an error; S3's have less than 1 kB."""


@dataclass(frozen=True)
class Route:
    """Where the bucket is, as botocore resolved it: `base` is `/bucket/` or `/`."""

    scheme: str
    host: str
    base: str
    region: str


class _Passing(Exception):
    """A failure that may be gone the next time."""

    def __init__(
        self, text: str, *, throttled: bool = False, corrupted: bool = False, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(text)
        self.throttled, self.corrupted, self.retry_after_s = throttled, corrupted, retry_after_s


class _Unsigned(S3SigV4Auth):
    """Signs the headers, among them the payload's CRC64NVME, and not the payload again."""

    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


class DirectTransport(S3Transport):
    """One bucket. May be shared by threads; connections are kept and used again. `pace` limits bytes a second."""

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        session: Session,
        *,
        pace: Pace | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(client, bucket)
        self._session, self._pace, self._patience = session, pace, patience or Patience()
        self._idle: deque[HTTPConnection] = deque()
        self._lock = threading.Lock()
        self._route: Route | None = None
        self._looked = False

    @staticmethod
    def connect(bucket: str, *, endpoint_url: str | None = None, pace: Pace | None = None) -> DirectTransport:
        """Make a client. Raises TransferError where botocore finds no region."""
        session = get_session()
        return DirectTransport(client_for(bucket, endpoint_url, session), bucket, session, pace=pace)

    def put(self, key: str, content: bytes | memoryview, crc64nvme: str, *, replacing: str | None) -> Stored:
        """Write an object in one request."""
        condition = {"if-none-match": "*"} if replacing is None else {"if-match": replacing}
        etag = self._send(quote(key, safe="/~"), content, {"x-amz-checksum-crc64nvme": crc64nvme, **condition})
        if etag is None:
            self._wait_for(len(content))
            return super().put(key, content, crc64nvme, replacing=replacing)
        return Stored(key, len(content), etag, crc64nvme)

    def upload_part(self, upload: Upload, number: int, content: bytes | memoryview, crc64nvme: str) -> Part:
        """Send one part."""
        path = f"{quote(upload.key, safe='/~')}?partNumber={number}&uploadId={quote(upload.upload_id, safe='~')}"
        etag = self._send(path, content, {"x-amz-checksum-crc64nvme": crc64nvme})
        if etag is None:
            self._wait_for(len(content))
            return super().upload_part(upload, number, content, crc64nvme)
        return Part(number, len(content), etag, crc64nvme)

    def read(self, key: str, start: int, length: int) -> bytes | bytearray:
        """Bytes of an object, received into their place."""
        content = bytearray(length)
        with memoryview(content) as view:
            asked = {"range": f"bytes={start}-{start + length - 1}"}
            filled = self._do("GET", quote(key, safe="/~"), asked, None, lambda answer: self._fill(answer, view))
        if filled is None:
            self._wait_for(length)
            return super().read(key, start, length)
        return content if filled == length else content[:filled]

    def _page(self, prefix: str, token: str | None) -> tuple[Sequence[Stored], str | None]:
        """A page of a listing. botocore's own reader takes most of the time of a long one."""
        asked = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        if token is not None:
            asked["continuation-token"] = token
        query = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted(asked.items()))
        found = self._do("GET", f"?{query}", {}, None, _listed)
        return super()._page(prefix, token) if found is None else found

    def close(self) -> None:
        """Close the connections that are kept."""
        while (connection := self._kept()) is not None:
            connection.close()

    # ---- one request ----

    def _send(self, path: str, content: bytes | memoryview, headers: Mapping[str, str]) -> str | None:
        def etag(answer: HTTPResponse) -> str:
            answer.read()
            return answer.headers["etag"]

        return self._do("PUT", path, {**headers, "content-length": str(len(content))}, content, etag)

    def _fill(self, answer: HTTPResponse, view: memoryview) -> int:
        """Receive a body, as much of it as was asked for. Raises _Passing where it breaks off."""
        expected = min(len(view), int(answer.headers["content-length"]))
        filled = 0
        while filled < expected:
            end = expected if self._pace is None else min(expected, filled + PACED_BYTES)
            self._wait_for(end - filled)
            count = answer.readinto(view[filled:end])
            if not count:
                raise _Passing(f"the answer broke off after {filled} of {expected} bytes")
            filled += count
        answer.read()
        return filled

    def _wait_for(self, count: int) -> None:
        if self._pace is not None:
            self._pace.take(count)

    def _do(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | memoryview | None,
        take: Callable[[HTTPResponse], T],
    ) -> T | None:
        """Ask until there is an answer. None: it is for botocore to ask. Raises TransferError after all tries."""
        failures, afresh = 0, False
        while (route := self._found_route()) is not None:
            self._patience.hold()
            connection = None if afresh else self._kept()
            kept = connection is not None
            connection = connection or self._connect(route)
            try:
                answer = self._exchange(connection, route, method, path, headers, content)
                taken = self._judge(answer, route, take)
            except (OSError, HTTPException, _Passing, BotoCoreError) as error:
                connection.close()
                if isinstance(error, (ssl.SSLCertVerificationError, BotoCoreError)):
                    return None
                # A server may close a connection that it finds idle: that says nothing about the next one.
                afresh = kept and not isinstance(error, _Passing)
                if afresh:
                    continue
                failures += 1
                passing = error if isinstance(error, _Passing) else _Passing("")
                if failures == TRIES and passing.corrupted:
                    return None
                if failures == TRIES:
                    raise self._given_up(path, error) from error
                self._patience.after(failures, throttled=passing.throttled, retry_after_s=passing.retry_after_s)
                continue
            self._keep(connection, answer)
            return taken
        return None

    def _exchange(
        self,
        connection: HTTPConnection,
        route: Route,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | memoryview | None,
    ) -> HTTPResponse:
        target = route.base + path
        request = AWSRequest(method, f"{route.scheme}://{route.host}{target}", headers=dict(headers))
        if (credentials := self._session.get_credentials()) is None:
            raise NoCredentialsError
        _Unsigned(credentials.get_frozen_credentials(), "s3", route.region).add_auth(request)
        body = content if content is None or self._pace is None else self._slices(content)
        # A server that refuses may hang up before it has read all: then its answer says why.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, target, body, dict(request.headers.items()))
        return connection.getresponse()

    def _slices(self, content: bytes | memoryview) -> Iterator[memoryview]:
        with memoryview(content) as view:
            for start in range(0, len(view), PACED_BYTES):
                piece = view[start : start + PACED_BYTES]
                self._wait_for(len(piece))
                yield piece

    def _judge(self, answer: HTTPResponse, route: Route, take: Callable[[HTTPResponse], T]) -> T | None:
        """What was asked for, or None where botocore is to ask. Raises _Passing."""
        if answer.status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return take(answer)
        text = answer.read(LARGEST_ANSWER_BYTES).decode(errors="replace")
        found = re.search("<Code>([^<]*)</Code>", text)
        code = found[1] if found else ""
        said = f"HTTP {answer.status} {code or answer.reason}"
        if answer.status in PASSING or code in CORRUPTED or code == "RequestTimeout":
            after = answer.headers.get("retry-after", "")
            wait = min(float(after), LONGEST_WAIT_S) if after.isdecimal() else 0.0
            raise _Passing(said, throttled=answer.status in THROTTLED, corrupted=code in CORRUPTED, retry_after_s=wait)
        if answer.status in (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.BAD_REQUEST):
            # The bucket is elsewhere: botocore follows, and this way is given up.
            with self._lock:
                self._route = None
        return None

    def _given_up(self, path: str, error: Exception) -> TransferError:
        key = unquote(path.split("?")[0])
        said = " ".join(str(error).split()) or type(error).__name__
        return TransferError(
            f"s3://{self.bucket}/{key}: {said}, {TRIES} times; run the same command again, it goes on from here"
        )

    # ---- the way there ----

    def _found_route(self) -> Route | None:
        """Where botocore would go. None where something stands between, or there are no credentials: botocore knows."""
        with self._lock:
            if not self._looked:
                self._looked = True
                with suppress(BotoCoreError):
                    url = self._client.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": "k"})
                    parts = urlsplit(url)
                    if not get_environ_proxies(url):
                        region = parse_qs(parts.query)["X-Amz-Credential"][0].split("/")[2]
                        self._route = Route(parts.scheme, parts.netloc, parts.path.removesuffix("k"), region)
            return self._route

    def _connect(self, route: Route) -> HTTPConnection:
        if route.scheme == "http":
            return HTTPConnection(route.host, timeout=TIMEOUT_S)
        return HTTPSConnection(route.host, timeout=TIMEOUT_S, context=self._tls)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        bundle = self._session.get_config_variable("ca_bundle")
        return ssl.create_default_context(cafile=bundle or get_cert_path(True))

    def _kept(self) -> HTTPConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _keep(self, connection: HTTPConnection, answer: HTTPResponse) -> None:
        if answer.isclosed() and not answer.will_close:
            self._idle.append(connection)
        else:
            connection.close()


def _listed(answer: HTTPResponse) -> tuple[Sequence[Stored], str | None] | None:
    """What a page of a listing says, or None where it is none: S3 may say 200 and then that it failed.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
    """
    page: list[Stored] = []
    try:
        root = ElementTree.fromstring(answer.read())  # noqa: S314 - expat itself refuses what grows without end
        if root.tag != f"{S3_XML}ListBucketResult":
            return None
        encoded = root.findtext(f"{S3_XML}EncodingType") == "url"
        for entry in root.iterfind(f"{S3_XML}Contents"):
            told = {part.tag: part.text or "" for part in entry}
            key, size, etag = (told[f"{S3_XML}{name}"] for name in ("Key", "Size", "ETag"))
            page.append(Stored(unquote_plus(key) if encoded else key, int(size), etag))
    except (ElementTree.ParseError, KeyError, ValueError):
        return None
    return page, root.findtext(f"{S3_XML}NextContinuationToken") or None
