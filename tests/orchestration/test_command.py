"""A fault of the shop or the settings is one line and exit code 1, wherever it is found."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from assets.partitions import Home
from orchestration.command import told_in_one_line
from orchestration.cycle import _fault
from recsys_core.errors import RecsysError, ShopError


@pytest.mark.parametrize("module", ["cycle", "demo", "instance"])
@pytest.mark.parametrize(("setting", "said"), [
    ({"RECSYS_SHOP": "nowhere"}, "nowhere"), ({"RECSYS_PROFILE": "Quick"}, "RECSYS_PROFILE: 'Quick' is no profile. Fix: use")])
def test_a_fault_met_while_modules_are_imported(tmp_path, module, setting, said) -> None:
    environment = {**os.environ, "RECSYS_HOME": str(tmp_path / "home"), **setting}
    done = subprocess.run([sys.executable, "-m", f"orchestration.{module}"], capture_output=True, text=True, env=environment)
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (1, "", 1) and said in lines[0] and "Fix:" in lines[0]
    assert not (tmp_path / "home").exists()


def test_whoever_imports_a_command_gets_the_exception() -> None:
    with pytest.raises(ShopError), told_in_one_line("orchestration.cycle"):
        raise ShopError("shop", "broken", "mend it")


def test_a_profile_that_does_not_exist_is_named(monkeypatch) -> None:
    monkeypatch.setenv("RECSYS_PROFILE", "fast")
    with pytest.raises(RecsysError, match="'fast' is no profile"):
        Home.from_environment()


def test_a_failed_step_says_its_first_cause_in_one_line() -> None:
    def error(name: str, message: str, cause: object = None) -> SimpleNamespace:
        return SimpleNamespace(cls_name=name, message=message, cause=cause)

    ours = error("DataError", "recsys_core.errors.DataError: raw_events: no data. Fix: deliver\n  the drop\n")
    assert _fault(error("DagsterExecutionStepExecutionError", "x", ours)) == "raw_events: no data. Fix: deliver the drop"
    assert _fault(error("TypeError", "TypeError: 'int' object\n")) == "TypeError: 'int' object"
    assert _fault(error("DagsterAssetCheckFailedError", "1 check failed")) is None
