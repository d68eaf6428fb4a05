"""What `k8s/` builds is valid, closed by default, and runs the services with settings that they have."""

from __future__ import annotations

import copy
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cli.verbs import admin_views
from libs.runtime.settings import SHARED_PREFIX, ProcessSettings, Settings
from scripts.edge import COPY, TEMPLATE
from scripts.generate import import_everything, subclasses

ROOT = Path(__file__).resolve().parents[2]
VERSION = "1.34"
OVERLAYS = ["overlays/dev", "overlays/production"]
TREES = [*OVERLAYS, "init"]
WORKLOADS = {"Deployment", "StatefulSet", "Job"}
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/__main__.py"))
CREDENTIALS = re.compile(r"://[^/\s@]+:[^/\s@]+@|password|passwd|secret", re.IGNORECASE)
OTHERS_VARIABLES = re.compile(r"POD_NAMESPACE|NGINX_ENVSUBST_\w+|EDGE_\w+|[A-Z]+_UPSTREAM")

Manifest = dict[str, Any]


@cache
def built(tree: str) -> str:
    done = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / "k8s" / tree)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower(), done.stderr
    return done.stdout


@cache
def parsed(tree: str) -> tuple[Manifest, ...]:
    return tuple(yaml.load_all(built(tree), yaml.CSafeLoader))


def manifests(tree: str, *kinds: str) -> list[Manifest]:
    return [each for each in parsed(tree) if not kinds or each["kind"] in kinds]


