from .known import DIGEST, KnownAttributes, KnownHistories, digest_users

__all__ = ["DIGEST", "KnownAttributes", "KnownHistories", "digest_users"]
