"""Where segments, texts and days are worked on: RECSYS_RAY decides."""

from recsys_core.errors import RecsysError
from recsys_core.fan_out import IN_PROCESS, FanOut


def choose_fan_out(address: str | None) -> FanOut:
    """Where segments, texts and days are worked on: in this process, or on the Ray that RECSYS_RAY names.

    Raises:
        RecsysError: a name, and no Ray installed.
    """
    if not address:
        return IN_PROCESS
    try:
        from orchestration.ray import RayFanOut
    except ModuleNotFoundError as error:
        raise RecsysError("RECSYS_RAY", f"{error.name} is not installed", "install fewshot-recsys[ray], or unset it") from None
    return RayFanOut(address=address)
