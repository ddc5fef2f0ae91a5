"""All checks of the chart that need no cluster.

    HELM_DRIVER=memory python check.py OUT

It prints a line per check and exits with 1 if one failed. The rendered manifests are written into
the directory OUT, for other tools.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import kubernetes_validate
import yaml

import environment
import mutations
import plain
import pods
import readme
import wiring
from json_handler import Object
from render import CHART, REPOSITORY, Rendered, called, lint, load_1_2, refusal, render
from scenarios import HOSTILE_VALUES, IMMUTABLE, REFUSED, claim, running, scenarios

# The oldest Kubernetes that Chart.yaml allows, and the newest one with a schema.
VERSIONS = ["1.33", kubernetes_validate.latest_version()]
# There is no published schema for resources of the Prometheus operator.
WITHOUT_SCHEMA = {"monitoring.coreos.com/v1"}


class Report:
    """Counts and prints results."""

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
            if thing["apiVersion"] not in WITHOUT_SCHEMA and (
                mistake := against_schema(
                    json.dumps(thing, default=lambda date: {"date": str(date)}), version
                )
            ):
                yield f"{version}: {called(thing)}: {mistake}"


# Cached, because most objects are the same in most renderings.
@functools.cache
def against_schema(thing: str, version: str) -> str | None:
    try:
        # A date is not JSON; it becomes something that no schema accepts.
        kubernetes_validate.validate(json.loads(thing), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(str(step) for step in error.path)}: {error.message}"
    return None


def refusals() -> Iterator[str]:
    for values, word in REFUSED:
        if word not in (why := refusal(values)):
            yield f"{values} is taken, or refused for another reason: {why}"


def immutable() -> Iterator[str]:
    """Changes that Kubernetes would refuse are refused before anything is applied.

    Differences in notation alone are accepted.
    """
    there = [running("order"), running("catalog")]
    for values, words in IMMUTABLE:
        why = refusal(values, there)
        yield from (
            f"{values}: {word!r} is missing in {why!r}" for word in words if word not in why
        )
    high_availability = yaml.safe_load((CHART / "values-ha.yaml").read_text())
    same_size = {"order": {"persistence": {"size": "1024Mi"}}}
    for values in ({}, same_size, {"catalog": {"replicas": 5}}, high_availability):
        if why := refusal(values, there):
            yield f"{values} is refused: {why}"


def unschedulable() -> Iterator[str]:
    """A group without a ready replica, one of which has no node, must be recreated.

    A group that works is upgraded.
    """

    def pod(ordinal: int, scheduled: str) -> Object:
        status = {"conditions": [{"type": "PodScheduled", "status": scheduled}]}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"toystore-order-{ordinal}", "namespace": "shop"},
            "status": status,
        }

    for ready, last, expected in ((0, "False", True), (2, "False", False), (0, "True", False)):
        there = running("order")
        there["status"] = {"readyReplicas": ready} if ready else {}
        why = refusal({}, [there, pod(0, "True"), pod(1, "True"), pod(2, last)])
        advice = "delete pod toystore-order-0 toystore-order-1 toystore-order-2"
        if (advice in why) != expected or bool(why) != expected:
            yield f"{ready} ready, the last one scheduled: {last}: {why or 'taken'}"


def strings() -> Iterator[str]:
    """A string stays a string for every YAML parser."""
    rendered = render(HOSTILE_VALUES, name="1e3", namespace="123")
    texts = [rendered.text, *rendered.hook_texts]
    if [thing for text in texts for thing in load_1_2(text)] != rendered.all:
        yield "YAML 1.1 and 1.2 read different things"
    for thing in rendered.all:
        # The schemas tell where a value must be a string. In JSON every key becomes one.
        if json.loads(json.dumps(thing, default=str)) != thing:
            yield f"{thing['metadata']['name']}: a key is no string, or a value is a date"
    order = rendered.find("StatefulSet", "toystore-1e3-toystore-order")
    if (
        not order
        or not HOSTILE_VALUES["order"]["podAnnotations"].items()
        <= order["spec"]["template"]["metadata"]["annotations"].items()
    ):
        yield "annotations are not what was said"


def two_releases() -> Iterator[str]:
    """Two releases share no names, neither in a namespace nor in Grafana."""
    seen: dict[tuple[str, ...], str] = {}
    for release, namespace in (("one", "a"), ("two", "a"), ("one", "b")):
        rendered = render(
            {"metrics": {"dashboards": {"enabled": True}}, "networkPolicy": {"enabled": True}},
            name=release,
            namespace=namespace,
        )
        for thing in rendered.all:
            identities: list[tuple[str, ...]] = [
                (thing["kind"], namespace, thing["metadata"]["name"])
            ]
            if thing["metadata"]["labels"]["app.kubernetes.io/component"] == "dashboard":
                for file, text in thing["data"].items():
                    identities += [("file", file)] + [
                        (field, json.loads(text)[field]) for field in ("uid", "title")
                    ]
            for identity in identities:
                if seen.setdefault(identity, f"{namespace}/{release}") != f"{namespace}/{release}":
                    yield f"{identity} is there twice"


def load_tests() -> Iterator[str]:
    """A run stays unchanged through upgrades; different values add another run.

    Without a cluster, different runs have different names.
    """
    on: Object = {"loadTest": {"enabled": True}}

    def runs(values: Object, existing: list[Object] | None = None) -> list[Object]:
        jobs = [
            job
            for job in render(values, existing=existing).of("Job")
            if job["metadata"]["labels"]["app.kubernetes.io/component"] == "loadtest"
        ]
        for job in jobs:
            job["metadata"]["annotations"]["meta.helm.sh/release-name"] = "toystore"
        return jobs

    first = runs(on)
    for values in (on, {**on, "image": {"tag": "0.2.0"}}, {**on, "log": {"level": "debug"}}, {}):
        if runs(values, first) != first:
            yield f"an upgrade to {values} changes the run, or runs it again"
    for other in ({"rate": 200}, {"run": "2"}, {"scenario": "x"}):
        both = runs({"loadTest": {"enabled": True, **other}}, first)
        if (
            len(both) != 2
            or both[0] != first[0]
            or both[0]["metadata"]["name"] == both[1]["metadata"]["name"]
        ):
            yield f"{other}: {[job['metadata']['name'] for job in both]}"
    alone = [
        runs(values)[0]
        for values in (
            on,
            {**on, "image": {"tag": "0.2.0"}},
            {"loadTest": {"enabled": True, "run": "2"}},
        )
    ]
    if len({job["metadata"]["name"] for job in alone}) != 3:
        yield "two Jobs that differ have one name"


def templates(rendered: Rendered) -> dict[str, Object]:
    return {
        name: template
        for name, thing, template in pods.pods(rendered)
        if thing["kind"] in {"Deployment", "StatefulSet"}
    }


def other_replica_counts() -> Iterator[str]:
    """Changing the number of replicas restarts no pod."""
    usual = templates(render({}))
    for values in (
        {"order": {"replicas": 1}},
        {"order": {"replicas": 5}},
        {"catalog": {"replicas": 1}},
        {"frontend": {"replicas": 7}},
    ):
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
    secret = chosen.find("Secret", "toystore-internal")
    if not secret or base64.b64decode(secret["data"]["token"]) != b"one-of-ones-own":
        yield "a token of one's own is not taken"
    if templates(chosen) != templates(render({})):
        yield "the pods tell something of the token"
    told = [thing["kind"] for thing in chosen.all if "one-of-ones-own" in str(thing)]
    if told:
        yield f"the token is in plain text in {told}"


def scaling_in() -> Iterator[str]:
    """A Job takes the votes of replicas before they are removed.

    It runs before an upgrade to fewer replicas, and before every rollback, whose number of replicas
    is unknown.
    """
    for component in ("catalog", "order"):
        for wanted, there, expected in (
            (3, 5, {"pre-upgrade", "pre-rollback"}),
            (3, 3, {"pre-rollback"}),
            (5, 3, {"pre-rollback"}),
        ):
            rendered = render(
                {component: {"replicas": wanted}}, existing=[running(component, there)]
            )
            jobs = {
                job["metadata"]["annotations"]["helm.sh/hook"]: job for job in rendered.of("Job")
            }
            if set(jobs) != expected:
                yield f"{component} from {there} to {wanted}: {sorted(jobs)}"
            for hook, job in jobs.items():
                args = job["spec"]["template"]["spec"]["containers"][0]["args"]
                flag = {"order": "--to", "catalog": "--catalog-to"}[component]
                others = {"--to", "--catalog-to"} & set(args) - {flag}
                if (
                    args[args.index(flag) + 1] != str(wanted)
                    or bool(others) != (hook == "pre-rollback")
                    or ("--unless-down" in args) != (hook == "pre-rollback")
                ):
                    yield f"{component} to {wanted}, {hook}: {args}"


def never_founded() -> Iterator[str]:
    """If no replica ever had a volume, there are no votes to take."""
    for phases, expected in ((["Pending"] * 3, False), (["Bound", "Pending", "Pending"], True)):
        there = [
            running("order"),
            *(claim("order", ordinal, phase) for ordinal, phase in enumerate(phases)),
        ]
        if (
            bool(
                render({"order": {"replicas": 1}}, existing=there).find("Job", "toystore-scale-in")
            )
            != expected
        ):
            yield f"volumes that are {phases}"


def notes(rendered: Rendered) -> Iterator[str]:
    """The notes name existing objects."""
    for word in rendered.notes.replace("=", " ").split():
        kind, slash, name = word.partition("/")
        kinds = {"statefulset": "StatefulSet", "deployment": "Deployment", "service": "Service"}
        if slash and kind in kinds and not rendered.find(kinds[kind], name):
            yield f"there is no {word}"
    # Helm leaves out missing files.
    gap = re.compile(r"\S  +\S|\(\s|\s[),:;]")
    for line in rendered.notes.splitlines():
        if "<no value>" in line or ("  #" not in line and gap.search(line.strip())):
            yield f"something is missing in {line!r}"
    if len(rendered.notes) < 200:
        yield "they are not whole"


def versions() -> Iterator[str]:
    """The chart's version is the store's."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    store = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]["package"][
        "version"
    ]
    if chart != store:
        yield f"the chart is for {chart}, and the store is {store}"


