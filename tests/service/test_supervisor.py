"""What the supervisor does while nothing may be served."""

from recsys_core.errors import BundleError
from recsys_core.service.settings import ServiceSettings
from recsys_core.service.supervisor import Supervisor


def test_a_champion_without_a_verdict_leaves_the_old_bundle_serving_and_is_told_once(tmp_path, caplog):
    (tmp_path / "manifest.json").write_text("{}")
    refused = [None]

    def find():
        if refused[0]:
            raise BundleError("champion", refused[0], "see recsys review")
        return tmp_path

    settings = ServiceSettings(bundle=tmp_path, collect=tmp_path / "collected", workers=1)
    supervisor = Supervisor(settings, "127.0.0.1", 0, find, lambda url: None)
    try:
        good = supervisor._found()
        assert good
        refused[0] = "has no stored passing verdict"
        assert [supervisor._found() for _ in range(3)] == ["", "", ""]
        assert caplog.text.count("the old bundle stays: champion: has no stored passing verdict") == 1
        refused[0] = None
        assert supervisor._found() == good
    finally:
        supervisor.socket.close()
