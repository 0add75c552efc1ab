"""The JSON Schema of index files: editors complete and check ``zoo_index.yaml`` by it (see the file's first line).

It is derived from the models that check the index; ``docs/zoo_index.schema.json`` is this function's output. In a
file a network or a family's defaults may say any part and leave the rest to the other, so that nothing in tables that
are merged is required; what is required in the end is checked after merging.
"""

from __future__ import annotations

import json
from typing import Any

from caffezoo.zoo.entry import NetworkEntry
from caffezoo.zoo.schema import IndexFile

SCHEMA_PATH = "docs/zoo_index.schema.json"
_MERGED = ("Input", "Labels", "Origin", "Preprocessing", "Published", "Sizes")


def index_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of an index file."""
    schema = IndexFile.model_json_schema()
    network = NetworkEntry.model_json_schema()
    definitions: dict[str, Any] = {**schema.pop("$defs"), **network.pop("$defs")}
    for name in _MERGED:
        definitions[name].pop("required", None)
    keys = {key: value for key, value in network["properties"].items() if key != "name"}
    network.pop("required")
    definitions["Network"] = {**network, "title": "Network", "properties": keys}
    defaults = {key: value for key, value in keys.items() if key not in ("aliases", "family")}
    definitions["Defaults"] = {
        **network,
        "title": "Defaults",
        "description": "What the family's networks have where they do not say otherwise.",
        "properties": defaults,
    }
    definitions["Family"]["properties"]["defaults"] = {"$ref": "#/$defs/Defaults"}
    networks = schema["properties"]["networks"]
    networks["patternProperties"] = {pattern: {"$ref": "#/$defs/Network"} for pattern in networks["patternProperties"]}
    networks["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Index of Caffe networks",
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """Return the text of ``docs/zoo_index.schema.json``."""
    return json.dumps(index_schema(), indent=2, ensure_ascii=False) + "\n"
