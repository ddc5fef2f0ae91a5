"""All checks of the chart that need no cluster.

The rendered manifests are written into the directory OUT, for other tools.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import generated
import rules
from api_server import Object
from render import CHART, REPOSITORY, Rendered, lint, load_1_2, refusal, render
from scenarios import HIGH_AVAILABILITY, HOSTILE, SCENARIOS, VALUES, existing, installed, running

# Deliberate mistakes, each of which a rule must find, or the policy of checkov with that id.
MUTATIONS: list[tuple[str, Object]] = [
    (file, mutation)
    for file, those in yaml.safe_load(
        Path(__file__).with_name("mutations.yaml").read_text()
    ).items()
    for mutation in those
]
# Objects that must exist for the mistakes to show.
MUTATED = {
    "networkPolicy": {"enabled": True},
    "catalog": {"restock": {"level": 10_000_000}},
    "console": {"enabled": True},
}


def test_helm_lint() -> None:
    assert lint() == []


def test_the_version_is_that_of_the_store() -> None:
    workspace = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == workspace["package"]["version"]


def test_generated_files_are_up_to_date() -> None:
    """`just chart-write` writes them."""
    for path, text in generated.files().items():
        assert path.read_text() == text, path


def test_kustomization() -> None:
    kustomization = yaml.safe_load((REPOSITORY / "k8s/kustomization.yaml").read_text())
    there = {path.name for path in (REPOSITORY / "k8s").glob("*.yaml")}
    assert set(kustomization["resources"]) == there - {"kustomization.yaml", "kind.yaml"}
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert kustomization["images"][0]["newTag"] == chart["appVersion"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_rendered_objects(scenario: str) -> None:
    rendered = SCENARIOS[scenario]()
    file = Path(os.environ["OUT"]) / f"{scenario.replace(' ', '-')}.yaml"
    file.write_text("\n---\n".join([rendered.text, *rendered.hook_texts]))
    assert rules.mistakes(rendered) == []


def mutant(number: int, directory: Path) -> Rendered:
    """The chart with a mistake."""
    file, mutation = MUTATIONS[number]
    chart = directory / str(number) / "toystore"
    shutil.copytree(CHART, chart)
    path = chart / "templates" / file
    text = path.read_text()
    assert mutation["old"] in text
    path.write_text(text.replace(mutation["old"], mutation["new"]))
    return render(MUTATED, chart=chart)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """What checkov finds in the mutants: the files, each with the id of a policy."""
    charts, manifests = tmp_path_factory.mktemp("charts"), tmp_path_factory.mktemp("manifests")
    for number, (_, mutation) in enumerate(MUTATIONS):
        if mutation["complaint"].startswith("CKV"):
            manifests.joinpath(f"{number}.yaml").write_text(mutant(number, charts).text)
    options = [
        "--config-file=ci/kubernetes/checkov.yaml",
        f"--directory={manifests}",
        "--output=json",
    ]
    checkov = [str(Path(sys.executable).with_name("checkov")), *options]
    said = subprocess.run(checkov, cwd=REPOSITORY, capture_output=True, check=False)
    failed = json.loads(said.stdout)["results"]["failed_checks"]
    return {(one["file_path"], one["check_id"]) for one in failed}


@pytest.mark.parametrize("number", range(len(MUTATIONS)))
def test_mistake_is_found(number: int, tmp_path: Path, policies: set[tuple[str, str]]) -> None:
    complaint = MUTATIONS[number][1]["complaint"]
    if complaint.startswith("CKV"):
        assert (f"/{number}.yaml", complaint) in policies
    else:
        assert complaint in "\n".join(rules.mistakes(mutant(number, tmp_path)))


@pytest.mark.parametrize(("values", "word"), VALUES["refused"], ids=str)
def test_wrong_values_are_refused(values: Object, word: str) -> None:
    assert word in refusal(values)


@pytest.mark.parametrize(("values", "words"), VALUES["immutable"], ids=str)
def test_immutable_fields_are_refused_before_anything_is_applied(
    values: Object, words: list[str]
) -> None:
    why = refusal(values, [running("order"), running("catalog")])
    assert [word for word in words if word not in why] == []


@pytest.mark.parametrize(
    "values",
    [
        {},
        # Only the notation differs.
        {"order": {"persistence": {"size": "1024Mi"}}},
        {"catalog": {"replicas": 5}},
        HIGH_AVAILABILITY,
    ],
)
def test_mutable_fields_are_accepted(values: Object) -> None:
    assert refusal(values, [running("order"), running("catalog")]) == ""


@pytest.mark.parametrize(
    ("ready", "scheduled", "advised"), [(0, "False", True), (2, "False", False), (0, "True", False)]
)
def test_a_group_that_cannot_be_upgraded_must_be_recreated(
    ready: int, scheduled: str, advised: bool
) -> None:
    """It has no ready replica, and one of them has no node. A group that works is upgraded."""
    there = running("order") | {"status": {"readyReplicas": ready} if ready else {}}
    pods = [
        existing(
            "Pod", f"toystore-order-{n}", {"conditions": [{"type": "PodScheduled", "status": it}]}
        )
        for n, it in enumerate(("True", "True", scheduled))
    ]
    why = refusal({}, [there, *pods])
    advice = "delete pod toystore-order-0 toystore-order-1 toystore-order-2"
    assert (advice in why, bool(why)) == (advised, advised), why


def test_strings_stay_strings_for_every_yaml_parser() -> None:
    rendered = SCENARIOS["hostile strings"]()
    texts = [rendered.text, *rendered.hook_texts]
    assert [thing for text in texts for thing in load_1_2(text)] == rendered.objects
    # The schemas tell where a value must be a string. In JSON every key becomes one.
    assert json.loads(json.dumps(rendered.objects)) == rendered.objects
    order = rendered.find("StatefulSet", "toystore-1e3-toystore-order")
    assert order
    annotations = order["spec"]["template"]["metadata"]["annotations"]
    assert annotations.items() >= HOSTILE["order"]["podAnnotations"].items()


def test_two_releases_share_no_names_neither_in_a_namespace_nor_in_grafana() -> None:
    values = {"metrics": {"dashboards": {"enabled": True}}, "networkPolicy": {"enabled": True}}
    seen: list[tuple[str, str, str]] = []
    for release, namespace in (("one", "a"), ("two", "a"), ("one", "b")):
        rendered = render(values, name=release, namespace=namespace)
        seen += [(it["kind"], namespace, it["metadata"]["name"]) for it in rendered.objects]
        for thing in rendered.of("ConfigMap"):
            if thing["metadata"]["labels"][rules.COMPONENT] == "dashboard":
                for file, text in thing["data"].items():
                    dashboard = json.loads(text)
                    seen += [("file", "", file)]
                    seen += [(field, "", dashboard[field]) for field in ("uid", "title")]
    assert len(seen) == len(set(seen)), sorted(seen)


@functools.cache
def load_tests(values: str, there: str = "[]") -> list[Object]:
    jobs = [
        job
        for job in render(json.loads(values), existing=json.loads(there)).of("Job")
        if job["metadata"]["labels"][rules.COMPONENT] == "loadtest"
    ]
    for job in jobs:
        job["metadata"]["annotations"]["meta.helm.sh/release-name"] = "toystore"
    return jobs


def on(**values: object) -> Object:
    return {"loadTest": {"enabled": True, **values}}


@pytest.mark.parametrize(
    "values", [on(), on() | {"image": {"tag": "0.2.0"}}, on() | {"log": {"level": "debug"}}, {}]
)
def test_an_upgrade_leaves_a_load_test_as_it_is(values: Object) -> None:
    first = load_tests(json.dumps(on()))
    assert load_tests(json.dumps(values), json.dumps(first)) == first


@pytest.mark.parametrize("values", [on(rate=200), on(run="2"), on(scenario="x")])
def test_different_values_add_another_load_test(values: Object) -> None:
    first = load_tests(json.dumps(on()))
    both = load_tests(json.dumps(values), json.dumps(first))
    assert len(both) == 2 and both[0] == first[0]
    assert both[0]["metadata"]["name"] != both[1]["metadata"]["name"]


def test_different_load_tests_have_different_names_also_without_a_cluster() -> None:
    values = [on(), on() | {"image": {"tag": "0.2.0"}}, on(run="2")]
    names = [load_tests(json.dumps(it))[0]["metadata"]["name"] for it in values]
    assert len(set(names)) == len(values)


def templates(rendered: Rendered) -> list[Object]:
    return [thing["spec"]["template"] for thing in rendered.of("Deployment", "StatefulSet")]


@pytest.mark.parametrize("component", ["order", "catalog", "frontend"])
@pytest.mark.parametrize("replicas", [1, 5])
def test_another_number_of_replicas_restarts_no_pod(component: str, replicas: int) -> None:
    assert templates(render({component: {"replicas": replicas}})) == templates(installed())


def test_the_console_restarts_no_pod() -> None:
    with_console = [
        it
        for it in templates(render({"console": {"enabled": True}}))
        if it["metadata"]["labels"][rules.COMPONENT] != "console"
    ]
    assert with_console == templates(installed())


def test_the_console_reads_all_internal_ports_and_nothing_else() -> None:
    values = {"console": {"enabled": True}, "networkPolicy": {"enabled": True}}
    policy = render(values).find("NetworkPolicy", "toystore-console")
    assert policy
    callable_ports = {
        (peer, port["port"])
        for rule in policy["spec"]["egress"]
        for peer in rules.own_pods(rule.get("to", []))
        for port in rule["ports"]
    }
    assert callable_ports == {("frontend", 1111), ("catalog", 1130), ("order", 1121)}


def test_the_internal_token() -> None:
    """It is long, differs from install to install, and stays through upgrades."""

    def secret(rendered: Rendered) -> bytes:
        thing = rendered.find("Secret", "toystore-internal")
        assert thing
        return base64.b64decode(thing["data"]["token"])

    first = render({})
    there = first.of("Secret")
    assert len(secret(first)) >= 32
    assert secret(first) != secret(render({}))
    assert secret(first) == secret(render({}, existing=there))
    chosen = render({"internalToken": {"value": "one-of-ones-own"}}, existing=there)
    assert secret(chosen) == b"one-of-ones-own"
    assert templates(chosen) == templates(first)
    assert "one-of-ones-own" not in str(chosen.objects)


@pytest.mark.parametrize(("component", "flag"), [("catalog", "--catalog-to"), ("order", "--to")])
@pytest.mark.parametrize(
    ("wanted", "there", "hooks"),
    [(3, 5, {"pre-upgrade", "pre-rollback"}), (3, 3, {"pre-rollback"}), (5, 3, {"pre-rollback"})],
)
def test_votes_are_taken_before_replicas_are_removed(
    component: str, flag: str, wanted: int, there: int, hooks: set[str]
) -> None:
    """A Job runs before an upgrade to fewer replicas.

    It also runs before every rollback, whose number of replicas is unknown.
    """
    values = {component: {"replicas": wanted}}
    jobs = {
        job["metadata"]["annotations"]["helm.sh/hook"]: job["spec"]["template"]["spec"][
            "containers"
        ][0]
        for job in render(values, existing=[running(component, there)]).of("Job")
    }
    assert jobs.keys() == hooks
    for hook, container in jobs.items():
        args, is_rollback = container["args"], hook == "pre-rollback"
        assert args[args.index(flag) + 1] == str(wanted)
        assert ({"--to", "--catalog-to"} <= set(args)) == is_rollback
        assert ("--unless-down" in args) == is_rollback


@pytest.mark.parametrize(
    ("phases", "has_votes"), [(["Pending"] * 3, False), (["Bound", "Pending", "Pending"], True)]
)
def test_a_group_that_never_had_a_volume_has_no_votes_to_take(
    phases: list[str], has_votes: bool
) -> None:
    claims = [
        existing("PersistentVolumeClaim", f"data-toystore-order-{n}", {"phase": phase})
        for n, phase in enumerate(phases)
    ]
    rendered = render({"order": {"replicas": 1}}, existing=[running("order"), *claims])
    assert bool(rendered.find("Job", "toystore-scale-in")) == has_votes
