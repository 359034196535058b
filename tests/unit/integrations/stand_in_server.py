"""A server with the chat interface of OpenAI on this machine: it runs a model, or what a test says.

``faults`` are played first, one for each question: a status, a text that is no JSON, a document.
"""

import json
import threading
import time
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from holdfast.evaluation.generate import replies


class StandIn:
    def __init__(self, model=None, tokenizer=None, names=("tiny",)):
        self.model, self.tokenizer, self.names = model, tokenizer, names
        self.faults, self.asked, self.keys = deque(), [], []
        self.lock = threading.Lock()

    def answer(self, body):
        """Return (status, document or text, headers)."""
        with self.lock:
            self.asked.append(body)
            fault = self.faults.popleft() if self.faults else None
            if isinstance(fault, float):
                time.sleep(fault)
            elif fault is not None:
                return fault
            [said] = replies(
                self.model, self.tokenizer, [body["messages"]], max_new_tokens=body["max_tokens"]
            )
        reason = "length" if said.cut else "stop"
        message = {"role": "assistant", "content": said.text}
        return 200, {"choices": [{"message": message, "finish_reason": reason}]}, {}

    @contextmanager
    def running(self):
        """Give the address while the server runs."""
        served = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def send(self, status, document, headers):
                text = document if isinstance(document, str) else json.dumps(document)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def do_GET(self):
                served.keys.append(self.headers.get("Authorization"))
                rows = [{"id": name} for name in served.names]
                self.send(200, {"data": rows}, {}) if rows else self.send(404, "", {})

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                self.send(*served.answer(json.loads(self.rfile.read(length))))

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}/v1"
            finally:
                server.shutdown()
                thread.join()
