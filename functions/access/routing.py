"""Which resource answers a request: by the raw path of its target.

Every route of this API is either one path or a prefix with a key behind it, slashes included,
so a look-up of each in a dict is all the routing there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import falcon
from falcon.routing import CompiledRouter, map_http_methods, set_default_responders

from rundlet_server.functions.access.admission import Access
from rundlet_server.functions.messages.target import raw_path
from rundlet_server.functions.problems import Problem

if TYPE_CHECKING:  # not a public name of Falcon's, so of no use at run time
    from falcon._typing import MethodDict

ROUTE: Final = "rundlet.route"
"""Where the environment of a request keeps the template of its route and its method, as one text:
``/v1/keys GET``. Methods that a route does not answer are ``OTHER``: clients can invent them."""
_KEY_FIELD = "{key:path}"
_VERSION_PREFIX_SIZE = len("/v1/")


class Route(NamedTuple):
    """A resource and where it stands.

    Attributes:
        resource: answers.
        responders: its methods by name.
        template: as in ``/openapi.json``.
        labels: what ``ROUTE`` says, by method.
    """

    resource: object
    responders: MethodDict
    template: str
    labels: dict[str, str]


class TargetRouter(CompiledRouter):
    """Falcon's router interface over raw paths; of the class it is only because Falcon asks.

    Attributes:
        routes: in the order they were added.
    """

    def __init__(self, access: Access | None = None) -> None:
        """``access`` decides who is let in; without it everybody is."""
        super().__init__()
        self._access = access
        self.routes: list[Route] = []
        self._paths: dict[str, Route] = {}
        self._prefixes: dict[str, Route] = {}

    def add_route(self, uri_template: str, resource: object, **_options: object) -> None:
        """Offer a resource at one path, or, with ``{key:path}`` at its end, below a prefix."""
        responders = map_http_methods(resource)
        set_default_responders(responders)
        labels = {method: f"{uri_template} {method}" for method in offered_methods(resource)}
        route = Route(resource, responders, uri_template, labels)
        self.routes.append(route)
        if uri_template.endswith(_KEY_FIELD):
            self._prefixes[uri_template.removesuffix(_KEY_FIELD)] = route
        else:
            self._paths[uri_template] = route

    def find(
        self, uri: str, req: falcon.Request | None = None
    ) -> tuple[object, MethodDict, dict[str, object], str | None] | None:
        """The route of a request, or ``None``; ``uri`` is used only without a request.

        Raises:
            falcon.HTTPMethodNotAllowed: the route does not know this method at all, which
                Falcon itself would call a bad request.
            Problem: 400 ``no-host``; see ``Access.admit``.
        """
        if req is not None:
            _require_one_host(req.env)
        path = uri if req is None else raw_path(req.env)
        prefix_size = path.find("/", _VERSION_PREFIX_SIZE) + 1
        route = self._prefixes.get(path[:prefix_size])
        params: dict[str, object] = {}
        if route is not None:
            params["key"] = path[prefix_size:]
        else:
            route = self._paths.get(path)
            if route is None:
                return None
        if req is not None:
            req.env[ROUTE] = route.labels.get(req.method) or f"{route.template} OTHER"
            self._admit(req, route)
        return route.resource, route.responders, params, route.template

    def _admit(self, req: falcon.Request, route: Route) -> None:
        if req.method not in route.responders:
            raise falcon.HTTPMethodNotAllowed(offered_methods(route.resource))
        if self._access is not None:
            self._access.admit(req.env, req.method, route.template)


def offered_methods(resource: object) -> list[str]:
    """The methods a resource answers, ``OPTIONS`` included."""
    offered = [name for name in falcon.HTTP_METHODS if hasattr(resource, f"on_{name.lower()}")]
    return sorted({*offered, "OPTIONS"})


def _require_one_host(environ: Mapping[str, str]) -> None:
    """Refuse what RFC 9112 (section 3.2) tells every server to refuse."""
    host = environ.get("HTTP_HOST")
    if (not host and environ["SERVER_PROTOCOL"] == "HTTP/1.1") or (host and "," in host):
        raise Problem(400, "no-host", "send exactly one Host header; HTTP/1.1 asks for it")