def main(out: Path) -> int:
    report = Report()
    report.check("helm lint", lint())
    report.check("the store's version", versions())
    report.check("the chart's README has the table of values", readme.check())
    for what, rendered in scenarios():
        manifest = "\n---\n".join([rendered.text, *rendered.hook_texts])
        out.joinpath(what.replace(" ", "-").replace("'", "") + ".yaml").write_text(manifest)
        rules: list[tuple[str, mutations.Check]] = [
            (f"Kubernetes' schemas, {' and '.join(VERSIONS)}, strict", schemas),
            ("pods: the store's own rules, and what checkov misses", pods.check),
            ("names, selectors, ports, accounts, quorums", wiring.check),
            ("variables that the program knows", environment.check),
            ("notes", notes),
        ]
        for rule, check in rules:
            report.check(f"{what}: {rule}", check(rendered))
    report.check("wrong values are refused", refusals())
    report.check("another number of replicas changes no pod", other_replica_counts())
    report.check("the internal token", token())
    report.check("votes are taken before replicas are removed", scaling_in())
    report.check("a group that never existed has no votes to take", never_founded())
    report.check("immutable fields are refused before anything is applied", immutable())
    report.check(
        "replicas that only become ready together are not replaced one by one", unschedulable()
    )
    report.check("strings stay strings, in YAML 1.1 and 1.2", strings())
    report.check("two releases share nothing", two_releases())
    report.check("a load test runs once, and stays", load_tests())
    checks: list[mutations.Check] = [schemas, pods.check, wiring.check, environment.check]
    report.check(
        f"each of {len(mutations.mutations())} mistakes made on purpose is found",
        mutations.check(checks),
    )
    report.check("k8s/ is up to date with the chart", plain.check())
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
