"""Rundlet with Python's standard library alone.

Talks to http://127.0.0.1:8000, or to the server that RUNDLET_URL names.
"""

# ruff: noqa: T201 -- an example for people prints

from __future__ import annotations

import http.client
import json
import os
from urllib.parse import quote, urlsplit

URL = urlsplit(os.environ.get("RUNDLET_URL", "http://127.0.0.1:8000"))


class Rundlet:
    """One connection that all requests share; only for one thread at a time."""

    def __init__(self) -> None:
        self._connection = http.client.HTTPConnection(URL.netloc, timeout=30)

    def ask(
        self, method: str, target: str, body: bytes = b"", **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send a request; an underscore in a header's name stands for a hyphen."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, target, body, named)
        response = self._connection.getresponse()
        return response.status, response.headers, response.read()

    def get(self, key: str) -> bytes | None:
        """The value of a key; ``None`` when it has none."""
        status, _, body = self.ask("GET", path_of(key))
        if status == http.client.NOT_FOUND:
            return None
        if status != http.client.OK:
            raise RuntimeError(json.loads(body)["detail"])
        return body

    def put(self, key: str, value: bytes, **headers: str) -> bool:
        """Store a value; false when a precondition in ``headers`` did not hold."""
        status, _, body = self.ask("PUT", path_of(key), value, **headers)
        if status not in (http.client.CREATED, http.client.NO_CONTENT):
            if status == http.client.PRECONDITION_FAILED:
                return False
            raise RuntimeError(json.loads(body)["detail"])
        return True


def path_of(key: str) -> str:
    """The path of a key; keys with a segment ``.`` or ``..`` need ``/v1/kv64/`` instead."""
    return "/v1/kv/" + quote(key, safe="/")


def main() -> None:
    """Store, read, and change only a value that has not changed meanwhile."""
    rundlet = Rundlet()
    rundlet.put("tally/größe", b"12", Content_Type="text/plain")
    print(rundlet.get("tally/größe"), rundlet.get("tally/none"))

    _, headers, body = rundlet.ask("GET", path_of("tally/größe"))
    is_mine = rundlet.put("tally/größe", body + b"0", If_Match=headers["ETag"])
    is_late = not rundlet.put("tally/größe", b"99", If_Match=headers["ETag"])
    print(is_mine, is_late, rundlet.get("tally/größe"))

    _, _, body = rundlet.ask("GET", "/v1/keys?prefix=tally/")
    print([key["key"] for key in json.loads(body)["keys"]])
    print("done")


if __name__ == "__main__":
    main()
