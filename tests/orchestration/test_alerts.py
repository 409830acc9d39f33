"""Alerts reach a real local server once, wait while it is away, and name no person and no row."""

import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pytest

from orchestration import alerts, cycle
from orchestration.alerts import VARIABLE, Webhook, failed_run, make_webhook
from orchestration.definitions import defs
from orchestration.instance import DRIVER_TAG, PROCESS
from recsys_core.errors import DataError
from tests.release.bundles import Nights


class Receiver(ThreadingHTTPServer):
    """What it was sent; it answers with the statuses in `answers`, then 200, each after `slow` seconds."""

    def __init__(self) -> None:
        self.got: list[tuple[dict, str]] = []
        self.answers: list[int] = []
        self.slow = 0.0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/secret-path"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((body, self.headers["Idempotency-Key"]))
        time.sleep(self.server.slow)
        status = self.server.answers.pop(0) if self.server.answers else 200
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def receiver(monkeypatch):
    monkeypatch.setattr(alerts, "PAUSE", 0.001)
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def nights(tmp_path):
    return Nights(tmp_path / "home", tmp_path / "built")


def webhook(nights: Nights, url: str | None, seconds: float = 5.0) -> Webhook:
    return Webhook(home=str(nights.promoter.home), shop="toys", url=url, seconds=seconds)


def waiting(nights: Nights) -> int:
    return len(list((nights.promoter.home / "alerts" / "waiting").glob("*.json")))


def test_every_verdict_that_a_person_should_see_is_told_once_also_after_a_restart(nights, receiver):
    nights.night("a")
    webhook(nights, receiver.url).tell_verdicts()
    assert receiver.got == []  # it passed
    refused, held = nights.night("b", "refused", reason="worse in toys"), nights.night("c", "held", reason="age 18 lacks 40%")
    for _ in range(3):  # each a new process, as far as the resource knows
        webhook(nights, receiver.url).tell_verdicts()
    first, second = (alert for alert, _ in receiver.got)
    assert set(first) == {"kind", "what", "where", "when", "fix"}
    assert (first["kind"], first["what"]) == ("bundle refused", f"{refused.bundle[:12]}: worse in toys")
    assert (second["kind"], second["when"]) == ("bundle held", held.at)
    assert f"recsys review {held.bundle[:12]} --approve" in second["fix"]
    assert first["where"] == "shop toys, run run 2"


def test_a_home_with_a_history_begins_with_what_waits(nights, receiver):
    for answer in ("a", "b", "c"):
        nights.night(answer, "refused")
    newest = nights.night("d", "broken")
    nights.night("e", "held")
    assert webhook(nights, receiver.url).tell_verdicts() == "2 told, 0 wait."
    assert [alert["kind"] for alert, _ in receiver.got] == ["bundle broken", "bundle held"]
    assert receiver.got[0][0]["what"].startswith(newest.bundle[:12])
    assert "build it again" in receiver.got[0][0]["fix"]


def test_a_champion_that_went_back_by_itself_is_told_and_a_person_s_rollback_is_not(nights, receiver):
    alarm = webhook(nights, receiver.url)
    first = nights.night("a")
    nights.night("b")
    alarm.tell_verdicts()
    nights.night("c", "refused", relapse="worse than its predecessor: -0.1")
    alarm.tell_verdicts()
    assert [alert["kind"] for alert, _ in receiver.got] == ["champion rolled back", "bundle refused"]
    assert f"back to {first.bundle[:12]}: worse than its predecessor" in receiver.got[0][0]["what"]
    nights.night("e")
    nights.promoter.roll_back("ann", "call me")
    alarm.tell_verdicts()
    assert len(receiver.got) == 2


def test_no_person_is_named(nights, receiver):
    nights.night("a")
    held = nights.night("b", "held")
    nights.promoter.decide(held.bundle, approve=False, who="Ann Miller", why="my phone is +44 20 7946 0958")
    alarm = webhook(nights, receiver.url)
    alarm.tell_verdicts()
    nights.night("b")  # the same content again: the stored reason quotes her
    assert "Ann Miller" in nights.promoter.log().entries[-1].reasons[0]
    alarm.tell_verdicts()
    assert receiver.got[-1][0]["kind"] == "bundle refused"
    assert not any(word in json.dumps([alert for alert, _ in receiver.got]) for word in ("Ann", "Miller", "7946"))


