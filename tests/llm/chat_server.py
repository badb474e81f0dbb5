"""A chat server for tests: real HTTP on loopback, OpenAI's protocol, scripted answers.

    with ChatServer([status(429, retry_after="1"), say("hello")]) as server:
        config = LLMConfig(backend="openai", model="m", base_url=server.base_url)

The script says what each request gets: one reply for all, a list (the last one repeats), a generator, or
a function of what was asked. A text stands for ``say(text)``. The server counts what it was asked and
what it has answered in full, so that a test can tell whether anything was paid twice.

``python chat_server.py --delay 0.1`` runs one by itself and prints its address.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    number: int
    """0 for the first request that this server got."""
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any]
    at: float = 0.0
    """When it came, by the monotonic clock."""

    @property
    def messages(self) -> list[dict[str, str]]:
        return list(self.body.get("messages", []))

    @property
    def prompt(self) -> str:
        """The last message."""
        return str(self.messages[-1]["content"])

    @property
    def digest(self) -> str:
        """The same for the same question, whatever the form of it."""
        question = json.dumps([self.messages, self.body.get("seed")], sort_keys=True)
        return hashlib.sha256(question.encode()).hexdigest()


class Answered(NamedTuple):
    """One reply with status 200 that went out whole."""

    asked: Asked
    at: float
    """When its last byte was sent, by the monotonic clock."""


@dataclass(frozen=True)
class Reply:
    """What goes back."""

    status: int = 200
    body: Any = None
    """A JSON value, or bytes that are sent as they are."""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the first byte."""
    drip: float = 0.0
    """Seconds between the bytes of the body."""
    cut_after: int | None = None
    """Bytes of the body after which the connection is cut; -1 cuts before the status line."""

    def late(self, seconds: float) -> Reply:
        """The same, later."""
        return replace(self, delay=seconds)


Script = Reply | str | Sequence["Reply | str"] | Iterator["Reply | str"] | Callable[[Asked], "Reply | str"]


def say(
    content: Any,
    *,
    finish_reason: str | None = "stop",
    usage: Any = ...,
    headers: dict[str, str] | None = None,
    **message: Any,
) -> Reply:
    """A chat completion; further keywords go into its message."""
    choice = {
        "index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish_reason,
    }  # fmt: skip
    body: dict[str, Any] = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "scripted", "choices": [choice],
        "usage": {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30},
    }  # fmt: skip
    if usage is None:
        del body["usage"]
    elif usage is not ...:
        body["usage"] = usage
    return Reply(body=body, headers=headers or {})


def status(code: int, message: str = "no", *, error_code: str | None = None, retry_after: str | None = None) -> Reply:
    """An error as OpenAI words it."""
    error = {"message": message, "type": error_code or "error", "code": error_code, "param": None}
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Reply(status=code, body={"error": error}, headers=headers)


def quota() -> Reply:
    """A 429 that no waiting mends."""
    return status(429, "You exceeded your current quota.", error_code="insufficient_quota")


def page() -> Reply:
    """A web page where an API should be."""
    return Reply(body=b"<!doctype html><title>Welcome</title>", headers={"Content-Type": "text/html"})


def dripping(text: str, seconds: float) -> Reply:
    """An answer that comes byte by byte, so that no single read is ever late."""
    return replace(say(text), drip=seconds)


def cut(text: str, after: int = 40) -> Reply:
    """An answer whose connection breaks in mid-body; ``after=-1``: before anything came."""
    return replace(say(text), cut_after=after)


class ChatServer:
    """Serves until it is closed; use it in a ``with`` statement.

    Args:
        script: what the requests get.
        key: the key that a request must bring, or None.
        rejects: fields of the request body that are answered with 400.
        prefix: path of the address that the server hands out; requests must come below it.
    """

    def __init__(
        self, script: Script, *, key: str | None = None, rejects: Iterable[str] = (), prefix: str = "/v1"
    ) -> None:
        self.prefix = prefix
        self.asked: list[Asked] = []
        self.answers: list[Answered] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._next = _player(script)
        self._key = key
        self._rejects = frozenset(rejects)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """Address up to the prefix."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{self.prefix}"

    @property
    def count(self) -> int:
        """Requests that came, rejected ones included."""
        return len(self.asked)

    @property
    def paid_twice(self) -> list[str]:
        """Prompts of the questions that were answered in full more than once."""
        times = Counter(one.asked.digest for one in self.answers)
        return sorted({one.asked.prompt for one in self.answers if times[one.asked.digest] > 1})

    def close(self) -> None:
        """Stops listening and ends what still drips."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> ChatServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reply_to(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[Asked, Reply]:
        """Notes a request and picks its reply."""
        with self._lock:
            asked = Asked(len(self.asked), path, headers, body, time.monotonic())
            self.asked.append(asked)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            if path != f"{self.prefix}/chat/completions":
                return asked, status(404, f"no such path: {path}")
            if self._key is not None and headers.get("authorization") != f"Bearer {self._key}":
                return asked, status(401, f"Incorrect API key provided: {headers.get('authorization')}")
            for name in sorted(self._rejects & body.keys()):
                return asked, status(400, f"Unrecognized request argument supplied: {name}")
            reply = self._next(asked)
        return asked, say(reply) if isinstance(reply, str) else reply

    def ended(self, asked: Asked, *, answered: bool) -> None:
        """Notes that a reply went out, or broke off."""
        with self._lock:
            self._in_flight -= 1
            if answered:
                self.answers.append(Answered(asked, time.monotonic()))

    def wait(self, seconds: float) -> None:
        """Sleeps, but not beyond the end of the server."""
        self._closing.wait(seconds)


def _player(script: Script) -> Callable[[Asked], Reply | str]:
    if isinstance(script, Reply | str):
        return lambda asked: script
    if callable(script):
        return script
    if isinstance(script, Sequence):
        replies = list(script)
        return lambda asked: replies[min(asked.number, len(replies) - 1)]
    running = script
    return lambda asked: next(running, status(500, "the script is over"))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # all of a storm connects at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of many tests, and no news."""


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked, reply = server.reply_to(self.path, headers, body)
            answered = False
            try:
                server.wait(reply.delay)
                # What is sent to a client that has gone is no answer to anybody.
                answered = not self._hung_up() and self._send(reply) and reply.status == 200
            finally:
                server.ended(asked, answered=answered)

        def _hung_up(self) -> bool:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

        def _send(self, reply: Reply) -> bool:
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            if reply.cut_after == -1:
                self.close_connection = True
                return False
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if reply.cut_after is not None:
                self.wfile.write(data[: reply.cut_after])
                self.close_connection = True
                return False
            if reply.drip:
                for place in range(len(data)):
                    self.wfile.write(data[place : place + 1])
                    server.wait(reply.drip)
            else:
                self.wfile.write(data)
            return True

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    return Handler


def main() -> None:
    """Runs a server that says "hello", until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--text", default="hello", help="the answer")
    options = parser.parse_args()
    with ChatServer(say(options.text).late(options.delay)) as server:
        print(server.base_url, flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
