"""The JSON Schema of a worker, made from the model and written so that a person can read it."""

from typing import Any

from schemas.workflow import Worker

Schema = dict[str, Any]

# null means the same as leaving a field out, and is accepted wherever one may be left out. The contract shows these
# without it, so that what was generated from the contract finds here what it expects.
_SHOWN_WITHOUT_NULL = ("workflow_name", "args", "working_dir", "env_vars")


def worker_json_schema() -> Schema:
    """A JSON Schema (draft 2020-12) without references: the answer of `GET .../schema`."""
    raw = Worker.model_json_schema()
    schema = _tidy(raw, raw.pop("$defs", {}))
    for name in _SHOWN_WITHOUT_NULL:
        schema["properties"][name]["type"] = schema["properties"][name]["type"][0]
    return {"type": schema.pop("type"), "properties": schema.pop("properties"), **schema}


def _tidy(schema: Schema, definitions: Schema) -> Schema:
    """The same schema with its references inlined, closed maps, and no titles that repeat the field's name."""
    if "$ref" in schema:
        return _tidy(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    tidy = {key: _tidy_value(key, value, definitions) for key, value in schema.items() if key != "title"}
    if tidy.get("default", ...) is None:
        del tidy["default"]
    if "patternProperties" in tidy:
        # without this a name that breaks the pattern would be accepted with any value
        tidy["additionalProperties"] = False
    return _with_type_list(tidy)


def _tidy_value(key: str, value: Any, definitions: Schema) -> Any:
    if key in ("properties", "patternProperties"):
        return {name: _tidy(each, definitions) for name, each in value.items()}
    if key == "anyOf":
        return [_tidy(each, definitions) for each in value]
    return value


def _with_type_list(schema: Schema) -> Schema:
    """`anyOf: [X, null]` as X with `type: [..., "null"]`."""
    choices = schema.get("anyOf", [])
    if len(choices) != 2 or choices[1] != {"type": "null"}:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**choices[0], "type": [choices[0]["type"], "null"], **rest}
