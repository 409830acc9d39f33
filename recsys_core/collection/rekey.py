"""What the service collected under an earlier key, or under none, under the present one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from recsys_core.artefacts import write_json
from recsys_core.collection.erased import ERASED, read_erased
from recsys_core.collection.log import EVENTS, EXPOSURES, rewrite_lines
from recsys_core.collection.sessions import Sessions
from recsys_core.ingestion import Shop
from recsys_core.pseudonyms import UserKeys, digest_id, key_of


def rekey_collected(home: Path, shop: Shop, keys: UserKeys, sessions: Sessions | None) -> dict[str, int]:
    """Rename shoppers in the logs, the sessions and the list of the erased; a second run finds nothing.

    A pseudonym of the previous key can only be followed to an id that the shop's own files hold.

    Args:
        home: RECSYS_HOME.
        shop: opened without keys.
        keys: the present and the previous one.
        sessions: where the service remembers shoppers; None: nowhere.

    Returns:
        shoppers: ids of the shop's files; lines: renamed ones of the logs; unknown: lines that keep a pseudonym of another
        key; sessions and erased: renamed shoppers.
    """
    names = {old: new for one in _ids(shop) for new in [keys.stored(one)] for old in keys.names(one) if old != new}
    found = {"shoppers": len(set(names.values())), "lines": 0, "unknown": 0}
    for path in sorted(path for kind in (EVENTS, EXPOSURES) for path in (home / "collected" / kind).glob("*.jsonl")):
        found["lines"] += rewrite_lines(path, lambda line: _renamed(line, names, keys))
        with open(path, "rb") as lines:
            found["unknown"] += sum(key_of(_user(line)) not in (None, keys.fingerprint) for line in lines)
    found["sessions"] = 0 if sessions is None else sum(_moved(sessions, old, new) for old, new in names.items())
    found["erased"] = _rekey_erased(home, names)
    return found


def _ids(shop: Shop) -> Iterable[str]:
    """The shop's own ids of its shoppers."""
    users = shop.users()
    found = set() if users is None else set(users["user_id"].drop_nulls().str.strip_chars())
    for drop in shop.events():
        found |= set(drop.events["user_id"].drop_nulls().str.strip_chars().unique())
    return sorted(found - {""})


def _user(line: bytes) -> str:
    """Whom a line of a log names, "" where it cannot be read."""
    try:
        return str(json.loads(line).get("user_id", ""))
    except (ValueError, AttributeError):
        return ""


def _renamed(line: bytes, names: Mapping[str, str], keys: UserKeys) -> bytes | None:
    """The line under its shopper's present name; half a line, which may name anybody, goes."""
    try:
        row = json.loads(line)
        user = row.get("user_id")
    except (ValueError, AttributeError):
        return None
    name = user if user is None else names.get(user) or keys.stored(user)
    if name == user:
        return line
    return json.dumps({**row, "user_id": name}, separators=(",", ":")).encode() + b"\n"


def _moved(sessions: Sessions, old: str, new: str) -> bool:
    """Whether a shopper's session was found under an earlier name, and moved."""
    events = sessions.newest(old)
    if events:
        sessions.add(new, events)
    sessions.forget(old)
    return bool(events)


def _rekey_erased(home: Path, names: Mapping[str, str]) -> int:
    """List the erased under their present names."""
    listed, moved = read_erased(home), 0
    for old, new in names.items():
        if (request := listed.pop(digest_id(old), None)) is not None:
            listed.setdefault(digest_id(new), request)
            moved += 1
    if moved:
        write_json(home / ERASED, {digest: vars(one) for digest, one in listed.items()})
    return moved
