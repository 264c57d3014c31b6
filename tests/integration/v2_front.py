"""An InfluxDB 2.x write address in front of a 1.x server, so that the 2.x adapter can be run end to end.

Rewrites ``/api/v2/write?bucket=B&precision=us`` to ``/write?db=B&precision=u`` and passes ``/query`` on, as a reverse
proxy would. The token is checked here because 1.x does not know tokens.
"""

import http.server
import threading
from urllib.parse import parse_qs, urlencode, urlsplit

import urllib3

PRECISIONS = {"ns": "n", "us": "u", "ms": "ms", "s": "s"}


class V2Front:
    """The running front. ``url`` is where the adapter connects."""

    def __init__(self, influxd_url: str, token: str) -> None:
        pool = urllib3.PoolManager(retries=False, maxsize=8)
        self.writes = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else head and body of each answer are 40 ms apart

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(body)

            def do_GET(self) -> None:
                if self.headers.get("Authorization") != f"Token {token}":
                    self.answer(401, b'{"code":"unauthorized","message":"unauthorized access"}')
                    return
                reply = pool.request("GET", influxd_url + self.path)
                self.answer(reply.status, reply.data)

            def do_POST(handler) -> None:  # noqa: N805 - self is the front
                body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
                parts = urlsplit(handler.path)
                if parts.path != "/api/v2/write":
                    handler.answer(404, b'{"code":"not found","message":"path not found"}')
                    return
                if handler.headers.get("Authorization") != f"Token {token}":
                    handler.answer(401, b'{"code":"unauthorized","message":"unauthorized access"}')
                    return
                self.writes += 1
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                target = urlencode({"db": query["bucket"], "precision": PRECISIONS[query["precision"]]})
                reply = pool.request("POST", f"{influxd_url}/write?{target}", body=body)
                handler.answer(reply.status, reply.data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
