"""Dagster's records in Postgres: a throwaway server, the shipped dagster.yaml, and one run of a pooled step."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml

from tests.deploy.containerfile import DEPLOY

PASSWORD = "throwaway1"


def program(name: str) -> str | None:
    """A program of the newest Postgres server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture(scope="module")
def server():
    """Host and port of a server with the databases of databases.sql; gone with its folder afterwards."""
    pytest.importorskip("dagster_postgres", reason="needs dagster-postgres and psycopg2")
    if program("initdb") is None:
        pytest.skip("needs a Postgres server")
    user = "nobody" if os.getuid() == 0 else None  # the server refuses root
    folder = Path(tempfile.mkdtemp(prefix="recsys-postgres-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)

    def call(name: str, *arguments: str, **more: object) -> None:
        done = subprocess.run([program(name), *arguments], cwd=folder, user=user, check=False, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env={**os.environ, "PGPASSWORD": PASSWORD, "LC_ALL": "C"}, **more)
        assert done.returncode == 0, done.stdout

    try:
        call("initdb", "-D", "data", "-U", "recsys", "-A", "scram-sha-256", "--pwfile=password", "--no-sync")
        with open(folder / "log", "w") as told:
            running = subprocess.Popen([program("postgres"), "-D", "data", "-p", str(port), "-k", str(folder), "-c", "fsync=off",
                                        "-c", "listen_addresses=127.0.0.1"], cwd=folder, user=user, stdout=told, stderr=told)
        try:
            for _ in range(100):
                if subprocess.run([program("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"], check=False).returncode == 0:
                    break
                assert running.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            call("psql", "-h", "127.0.0.1", "-p", str(port), "-U", "recsys", "-d", "postgres", "-q", "-v", "ON_ERROR_STOP=1",
                 "-f", "-", input=(DEPLOY / "databases.sql").read_text())
            yield "127.0.0.1", port
        finally:
            running.terminate()
            running.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def instance(server, tmp_path, monkeypatch):
    """An instance of the shipped dagster.yaml; only places that an image fixes are other ones here: the port and /data."""
    settings = yaml.safe_load((DEPLOY / "dagster.yaml").read_text().replace("/data", str(tmp_path / "data")))
    assert settings["storage"]["postgres"]["postgres_db"].pop("port") == 5432
    settings["storage"]["postgres"]["postgres_db"]["port"] = server[1]
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    for name, value in (("HOST", server[0]), ("USER", "recsys"), ("PASSWORD", PASSWORD)):
        monkeypatch.setenv(f"RECSYS_POSTGRES_{name}", value)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as made:
        yield made


def rows(port: int, query: str) -> list[tuple]:
    import psycopg2

    connection = psycopg2.connect(host="127.0.0.1", port=port, user="recsys", password=PASSWORD, dbname="dagster")
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchall()
    connection.close()
    return found


def test_a_run_is_recorded_in_postgres_and_a_pool_takes_one_step_at_a_time(instance, server, tmp_path):
    stores = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    assert {type(one).__module__.split(".")[0] for one in stores} == {"dagster_postgres"}

    @dg.asset(pool="accelerator")
    def one() -> int:
        return 1

    result = dg.materialize([one], instance=instance)
    assert result.success
    assert rows(server[1], "SELECT run_id, status FROM runs") == [(result.run_id, "SUCCESS")]
    assert rows(server[1], "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'") == [(1,)]
    assert instance.get_latest_materialization_event(dg.AssetKey("one")).run_id == result.run_id
    pool = instance.event_log_storage.get_concurrency_info("accelerator")
    assert (pool.slot_count, pool.claimed_slots) == (1, [])
    assert {path.name for path in tmp_path.iterdir()} <= {"dagster.yaml", "data", ".logs_queue", ".telemetry"}
