"""A small web page that says hello: Python's standard library and nothing else.

PORT is the port to listen on, GREETING is what to say.
"""

import html
import os
import platform
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
FACTS = {
    "greeting": os.environ.get("GREETING", "Hello from Alibaba Cloud"),
    "host": socket.gethostname(),
    "python": platform.python_version(),
    "release": Path(__file__).resolve().parent.name[:12],
}


def page() -> str:
    """The page with its facts filled in, each of them escaped."""
    text = PAGE
    for name, value in FACTS.items():
        text = text.replace("{{%s}}" % name, html.escape(value))
    return text


class Handler(BaseHTTPRequestHandler):
    """Answers `/` with the page and `/healthz` with `ok`."""

    server_version = "hello-web"

    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, "text/plain", "ok\n")
        elif self.path == "/":
            self.answer(200, "text/html", page())
        else:
            self.answer(404, "text/plain", "there is nothing here\n")

    def answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind + "; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    port = int(os.environ.get("PORT", "8080"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = ThreadingHTTPServer(("", port), Handler)
    print(f"listening on port {port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
