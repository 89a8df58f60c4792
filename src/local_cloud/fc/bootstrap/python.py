"""Serves one Python function on a port of its machine, the way a custom runtime is served.

POST /initialize, /invoke and /pre-stop; the answer's header `x-fc-status` is 404 where the function failed. Standard
output is the log.
"""

import http.server
import importlib
import json
import logging
import os
import sys
import time
import traceback

CODE = os.environ.get("ALIFORM_ROOT", "") + os.environ["FC_FUNC_CODE_PATH"]


class Fields:
    """A plain object with the given fields."""

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def __repr__(self):
        return json.dumps(self.__dict__, default=lambda other: other.__dict__)


def context_of(headers):
    def text(name):
        return headers.get(name) or ""

    return Fields(
        request_id=text("x-fc-request-id"),
        credentials=Fields(
            access_key_id=text("x-fc-access-key-id"),
            access_key_secret=text("x-fc-access-key-secret"),
            security_token=text("x-fc-security-token"),
            accessKeyId=text("x-fc-access-key-id"),
            accessKeySecret=text("x-fc-access-key-secret"),
            securityToken=text("x-fc-security-token"),
        ),
        function=Fields(
            name=text("x-fc-function-name") or os.environ["FC_FUNCTION_NAME"],
            handler=text("x-fc-function-handler") or os.environ["FC_FUNCTION_HANDLER"],
            memory=int(text("x-fc-function-memory") or os.environ["FC_FUNCTION_MEMORY_SIZE"]),
            timeout=int(text("x-fc-function-timeout") or 0),
            initializer=os.environ.get("FC_FUNCTION_INITIALIZER", ""),
        ),
        service=Fields(
            name="",
            log_project="",
            log_store="",
            qualifier=text("x-fc-qualifier"),
            version_id=text("x-fc-version-id"),
        ),
        region=os.environ["FC_REGION"],
        account_id=os.environ["FC_ACCOUNT_ID"],
        accountId=os.environ["FC_ACCOUNT_ID"],
    )


class Failed(Exception):
    """The function could not be found."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def function(name):
    """`folder/module.name`, loaded once: Python itself remembers modules."""
    module, _, attribute = name.rpartition(".")
    try:
        found = importlib.import_module(module.replace("/", "."))
    except ModuleNotFoundError as error:
        if error.name == module.replace("/", "."):
            raise Failed("ImportModuleError", f"Unable to import module '{module}'") from error
        raise
    try:
        return getattr(found, attribute)
    except AttributeError:
        raise Failed("HandlerNotFound", f"Handler '{attribute}' is missing on module '{module}'") from None


def trace(error):
    frames = traceback.extract_tb(error.__traceback__)
    return [
        [f'File "{frame.filename}"', f"line {frame.lineno}", f"in {frame.name}", frame.line or ""]
        for frame in frames
        if frame.filename != __file__
    ]


def bytes_of(result):
    if isinstance(result, (bytes, bytearray, memoryview)):
        return bytes(result)
    return result.encode() if isinstance(result, str) else json.dumps(result).encode()


def carry_out(path, headers, event):
    """Whether it went well, and the answer's body."""
    context = context_of(headers)
    Log.request_id = context.request_id
    try:
        if path == "/invoke":
            return True, bytes_of(function(os.environ["FC_FUNCTION_HANDLER"])(event, context))
        hook = os.environ["FC_FUNCTION_INITIALIZER" if path == "/initialize" else "FC_FUNCTION_PRE_STOP"]
        function(hook)(context)
        return True, b""
    except Exception as error:
        traceback.print_exc()
        kind = error.kind if isinstance(error, Failed) else type(error).__name__
        body = {"errorMessage": str(error), "errorType": kind, "stackTrace": trace(error)}
        return False, json.dumps(body).encode()


class Log(logging.Formatter):
    request_id = ""

    def format(self, record):
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = f"{at}.{int(record.msecs):03d}Z {Log.request_id} [{record.levelname}] {record.getMessage()}"
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


class Door(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        event = self.rfile.read(int(self.headers.get("content-length") or 0))
        well, body = carry_out(self.path, self.headers, event)
        sys.stdout.flush()
        sys.stderr.flush()
        self.send_response(200)
        self.send_header("content-type", "application/octet-stream")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-fc-status", "200" if well else "404")
        if not well:
            self.send_header("x-fc-error-type", "UnhandledInvocationError")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    sys.path.insert(0, CODE)
    sys.dont_write_bytecode = True
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Log())
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    several = int(os.environ["FC_INSTANCE_CONCURRENCY"]) > 1
    kind = http.server.ThreadingHTTPServer if several else http.server.HTTPServer
    kind.request_queue_size = 256
    kind(("127.0.0.1", int(os.environ["FC_SERVER_PORT"])), Door).serve_forever()


main()
