"""Serves a function that is a container: each invocation fetches the package of the job and hands it what it is told."""

import hashlib
import http.server
import importlib.util
import json
import os
import shutil
import stat
import tempfile
import time
import traceback
import urllib.parse
import urllib.request
import zipfile


def fetch(link, path):
    for attempt in range(4):
        try:
            with urllib.request.urlopen(link, timeout=60) as answer, open(path, "wb") as file:
                shutil.copyfileobj(answer, file)
            return
        except OSError:
            if attempt == 3:
                raise
            time.sleep(2**attempt)


def unpack(link, folder):
    archive = os.path.join(folder, "code.zip")
    fetch(link, archive)
    # The package is called by its digest.
    wanted = os.path.basename(urllib.parse.urlsplit(link).path).split(".")[0]
    with open(archive, "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != wanted:
            raise OSError("the package of the job is not the one that was sent")
    with zipfile.ZipFile(archive) as package:
        for entry in package.infolist():
            path, mode = package.extract(entry, folder), entry.external_attr >> 16
            if stat.S_ISLNK(mode):
                os.remove(path)
                os.symlink(package.read(entry).decode(), path)
            elif stat.S_IMODE(mode) and not entry.is_dir():
                os.chmod(path, stat.S_IMODE(mode))
    os.remove(archive)


def invoke(event):
    folder = tempfile.mkdtemp(prefix="aliform-code-")
    try:
        unpack(json.loads(event)["links"]["package"], folder)
        spec = importlib.util.spec_from_file_location("index", os.path.join(folder, "index.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return 200, module.handler(event, None).encode()
    except Exception as error:
        traceback.print_exc()
        return 404, json.dumps({"errorMessage": str(error), "errorType": type(error).__name__}).encode()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = invoke(body) if self.path.startswith("/invoke") else (200, b"")
        self.send_response(status)
        self.send_header("x-fc-status", str(status))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass  # An address may bear a signature.


http.server.HTTPServer(("", int(os.environ.get("FC_SERVER_PORT") or 9000)), Server).serve_forever()
