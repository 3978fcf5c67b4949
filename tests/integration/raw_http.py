"""HTTP as bytes: for requests that no client would send."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.policy import HTTP as HTTP_POLICY

_PATIENCE_S = 20.0


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]  #: by any spelling of their names
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def send(
    port: int,
    method: str,
    target: str,
    headers: Mapping[str, str | bytes] | None = None,
    body: bytes = b"",
) -> Reply:
    """Send a request to this machine as it stands, and return all of the answer."""
    named: dict[str, str | bytes] = {"Host": f"127.0.0.1:{port}", "Connection": "close", **(headers or {})}
    if body or method == "POST":
        named.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {target} HTTP/1.1".encode("latin-1")]
    for name, value in named.items():
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode("latin-1")))
    return exchange(port, b"\r\n".join(lines) + b"\r\n\r\n" + body)


def exchange(port: int, sent: bytes) -> Reply:
    """Send bytes to this machine, and return what they were answered with until the connection was closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, _, rest = head.partition(b"\r\n")
    parsed = BytesHeaderParser(policy=HTTP_POLICY).parsebytes(rest)
    return Reply(int(first.split()[1]), parsed, body)  # type: ignore[arg-type]  # it is no Mapping by name only
