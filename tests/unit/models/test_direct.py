"""The transport's own requests, against a server that answers as it is told."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ferry.errors import TransferError
from ferry.models.checksums import crc64nvme
from ferry.models.direct import DirectTransport
from ferry.models.patience import Pace, Patience
from ferry.models.s3 import S3Transport, client_for
from ferry.models.transport import Part, Stored, Upload

UPLOAD = Upload("models/r1/1/词 表", "id/1")


class Server(ThreadingHTTPServer):
    """`answers` are used up one by one: status, headers, body; None hangs up without an answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, dict[str, str], bytes] | None] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.command, self.path, headers, body))
        answer = self.server.answers.pop(0)
        if answer is None:
            self.close_connection = True
            return
        status, more, content = answer
        self.send_response(status)
        for name, value in ({"content-length": str(len(content))} | more).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        if int(more.get("content-length", len(content))) > len(content):
            self.close_connection = True

    do_PUT = do_GET = _answer  # noqa: N815 - the names that the base class looks for

    def handle(self) -> None:
        with suppress(OSError):  # a client that does not trust the certificate hangs up
            super().handle()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def transport(server: Server, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[DirectTransport]:
    for name, value in (("ACCESS_KEY_ID", "ferry"), ("SECRET_ACCESS_KEY", "x"), ("SESSION_TOKEN", "short-lived")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "cn-north-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    session = get_session()
    client = client_for("weights", f"http://127.0.0.1:{server.server_port}", session)
    patience = Patience(clock=lambda: sum(waits), sleep=waits.append, chance=lambda: 1.0)
    made = DirectTransport(client, "weights", session, patience=patience)
    yield made
    made.close()


def certificate_for_loopback(folder: Path) -> Path:
    """A certificate of 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "store.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path


def done(etag: str = '"e"') -> tuple[int, dict[str, str], bytes]:
    return 200, {"etag": etag}, b""


def refused(status: int, code: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return (
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
        f"<Error><Code>{code}</Code></Error>".encode(),
    )


@pytest.fixture
def by_botocore(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is left to botocore."""
    left: list[str] = []

    def instead(name: str, result: Any) -> Callable[..., Any]:
        return lambda self, *arguments, **more: (left.append(name), result)[1]

    monkeypatch.setattr(S3Transport, "upload_part", instead("upload_part", Part(1, 5, "b", None)))
    monkeypatch.setattr(S3Transport, "read", instead("read", b"botocore"))
    monkeypatch.setattr(S3Transport, "put", instead("put", None))
    return left


def test_a_part_is_signed_by_its_checksum_with_the_sessions_own_credentials(
    transport: DirectTransport, server: Server
) -> None:
    server.answers = [done('"abc"')]
    checksum = crc64nvme(b"hello")
    assert transport.upload_part(UPLOAD, 3, b"hello", checksum) == Part(3, 5, '"abc"', checksum)
    [(method, path, headers, body)] = server.asked
    assert (method, body) == ("PUT", b"hello")
    assert path == "/weights/models/r1/1/%E8%AF%8D%20%E8%A1%A8?partNumber=3&uploadId=id%2F1"
    assert headers["x-amz-checksum-crc64nvme"] == checksum
    assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert headers["x-amz-security-token"] == "short-lived"
    assert "/cn-north-1/s3/aws4_request, SignedHeaders=" in headers["authorization"]
    assert "x-amz-checksum-crc64nvme" in headers["authorization"]


@pytest.mark.parametrize(("replacing", "header"), [(None, ("if-none-match", "*")), ('"e"', ("if-match", '"e"'))])
def test_an_object_is_written_under_its_condition(
    transport: DirectTransport, server: Server, replacing: str | None, header: tuple[str, str]
) -> None:
    server.answers = [done()]
    transport.put("k", b"", crc64nvme(b""), replacing=replacing)
    assert header in server.asked[0][2].items()


def test_a_range_is_received_and_the_connection_used_again(transport: DirectTransport, server: Server) -> None:
    server.answers = [(206, {}, b"hello"), (206, {}, b"hel")]
    assert transport.read("k", 10, 5) == b"hello"
    assert transport.read("k", 10, 5) == b"hel"
    assert [headers["range"] for _, _, headers, _ in server.asked] == ["bytes=10-14"] * 2
    assert server.connections == 1


@pytest.mark.parametrize(
    ("failure", "waited"),
    [
        (refused(503, "SlowDown"), [0.5]),
        (refused(503, "SlowDown", retry_after="3"), [3.0]),
        (refused(500, "InternalError"), [0.1]),
        (refused(400, "RequestTimeout"), [0.1]),
        (refused(400, "BadDigest"), [0.1]),
        (None, [0.1]),
        ((206, {"content-length": "5"}, b"he"), [0.1]),
    ],
)
def test_what_fails_for_the_moment_is_asked_again_after_a_wait(
    transport: DirectTransport, server: Server, waits: list[float], failure: Any, waited: list[float]
) -> None:
    server.answers = [failure, (206, {}, b"hello")]
    assert transport.read("k", 0, 5) == b"hello"
    assert waits == waited


def test_a_connection_that_was_closed_while_idle_costs_no_wait(
    transport: DirectTransport, server: Server, waits: list[float]
) -> None:
    server.answers = [(206, {}, b"hello"), None, (206, {}, b"again")]
    transport.read("k", 0, 5)
    assert transport.read("k", 0, 5) == b"again"
    assert (waits, server.connections) == ([], 2)


def test_after_ten_tries_the_last_answer_is_said(transport: DirectTransport, server: Server) -> None:
    server.answers = [refused(500, "InternalError")] * 10
    with pytest.raises(TransferError) as caught:
        transport.upload_part(UPLOAD, 1, b"hello", crc64nvme(b"hello"))
    assert str(caught.value) == (
        "s3://weights/models/r1/1/词 表: HTTP 500 InternalError, 10 times; "
        "run the same command again, it goes on from here"
    )
    assert server.answers == []


@pytest.mark.parametrize(
    ("answer", "next_too"), [(refused(403, "AccessDenied"), False), (refused(301, "PermanentRedirect"), True)]
)
def test_what_does_not_pass_is_left_to_botocore_and_a_redirect_for_good(
    transport: DirectTransport, server: Server, by_botocore: list[str], answer: Any, next_too: bool
) -> None:
    server.answers = [answer, done()]
    transport.upload_part(UPLOAD, 1, b"hello", crc64nvme(b"hello"))
    assert by_botocore == ["upload_part"]
    transport.upload_part(UPLOAD, 2, b"hello", crc64nvme(b"hello"))
    assert len(by_botocore) == (2 if next_too else 1)


def test_behind_a_proxy_all_is_left_to_botocore(
    transport: DirectTransport, server: Server, by_botocore: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert transport.read("k", 0, 5) == b"botocore"
    assert (by_botocore, server.asked) == (["read"], [])


@pytest.mark.parametrize("trusted", [True, False])
def test_over_tls_only_a_server_whose_certificate_is_trusted_is_told_anything(
    server: Server,
    transport: DirectTransport,
    by_botocore: list[str],
    trusted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = certificate_for_loopback(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    if trusted:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    session = get_session()
    client = client_for("weights", f"https://127.0.0.1:{server.server_port}", session)
    over_tls = DirectTransport(client, "weights", session)
    server.answers = [(206, {}, b"hello")]
    assert over_tls.read("k", 0, 5) == (b"hello" if trusted else b"botocore")
    assert len(server.asked) == (1 if trusted else 0)
    assert by_botocore == ([] if trusted else ["read"])
    over_tls.close()


def test_bytes_that_arrive_altered_each_time_are_left_to_botocore_to_name(
    transport: DirectTransport, server: Server, by_botocore: list[str]
) -> None:
    server.answers = [refused(400, "BadDigest")] * 10
    transport.upload_part(UPLOAD, 1, b"hello", crc64nvme(b"hello"))
    assert (by_botocore, server.answers) == (["upload_part"], [])


def test_the_limit_is_kept_in_both_directions(server: Server, transport: DirectTransport) -> None:
    slept: list[float] = []
    pace = Pace(2**16, clock=lambda: sum(slept), sleep=slept.append)
    limited = DirectTransport(transport._client, "weights", transport._session, pace=pace)
    content = bytes(3 * 2**16)
    server.answers = [done(), (206, {}, content)]
    limited.upload_part(UPLOAD, 1, content, crc64nvme(content))
    assert sum(slept) == 2.0
    assert server.asked[0][3] == content
    assert limited.read("k", 0, len(content)) == content
    assert sum(slept) == 5.0
    limited.close()


def listing(*entries: tuple[str, int, str], more: str = "") -> tuple[int, dict[str, str], bytes]:
    """A page as S3 writes it, keys encoded as they were asked for."""
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-11-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size></Contents>"
        for key, size, etag in entries
    )
    return (
        200,
        {},
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>weights</Name>{more}<EncodingType>url</EncodingType>{contents}</ListBucketResult>".encode(),
    )


def test_all_pages_of_a_listing_are_read_and_their_keys_decoded(transport: DirectTransport, server: Server) -> None:
    server.answers = [
        listing(("a/x+y%2Bz", 3, "e1"), more="<NextContinuationToken>t/1 </NextContinuationToken>"),
        listing(("a/%E8%AF%8D%0A", 5 * 2**40, "e2")),
    ]
    assert list(transport.list("a/")) == [Stored("a/x y+z", 3, '"e1"'), Stored("a/词\n", 5 * 2**40, '"e2"')]
    assert [path for _, path, _, _ in server.asked] == [
        "/weights/?encoding-type=url&list-type=2&prefix=a%2F",
        "/weights/?continuation-token=t%2F1%20&encoding-type=url&list-type=2&prefix=a%2F",
    ]


@pytest.mark.parametrize(
    "odd",
    [
        (200, {}, b"<Error><Code>InternalError</Code></Error>"),
        (200, {}, b"<ListBucketResult"),
        (200, {}, b""),
        (
            *listing(("k", 3, "e"))[:2],
            b"<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>",
        ),
        refused(404, "NoSuchBucket"),
    ],
)
def test_a_page_that_cannot_be_read_is_left_to_botocore_and_the_others_are_not(
    transport: DirectTransport, server: Server, odd: Any
) -> None:
    server.answers = [
        listing(("a", 1, "e1"), more="<NextContinuationToken>t</NextContinuationToken>"),
        odd,
        listing(("b", 2, "e2"), more="<NextContinuationToken>u</NextContinuationToken>"),
        listing(("c", 3, "e3")),
    ]
    assert [found.key for found in transport.list("")] == ["a", "b", "c"]
    assert len(server.asked) == 4


def test_a_listing_that_breaks_off_is_asked_for_again(
    transport: DirectTransport, server: Server, waits: list[float]
) -> None:
    whole = listing(("a", 1, "e1"))
    server.answers = [(200, {"content-length": str(len(whole[2]))}, whole[2][:-5]), whole]
    assert [found.key for found in transport.list("")] == ["a"]
    assert waits == [0.1]
