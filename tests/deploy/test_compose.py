"""The Compose file and what it leans on: every name it uses exists, and no secret stands in it."""

import re

import pytest
import yaml

from orchestration.instance import SETTINGS
from tests.deploy.containerfile import DEPLOY, environment, read_stages

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_the_parts_of_a_shop_are_there():
    assert set(SERVICES) == {"service", "webserver", "daemon", "mlflow", "postgres"}


@pytest.mark.parametrize("name", SERVICES)
def test_names_resolve_and_images_have_releases(name):
    service = SERVICES[name]
    assert not service["image"].endswith(":latest") and re.search(r":\d+\.\d+", service["image"])
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    assert all("healthcheck" in SERVICES[other] for other in service.get("depends_on", {}))
    if "build" in service:
        assert service["build"]["target"] in read_stages() and (DEPLOY / service["build"]["context"] / "recsys_core").is_dir()
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or source.startswith(("./", "${"))


def test_images_that_are_not_built_are_built_elsewhere_in_the_file():
    built = {one["image"] for one in SERVICES.values() if "build" in one}
    assert {one["image"] for one in SERVICES.values() if one["image"].startswith("recsys-")} == built


@pytest.mark.parametrize("name", [name for name, one in SERVICES.items() if one["image"].startswith("recsys-")])
def test_our_containers_may_little(name):
    service = SERVICES[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and "/tmp" in service["tmpfs"]
    assert any(volume.startswith("home:/data") for volume in service["volumes"])


def test_only_the_service_listens_beyond_the_machine():
    opened = {name for name, one in SERVICES.items() for port in one.get("ports", []) if not port.startswith("127.0.0.1:")}
    assert opened == {"service"}


def test_secrets_are_names_and_the_example_names_them_all():
    text = (DEPLOY / "compose.yaml").read_text()
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)[:}]", text))
    named = {line.split("=")[0]: line.split("=", 1)[1] for line in (DEPLOY / "env.example").read_text().splitlines()
             if line and not line.startswith("#")}
    assert asked == set(named) and not any(named.values())
    for name, service in SERVICES.items():
        for key, value in service["environment"].items():
            assert not re.search("PASSWORD|KEY|SECRET|TOKEN", key) or str(value).startswith("${"), (name, key)


def test_dagster_s_instance_is_the_chain_s_with_its_records_in_postgres():
    template, own = yaml.safe_load((DEPLOY / "dagster.yaml").read_text()), yaml.safe_load(SETTINGS)
    assert {name: template[name] for name in own} == own
    wanted = {one["env"] for one in template["storage"]["postgres"]["postgres_db"].values() if isinstance(one, dict)}
    assert wanted <= set(SERVICES["webserver"]["environment"]) and wanted <= set(SERVICES["daemon"]["environment"])
    home = environment(read_stages(), "chain")["RECSYS_HOME"]
    assert template["compute_logs"]["config"]["base_dir"].startswith(home)


def test_both_databases_are_made():
    made = set(re.findall(r"CREATE DATABASE (\w+);", (DEPLOY / "databases.sql").read_text()))
    template = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    url = SERVICES["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"]
    # SQLAlchemy's own choice of a driver changed from one release to the next: both name the one that is installed.
    driver = template["storage"]["postgres"]["postgres_db"]["scheme"]
    assert url.startswith(f"{driver}://") and driver.removeprefix("postgresql+") in (DEPLOY / "requirements.txt").read_text()
    assert made == {template["storage"]["postgres"]["postgres_db"]["db_name"], url.rpartition("/")[2]}
