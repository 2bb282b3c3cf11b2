"""Fake Kubernetes API server with the requests that `fleet watch` sends: lists, watches, and exec by WebSocket."""

import base64
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION_FIELDS = ("buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "platform")
PLURALS = {"deployments", "pods", "nodes"}
TOKEN = "secret"


def selected(labels: dict[str, str], selector: str) -> bool:
    wanted = dict(part.split("=", 1) for part in selector.split(",") if part)
    return all(labels.get(name) == value for name, value in wanted.items())


class ClusterApi:
    """Holds objects, and sends each change to the connected watches.

    Args:
        environment: Environment variables of an exec'd command.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.objects: dict[str, dict[str, dict[str, Any]]] = {plural: {} for plural in PLURALS}
        self.forbidden: set[str] = set()
        self.requests: list[str] = []
        self.execs: list[subprocess.Popen[bytes]] = []
        self._history: list[tuple[int, str, str, dict[str, Any]]] = []
        self._oldest = 0
        self._version = 100
        self._changed = threading.Condition()
        self._port = 0
        self._server: _Server | None = None

    def __enter__(self) -> "ClusterApi":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig with the contexts `here` (its current one) and `nowhere`."""
        nowhere = "http://127.0.0.1:1"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [
                {"name": "here", "cluster": {"server": self.url}},
                {"name": "nowhere", "cluster": {"server": nowhere}},
            ],
            "users": [{"name": "me", "user": {"token": TOKEN}}],
            "contexts": [
                {"name": name, "context": {"cluster": name, "user": "me"}} for name in ("here", "nowhere")
            ],
        }
        path.write_text(json.dumps(config))
        return path

    def start(self) -> None:
        """Listen, after a stop on the same port as before."""
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Stop, and close every connection; the objects stay."""
        if self._server is None:
            return
        server, self._server = self._server, None
        with self._changed:
            self._changed.notify_all()
        server.shutdown()
        server.close_connections()
        server.server_close()

    def put(self, plural: str, one: dict[str, Any]) -> None:
        with self._changed:
            self._version += 1
            one["metadata"]["resourceVersion"] = str(self._version)
            known = one["metadata"]["name"] in self.objects[plural]
            self.objects[plural][one["metadata"]["name"]] = one
            self._record("MODIFIED" if known else "ADDED", plural, one)

    def delete(self, plural: str, name: str) -> None:
        with self._changed:
            self._version += 1
            one = self.objects[plural].pop(name)
            self._record(
                "DELETED",
                plural,
                {**one, "metadata": {**one["metadata"], "resourceVersion": str(self._version)}},
            )

    def forget(self) -> None:
        """Drop the history: a watch that continues from an older version gets 410 Gone."""
        with self._changed:
            self._version += 1
            self._oldest = self._version
            self._history.clear()

    def _record(self, what: str, plural: str, one: dict[str, Any]) -> None:
        self._history.append((self._version, what, plural, json.loads(json.dumps(one))))
        self._changed.notify_all()

    def listed(self, plural: str, selector: str) -> dict[str, Any]:
        with self._changed:
            every = self.objects[plural].values()
            found = [one for one in every if selected(one["metadata"].get("labels", {}), selector)]
            return {
                "metadata": {"resourceVersion": str(self._version)},
                "items": json.loads(json.dumps(found)),
            }

    def news(
        self, plural: str, selector: str, after: int, server: "_Server"
    ) -> tuple[list[bytes], int] | None:
        """Wait for changes after a version; return their lines and the version reached, None once the server stops."""
        with self._changed:
            while True:
                if self._server is not server:
                    return None
                if after < self._oldest:
                    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
                    return [json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n"], -1
                found = [entry for entry in self._history if entry[0] > after]
                if found:
                    lines = [
                        json.dumps({"type": what, "object": one}).encode() + b"\n"
                        for _, what, kind, one in found
                        if kind == plural and selected(one["metadata"].get("labels", {}), selector)
                    ]
                    return lines, found[-1][0]
                self._changed.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], api: ClusterApi) -> None:
        self.api = api
        self._connections: set[Any] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def close_connections(self) -> None:
        for connection in self._connections:
            with suppress(OSError):  # closed before
                connection.shutdown(SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: a client may disconnect."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        api, parts = self.server.api, urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        api.requests.append(self.path)
        last = parts.path.rstrip("/").rpartition("/")[2]
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._refuse(401, "Unauthorized")
        elif last == "exec":
            self._exec(parse_qs(parts.query)["command"])
        elif parts.path.rstrip("/") == "/version":
            known = {"gitVersion": "v1.34.0", "major": "1", "minor": "34"}
            self._send(200, {**dict.fromkeys(VERSION_FIELDS, ""), **known})
        elif re.fullmatch(r"/api/v1/namespaces/[^/]+", parts.path):
            if last == "fleet":
                self._send(200, {"metadata": {"name": last}})
            else:
                self._refuse(404, f'namespaces "{last}" not found')
        elif last in api.forbidden:
            self._refuse(403, f"{last} is forbidden")
        elif query.get("watch") in {"true", "True"}:
            self._watch(last, query)
        else:
            inside = "/namespaces/" not in parts.path or "/namespaces/fleet/" in parts.path
            found = api.listed(last, query.get("labelSelector", ""))
            self._send(200, found if inside else {**found, "items": []})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, message: str) -> None:
        self._send(status, {"kind": "Status", "status": "Failure", "code": status, "message": message})

    def _watch(self, plural: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        after = int(query["resourceVersion"])
        while after >= 0:
            news = self.server.api.news(plural, query.get("labelSelector", ""), after, self.server)
            if news is None:
                break
            lines, after = news
            for line in lines:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _exec(self, command: list[str]) -> None:
        if "exec" in self.server.api.forbidden:
            self._refuse(403, "pods/exec is forbidden")
            return
        accept = base64.b64encode(hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + KEY).digest())
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept.decode())
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()
        assert command[0] == "fleet"
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli.main", *command[1:]],
            env=self.server.api.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.server.api.execs.append(process)
        assert process.stdin is not None
        # As a kubelet: the end of the connection closes the command's standard input, and does not kill it.
        threading.Thread(target=self._close_input, args=(process,), daemon=True).start()
        errors = threading.Thread(target=self._carry, args=(process.stderr, 2), daemon=True)
        errors.start()
        self._carry(process.stdout, 1)
        errors.join()
        code = process.wait()
        status = {"status": "Success"} if code == 0 else {
            "status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}
        }  # fmt: skip
        self._frame(3, json.dumps(status).encode())
        self.wfile.write(b"\x88\x00")
        self.close_connection = True

    def _carry(self, pipe: Any, channel: int) -> None:
        while data := os.read(pipe.fileno(), 4096):
            self._frame(channel, data)

    def _frame(self, channel: int, data: bytes) -> None:
        data = bytes([channel]) + data
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
        with suppress(OSError):  # the client has disconnected
            self.wfile.write(b"\x82" + size + data)

    def _close_input(self, process: "subprocess.Popen[bytes]") -> None:
        with suppress(OSError):
            while (head := self.connection.recv(1)) and head[0] & 0x0F != 8:  # 8 is a close frame
                pass
        assert process.stdin is not None
        process.stdin.close()
