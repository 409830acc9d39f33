"""The kustomize base: every name that a resource uses is the name of another one, and pods may little."""

import re
import shutil
import subprocess

import pytest
import yaml

from tests.deploy.containerfile import DEPLOY, command, effective, environment, read_stages

BASE = DEPLOY / "kustomize"
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
RESOURCES = [one for name in KUSTOMIZATION["resources"] for one in yaml.safe_load_all((BASE / name).read_text())]
DEPLOYMENTS = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in RESOURCES if one["kind"] == "Deployment"}
OUTSIDE = {"recsys"}  # the Secret that no file may hold


def named(kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in RESOURCES if one["kind"] == kind}


def test_every_file_is_a_resource_and_every_resource_a_file():
    assert {path.name for path in BASE.glob("*.yaml")} == {*KUSTOMIZATION["resources"], "kustomization.yaml"}
    assert {one["kind"] for one in RESOURCES} == {"Deployment", "Service", "PersistentVolumeClaim"}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_references_resolve(name):
    pod = DEPLOYMENTS[name]
    maps, images = {one["name"] for one in KUSTOMIZATION["configMapGenerator"]}, {one["name"] for one in KUSTOMIZATION["images"]}
    volumes = {one["name"]: one for one in pod["volumes"]}
    for volume in volumes.values():
        assert "emptyDir" in volume or volume["persistentVolumeClaim"]["claimName"] in named("PersistentVolumeClaim")
    for container in pod["containers"]:
        assert container["image"] in images
        assert {one["name"] for one in container["volumeMounts"]} == set(volumes)
        assert {one["configMapRef"]["name"] for one in container["envFrom"]} <= maps
        assert {one["valueFrom"]["secretKeyRef"]["name"] for one in container["env"]} <= OUTSIDE


def test_a_service_reaches_pods_and_their_port():
    pods = {str(one["spec"]["template"]["metadata"]["labels"]): one["spec"]["template"]["spec"] for one in RESOURCES
            if one["kind"] == "Deployment"}
    for service in (one for one in RESOURCES if one["kind"] == "Service"):
        pod = pods[str(service["spec"]["selector"])]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= {
            port["name"] for one in pod["containers"] for port in one["ports"]}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_pods_may_little_ask_for_their_share_and_are_probed(name):
    pod = DEPLOYMENTS[name]
    assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
    for container in pod["containers"]:
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                "capabilities": {"drop": ["ALL"]}}
        assert set(container["resources"]["requests"]) == {"cpu", "memory"} and "memory" in container["resources"]["limits"]
        assert "livenessProbe" in container
        user = effective(read_stages(), container["image"].removeprefix("recsys-"), "USER")
        assert user == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"


def test_the_service_is_ready_by_readyz_and_alive_by_healthz():
    [container] = DEPLOYMENTS["recsys-service"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    asked = command(effective(read_stages(), "service", "CMD"))
    assert container["args"][:len(asked)] == asked and str(container["ports"][0]["containerPort"]) in asked


def test_the_image_and_the_pods_agree_where_things_are():
    values = dict(line.split("=", 1) for line in KUSTOMIZATION["configMapGenerator"][0]["literals"])
    assert values["RECSYS_HOME"] == environment(read_stages(), "service")["RECSYS_HOME"]
    for pod in DEPLOYMENTS.values():
        assert values["RECSYS_HOME"] in {one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}


def test_tags_are_the_package_s_version():
    from recsys_core import __version__

    assert {one["newTag"] for one in KUSTOMIZATION["images"]} == {__version__}
    compose = (DEPLOY / "compose.yaml").read_text()
    assert set(re.findall(r"image: recsys-\w+:(\S+)", compose)) == {__version__}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kubectl_renders_the_base():
    done = subprocess.run(["kubectl", "kustomize", BASE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = list(yaml.safe_load_all(done.stdout))
    assert len(found) == len(RESOURCES) + 1
    used = set(re.findall(r"name: (recsys-[a-z0-9]{10})$", done.stdout, flags=re.M))
    assert {one["metadata"]["name"] for one in found if one["kind"] == "ConfigMap"} == used
