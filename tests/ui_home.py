"""`python -m tests.ui_home ENCODER`: a full cycle in RECSYS_HOME around a toy text encoder, in well under a minute."""

import sys

from assets.partitions import Home
from orchestration.cycle import DRIVER_TAG, first_request, next_request
from orchestration.definitions import job_named
from orchestration.freshness import FULL, Freshness
from orchestration.instance import open_instance


def build(encoder: str) -> None:
    """What `python -m orchestration.cycle` does, with a few training steps.

    Args:
        encoder: folder of a Hugging Face model.
    """
    small = {"base_job": {"ops": {"text_encoder": {"config": {"model": encoder, "max_steps": 1}},
                                  "student": {"config": {"max_queries": 100}}}}}
    home = Home.from_environment()
    with open_instance(home.path) as instance:
        state = Freshness(home, instance)
        request = first_request(FULL, state.pending_days(), state, "planted")
        while request is not None:
            tags = {**request.tags, DRIVER_TAG: "process"}
            job_named(request.job_name).execute_in_process(
                run_config={**request.run_config, **small.get(request.job_name, {})}, tags=tags, instance=instance)
            request = next_request(tags, state)


if __name__ == "__main__":
    build(sys.argv[1])
