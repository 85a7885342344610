"""The client says in one sentence what went wrong, and speaks HTTP as the contract wants it."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.cli.client import Client, api_path
from scheduler.cli.errors import RequestFailed, TimedOut, Unreachable
from tests.unit.cli.contract_server import WORKFLOW, ContractServer, Reply, Request, ok, refused, stream


@pytest.fixture
def client(server: ContractServer) -> Iterator[Client]:
    with Client(server.url) as made:
        yield made


def test_get_gives_data_and_what_stands_beside_it(server: ContractServer, client: Client) -> None:
    server.on("GET", "/api/workflows", ok([WORKFLOW], pagination={"page": 1}))
    answer = client.get(api_path("workflows"), {"status": "completed", "page": None})
    assert answer.data == [WORKFLOW]
    assert answer.envelope["pagination"] == {"page": 1}
    assert server.requests[0].query == {"status": "completed"}
    assert server.requests[0].headers["accept-language"] == "en"


@pytest.mark.parametrize("name", ["数据", "a b", "a/b", "50%", "ü?x=1#y"])
def test_a_name_is_one_part_of_the_path(server: ContractServer, client: Client, name: str) -> None:
    server.on("GET", f"/api/workflows/{name}", ok("found"))
    assert client.get(api_path("workflows", name)).data == "found"
    assert server.requests[0].raw_target.isascii()


def test_post_sends_json(server: ContractServer, client: Client) -> None:
    server.on("POST", "/api/workflows", ok("made"))
    assert client.post(api_path("workflows"), b'{"name":"x"}').data == "made"
    assert server.requests[0].body == b'{"name":"x"}'
    assert server.requests[0].headers["content-type"] == "application/json"


def test_a_chinese_locale_is_answered_in_chinese(
    server: ContractServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    server.on("GET", "/api/workflows", ok([]))
    client.get(api_path("workflows"))
    assert server.requests[0].headers["accept-language"] == "zh"


def test_the_error_envelope_becomes_an_exception(server: ContractServer, client: Client) -> None:
    problems = [{"path": "workers[0].command", "message": "is missing"}, {"path": "", "message": "no workers"}]
    server.on("POST", "/api/workflows", refused(422, "VALIDATION_ERROR", "2 problems", problems))
    with pytest.raises(RequestFailed) as caught:
        client.post(api_path("workflows"), b"{}")
    assert (caught.value.status, caught.value.code) == (422, "VALIDATION_ERROR")
    assert caught.value.lines() == ["wattle: 2 problems", "  workers[0].command: is missing", "  no workers"]


def test_a_cycle_reads_as_a_cycle(server: ContractServer, client: Client) -> None:
    server.on("POST", "/x", refused(422, "CIRCULAR_DEPENDENCY", "a cycle", {"cycle": ["a", "b", "a"]}))
    with pytest.raises(RequestFailed) as caught:
        client.post("/x")
    assert caught.value.details == ["cycle: a -> b -> a"]


def test_a_hundred_problems_do_not_fill_the_screen() -> None:
    many = RequestFailed(422, {"message": "many", "details": [{"path": str(at), "message": "x"} for at in range(100)]})
    assert len(many.lines()) == 52
    assert many.lines()[-1] == "  ... and 50 more"


def test_nothing_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with Client(url) as client, pytest.raises(Unreachable) as caught:
            client.get("/api/health")
    assert caught.value.message == f"nothing listens at {url}; start the daemon with 'wattle serve'"


def test_an_answer_that_never_comes_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, timeout_seconds=0.05) as client, pytest.raises(TimedOut, match="did not answer in time"):
            client.get("/api/health")


def test_after_the_deadline_nothing_is_asked(server: ContractServer) -> None:
    with Client(server.url, timeout_seconds=1e-9) as client, pytest.raises(TimedOut, match="--timeout"):
        client.get("/api/health")
    assert server.requests == []


def test_another_server_is_not_taken_for_the_daemon(server: ContractServer, client: Client) -> None:
    server.on("GET", "/api/health", Reply(body=b"<html>", content_type="text/html"))
    with pytest.raises(Unreachable, match="not as a Wattle daemon does"):
        client.get("/api/health")


def test_bytes_that_are_not_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=lambda: _say_and_close(listening, b"SSH-2.0-nonsense\r\n\r\n"))
        thread.start()
        with Client(f"127.0.0.1:{listening.getsockname()[1]}") as client, pytest.raises(Unreachable, match="broke"):
            client.get("/api/health")
        thread.join()


def _say_and_close(listening: socket.socket, said: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(said)


def test_a_connection_that_the_daemon_closed_is_replaced(server: ContractServer, client: Client) -> None:
    server.on("GET", "/api/health", Reply(body=ok("up").body, hang_up=True))
    assert [client.get("/api/health").data for _ in range(3)] == ["up", "up", "up"]


def test_a_post_is_never_sent_twice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=lambda: _say_and_close(listening, b""))
        thread.start()
        with Client(f"127.0.0.1:{listening.getsockname()[1]}") as client, pytest.raises(Unreachable):
            client.post("/api/workflows", b"{}")
        thread.join()
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_text_answers(server: ContractServer, client: Client) -> None:
    server.on("GET", "/graph", Reply(body="graph LR\n数据".encode(), content_type="text/plain"))
    server.on("GET", "/gone", refused(404, "WORKFLOW_NOT_FOUND", "Workflow 'x' does not exist"))
    assert client.get_text("/graph", {"format": "mermaid"}) == "graph LR\n数据"
    with pytest.raises(RequestFailed, match="does not exist"):
        client.get_text("/gone")


def test_events_resume_where_they_were(server: ContractServer, client: Client) -> None:
    server.on("GET", "/stream", stream(": ping", 'id: 1\ndata: {"a": "数"}', "event: end\ndata: {}"))
    events = list(client.events("/stream", {"tail": "all"}, last_event_id="a:1:2"))
    assert [(event.id, event.kind, event.data) for event in events] == [
        ("1", "message", '{"a": "数"}'),
        ("1", "end", "{}"),
    ]
    assert server.requests[0].headers["last-event-id"] == "a:1:2"
    assert server.requests[0].headers["accept"] == "text/event-stream"


def test_a_stream_that_breaks_says_so_after_what_came(server: ContractServer, client: Client) -> None:
    server.on("GET", "/stream", stream("id: 7\ndata: x", truncated=True))
    events = client.events("/stream")
    assert next(events).id == "7"
    with pytest.raises(Unreachable, match="broke"):
        next(events)


def test_a_refused_stream_is_an_error(server: ContractServer, client: Client) -> None:
    server.on("GET", "/stream", refused(404, "WORKER_NOT_FOUND", "no such worker"))
    with pytest.raises(RequestFailed, match="no such worker"):
        next(client.events("/stream"))


def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "wattle.sock")
    body = ok("here").body
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        thread = threading.Thread(target=lambda: _say_and_close(listening, answer))
        thread.start()
        with Client(f"unix://{path}") as client:
            assert client.get("/api/health").data == "here"
        thread.join()
    with Client(f"unix:{path}.gone") as client, pytest.raises(Unreachable, match="nothing listens at unix:"):
        client.get("/api/health")


def test_a_prefix_of_the_address_stays(server: ContractServer) -> None:
    server.on("GET", "/behind/proxy/api/health", ok("up"))
    with Client(server.url + "/behind/proxy/") as client:
        assert client.get("/api/health").data == "up"


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http:///x", "localhost:port"])
def test_an_address_must_be_one(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|[Pp]ort"):
        Client(url)


def test_requests_may_be_answered_by_their_query(server: ContractServer, client: Client) -> None:
    def echo(request: Request) -> Reply:
        return ok(request.query)

    server.on("GET", "/q", echo)
    assert client.get("/q", {"name": "数 据&x", "page": 2}).data == {"name": "数 据&x", "page": "2"}
