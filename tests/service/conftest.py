"""A client of the app over the tiny bundle, in this process."""

import threading
import time

import pytest
import uvicorn
from starlette.testclient import TestClient

from recsys_core.experiments import Experiments
from recsys_core.service.app import create_app
from recsys_core.service.limits import TokenBuckets
from recsys_core.service.settings import ServiceSettings
from recsys_core.service.treatments import Treatments


@pytest.fixture
def make_client(bundle, tmp_path):
    """A function from settings (and who answers, if not the tiny bundle) to a client."""
    def make(answers=bundle, draining=lambda: False, experiments=(), others=None, rules=None, **settings) -> TestClient:
        settings = ServiceSettings(bundle=bundle.folder, collect=tmp_path / "collected", **settings)
        treatments = Treatments(Experiments(experiments), answers, others or {}, rules)
        app = create_app(settings, treatments, TokenBuckets(settings.requests_per_s, settings.burst), draining)
        return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)

    return make


@pytest.fixture
def client(make_client) -> TestClient:
    return make_client()


@pytest.fixture
def address(make_client):
    """Where the app listens, in a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(make_client().app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
