"""Find the resource for a request by the raw path of its target.

Every route of the table is either one path or a prefix with a key behind it, slashes included,
so the router needs two dicts and no patterns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import falcon
from falcon.routing import CompiledRouter, map_http_methods, set_default_responders

from rundlet_server.functions.access.admission import Access
from rundlet_server.functions.messages.target import raw_path
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.route_table import ROUTES, Route, base_size

if TYPE_CHECKING:  # not a public name of Falcon's, so of no use at run time
    from falcon._typing import MethodDict

ROUTE: Final = "rundlet.route"
"""The environ variable with the route's template and the request's method: ``/v1/keys GET``.

A method that the route does not support is ``OTHER``, because clients can invent methods."""


class Endpoint(NamedTuple):
    """A route and the resource that answers it.

    Attributes:
        route: its row in the table of routes.
        resource: answers its requests.
        responders: the methods of the resource, by HTTP method.
        labels: the values of ``ROUTE``, by HTTP method.
    """

    route: Route
    resource: object
    responders: MethodDict
    labels: dict[str, str]


class TargetRouter(CompiledRouter):
    """Falcon's router interface over raw paths; Falcon requires this base class.

    Attributes:
        endpoints: in the order they were added.
    """

    def __init__(self, access: Access | None = None) -> None:
        """``access`` authenticates and authorizes; without it every request is admitted."""
        super().__init__()
        self._access = access
        self.endpoints: list[Endpoint] = []
        self._paths: dict[str, Endpoint] = {}
        self._prefixes: dict[str, Endpoint] = {}
        self._shapes: dict[tuple[str, int], Endpoint] = {}

    def add_route(self, uri_template: str, resource: object, **_options: object) -> None:
        """Let a resource answer a route of the table.

        Raises:
            KeyError: the table has no such route.
            ValueError: the methods of the resource differ from those in the table.
        """
        route = ROUTES[uri_template]
        responders = map_http_methods(resource)
        if responders.keys() != route.rules.keys():
            raise ValueError(f"{uri_template}: {[*responders]} are not {[*route.rules]}")
        set_default_responders(responders)
        labels = {method: f"{uri_template} {method}" for method in route.methods}
        endpoint = Endpoint(route, resource, responders, labels)
        self.endpoints.append(endpoint)
        if route.fields:
            self._shapes[route.base, len(route.fields)] = endpoint
        else:
            (self._prefixes if route.has_key else self._paths)[route.base] = endpoint

    def find(
        self, uri: str, req: falcon.Request | None = None
    ) -> tuple[object, MethodDict, dict[str, object], str | None] | None:
        """Return the resource for a request, or ``None``; without ``req``, ``uri`` is its path.

        Raises:
            falcon.HTTPMethodNotAllowed: HTTP does not define the method; Falcon itself would
                answer 400.
            Problem: 400 ``no-host``; see ``Access.admit``.
        """
        if req is not None:
            _require_one_host(req.env)
        path = uri if req is None else raw_path(req.env)
        prefix_size = base_size(path)
        endpoint = self._prefixes.get(path[:prefix_size])
        params: dict[str, object] = {}
        if endpoint is not None:
            params["key"] = path[prefix_size:]
        else:
            endpoint = self._paths.get(path)
            if endpoint is None:
                parts = path[prefix_size:].split("/")
                endpoint = self._shapes.get((path[:prefix_size], len(parts)))
                if endpoint is None or not all(parts):
                    return None
                params.update(zip(endpoint.route.fields, parts, strict=True))
        template = endpoint.route.template
        if req is not None:
            req.env[ROUTE] = endpoint.labels.get(req.method) or f"{template} OTHER"
            self._admit(req, endpoint)
        return endpoint.resource, endpoint.responders, params, template

    def _admit(self, req: falcon.Request, endpoint: Endpoint) -> None:
        if req.method not in endpoint.responders:
            raise falcon.HTTPMethodNotAllowed(endpoint.route.methods)
        if self._access is not None:
            self._access.admit(req.env, req.method, endpoint.route)


def _require_one_host(environ: Mapping[str, str]) -> None:
    """Refuse a request that RFC 9112 (section 3.2) requires every server to refuse."""
    host = environ.get("HTTP_HOST")
    if (not host and environ["SERVER_PROTOCOL"] == "HTTP/1.1") or (host and "," in host):
        raise Problem(400, "no-host", "HTTP/1.1 requires exactly one Host header; send one")
