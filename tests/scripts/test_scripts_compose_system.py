"""docker-compose.yml itself, and what stands for it without Docker; the whole is run in tests/distributed."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from libs.web.auth import TokenStore
from scripts import dev_env
from scripts.compose_local_file import ComposeError, LocalService, in_order, load
from scripts.compose_local_places import COMPOSE_FILE, LEFT_OUT, REPLACED, Places, check_places, local
from scripts.edge import services as described

ROOT = Path(__file__).parents[2]
RAW: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))
SECRETS = {name: f"{name.lower().replace('_', '-')}-secret" for name in (*dev_env.PASSWORDS, "RESEDGE_RELAY_TOKEN")}
OURS = [name for name, said in RAW["services"].items() if "build" in said]
SERVICES = [name for name in OURS if "healthcheck" in RAW["services"][name]]


@pytest.fixture(scope="module")
def services() -> dict[str, LocalService]:
    return load(COMPOSE_FILE, SECRETS)


def test_the_file_is_one_by_the_specification() -> None:
    # compose-spec.json is the schema of github.com/compose-spec/compose-go v2.9.0 (Apache-2.0), whose loader took the
    # file as well; no Docker engine ever ran it here.
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text("utf-8"))

    assert [str(error) for error in jsonschema_rs.validator_for(schema).iter_errors(RAW)] == []


def test_it_has_every_service_that_is_described(services: dict[str, LocalService]) -> None:
    assert sorted(SERVICES) == sorted({*described(), "relay"})
    for name in SERVICES:
        assert services[name].command == ("python", "-m", f"services.{name}")
        assert (ROOT / "services" / name / "__main__.py").exists()


def test_every_service_s_role_is_made_before_it_logs_in(services: dict[str, LocalService]) -> None:
    made = {name for name in services["init-views"].environment if name.endswith("_VIEWS_PASSWORD")}
    assert made == {f"RESEDGE_{name.upper()}_VIEWS_PASSWORD" for name in SERVICES}


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_no_secret_has_a_default(name: str) -> None:
    text = COMPOSE_FILE.read_text("utf-8")
    used = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)

    assert used
    assert set(used) == {":?run scripts/dev-env"}
    with pytest.raises(ComposeError, match=f"{name} is missing: run scripts/dev-env"):
        load(COMPOSE_FILE, {**SECRETS, name: ""})


@pytest.mark.parametrize("name", [*OURS, "edge"])
def test_our_containers_are_not_root_and_write_nowhere_else(name: str) -> None:
    said = RAW["services"][name]

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said["user"])
    assert said["read_only"] is True
    assert said["tmpfs"] == ["/tmp"]  # noqa: S108 - the container's
    assert said["cap_drop"] == ["ALL"]


def test_what_is_mounted_is_there() -> None:
    for said in RAW["services"].values():
        for volume in said.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./.dev/"):
                continue  # scripts/dev-env writes it
            assert (ROOT / source).exists() if source.startswith("./") else source in RAW["volumes"], volume


def test_everything_is_in_a_profile_and_only_loopback_is_published() -> None:
    for said in RAW["services"].values():
        assert said["profiles"] in (["core"], ["observability"])
        assert all(port.startswith("127.0.0.1:") for port in said.get("ports", []))


def test_containers_and_processes_run_the_same_kafka() -> None:
    pom = ET.parse(ROOT / "scripts/kafka-broker/pom.xml").getroot()  # noqa: S314 - our own file
    names = {"m": "http://maven.apache.org/POM/4.0.0"}
    versions = {
        each.findtext("m:artifactId", "", names): each.findtext("m:version", "", names)
        for each in pom.iterfind("m:dependencies/m:dependency", names)
    }

    assert RAW["services"]["kafka"]["image"] == f"apache/kafka:{versions['kafka_2.13']}"


def test_each_third_party_is_replaced_or_left_out(services: dict[str, LocalService]) -> None:
    check_places(services)

    assert {*REPLACED, *LEFT_OUT} == set(services) - set(OURS)
    unknown = {**services, "redis": LocalService("redis", ours=False)}
    with pytest.raises(ComposeError, match=r"services\.redis: nothing is known that stands for its image"):
        check_places(unknown)
    needing = {**services, "x": LocalService("x", ours=True, depends_on={"grafana": "service_started"})}
    with pytest.raises(ComposeError, match=r"services\.x\.depends_on: grafana is left out here"):
        check_places(needing)


def test_the_order_is_the_one_of_the_file(services: dict[str, LocalService]) -> None:
    order = [service.name for service in in_order(local(services))]

    assert order.index("postgres") < order.index("sqlserver") < order.index("sqlserver-login")
    assert max(map(order.index, ("topics", "init-log", "init-views"))) < min(map(order.index, SERVICES))
    assert order[-2:] == ["edge", "relay"]


def test_a_service_gets_the_file_s_environment_with_this_machine_s_places(services: dict[str, LocalService]) -> None:
    places = Places(Path("/home/me/resedge"))
    log, views = SECRETS["RESEDGE_LOG_PASSWORD"], SECRETS["RESEDGE_RELAY_VIEWS_PASSWORD"]

    assert places.environment(services["relay"]) == {
        "RESEDGE_API_URL": "http://127.0.0.1:8080",
        "RESEDGE_DATA_DIR": "/home/me/resedge/.dev/local/data/relay",
        "RESEDGE_HOST": "127.0.0.1",
        "RESEDGE_KAFKA_SERVERS": "127.0.0.1:19092",
        "RESEDGE_LOG_LEVEL": "INFO",
        "RESEDGE_LOG_URL": f"postgresql+pg8000://resedge:{log}@127.0.0.1:15432/log?sslmode=disable",
        "RESEDGE_OIDC_AUDIENCE": "",
        "RESEDGE_OIDC_ISSUER": "",
        "RESEDGE_OTLP_ENDPOINT": "",
        "RESEDGE_RELAY_PORT": "8106",
        "RESEDGE_RELAY_TOKEN": SECRETS["RESEDGE_RELAY_TOKEN"],
        "RESEDGE_RELAY_VIEWS_URL": f"postgresql+asyncpg://resedge_relay:{views}@127.0.0.1:15432/views",
        "RESEDGE_TOKENS_PATH": "/home/me/resedge/.dev/tokens.json",
    }


def test_another_port_base_moves_every_port(services: dict[str, LocalService]) -> None:
    places = Places(Path("/d"), 24_100)

    ports = [port for listening in places.listening().values() for port in listening]
    assert sorted(ports) == list(range(24_100, 24_111))
    assert places.environment(services["edge"])["RENDERING_UPSTREAM"] == "127.0.0.1:24104"
    assert places.environment(services["edge"])["EDGE_LISTEN"] == "127.0.0.1:24100"
    assert places.environment(services["audit"])["RESEDGE_AUDIT_PORT"] == "24105"
    assert places.address == "http://127.0.0.1:24100"


def test_a_host_without_a_place_is_an_error() -> None:
    service = LocalService("x", ours=True, environment={"URL": "http://jaeger:4317"})

    with pytest.raises(ComposeError, match="jaeger:4317 has no place on this machine"):
        Places(Path("/d")).environment(service)


def test_secrets_are_written_once_for_their_owner_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--dir", str(tmp_path), "--config", str(tmp_path / "config.yaml")]
    assert dev_env.main(arguments) == 0
    first = (tmp_path / ".env").read_text()
    assert not any(line.split("=")[1] in capsys.readouterr().err for line in first.splitlines() if "TOKEN=" in line)
    assert dev_env.main(arguments) == 0

    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "config.yaml").stat().st_mode) == 0o600
    assert "already exists" in capsys.readouterr().err
    assert (tmp_path / ".env").read_text() == first
    assert dev_env.main([*arguments, "--force"]) == 0
    assert (tmp_path / ".env").read_text() != first


def test_the_tokens_of_all_services_are_hashed_and_the_context_has_the_admin_s(tmp_path: Path) -> None:
    dev_env.write(tmp_path, dev_env.SERVER, tmp_path / "config.yaml")
    context = yaml.safe_load((tmp_path / "config.yaml").read_text())["contexts"][0]
    written = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines() if "=" in line)
    tokens = TokenStore(tmp_path / ".dev/tokens.json")
    metrics = (tmp_path / ".dev/metrics-token").read_text()

    assert (context["name"], context["server"]) == ("dev", "http://127.0.0.1:8080")
    for token, name, role in (
        (context["token"], "admin", "admin"),
        (written["RESEDGE_RELAY_TOKEN"], "relay", "relay"),
        (metrics, "prometheus", "viewer"),
    ):
        principal = tokens.principal(token)
        assert principal is not None
        assert (principal.name, principal.roles) == (name, frozenset({role}))
        assert token not in (tmp_path / ".dev/tokens.json").read_text()
    assert load(COMPOSE_FILE, written), "nothing else is needed"


def test_what_is_local_is_not_kept_in_git() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", ".env", ".dev/tokens.json"], cwd=ROOT, check=False, capture_output=True, text=True
    )

    assert ignored.stdout.split() == [".env", ".dev/tokens.json"]


def test_alerts_and_the_dashboard_name_figures_that_there_are() -> None:
    code = "".join(path.read_text("utf-8") for top in ("libs", "services") for path in (ROOT / top).rglob("*.py"))
    files = [ROOT / "compose/prometheus/alerts.yml", ROOT / "compose/grafana/dashboards/resedge.json"]
    named = {name for file in files for name in re.findall(r"resedge_[a-z_]+", file.read_text("utf-8"))}

    assert len(named) > 10
    for name in named:
        assert f'"{re.sub("_(bucket|sum|count)$", "", name)}"' in code, name


def test_a_development_container_sets_itself_up() -> None:
    text = (ROOT / ".devcontainer/devcontainer.json").read_text("utf-8")
    said = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))

    assert (ROOT / ".devcontainer" / said["build"]["dockerfile"]).exists()
    for command in said["postCreateCommand"].split(" && "):
        assert os.access(ROOT / command.split()[0], os.X_OK)
    assert said["forwardPorts"] == [8080]


def test_the_image_has_what_its_commands_run() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()}

    for name in OURS:
        said = RAW["services"][name]
        for words in filter(None, (said["command"], said.get("healthcheck", {}).get("test", [])[1:])):
            top, _, rest = words[2].partition(".")
            assert words[:2] == ["python", "-m"]
            path = f"scripts/{rest}.py" if top == "scripts" else top
            assert path in kept
            assert re.search(rf"^COPY .*\b{re.escape(path)}\b", text, re.MULTILINE), path
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert not re.search(r"^(ARG|ENV) .*(PASSWORD|TOKEN|SECRET)", text, re.MULTILINE)
