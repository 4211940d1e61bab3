"""moto's CloudWatch and CloudWatch Logs at http://127.0.0.1:PORT, for clients that speak CBOR to CloudWatch.

usage: moto_cbor.py PORT        (0: any free port)

AWS's newer SDKs, Rust's among them, call CloudWatch by Smithy RPC v2 CBOR
(https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html), which moto does not know. Such a call is handed to moto
as the same call in AWS JSON 1.0, which CloudWatch also has, and the answer is translated back. All other calls go to moto as
they come: CloudWatch Logs, and boto3.

Prints "ready at http://127.0.0.1:PORT", then a line for each request: STATUS REGION SERVICE ACCESS-KEY OPERATION.
Ends when its standard input does, so that it never outlives who started it.
"""

import gzip
import io
import json
import logging
import re
import sys
import threading
import warnings

import cbor2
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

# By these names CloudWatch is called: the shape's in RPC v2, the target's prefix in JSON.
PATH = re.compile(r"/service/GraniteServiceVersion20100801/operation/(\w+)")
TARGET = "GraniteServiceVersion20100801"
SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")


class Front:
    """A WSGI application before moto's."""

    def __init__(self, moto):
        self.moto = moto

    def __call__(self, environ, start_response):
        call = PATH.fullmatch(environ["PATH_INFO"])
        operation = call[1] if call else environ.get("HTTP_X_AMZ_TARGET", "?").split(".")[-1]

        def start(status, headers, exc_info=None):
            tell(status, environ.get("HTTP_AUTHORIZATION", ""), operation)
            return start_response(status, headers, exc_info)

        return self.translate(operation, environ, start) if call else self.moto(environ, start)

    def translate(self, operation, environ, start_response):
        """Answers a CBOR call by moto's answer to the same call in JSON."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ.pop("HTTP_CONTENT_ENCODING", "") == "gzip":
            body = gzip.decompress(body)
        # JSON's timestamps are seconds since 1970, as numbers; CBOR's come as datetime.
        body = json.dumps(cbor2.loads(body), default=lambda time: time.timestamp()).encode()
        environ |= {
            "PATH_INFO": "/",
            "RAW_URI": "/",
            "REQUEST_URI": "/",
            "CONTENT_TYPE": "application/x-amz-json-1.0",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_X_AMZ_TARGET": f"{TARGET}.{operation}",
            "wsgi.input": io.BytesIO(body),
        }
        answered = []
        answer = b"".join(self.moto(environ, lambda status, headers, exc_info=None: answered.extend((status, headers))))
        status, headers = answered
        encoded = cbor2.dumps(typed(json.loads(answer or b"{}")))
        # CloudWatch's errors have two names: the shape's in the body, the one of old in this header.
        kept = [header for header in headers if header[0].lower() == "x-amzn-query-error"]
        start_response(
            status,
            [
                ("Content-Type", "application/cbor"),
                ("Content-Length", str(len(encoded))),
                ("smithy-protocol", "rpc-v2-cbor"),
                *kept,
            ],
        )
        return [encoded]


def typed(value, key=""):
    """JSON's value as CBOR has it: times are tagged, a threshold is a double, and what is not there is left out."""
    if isinstance(value, dict):
        return {name: typed(member, name) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [typed(item) for item in value]
    if key.endswith("Timestamp") and isinstance(value, (int, float)):
        return cbor2.CBORTag(1, value)
    return float(value) if key == "Threshold" else value


class Handler(WSGIRequestHandler):
    """Keeps connections open, as AWS does, and does not log by itself."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code="-", size="-"):
        pass


def tell(status, authorization, operation):
    scope = SCOPE.search(authorization)
    region, service, key = scope.group("region", "service", "key") if scope else "???"
    print(status.split()[0], region, service, key, operation, flush=True)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    # What moto cannot make of a stack, the test names: once is enough.
    logging.getLogger("moto").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    front = Front(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", int(sys.argv[1]), front, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"ready at http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