@pytest.mark.parametrize("answers", [[500, 503], [429], [500]])
def test_a_receiver_that_stumbles_is_asked_again_with_the_same_key(nights, receiver, answers):
    nights.night("a", "refused")
    receiver.answers = list(answers)
    assert webhook(nights, receiver.url).tell_verdicts() == "1 told, 0 wait."
    assert len(receiver.got) == len(answers) + 1
    assert len({key for _, key in receiver.got}) == 1


@pytest.mark.parametrize("fault", ["down", "slow", "500", "redirect", "no http"])
def test_what_a_broken_receiver_did_not_take_is_told_later_and_the_url_stays_secret(nights, receiver, caplog, fault):
    nights.night("a", "refused")
    nights.night("b", "held")
    url = {"down": "http://127.0.0.1:9/secret-path", "no http": "file:///secret-path"}.get(fault, receiver.url)
    receiver.slow = 0.2 if fault == "slow" else 0.0
    receiver.answers = [{"500": 500, "redirect": 302}.get(fault, 200)] * 3
    begun = time.monotonic()
    assert webhook(nights, url, seconds=0.05).tell_verdicts() == "0 told, 2 wait."
    assert time.monotonic() - begun < 2
    assert "secret-path" not in caplog.text
    assert "waits: its receiver answered" in caplog.text
    receiver.slow, receiver.answers, receiver.got[:] = 0.0, [], []
    assert webhook(nights, receiver.url).tell_verdicts() == "2 told, 0 wait."
    assert [alert["kind"] for alert, _ in receiver.got] == ["bundle refused", "bundle held"]


def test_an_alert_that_is_never_wanted_does_not_hold_up_the_others(nights, receiver, caplog):
    nights.night("a", "refused")
    nights.night("b", "held")
    receiver.answers = [422]
    assert webhook(nights, receiver.url).tell_verdicts() == "2 told, 0 wait."
    assert "its receiver answered 422" in caplog.text


def test_a_broken_file_does_not_hold_up_the_others(nights, receiver, caplog):
    folder = nights.promoter.home / "alerts" / "waiting"
    folder.mkdir(parents=True)
    (folder / "000000001-broken.json").write_text("{")
    (folder / "000000002-other.json").write_text("{}")
    nights.night("a", "refused")
    assert webhook(nights, receiver.url).tell_verdicts() == "3 told, 0 wait."
    assert caplog.text.count("it cannot be read") == 2
    assert len(receiver.got) == 1


def test_of_too_many_that_wait_the_newest_are_kept(nights, receiver, monkeypatch):
    monkeypatch.setattr(alerts, "MOST_WAITING", 1)
    nights.night("a", "refused")
    nights.night("b", "held")
    receiver.answers = [500] * 3
    webhook(nights, receiver.url).tell_verdicts()
    assert waiting(nights) == 1


def test_without_a_url_nobody_is_told_and_the_log_says_so_once(nights, caplog):
    alerts._say_once.cache_clear()
    nights.night("a", "refused")
    for _ in range(3):
        assert webhook(nights, None).tell_verdicts() == f"No alerts: {VARIABLE} is unset."
    assert caplog.text.count(f"{VARIABLE} is unset") == 1
    assert not (nights.promoter.home / "alerts").exists()


