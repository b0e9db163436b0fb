"""A package on its way to one recipient, and what can go wrong with it."""

from __future__ import annotations

import hashlib
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec


class DeliveryFailed(Exception):
    """Not delivered; `temporary`: the same package may be sent again later."""

    def __init__(self, message: str, *, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """One package for one recipient; `key` is the same for the same content and recipient."""

    key: str
    where: str
    site: str
    stem: str
    files: dict[str, bytes]
    base: Path  # relative folders are beside the policy file
    allow_private: bool = False
    ca_file: str = ""
    endpoint: str = ""
    region: str = ""
    host_key: str = ""
    secrets_file: str = ""

    @property
    def ca_path(self) -> str | None:
        """The recipient's own certificate authority; None: the system's."""
        return str(self.base / self.ca_file) if self.ca_file else None

    @property
    def names_in_order(self) -> list[str]:
        """Data first, the signed manifest last: who sees the manifest has everything that it names."""
        return sorted(self.files, key=lambda name: (name.endswith(".manifest.json"), name))

    def secrets(self, environment: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
        """What opens the recipient's door: name -> value, from its secrets file, else from the environment.

        `names` maps a key of the file to the variable of the environment. A file that others can read is refused.
        Raises DeliveryFailed.
        """
        if not self.secrets_file:
            return {name: environment[variable] for name, variable in names.items() if environment.get(variable)}
        path = self.base / self.secrets_file
        try:
            with path.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise DeliveryFailed(f"{path}: others can read it: chmod 600 {path.name}", temporary=False)
                found = tomllib.load(file)
        except OSError as error:
            raise DeliveryFailed(f"{path}: {error.strerror}", temporary=False) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DeliveryFailed(f"{path}: not valid TOML: {error}", temporary=False) from None
        if wrong := [name for name, value in found.items() if name not in names or not isinstance(value, str)]:
            raise DeliveryFailed(f"{path}: {wrong[0]}: not one of {', '.join(names)}, as text", temporary=False)
        return found


def missing_extra(what: str, extra: str) -> DeliveryFailed:
    """The error of a way of delivery whose library is not installed."""
    return DeliveryFailed(f"{what} needs `pip install consent-middleware[{extra}]`", temporary=False)


def shown(where: str) -> str:
    """An address for logs: scheme, host and path; neither user, password nor query."""
    parts = urlsplit(where)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.netloc else where


def parcel_key(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
