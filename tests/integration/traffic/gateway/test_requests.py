"""What becomes of requests, and what the logs say of them: a real Envoy between two engines that live."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from ferry.traffic.gateway import Mirror
from ferry.traffic.gateway.folder import replace_whole
from ferry.traffic.tokens import envoy_filters
from tests.gateways import DOMAIN, Site, wait_until

CHAT = "/v1/chat/completions"


def test_weights_move_the_traffic_without_a_restart(site: Site) -> None:
    assert site.gateway.served_by(10) == {"local": 10}
    site.gateway.route(weights={"local": 0, "cloud": 100})
    assert site.gateway.served_by(10) == {"cloud": 10}
    site.gateway.route(weights={"local": 50, "cloud": 50})
    divided = site.gateway.served_by(100)
    assert divided.total() == 100
    assert 20 < divided["cloud"] < 80  # a fair coin leaves this range once in 10⁹ runs
    assert site.gateway.process.poll() is None


def test_the_log_has_what_the_gate_and_the_audit_need_and_no_prompt(site: Site) -> None:
    before = site.gateway.folder.access_log.stat().st_size if site.seen[0] else 0
    site.gateway.post(
        f"{CHAT}?api_key=HIDDEN", '{"prompt": "HIDDEN"}', authorization="Bearer HIDDEN", x_model_version="a"
    )
    (line,) = site.lines(1)
    (attempt,) = site.upstream(1)
    for log in (site.gateway.folder.access_log, site.gateway.folder.upstream_log, site.gateway.folder.envoy_log):
        assert "HIDDEN" not in log.read_text()
    assert site.gateway.folder.access_log.stat().st_size > before
    assert site.local.requests[0]["path"] == f"{CHAT}?api_key=HIDDEN"
    port = site.local.port
    assert {key: value for key, value in line.items() if not re.search("time|_ms$|request_id", key)} == {
        **dict.fromkeys(("tenant", "subject", "token_id", "stream_end")),
        **{"client": "127.0.0.1", "method": "POST", "path": CHAT, "protocol": "HTTP/1.1", "model_version": "a"},
        **{"status": 200, "flags": "-", "details": "via_upstream", "finished": True, "streamed": False},
        **{"route": "weights", "aimed": "local-then-cloud", "cluster": "local", "upstream": f"127.0.0.1:{port}"},
        **{"attempts": 1, "prompt_tokens": 3, "completion_tokens": 4},
        **{"bytes_received": 20, "bytes_sent": len(site.gateway.post().body)},
    }
    assert 0 <= line["first_byte_ms"] <= line["duration_ms"] < 10_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["start_time"])
    assert re.fullmatch(r"[0-9a-f-]{36}", line["request_id"])
    assert set(attempt) == set(line) | {"mirrored"}
    assert (attempt["request_id"], attempt["cluster"], attempt["mirrored"]) == (line["request_id"], "local", False)


@pytest.mark.parametrize(
    ("answer", "status", "flags", "streamed", "finished", "stream_end", "tokens"),
    [
        ("200", 200, "-", False, True, None, (3, 4)),
        ("503", 503, "-", False, True, None, (3, 4)),
        ("stream", 200, "-", True, True, "done", (7, 5)),
        ("endless stream", 200, "-", True, False, None, (7, 5)),
        ("cut stream", 200, "UPE", True, False, None, (None, None)),
        ("cut", 502, "UPE", False, False, None, (None, None)),
        ("close", 503, "UC", False, False, None, (None, None)),
    ],
)
def test_the_log_tells_whole_answers_from_cut_ones(
    site: Site,
    answer: str,
    status: int,
    flags: str,
    streamed: bool,
    finished: bool,
    stream_end: str | None,
    tokens: tuple[int | None, int | None],
) -> None:
    site.local.answer = answer
    assert site.gateway.post().status == status
    (line,) = site.lines(1)
    assert (line["status"], line["flags"], line["streamed"], line["finished"], line["stream_end"]) == (
        *(status, flags, streamed, finished, stream_end),
    )
    assert (line["prompt_tokens"], line["completion_tokens"]) == tokens
    # Whatever became of it, it reached an engine, and a second try might generate twice.
    assert len(site.local.requests) == 1
    assert site.cloud.requests == []


def test_a_client_that_hangs_up_is_told_from_a_cut_answer(site: Site) -> None:
    site.local.answer = "waiting stream"
    site.gateway.hang_up()
    (line,) = site.lines(1)
    assert (line["status"], line["flags"], line["finished"]) == (200, "DC", False)
    assert line["details"] == "downstream_remote_disconnect"


def test_a_stream_outlives_a_change_of_weights(site: Site) -> None:
    site.local.answer = "waiting stream"
    answers = []
    client = threading.Thread(target=lambda: answers.append(site.gateway.post()))
    client.start()
    wait_until(lambda: len(site.local.requests) == 1)
    site.gateway.route(weights={"local": 0, "cloud": 100})
    assert site.gateway.served_by(5) == {"cloud": 5}
    site.local.go_on.set()
    client.join()
    assert [(answer.status, answer.whole, answer.body.count("data: ")) for answer in answers] == [(200, True, 3)]


def test_copies_go_to_the_candidate_and_nobody_waits_for_their_answers(site: Site) -> None:
    site.gateway.route(mirror=Mirror(cluster="cloud", percent=100))
    site.cloud.answer = "cut stream"
    answer = site.gateway.post(authorization="Bearer token", x_ferry_mirrored="1")
    assert (answer.name, answer.status) == ("local", 200)
    lines = {line["mirrored"]: line for line in site.upstream(2)}
    assert (lines[False]["cluster"], lines[False]["finished"]) == ("local", True)
    assert (lines[True]["cluster"], lines[True]["finished"], lines[True]["streamed"]) == ("cloud", False, True)
    assert lines[True]["request_id"] == lines[False]["request_id"]
    (copy,) = site.cloud.requests
    assert (copy["host"], copy["x-ferry-mirrored"], copy["authorization"]) == (DOMAIN, "1", "Bearer token")
    (original,) = site.local.requests
    assert "x-ferry-mirrored" not in original
    assert len(site.lines(1)) == 1


def test_a_dead_candidate_harms_nobody_while_it_is_only_shown_copies(site: Site) -> None:
    site.gateway.route(mirror=Mirror(cluster="cloud", percent=100))
    site.cloud.answer = "close"
    assert site.gateway.served_by(5) == {"local": 5}


def test_a_user_stays_with_one_engine(site: Site) -> None:
    site.gateway.route(weights={"local": 50, "cloud": 50}, user_header="x-user")
    served = {user: site.gateway.served_by(4, x_user=f"user-{user}") for user in range(12)}
    assert all(len(engines) == 1 for engines in served.values())
    assert {engine for engines in served.values() for engine in engines} == {"local", "cloud"}


def test_with_tokens_a_user_is_the_tokens_subject_whatever_the_client_says(site: Site) -> None:
    key = ECKey.generate_key("P-256", {"kid": "one", "alg": "ES256", "use": "sig"})
    jwks = {"keys": [key.as_dict(private=False)]}
    now = int(time.time())
    claims = {"iss": "i", "aud": "a", "jti": "1", "tenant": "acme", "iat": now, "nbf": now, "exp": now + 600}
    everybody = site.gateway.folder.filter_file("authentication").read_text()
    loaded = site.gateway.admin.filters()["authentication"]
    checked = envoy_filters.authentication(
        jwks, issuer="i", audience="a", max_lifetime_seconds=3600, user_header="x-user"
    )
    site.gateway.route(weights={"local": 50, "cloud": 50}, user_header="x-user")
    site.gateway.folder.write_filter("authentication", checked)
    try:
        wait_until(lambda: site.gateway.admin.filters()["authentication"] != loaded)
        served = []
        for user in range(12):
            token = jwt.encode({"alg": "ES256", "kid": "one"}, claims | {"sub": f"user-{user}"}, key)
            said = [site.gateway.post(authorization=f"Bearer {token}", x_user=f"other-{at}").name for at in range(4)]
            served.append(set(said))
        assert all(len(engines) == 1 for engines in served)
        assert set.union(*served) == {"local", "cloud"}
        assert {request["x-user"] for request in site.local.requests + site.cloud.requests} == {
            f"user-{user}" for user in range(12)
        }
        line = site.lines(48)[0]
        assert (line["tenant"], line["subject"], line["token_id"]) == ("acme", "user-0", "1")
        assert token not in site.gateway.folder.access_log.read_text()
    finally:
        loaded = site.gateway.admin.filters()["authentication"]
        site.gateway.folder.write_filter("authentication", everybody)
        wait_until(lambda: site.gateway.admin.filters()["authentication"] != loaded)


def test_the_cloud_sees_its_own_name_and_the_version_that_was_asked_for(site: Site) -> None:
    site.gateway.route(weights={"local": 0, "cloud": 100})
    assert site.gateway.post(x_model_version="canary").name == "cloud"
    (seen,) = site.cloud.requests
    assert (seen["host"], seen["x-model-version"]) == (DOMAIN, "canary")
    assert set(site.cloud.server_names) == {DOMAIN}


@pytest.mark.parametrize(("path", "status"), [(CHAT, 500), ("/v1/embeddings", 200)])
def test_only_chat_answers_are_held_back_for_their_tokens_and_so_bounded(site: Site, path: str, status: int) -> None:
    site.local.padding = 9 * 2**20
    assert site.gateway.post(path).status == status
    (line,) = site.lines(1)
    assert (line["prompt_tokens"], line["flags"], line["finished"]) == (None, "-", status == 200)


def test_a_request_that_is_too_long_to_be_kept_passes(site: Site) -> None:
    assert site.gateway.post(body="x" * (9 * 2**20)).status == 200
    assert site.lines(1)[0]["bytes_received"] == 9 * 2**20


def test_routes_that_envoy_refuses_leave_traffic_as_it_was(site: Site) -> None:
    good = site.gateway.route(weights={"local": 0, "cloud": 100})
    refused = site.gateway.admin.refused()
    replace_whole(site.gateway.folder.routes_file, good.dump().replace("timeout: 0s", "timeout: for ever"))
    wait_until(lambda: site.gateway.admin.refused() > refused)
    assert site.gateway.served_by(3) == {"cloud": 3}
    assert site.gateway.admin.applied_routes() == good


def test_a_refusal_is_reported_with_envoys_reason(site: Site, wait_applied: Callable[..., str]) -> None:
    assert re.search(
        r"refused the routes 0-[0-9a-f]{16}: route: unknown weighted cluster 'nowhere'; traffic stays as it was$",
        wait_applied(site.gateway, weights={"local": 50, "nowhere": 50}),
    )


def test_envoy_runs_what_was_written_with_its_generation(site: Site) -> None:
    routes = site.gateway.route(
        weights={"local": 75, "cloud": 25}, mirror=Mirror(cluster="cloud", percent=5), user_header="x-user"
    )
    assert site.gateway.admin.applied_routes() == routes
    fence = site.gateway.folder.take_over()
    wait_until(lambda: site.gateway.admin.applied_generation() == fence)
    assert fence == routes.generation + 1
