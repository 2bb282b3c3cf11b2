"""The schema is closed and complete, and agrees with the program about settings."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.inspect import FloatType, IntType, LiteralType, StrType, StructType, type_info

from app.config import PREFIX, Settings

BY_THE_CHART = {
    "redis_url",
    "redis_ca_file",
    "store_url",
    "heartbeat_file",
    "soft_limit_seconds",
    "grace_seconds",
    "seconds_per_document",
}
"""Settings given by other values: two places for one setting could disagree."""
FREE = {"global", "affinity", "valueFrom", "items"}
"""Places of Kubernetes' own objects, which Kubernetes checks."""


def objects(node: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield name, node
        for key, inner in node.items():
            yield from objects(inner, key)
    elif isinstance(node, list):
        for inner in node:
            yield from objects(inner, name)


def test_every_object_is_closed(schema: dict[str, Any]) -> None:
    found = dict(objects(schema))
    assert len(found) > 20
    for name, node in objects(schema):
        # A map with the user's own keys declares the schema of its values.
        assert "additionalProperties" in node or name in FREE, name
        assert node.get("additionalProperties") is not True, name


def resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = schema["definitions"][node["$ref"].rpartition("/")[2]]
    return node


def paths(schema: dict[str, Any], node: dict[str, Any], below: str = "") -> Iterator[str]:
    """Yield every path of the schema whose keys are fixed."""
    for name, inner in resolved(schema, node).get("properties", {}).items():
        yield f"{below}{name}"
        yield from paths(schema, inner, f"{below}{name}.")


def written(values: dict[str, Any], below: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{below}{name}"
        if isinstance(value, dict):
            yield from written(value, f"{below}{name}.")


def test_values_and_schema_know_the_same_keys(schema: dict[str, Any], own_values: dict[str, Any]) -> None:
    roles = ("workerDefaults", "beat", "producer", "test", "redis", "store")
    inherited = {f"{role}.{key}" for role in roles for key in own_values["podDefaults"]}
    allowed = {path for path in paths(schema, schema) if not path.startswith("settings.")}
    # Below these, the user or Kubernetes chooses the keys.
    open_ends = ("workers.", ".requests.", ".limits.", ".rollingUpdate.")
    given = {path for path in written(own_values) if not any(end in path for end in open_ends)}
    assert given <= allowed
    unsaid = {path for path in allowed - given if path.endswith((".claims", ".tolerance"))}
    assert allowed - given - inherited - unsaid == {"global"}


def test_a_workers_keys_are_the_defaults_and_its_own(schema: dict[str, Any]) -> None:
    worker = set(schema["definitions"]["worker"]["properties"])
    defaults = set(schema["definitions"]["workerDefaults"]["properties"])
    assert worker - defaults == {"queue", "tasks", "documents", "secondsPerDocument", "timeLimits"}
    assert defaults <= worker
    assert set(schema["properties"]["podDefaults"]["properties"]) < defaults


def fields() -> dict[str, Any]:
    info = type_info(Settings)
    assert isinstance(info, StructType)
    return {
        f"{PREFIX}{field.name.upper()}": field.type for field in info.fields if field.name not in BY_THE_CHART
    }


def test_the_settings_are_those_of_the_program(schema: dict[str, Any]) -> None:
    assert set(schema["properties"]["settings"]["properties"]) == set(fields())


def test_what_the_chart_gives_is_a_setting() -> None:
    assert set(Settings.__struct_fields__) >= BY_THE_CHART


@pytest.mark.parametrize("name", sorted(fields()))
def test_a_setting_may_be_what_the_program_takes(schema: dict[str, Any], name: str) -> None:
    allowed = schema["properties"]["settings"]["properties"][name]
    kind = fields()[name]
    if isinstance(kind, LiteralType):
        assert allowed == {"enum": list(kind.values)}
    elif isinstance(kind, StrType):
        # A number is taken as text, as in a shell.
        assert allowed["type"] == ("string" if kind.pattern is None else ["integer", "string"])
        assert allowed.get("minLength") == kind.min_length
        assert allowed.get("pattern") == kind.pattern
    else:
        assert isinstance(kind, IntType | FloatType)
        assert allowed["type"] == ("integer" if isinstance(kind, IntType) else "number")
        assert allowed.get("minimum") == kind.ge
        assert allowed.get("exclusiveMinimum") == kind.gt
        assert allowed.get("maximum") == kind.le
