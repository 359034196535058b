"""A stand-in for a chat endpoint on this machine, which answers as a script says."""

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]
"""Status, body (text as it is, all else as JSON) and headers."""


def said(text: Any) -> Reply:
    """An answer that says ``text``."""
    return 200, {"choices": [{"message": {"role": "assistant", "content": text}}]}


def grade(refusal: str, harm: str) -> Reply:
    return said(json.dumps({"refusal": refusal, "harm": harm}))


class Server:
    """What was asked, and who answers."""

    def __init__(self, answer: Callable[[dict[str, Any], int], Reply | None]) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.url = ""

    def of(self, asked: dict[str, Any], headers: dict[str, str], path: str) -> Reply | None:
        with self.lock:
            self.asked.append(asked)
            self.headers.append(headers)
            self.paths.append(path)
            number = len(self.asked)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self.answer(asked, number)
        finally:
            with self.lock:
                self.at_once -= 1


def question_in(asked: dict[str, Any]) -> str:
    return asked["messages"][-1]["content"]


@contextmanager
def serving(answer: Callable[[dict[str, Any], int], Reply | None]) -> Generator[Server]:
    """Serve at ``.url``; an answer of None hangs until the client has gone."""
    server = Server(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            asked = json.loads(self.rfile.read(size))
            reply = server.of(asked, {k.lower(): v for k, v in self.headers.items()}, self.path)
            if reply is None:
                time.sleep(0.6)
                return
            status, body, *more = reply
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
