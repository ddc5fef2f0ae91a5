"""What must hold for each rendered object by itself: Kubernetes' schemas, and the chart's own."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from render import Rendered, called

# The oldest Kubernetes that Chart.yaml allows, and the newest one with a schema.
VERSIONS = ["1.33", kubernetes_validate.latest_version()]
# There is no published schema for resources of the Prometheus operator.
WITHOUT_SCHEMA = {"monitoring.coreos.com/v1"}
OWN_SCHEMA = yaml.safe_load(Path(__file__).with_name("objects.schema.yaml").read_text())
OWN = jsonschema.Draft202012Validator(OWN_SCHEMA)


def schemas(rendered: Rendered) -> Iterator[str]:
    for thing in rendered.objects:
        # A date is not JSON; it becomes something that no schema accepts.
        text = json.dumps(thing, default=lambda _: None)
        for version in ["own", *([] if thing["apiVersion"] in WITHOUT_SCHEMA else VERSIONS)]:
            yield from (f"{called(thing)}: {mistake}" for mistake in against(text, version))


# Cached, because most objects are the same in most renderings.
@functools.cache
def against(thing: str, version: str) -> list[str]:
    try:
        if version != "own":
            kubernetes_validate.validate(json.loads(thing), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{version}: {'.'.join(map(str, error.path))}: {error.message}"]
    errors = OWN.iter_errors(json.loads(thing)) if version == "own" else []
    return [f"{error.json_path}: {error.message}" for error in errors]