def called(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def workloads() -> Iterator[tuple[str, Manifest]]:
    for tree in TREES:
        for manifest in manifests(tree, *WORKLOADS):
            yield tree, manifest


EVERY_WORKLOAD = pytest.mark.parametrize(
    ("tree", "workload"), list(workloads()), ids=[f"{tree} {called(each)}" for tree, each in workloads()]
)


def pod(workload: Manifest) -> Manifest:
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def labels(workload: Manifest) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


@pytest.mark.parametrize("tree", TREES)
def test_it_is_valid_kubernetes(tree: str) -> None:
    found = manifests(tree)
    for manifest in found:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    names = [called(manifest) for manifest in found]
    assert len(names) == len(set(names))


def test_a_mistake_would_be_found() -> None:
    broken = copy.deepcopy(manifests("overlays/dev", "Deployment")[0])
    pod(broken)["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSION, strict=True)


@pytest.mark.parametrize("tree", OVERLAYS)
def test_every_service_runs(tree: str) -> None:
    running = {each["metadata"]["name"] for each in manifests(tree, "Deployment", "StatefulSet")}
    assert running == {*SERVICES, "edge"}
    for workload in manifests(tree, "Deployment", "StatefulSet"):
        name = workload["metadata"]["name"]
        if name != "edge":
            assert pod(workload)["containers"][0]["command"] == ["python", "-m", f"services.{name}"]


@EVERY_WORKLOAD
def test_a_container_may_do_nothing_that_it_need_not(tree: str, workload: Manifest) -> None:
    del tree
    spec = pod(workload)
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["privileged"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
    for volume in spec["volumes"]:
        assert volume.keys() - {"name"} <= {"emptyDir", "secret", "configMap"}, volume


@EVERY_WORKLOAD
def test_a_container_says_what_it_needs_and_how_it_is(tree: str, workload: Manifest) -> None:
    del tree
    for container in pod(workload)["containers"]:
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys()
        # No limit of CPU: it would slow a start down where nobody else wants the processor.
        assert "memory" in resources["limits"]
        assert not container["image"].endswith(":latest")
        assert re.search(r":[\w.-]+$", container["image"]), container["image"]
        if workload["kind"] != "Job":
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
            assert container["lifecycle"]["preStop"]


@EVERY_WORKLOAD
def test_secrets_are_only_referred_to(tree: str, workload: Manifest) -> None:
    assert manifests(tree, "Secret") == []
    spec = pod(workload)
    secret = {volume["name"] for volume in spec["volumes"] if "secret" in volume}
    for container in spec["containers"]:
        for variable in container.get("env", []):
            value = variable.get("value", "")
            sure = variable["name"].endswith(("_FILE", "_PATH"))
            assert sure or not CREDENTIALS.search(value), variable["name"]
            assert sure or not re.search("TOKEN|PASSWORD|LOG_URL|VIEWS_URL", variable["name"]), variable["name"]
            if sure:
                assert any(value.startswith(f"{mount['mountPath']}/") for mount in container["volumeMounts"]), (
                    f"nothing is mounted at {value}"
                )
        for mount in container["volumeMounts"]:
            assert mount["name"] not in secret or mount["readOnly"] is True
    for made in manifests(tree, "ConfigMap"):
        settings = {key: value for key, value in made["data"].items() if key.startswith("RESEDGE_")}
        assert not any(CREDENTIALS.search(value) for value in settings.values())


@cache
def known_variables() -> set[str]:
    import_everything()
    found = {"RESEDGE_VIEWS_ADMIN_URL"}
    assert admin_views._URL in found
    found |= {f"RESEDGE_{service.upper()}_VIEWS_PASSWORD" for service in SERVICES}
    assert all(admin_views._PASSWORD.fullmatch(name) for name in found - {admin_views._URL})
    for each in subclasses(Settings):
        own = str(each.model_config.get("env_prefix", ""))
        found |= {f"{prefix}{name}".upper() for prefix in {own, SHARED_PREFIX} for name in each.model_fields}
    return found | {f"{name}_FILE" for name in found}


@EVERY_WORKLOAD
def test_every_variable_is_a_setting(tree: str, workload: Manifest) -> None:
    given = {variable["name"] for container in pod(workload)["containers"] for variable in container.get("env", [])}
    given |= {key for made in manifests(tree, "ConfigMap") for key in made["data"] if key.startswith("RESEDGE_")}
    ours = {name for name in given if not OTHERS_VARIABLES.fullmatch(name)}

    assert ours <= known_variables(), sorted(ours - known_variables())


@pytest.mark.parametrize("tree", OVERLAYS)
def test_ports_are_those_of_the_settings(tree: str) -> None:
    import_everything()
    ports = {
        str(each.model_config.get("env_prefix", "")).split("_")[1].lower(): each.model_fields["port"].default
        for each in subclasses(ProcessSettings)
        if each.model_config.get("env_prefix") != SHARED_PREFIX
    }
    services = {each["metadata"]["name"]: each["spec"]["ports"] for each in manifests(tree, "Service")}
    for workload in manifests(tree, "Deployment", "StatefulSet"):
        name = workload["metadata"]["name"]
        container = pod(workload)["containers"][0]
        port = container["ports"][0]["containerPort"]
        assert services[name] == [{"name": "http", "port": port, "targetPort": "http"}]
        variables = {each["name"]: each.get("value") for each in container["env"]}
        if name == "edge":
            for service in SERVICES:
                address = f"{service}.$(POD_NAMESPACE).svc.cluster.local:{services[service][0]['port']}"
                assert variables[f"{service.upper()}_UPSTREAM"] == address
        else:
            assert variables[f"RESEDGE_{name.upper()}_PORT"] == str(port)
            assert ports.get(name, port) in {port, ProcessSettings.model_fields["port"].default}


def test_the_router_is_the_one_that_is_used_everywhere() -> None:
    assert COPY.read_bytes() == TEMPLATE.read_bytes(), "run python -m scripts.edge"


@pytest.mark.parametrize("tree", OVERLAYS)
def test_all_that_comes_in_goes_through_the_router(tree: str) -> None:
    (ingress,) = manifests(tree, "Ingress")
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            assert path["backend"]["service"]["name"] == "edge"
    assert {each["spec"].get("type", "ClusterIP") for each in manifests(tree, "Service")} == {"ClusterIP"}


def selects(selector: Manifest, of: dict[str, str]) -> bool:
    return all(of.get(key) == value for key, value in selector.get("matchLabels", {}).items())


@pytest.mark.parametrize("tree", OVERLAYS)
def test_nothing_may_talk_but_what_is_said(tree: str) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in manifests(tree, "NetworkPolicy")}
    assert policies.pop("nothing") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, policy in policies.items():
        assert policy["podSelector"], name
        for rule in [*policy.get("ingress", []), *policy.get("egress", [])]:
            assert rule["ports"], name
            assert rule.get("from") or rule.get("to"), name
            for peer in [*rule.get("from", []), *rule.get("to", [])]:
                assert all(peer.values()), f"{name}: an empty selector is everybody"
    for workload in manifests(tree, "Deployment", "StatefulSet"):
        mine = [policy for policy in policies.values() if selects(policy["podSelector"], labels(workload))]
        assert any("Ingress" in policy["policyTypes"] for policy in mine), called(workload)
        assert any("Egress" in policy["policyTypes"] for policy in mine), called(workload)


@pytest.mark.parametrize("tree", OVERLAYS)
def test_every_workload_may_be_moved_one_pod_at_a_time(tree: str) -> None:
    budgets = manifests(tree, "PodDisruptionBudget")
    for workload in manifests(tree, "Deployment", "StatefulSet"):
        (budget,) = [each for each in budgets if selects(each["spec"]["selector"], labels(workload))]
        assert budget["spec"]["maxUnavailable"] == 1


def test_in_production_all_but_the_one_writer_have_two_replicas() -> None:
    replicas = {
        each["metadata"]["name"]: each["spec"]["replicas"]
        for each in manifests("overlays/production", "Deployment", "StatefulSet")
    }
    assert replicas == {**dict.fromkeys([*SERVICES, "edge"], 2), "rendering": 1}
    (writer,) = manifests("overlays/production", "StatefulSet")
    assert writer["metadata"]["name"] == "rendering"
    assert [claim["metadata"]["name"] for claim in writer["spec"]["volumeClaimTemplates"]] == ["data"]


def test_production_encrypts_what_comes_in() -> None:
    (ingress,) = manifests("overlays/production", "Ingress")
    hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
    assert {host for entry in ingress["spec"]["tls"] for host in entry["hosts"]} == hosts
    assert all(entry["secretName"] for entry in ingress["spec"]["tls"])


def test_the_page_lists_every_secret() -> None:
    page = (ROOT / "docs/how-to/run-on-kubernetes.md").read_text("utf-8")
    wanted = {
        volume["secret"]["secretName"]
        for _, workload in workloads()
        for volume in pod(workload)["volumes"]
        if "secret" in volume
    }
    assert {name for name in wanted if f"`{name}`" not in page.replace("resedge-views-<service>", name)} == set()
