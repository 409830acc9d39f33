from .known import DIGEST, KnownAttributes, KnownHistories, UserRows, digest_users

__all__ = ["DIGEST", "KnownAttributes", "KnownHistories", "UserRows", "digest_users"]
