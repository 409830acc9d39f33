"""The console shows steps and messages, one line each."""

import logging

import dagster as dg

from orchestration.progress import CONSOLE, console


def test_steps_and_messages_but_no_other_events(capsys) -> None:
    @dg.asset
    def clean_items(context: dg.AssetExecutionContext) -> None:
        context.log.info("120 items")
        context.log.debug("a detail")

    job = dg.Definitions([clean_items], jobs=[dg.define_asset_job("days_job")], loggers={"console": console})
    job.resolve_job_def("days_job").execute_in_process(run_config=CONSOLE)
    lines = [line.split("  ", 1)[1].split(None, 1) for line in capsys.readouterr().err.splitlines()
             if line[2:3] == ":"]
    assert [step for step, _ in lines] == ["clean_items"] * 3
    assert [text.split(" of step")[0].split(" in ")[0] for _, text in lines] == [
        "Started execution", "120 items", "Finished execution"]
    assert logging.getLogger("progress").handlers == []
