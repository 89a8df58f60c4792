import http.server
import os
import time

from page import page

BEGUN = time.strftime("%H:%M:%S")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = page(self.path, BEGUN, os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text, *values):
        print(text % values, flush=True)


port = int(os.environ["PORT"])
print(f"listening on port {port}", flush=True)
http.server.ThreadingHTTPServer(("", port), Handler).serve_forever()
