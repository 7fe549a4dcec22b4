"""Test that the OpenAPI document and the routes of the application agree."""

from __future__ import annotations

import ast
import base64
import re
from collections.abc import Iterator

import falcon.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rundlet_server.functions.access.routing import TargetRouter
from rundlet_server.functions.app import create_app
from rundlet_server.functions.messages.target import key_from_base64url, key_from_path
from rundlet_server.functions.openapi import openapi_document
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.route_table import ROUTES
from rundlet_server.functions.routes.service import CompactResource, LiveResource
from rundlet_server.storage.interface import Limits
from tests.conftest import SMALL_LIMITS
from tests.support import ROOT
from tests.support.models.model import ModelStore

METHODS = {"get", "put", "post", "delete", "head", "patch", "trace"}
SCHEMA_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}


@pytest.fixture(scope="module")
def document() -> dict:
    return openapi_document("1.2.3", Limits())


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


def test_table_of_routes_and_document_name_the_same_operations(document: dict):
    routes = [route for route in ROUTES.values() if not route.is_page]
    table = {(route.path, name.lower()) for route in routes for name in route.rules}

    assert table == {(path, method) for path, method, _ in operations(document)}


def test_every_route_of_the_table_has_a_resource_that_answers_its_methods():
    router: TargetRouter = create_app(ModelStore())._router
    answered = {
        endpoint.route.template: {
            name.removeprefix("on_").upper() for name in dir(endpoint.resource) if name[:3] == "on_"
        }
        for endpoint in router.endpoints
    }

    assert answered == {route.template: {*route.rules} for route in ROUTES.values()}


def test_router_refuses_what_the_table_does_not_say():
    router = TargetRouter()

    with pytest.raises(KeyError):
        router.add_route("/v1/new", LiveResource())
    with pytest.raises(ValueError, match="/v1/keys"):
        router.add_route("/v1/keys", CompactResource(None))


def test_templates_of_routes_stand_in_the_table_alone():
    spelled = {route.template for route in ROUTES.values()} | {r.path for r in ROUTES.values()}
    spelled |= {route.base for route in ROUTES.values() if route.has_key}
    for path in (ROOT / "functions").rglob("*.py"):
        if path.name != "route_table.py":
            texts = texts_of(ast.parse(path.read_text()))
            assert not {text for text in texts if text.split("?")[0] in spelled - {"/"}}, path


def texts_of(tree: ast.Module) -> set[str]:
    """Every text in a module, and in its f-strings; a docstring is no template."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {node.value for node in nodes if isinstance(node.value, str)}


def test_document_is_served_as_it_is(api):
    answer = api.simulate_get("/openapi.json")

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == openapi_document(answer.json["info"]["version"], SMALL_LIMITS)


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


def test_every_link_leads_to_an_operation_and_its_parameters(document: dict):
    parameters = {
        operation["operationId"]: {
            parameter["name"]
            for parameter in [
                *operation.get("parameters", []),
                *document["paths"][path].get("parameters", []),
            ]
        }
        for path, _, operation in operations(document)
    }
    links = [
        link for part in every_part(document["paths"]) for link in part.get("links", {}).values()
    ]

    assert len(links) > 20
    for link in links:
        assert link["parameters"].keys() <= parameters[link["operationId"]]


def test_every_schema_has_a_name_and_no_object_is_without_one(document: dict):
    schemas = document["components"]["schemas"]
    for name, of in schemas.items():
        assert of["title"] == name
        inner = [part for part in every_part(of) if part is not of and "properties" in part]
        assert not [part for part in inner if part.get("type") == "object"], name
    for part in every_part(document["paths"]):
        assert part.get("type") != "object"


def test_document_tells_the_limits_of_the_store():
    limits = Limits(key_bytes_max=7, txn_ops_max=8, list_keys_max=9)

    schemas = openapi_document("1.2.3", limits)["components"]["schemas"]

    assert schemas["Key"]["maxLength"] == schemas["PathKey"]["maxLength"] == 7
    assert schemas["Base64UrlKey"]["maxLength"] == len(base64url(b"1234567"))
    assert (schemas["PageLimit"]["maximum"], schemas["PageLimit"]["default"]) == (9, 9)
    assert schemas["MgetRequest"]["properties"]["keys"]["maxItems"] == 9
    assert schemas["Transaction"]["properties"]["then"]["maxItems"] == 8


def base64url(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


@given(
    st.one_of(
        st.text(alphabet="AZaz09-_=+/ ", max_size=9), st.text().map(str.encode).map(base64url)
    )
)
def test_pattern_of_base64url_allows_what_the_server_decodes(document: dict, key: str):
    pattern = document["components"]["schemas"]["Base64UrlKey"]["pattern"]
    try:
        key_from_base64url(key, 2_048)
    except Problem as ex:
        is_spelled_wrong = ex.name == "bad-key" and "UTF-8" not in ex.detail
    else:
        is_spelled_wrong = False

    assert (re.search(pattern, key) is None) == is_spelled_wrong


@given(st.text(alphabet="./ab", max_size=9))
def test_pattern_of_keys_in_the_path_allows_what_the_server_takes(document: dict, key: str):
    of = document["components"]["schemas"]["PathKey"]
    try:
        key_from_path(key, 2_048)
    except Problem:
        is_key = False
    else:
        is_key = True

    assert (len(key) >= of["minLength"] and bool(re.search(of["pattern"], key))) == is_key


@given(st.text(alphabet='W/"a,* \t', max_size=12))
def test_pattern_of_entity_tags_allows_what_a_write_takes(document: dict, header: str):
    of = document["components"]["schemas"]["EntityTags"]
    listed = header.strip(" \t")  # a header's value has no blanks around it
    is_allowed = listed == "*" or bool(re.search(of["then"]["pattern"], listed))
    api = falcon.testing.TestClient(create_app(ModelStore()))

    answer = api.simulate_put("/v1/kv/a", body=b"1", headers={"If-Match": listed})

    assert (answer.status_code != 400) == is_allowed
