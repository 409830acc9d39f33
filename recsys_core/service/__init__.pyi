from .keys import new_key, read_keys
from .logs import start_logging
from .settings import ServiceSettings
from .supervisor import LOCAL, Supervisor

__all__ = ["LOCAL", "ServiceSettings", "Supervisor", "new_key", "read_keys", "start_logging"]
