"""API keys: read from a file or the environment, kept as hashes, compared in constant time.

A key is 32 random bytes, so one SHA-256 hides it; a slow hash is for passwords that people choose.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from recsys_core.errors import RecsysError
from recsys_core.service.settings import ApiKey

FORM = "write NAME:SHA256:SCOPE,SCOPE as `recsys new-key` prints it; scopes are read, write and admin"


def hash_key(key: str) -> str:
    """SHA-256 of a key, hex."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def new_key(name: str, scopes: Iterable[str]) -> tuple[str, str]:
    """A fresh key, and the line that lets its holder in.

    Raises:
        RecsysError: a name or a scope that is none.
    """
    key = secrets.token_urlsafe(32)
    line = f"{name}:{hash_key(key)}:{','.join(sorted(scopes))}"
    read_keys(line, "options")
    return key, line


def read_keys(text: str, artefact: str) -> tuple[ApiKey, ...]:
    """Keys, one a line or with `;` between; what follows `#` is a comment.

    Args:
        text: NAME:SHA256:SCOPE,SCOPE per key.
        artefact: where the text comes from, for the error.

    Raises:
        RecsysError: a line that says something else, or a name that comes twice; the hash is not shown.
    """
    found: dict[str, ApiKey] = {}
    lines = [line.partition("#")[0].strip() for line in text.replace(";", "\n").split("\n")]
    for line in filter(None, lines):
        name, _, rest = line.partition(":")
        digest, _, scopes = rest.partition(":")
        try:
            key = ApiKey(name=name, sha256=digest, scopes=frozenset(filter(None, scopes.split(","))))
        except ValidationError as error:
            where = ", ".join(str(one["loc"][0]) for one in error.errors())
            raise RecsysError(artefact, f"the entry of {name[:64]!r} cannot be read ({where})", FORM) from None
        if name in found:
            raise RecsysError(artefact, f"{name!r} comes twice", "give every holder one line")
        found[name] = key
    return tuple(found.values())


def find_key(presented: str, keys: Sequence[ApiKey]) -> ApiKey | None:
    """The entry of a presented key. All are compared, each in constant time, so the time says nothing about any."""
    digest, found = hash_key(presented), None
    for key in keys:
        if hmac.compare_digest(digest, key.sha256):
            found = key
    return found