def test_a_home_that_cannot_be_written_fails_nothing(nights, receiver, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    nights.night("a", "refused")
    monkeypatch.setattr(alerts, "write_json", full)
    assert webhook(nights, receiver.url).tell_verdicts() == "Alerts wait: OSError."


# --- runs ---

@dg.asset
def breaks() -> None:
    raise DataError("raw_events", "shopper u-1234 has no item", "deliver ann@x.org the day's drop")


@dg.asset
def explodes() -> None:
    raise ValueError("row of u-1234")


def failed(asset: dg.AssetsDefinition, instance: dg.DagsterInstance) -> dg.DagsterRun:
    result = dg.materialize([asset], instance=instance, raise_on_error=False)
    return instance.get_run_by_id(result.run_id)


def test_a_failed_run_names_step_and_fix_and_quotes_no_row():
    with dg.DagsterInstance.ephemeral() as instance:
        ours, other = (failed_run(instance, failed(asset, instance), "toys") for asset in (breaks, explodes))
    assert "step breaks (DataError)" in ours.what
    assert ours.fix == "deliver [email] the day's drop"
    assert "step explodes (ValueError)" in other.what
    assert not any("u-1234" in alert.model_dump_json() for alert in (ours, other))


def test_a_failed_check_that_blocks_is_a_failed_run_and_is_named():
    @dg.asset_check(asset="nothing", blocking=True)
    def has_rows() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    @dg.asset
    def nothing() -> None:
        """Empty."""

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([nothing, has_rows], instance=instance, raise_on_error=False)
        assert not result.success
        told = failed_run(instance, instance.get_run_by_id(result.run_id), "toys")
    assert "check has_rows of nothing" in told.what


def test_a_run_whose_process_ended_is_told():
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(defs.resolve_job_def("publish_job"))
        instance.report_run_failed(run, "killed")
        told = failed_run(instance, run, "toys")
    assert told.what == "publish_job failed in no step: its process ended"


def tick(name: str, instance: dg.DagsterInstance, alarm: Webhook, cursor: str | None = None):
    with dg.build_sensor_context(instance, cursor=cursor, repository_def=defs.get_repository_def(),
                                 resources={"alerts": alarm}) as context:
        return defs.resolve_sensor_def(name).evaluate_tick(context)


def test_the_sensors_tell_failed_runs_and_verdicts(nights, receiver):
    alarm = webhook(nights, receiver.url)
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = tick("failed_runs", instance, alarm).cursor
        run = failed(breaks, instance)
        after = tick("failed_runs", instance, alarm, cursor)
        assert after.skip_message == "1 told, 0 wait."
        assert tick("failed_runs", instance, alarm, after.cursor).run_requests == []
        nights.night("a", "refused")
        assert tick("verdicts", instance, alarm).skip_message == "1 told, 0 wait."
    assert [alert["kind"] for alert, _ in receiver.got] == ["run failed", "bundle refused"]
    assert run.run_id in receiver.got[0][0]["where"]


def test_a_run_that_is_tried_again_is_not_told(nights, receiver):
    alarm = webhook(nights, receiver.url)
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = tick("failed_runs", instance, alarm).cursor
        instance.add_run_tags(failed(breaks, instance).run_id, {"dagster/will_retry": "true"})
        assert tick("failed_runs", instance, alarm, cursor).skip_message == "The run is tried again."
    assert receiver.got == []


def test_the_sensors_run_without_being_switched_on():
    for name in ("failed_runs", "verdicts"):
        assert defs.resolve_sensor_def(name).default_status == dg.DefaultSensorStatus.RUNNING


def test_the_code_location_gives_its_sensors_a_webhook():
    repository = defs.get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(
            instance, repository_def=repository, resources=repository.get_top_level_resources()) as context:
        assert defs.resolve_sensor_def("verdicts").evaluate_tick(context).skip_message == f"No alerts: {VARIABLE} is unset."


# --- the resource and the command ---

def test_the_url_is_read_from_the_environment_when_it_is_used(home, monkeypatch):
    assert make_webhook(home).url is None
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:9/secret-path")
    made = make_webhook(home)
    assert isinstance(made.url, dg.EnvVar) or "secret-path" not in str(made)
    assert made.process_config_and_initialize().url == "http://127.0.0.1:9/secret-path"


def test_a_command_tells_its_own_failed_runs(home, receiver, monkeypatch):
    monkeypatch.setenv(VARIABLE, receiver.url)
    with dg.DagsterInstance.ephemeral() as instance:
        failed(breaks, instance)  # the daemon's
        begun = datetime.now(UTC)
        result = dg.materialize([explodes], instance=instance, raise_on_error=False, tags={DRIVER_TAG: PROCESS})
        cycle._tell(home, instance, begun)
    assert [alert["kind"] for alert, _ in receiver.got] == ["run failed"]
    assert result.run_id in receiver.got[0][0]["where"]
