"""Commands of the HTTP service: `recsys serve` and `recsys new-key`."""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path
from typing import Any

from recsys_core.cli.bundles import home_folder
from recsys_core.errors import RecsysError

NEEDED = ("fastapi", "uvicorn", "prometheus_client")  # the extra `http`
KEYS = "RECSYS_API_KEYS"
REDIS = "RECSYS_REDIS_URL"  # no option: it may hold a password, and options are seen by everybody on the machine


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    served = commands.add_parser("serve", help="answer over HTTP")
    served.add_argument("--bundle", type=Path, help="folder of the bundle (RECSYS_HOME/champion)")
    served.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    served.add_argument("--port", type=int, default=8000, help="port to listen on (8000); 0: any that is free")
    served.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that answer (one per core)")
    served.add_argument("--keys", type=Path, help=f"file of API keys (else the text in {KEYS})")
    served.add_argument("--collect", type=Path, help="folder of events and sessions (RECSYS_HOME/collected)")
    served.add_argument("--rules", type=Path, help="file of business rules that hold for every list (RECSYS_HOME/rules.yaml)")
    served.add_argument("--rate", type=float, help="requests a second of one key or address; 0: no limit (100)")
    served.set_defaults(run=serve)
    made = commands.add_parser("new-key", help="make an API key, and the line of the keys file that lets it in")
    made.add_argument("name", help="what logs call its holder")
    made.add_argument("--scopes", default="read", help="read, write, admin, with commas between (read)")
    made.set_defaults(run=make_key)


def serve(options: argparse.Namespace) -> None:
    """Serve until told to end."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise RecsysError("recsys serve", f"lacks {', '.join(missing)}", "pip install 'fewshot-recsys[http]'")
    from recsys_core.service import LOCAL, ServiceSettings, Supervisor, read_keys, start_logging

    keys = read_keys(options.keys.read_text("utf-8"), str(options.keys)) if options.keys else \
        read_keys(os.environ.get(KEYS, ""), KEYS)
    if not keys and options.host not in LOCAL:
        raise RecsysError("recsys serve", f"listens on {options.host} for everybody: there are no API keys",
                          "name --keys FILE (recsys new-key makes one), or keep --host 127.0.0.1")
    more = {} if options.rate is None else {"requests_per_s": options.rate, "burst": max(1.0, 2 * options.rate)}
    settings = ServiceSettings(bundle=_bundle(options), collect=options.collect or home_folder() / "collected",
                               home=home_folder().absolute(), rules=options.rules and options.rules.absolute(),
                               workers=max(1, options.workers), keys=keys, redis=os.environ.get(REDIS) or None, **more)
    start_logging()
    who = f"{len(keys)} API keys" if keys else "no API keys: only this machine may ask"

    def announce(url: str) -> None:
        print(f"recsys serves {_bundle(options)} on {url} ({settings.workers} workers; {who}); Ctrl-C ends it", flush=True)

    Supervisor(settings, options.host, options.port, lambda: _bundle(options), announce).run()


def make_key(options: argparse.Namespace) -> None:
    """Print a new key, and the line for the keys file."""
    from recsys_core.service import new_key

    key, line = new_key(options.name, options.scopes.split(","))
    print(f"key   {key}\nline  {line}")


def _bundle(options: argparse.Namespace) -> Path:
    """The folder that --bundle names; else the champion's, which must have a stored passing verdict."""
    from recsys_core.release import released_champion

    return Path(options.bundle).absolute() if options.bundle is not None else released_champion(home_folder().absolute())
