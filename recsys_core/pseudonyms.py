"""Names that stand for shoppers: a keyed hash of the shop's own id, given before anything is stored.

Whoever lacks the key cannot try ids one by one, as with a plain digest. That is pseudonymisation, not anonymity: whoever holds
the key and an id finds the shopper's rows. Without a key ids stay as they are.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from recsys_core.errors import BundleError, RecsysError

if TYPE_CHECKING:  # the service renames without Polars
    import polars as pl

PRESENT, PREVIOUS = "RECSYS_USER_KEY", "RECSYS_USER_KEY_PREVIOUS"
LEAST_BYTES = 16
FORM, LENGTH = re.compile(r"u_([0-9a-f]{8})_[0-9a-f]{24}"), 35
MAKE_ONE = "make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


@dataclass(frozen=True)
class UserKey:
    """One key.

    Args:
        secret: at least 16 bytes.
    """

    secret: bytes = field(repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """Eight hex digits that name the key and tell nothing else of it."""
        return hmac.digest(self.secret, b"the fingerprint of this key", "sha256").hex()[:8]

    def name(self, user_id: str) -> str:
        """The pseudonym of an id: `u_`, the key's fingerprint, 96 bits of HMAC-SHA256; a pseudonym stays.

        >>> UserKey(b"0123456789abcdef").name(" anna ") == UserKey(b"0123456789abcdef").name("anna")
        True
        """
        if key_of(user_id) == self.fingerprint:
            return user_id
        digest = hmac.digest(self.secret, user_id.strip().encode("utf-8", "surrogatepass"), "sha256")
        return f"u_{self.fingerprint}_{digest.hex()[:24]}"


@dataclass(frozen=True)
class UserKeys:
    """The keys of a shop.

    Args:
        present: under which ids are stored; None: as they are.
        previous: the one before, as long as something is stored under it.
        erased: digests of the names of erased shoppers (see `digest_id`).
    """

    present: UserKey | None = None
    previous: UserKey | None = None
    erased: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls, erased: Iterable[str] = ()) -> UserKeys:
        """Read RECSYS_USER_KEY and RECSYS_USER_KEY_PREVIOUS.

        Raises:
            RecsysError: a key of fewer than 16 bytes, or a previous key without a present one.
        """
        present, previous = (_key(name, os.environ.get(name) or None) for name in (PRESENT, PREVIOUS))
        if previous is not None and present is None:  # a present key that got lost would let plain ids in
            raise RecsysError(PREVIOUS, f"is set and {PRESENT} is not", f"set {PRESENT} to the key that takes its place")
        return cls(present, previous, frozenset(erased))

    @property
    def fingerprint(self) -> str | None:
        """That of the present key."""
        return None if self.present is None else self.present.fingerprint

    def stored(self, user_id: str) -> str:
        """The name under which a shopper is stored; a pseudonym, of whatever key, stays.

        Who was erased under an earlier name keeps that name, so that whoever leaves out the erased finds it.
        """
        if self.present is None or key_of(user_id):
            return user_id
        if self.erased:
            for name in self.names(user_id):
                if digest_id(name) in self.erased:
                    return name
        return self.present.name(user_id)

    def names(self, user_id: str) -> tuple[str, ...]:
        """Every name under which a shopper may be stored: the id itself and its pseudonyms."""
        keys = () if key_of(user_id) else self._held.values()
        return tuple(dict.fromkeys((user_id, *(key.name(user_id) for key in keys))))

    def rename(self, ids: pl.Series) -> pl.Series:
        """A column of ids as they are stored; each distinct one is hashed once.

        Args:
            ids: String; margins do not count, an empty id is null.
        """
        import polars as pl

        if self.present is None or not len(ids):
            return ids
        known = ids.unique().drop_nulls()
        named = [self.stored(one) if one.strip() else None for one in known.to_list()]
        return ids.replace_strict(known, pl.Series(named, dtype=pl.String), default=None, return_dtype=pl.String)

    def hidden(self, text: str, user_id: str) -> str:
        """The id of an event or a session as it is stored: a keyed hash where it spells the shopper's own id."""
        if self.present is None or not user_id or key_of(user_id) or user_id not in text:
            return text
        return "x" + self.present.name(text).removeprefix("u")

    def name_events(self, events: pl.DataFrame) -> pl.DataFrame:
        """Events under the names of their shoppers; neither the event's id nor the session's spells the shop's own.

        Args:
            events: has user_id, event_id and session_id, each String.
        """
        import polars as pl

        if self.present is None:
            return events
        renamed = [self.rename(events["user_id"])]
        for name in ("event_id", "session_id"):
            pairs = events.select(pl.col(name).alias("text"), pl.col("user_id").str.strip_chars().alias("user"))
            found = pairs.filter(pl.col("text").str.contains(pl.col("user"), literal=True)).unique()
            hidden = pl.Series("hidden", [self.hidden(*pair) for pair in found.iter_rows()], pl.String)
            joined = pairs.join(found.with_columns(hidden), on=["text", "user"], how="left", maintain_order="left")
            renamed.append(joined.select(pl.coalesce("hidden", "text").alias(name)).to_series())
        return events.with_columns(renamed)

    def in_bundle(self, user_id: str, fingerprint: str) -> str:
        """The name of a shopper in a bundle.

        Args:
            user_id: the shop's id, or a pseudonym, which stays.
            fingerprint: of the bundle's key.

        Raises:
            BundleError: neither key is the bundle's.
        """
        if key_of(user_id):
            return user_id
        self.check(fingerprint)
        return self._held[fingerprint].name(user_id)

    def check(self, fingerprint: str | None, artefact: str = "bundle") -> None:
        """See that a bundle's key is here; a bundle without one holds plain ids.

        Raises:
            BundleError: neither key is the bundle's.
        """
        if fingerprint is not None and fingerprint not in self._held:
            held = ", ".join(self._held) or "none"
            raise BundleError(artefact, f"names shoppers by the user key {fingerprint}, the environment holds {held}",
                              f"set {PRESENT} or {PREVIOUS} to that key, or remove the bundle and make another")

    @cached_property
    def _held(self) -> dict[str, UserKey]:
        return {key.fingerprint: key for key in (self.previous, self.present) if key is not None}


@lru_cache(4)  # every request of a bundle asks
def _key(variable: str, text: str | None) -> UserKey | None:
    if text is None:
        return None
    secret = text.encode("utf-8", "surrogateescape")
    if len(secret) < LEAST_BYTES:
        raise RecsysError(variable, f"holds {len(secret)} bytes, a key needs at least {LEAST_BYTES}", MAKE_ONE)
    return UserKey(secret)


def key_of(user_id: str) -> str | None:
    """The fingerprint in a pseudonym; None for any other id.

    >>> key_of("u_00c0ffee_0123456789abcdef01234567"), key_of("u_17")
    ('00c0ffee', None)
    """
    found = FORM.fullmatch(user_id) if len(user_id) == LENGTH else None
    return None if found is None else found[1]


def common_key(user_ids: Iterable[str]) -> str | None:
    """The fingerprint of the key that made most of some ids' pseudonyms; None where they are none."""
    found = Counter(key for one in user_ids if (key := key_of(one)))
    return max(found, key=lambda key: (found[key], key), default=None)


def digest_id(user_id: str) -> str:
    """SHA-256 of an id without its margins, hex."""
    return hashlib.sha256(user_id.strip().encode("utf-8", "surrogatepass")).hexdigest()
