"""The rights of the people behind the data: the register of requests, their deadlines, the site's hooks, the desk."""

from consent_middleware.rights.opening import open_request
from consent_middleware.rights.providers import provider

__all__ = ["open_request", "provider"]
