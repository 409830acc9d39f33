"""What a linter of Containerfiles asks for: pinned bases and packages, no root, no secrets, no shell around the command."""

import fnmatch
import re
import shlex

import pytest

from tests.deploy.containerfile import DEPLOY, ROOT, command, effective, environment, read_stages

STAGES = read_stages()
IMAGES = ("service", "chain")
SECRET = re.compile(r"(PASSWORD|SECRET|TOKEN|API_KEY|PRIVATE)", re.I)


def test_every_base_is_pinned_to_a_release():
    outside = [stage.base for stage in STAGES.values() if stage.base not in STAGES]
    assert outside and all(re.search(r":\d+\.\d+\.\d+-slim", base) for base in outside)


@pytest.mark.parametrize("image", IMAGES)
def test_nobody_is_root_and_the_command_gets_its_signals(image):
    user = effective(STAGES, image, "USER")
    assert user and int(user.split(":")[0]) >= 1000
    assert all(isinstance(word, str) for word in command(effective(STAGES, image, "CMD")))  # a shell would swallow SIGTERM


def test_the_service_is_asked_for_its_health():
    check = effective(STAGES, "service", "HEALTHCHECK")
    port = effective(STAGES, "service", "EXPOSE")
    assert f"127.0.0.1:{port}/healthz" in check and port in command(effective(STAGES, "service", "CMD"))


@pytest.mark.parametrize("image", IMAGES)
def test_no_secret_has_a_place_in_an_image(image):
    assert not [name for name in environment(STAGES, image) if SECRET.search(name)]
    words = [rest for stage in STAGES.values() for word, rest in stage.steps if word == "ARG"]
    assert not [name for name in words if SECRET.search(name)]


def test_every_package_is_pinned():
    lines = [rest for stage in STAGES.values() for word, rest in stage.steps if word == "RUN"]
    runs = [shlex.split(rest) for rest in lines if "pip install" in rest]
    assert len(runs) >= 4
    for words in runs:
        names = [word for word in words[words.index("install") + 1:] if not word.startswith("-")]
        pinned = any(word in ("-r", "--constraint", "--no-deps") for word in words)
        assert pinned and all(name.endswith(".txt") or name.startswith(".") or "==" in name for name in names), words
    assert environment(STAGES, "service-build")["PIP_NO_CACHE_DIR"] == "1"
    lines = [line for line in (DEPLOY / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines and all("==" in line for line in lines)


def test_dagster_s_packages_are_of_one_release():
    pins = dict(line.split("==") for path in (ROOT, DEPLOY) for line in (path / "requirements.txt").read_text().splitlines()
                if re.match(r"dagster[a-z-]*==", line))
    assert pins["dagster-postgres"] == pins["dagster-mlflow"]


def test_what_is_copied_exists_and_is_sent_to_the_build():
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    sent = [line[1:] for line in ignored if line.startswith("!")]
    copied = [word for stage in STAGES.values() for kind, rest in stage.steps if kind == "COPY" and "--from" not in rest
              for word in rest.split()[:-1]]
    assert {"recsys_core", "orchestration"} <= set(copied) and "*" in ignored
    for name in copied:
        assert (ROOT / name).exists() and any(fnmatch.fnmatch(name, line) for line in sent), name
    assert set(sent) == set(copied)  # nothing is sent that no image holds


def test_the_service_s_image_holds_no_training():
    steps = [step for stage in ("base", "service-build", "runtime", "service") for step in STAGES[stage].steps]
    copied = [rest for word, rest in steps if word == "COPY"]
    assert not [rest for rest in copied if re.search("assets|orchestration|deploy/requirements", rest)]
    [extras] = re.findall(r'"\.\[([a-z,]+)\]"', " ".join(rest for word, rest in steps if word == "RUN"))
    assert "http" in extras and not {"pipeline", "train", "dev"} & set(extras.split(","))
