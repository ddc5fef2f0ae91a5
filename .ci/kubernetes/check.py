"""All checks of the chart that need no cluster. Prints a line per check; exits with 1 if one failed.

    HELM_DRIVER=memory python check.py OUT      (OUT: a directory that gets the rendered manifests, for other tools)
"""

from __future__ import annotations

import base64
import functools
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import kubernetes_validate
import yaml

import environment
import mutations
import plain
import pods
import readme
import wiring
from render import CHART, REPOSITORY, Object, Refused, Rendered, lint, render
from scenarios import REFUSED, running_replicas, scenarios

# The oldest Kubernetes that Chart.yaml allows, and the newest there is a schema of.
VERSIONS = ["1.33", kubernetes_validate.latest_version()]
# Resources of the Prometheus operator have no published schema there.
WITHOUT_SCHEMA = {"monitoring.coreos.com/v1"}


class Report:
    """Counts and prints."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def check(self, what: str, mistakes: Iterable[str]) -> None:
        found = list(dict.fromkeys(mistakes))
        self.passed += not found
        self.failed += bool(found)
        print(f"{'FAILED' if found else 'ok'}  {what}")
        for mistake in found:
            print(f"        {mistake}")


def schemas(rendered: Rendered) -> Iterator[str]:
    for version in VERSIONS:
        for thing in rendered.all:
            if thing["apiVersion"] not in WITHOUT_SCHEMA and (mistake := against_schema(json.dumps(thing), version)):
                yield f"{version}: {thing['kind']} {thing['metadata']['name']}: {mistake}"


# Most objects are the same in most renderings.
@functools.cache
def against_schema(thing: str, version: str) -> str | None:
    try:
        kubernetes_validate.validate(json.loads(thing), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(str(step) for step in error.path)}: {error.message}"
    return None


def refusals() -> Iterator[str]:
    for values, word in REFUSED:
        try:
            render(values)
        except Refused as refusal:
            if word not in str(refusal):
                yield f"{values} is refused for another reason: {refusal}"
        else:
            yield f"{values} is taken"


def templates(rendered: Rendered) -> dict[str, Object]:
    return {name: template for name, thing, template in pods.pods(rendered) if thing["kind"] in {"Deployment", "StatefulSet"}}


def other_replica_counts() -> Iterator[str]:
    """Another number of replicas restarts nobody."""
    usual = templates(render({}))
    for values in ({"order": {"replicas": 1}}, {"order": {"replicas": 5}}, {"catalog": {"replicas": 3}}, {"frontend": {"replicas": 7}}):
        for name, template in templates(render(values)).items():
            if template != usual[name]:
                yield f"{values} changes the pods of {name}"


def token() -> Iterator[str]:
    """The generated token is long, differs from install to install, and stays through upgrades."""
    first, second = (render({}).find("Secret", "toystore-internal") for _ in range(2))
    assert first and second
    if len(base64.b64decode(first["data"]["token"])) < 32:
        yield "the token is short"
    if first["data"] == second["data"]:
        yield "every install has the same token"
    upgraded = render({}, existing=[first]).find("Secret", "toystore-internal")
    if not upgraded or upgraded["data"] != first["data"]:
        yield "an upgrade changes the token"
    chosen = render({"internalToken": {"value": "one-of-ones-own"}}, existing=[first])
    if base64.b64decode(chosen.find("Secret", "toystore-internal")["data"]["token"]) != b"one-of-ones-own":
        yield "a token of one's own is not taken"
    if templates(chosen) == templates(render({})):
        yield "processes go on with the old token"


def scaling_in() -> Iterator[str]:
    """Before replicas go, a Job takes their votes: before an upgrade to fewer, and before every rollback, which cannot know how many there are."""
    for component in ("catalog", "order"):
        for wanted, running, expected in ((3, 5, {"pre-upgrade", "pre-rollback"}), (3, 3, {"pre-rollback"}), (5, 3, {"pre-rollback"})):
            rendered = render({component: {"replicas": wanted}}, existing=[running_replicas(component, running)])
            jobs = {job["metadata"]["annotations"]["helm.sh/hook"]: job for job in rendered.of("Job")}
            if set(jobs) != expected:
                yield f"{component} from {running} to {wanted}: {sorted(jobs)}"
            for hook, job in jobs.items():
                args = job["spec"]["template"]["spec"]["containers"][0]["args"]
                flag = {"order": "--to", "catalog": "--catalog-to"}[component]
                if args[args.index(flag) + 1] != str(wanted) or ("--unless-down" in args) != (hook == "pre-rollback"):
                    yield f"{component} to {wanted}, {hook}: {args}"


def notes(rendered: Rendered) -> Iterator[str]:
    """The notes name objects that are there."""
    for word in rendered.notes.replace("=", " ").split():
        kind, slash, name = word.partition("/")
        kinds = {"statefulset": "StatefulSet", "deployment": "Deployment", "service": "Service"}
        if slash and kind in kinds and not rendered.find(kinds[kind], name):
            yield f"there is no {word}"
    # What is not there, Helm leaves out.
    gap = re.compile(r"\S  +\S|\(\s|\s[),:;]")
    for line in rendered.notes.splitlines():
        if "<no value>" in line or ("  #" not in line and gap.search(line.strip())):
            yield f"something is missing in {line!r}"
    if len(rendered.notes) < 200:
        yield "they are not whole"


def versions() -> Iterator[str]:
    """The chart is for the store that lies beside it."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    store = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    if chart != store:
        yield f"the chart is for {chart}, and the store is {store}"


def main(out: Path) -> int:
    report = Report()
    report.check("helm lint", lint())
    report.check("the store's version", versions())
    report.check("the chart's README has the table of values", readme.check())
    for what, rendered in scenarios():
        out.joinpath(what.replace(" ", "-").replace("'", "") + ".yaml").write_text(
            yaml.safe_dump_all(rendered.all, sort_keys=False)
        )
        rules: list[tuple[str, Callable[[Rendered], Iterator[str]]]] = [
            (f"Kubernetes' schemas, {' and '.join(VERSIONS)}, strict", schemas),
            ("pods: restricted, and the store's own rules", pods.check),
            ("names, selectors, ports, accounts, quorums", wiring.check),
            ("variables that the program knows", environment.check),
            ("notes", notes),
        ]
        for rule, check in rules:
            report.check(f"{what}: {rule}", check(rendered))
    report.check("wrong values are refused", refusals())
    report.check("another number of replicas changes no pod", other_replica_counts())
    report.check("the internal token", token())
    report.check("votes are taken before replicas go", scaling_in())
    judges = [schemas, pods.check, wiring.check, environment.check]
    report.check(f"each of {len(mutations.mutations())} mistakes made on purpose is found", mutations.check(judges))
    report.check("k8s/ is what the chart gives", plain.check())
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
