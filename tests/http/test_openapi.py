"""Test that the OpenAPI document and the routes of the application agree."""

from __future__ import annotations

import re
from collections.abc import Iterator

import falcon.inspect
import pytest

from rundlet_server.functions.access.routing import Route, TargetRouter, offered_methods
from rundlet_server.functions.app import create_app
from rundlet_server.functions.openapi import openapi_document
from tests.support.models.model import ModelStore


@falcon.inspect.register_router(TargetRouter)
def routes_of(router: TargetRouter) -> list[Route]:
    return router.routes


METHODS = {"get", "put", "post", "delete", "head", "patch", "trace"}
SCHEMA_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}


@pytest.fixture(scope="module")
def document() -> dict:
    return openapi_document("1.2.3")


def operations(document: dict) -> Iterator[tuple[str, str, dict]]:
    for path, item in document["paths"].items():
        for method in item.keys() & METHODS:
            yield path, method, item[method]


def every_part(part: object) -> Iterator[dict]:
    if isinstance(part, dict):
        yield part
        for inner in part.values():
            yield from every_part(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from every_part(inner)


def test_routes_and_document_name_the_same_operations(document: dict):
    routes = falcon.inspect.inspect_routes(create_app(ModelStore()))

    routed = {
        (route.template.replace(":path}", "}"), method.lower())
        for route in routes
        for method in offered_methods(route.resource)
        if method != "OPTIONS"
    }

    assert routed == {(path, method) for path, method, _ in operations(document)}


def test_document_is_served_as_it_is(api):
    answer = api.simulate_get("/openapi.json")

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == openapi_document(answer.json["info"]["version"])


def test_document_has_what_openapi_31_requires(document: dict):
    assert document["openapi"].startswith("3.1.")
    assert {"title", "version"} <= document["info"].keys()
    assert all(path.startswith("/") for path in document["paths"])


def test_operation_ids_are_unique(document: dict):
    ids = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(ids) == len(set(ids))


def test_every_reference_leads_somewhere(document: dict):
    names = {part["$ref"].removeprefix("#/components/schemas/")
             for part in every_part(document) if "$ref" in part}  # fmt: skip

    assert names == document["components"]["schemas"].keys()


def test_every_operation_describes_its_answers(document: dict):
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"].endswith("."), where
        assert any(status.startswith("2") for status in operation["responses"]), where
        for status, answer in operation["responses"].items():
            assert re.fullmatch("[1-5][0-9][0-9]", status), where
            assert answer["description"], where
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], where


def test_every_parameter_is_whole(document: dict):
    for path, item in document["paths"].items():
        in_path = [p["name"] for p in item.get("parameters", []) if p["in"] == "path"]
        assert re.findall(r"{(\w+)}", path) == in_path
    for path, method, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.keys() >= {"name", "in", "description", "schema"}, (path, method)


def test_every_schema_type_exists(document: dict):
    schemas = [document["paths"], document["components"]["schemas"]]
    types = {part["type"] for part in every_part(schemas) if isinstance(part.get("type"), str)}

    assert types <= SCHEMA_TYPES


def test_every_option_in_the_document_is_known_to_the_route(document: dict, api):
    for path, method, operation in operations(document):
        if method != "get":
            continue
        for option in operation.get("parameters", []):
            if option["in"] == "query":
                url = path.replace("{key}", "YQ")
                answer = api.simulate_get(url, params={option["name"]: "x"})
                assert "there is no option" not in answer.text, (path, option["name"])
