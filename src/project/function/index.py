"""Runs one job as a function: its files are copied to where they may change, its output and its outputs go to links.

The event says what runs and holds what is secret. Nothing of it is written to a disk, and nothing of it is printed.
"""

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
# The log is one object, written anew when it has grown; the larger it is the longer the pause, so that what travels
# is bounded: so many bytes a second in the mean. In seconds, bytes a second, bytes.
SHORTEST, LONGEST, RATE, MOST = 0.5, 60.0, 256 * 1024, 16 * 1024 * 1024
ATTEMPTS = 4


def once(method, link, body, size):
    """One request, through a proxy where the environment has one. Links are plain HTTP, since they never leave the region."""
    url = urllib.parse.urlsplit(link)
    place, target = url.netloc, url.path + "?" + url.query
    proxy = urllib.request.getproxies().get("http")
    if proxy and not urllib.request.proxy_bypass(url.hostname):
        place, target = urllib.parse.urlsplit(proxy).netloc, link
    connection = http.client.HTTPConnection(place, timeout=60)
    try:
        headers = {"Host": url.netloc, **({"Content-Length": str(size)} if method == "PUT" else {})}
        connection.request(method, target, body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError("HTTP %d" % answer.status)
    return content


def exchange(method, link, make_body=None, size=0):
    """One request to a link, tried again: every one of them does the same when it comes twice."""
    for attempt in range(1, ATTEMPTS + 1):
        body = make_body() if make_body else None
        try:
            return once(method, link, body, size)
        except (OSError, http.client.HTTPException):
            if attempt == ATTEMPTS:
                raise
        finally:
            if hasattr(body, "close"):
                body.close()
        time.sleep(0.3 * 2**attempt)


def put(link, content):
    exchange("PUT", link, lambda: content, len(content))


class Log:
    """What the job writes, in a file, and how much of that the link has."""

    def __init__(self, path, link):
        self.path, self.link, self.sent = path, link, 0

    def size(self):
        return os.path.getsize(self.path)

    def send(self, last=False):
        size = self.size()
        if min(size, MOST) <= self.sent and not (last and size > MOST):
            return
        with open(self.path, "rb") as log:
            content = log.read(MOST)
        if last and size > MOST:
            content += b"\naliform: it wrote %d bytes more, which are not shown\n" % (size - MOST)
        put(self.link, content)
        self.sent = len(content)

    def try_to_send(self):
        try:
            self.send()
        except (OSError, http.client.HTTPException):
            pass  # The next time it is sent as a whole.

    def pause(self):
        return min(max(self.size() / RATE, SHORTEST), LONGEST)


def run(job, work, log):
    """Runs the command to its end, and answers its exit code."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **job["environment"]}
    words = ["sh", os.path.join(HERE, "run.sh"), work, str(job["limit"]), job["command"]]
    with open(log.path, "wb") as written:
        process = subprocess.Popen(
            words, cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT, start_new_session=True
        )
    while True:
        try:
            code = process.wait(timeout=log.pause())
        except subprocess.TimeoutExpired:
            log.try_to_send()
        else:
            # A signal's number counts as the shell counts it.
            return code if code >= 0 else 128 - code


def deliver(job, work, archive):
    """Sends the outputs; answers which there are not, and whether there were any."""
    if not job["outputs"]:
        return [], False
    packed = subprocess.run(
        ["sh", os.path.join(HERE, "pack.sh"), work, archive, *job["outputs"]], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if packed.returncode != 0:
        raise OSError("the outputs can't be packed: " + packed.stderr.decode(errors="replace").strip()[-500:])
    missing = packed.stdout.decode(errors="replace").splitlines()
    if not os.path.exists(archive):
        return missing, False
    exchange("PUT", job["links"]["outputs"], lambda: open(archive, "rb"), os.path.getsize(archive))
    return missing, True


def carry_out(job, base):
    work, links = os.path.join(base, "work"), job["links"]
    shutil.copytree(os.path.join(HERE, "job"), work, symlinks=True)
    log = Log(os.path.join(base, "log"), links["log"])
    result = {"exit": run(job, work, log), "missing": [], "delivered": False, "trouble": []}
    for what, step in [("output", lambda: log.send(last=True)), ("outputs", lambda: deliver(job, work, os.path.join(base, "outputs.tar.gz")))]:
        try:
            done = step()
            if done is not None:
                result["missing"], result["delivered"] = done
        except (OSError, http.client.HTTPException) as error:
            result["trouble"].append("its %s could not be sent: %s" % (what, error))
    return result


def handler(event, context):
    job = json.loads(event)
    links = job["links"]
    if "begun" in links:
        # Whoever took this run's place says so by the ticket, and looks for this mark after that.
        put(links["begun"], b"begun")
        if exchange("GET", links["ticket"]).decode() != job["ticket"]:
            put(links["gone"], b"gone")
            return json.dumps({"superseded": True})
    base = tempfile.mkdtemp(prefix="aliform-")
    try:
        result = json.dumps(carry_out(job, base))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    put(links["result"], result.encode())
    return result
