"""Who may see what: tokens with a role and a scope of sites, sessions of the dashboard, shared links.

Kept in one file of the data folder, mode 0600. A token is 32 random bytes, shown once and stored as its SHA-256:
nothing to slow a guesser down is needed at that length.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

Role = Literal["analyst", "operator", "auditor"]
LINK: Final = "shared link"
LOCAL: Final = "local"  # no id of a token in the file looks like this: those are hexadecimal


class Grant(msgspec.Struct, frozen=True):
    """A token or a shared link. `sites` empty: every site."""

    id: str
    name: str
    role: Role | Literal["shared link"]
    sites: tuple[str, ...]
    digest: str
    created: str
    revoked: str = ""
    expires: str = ""
    email: str = ""  # where reports of the internal lane may be sent

    @property
    def active(self) -> bool:
        return not self.revoked and (not self.expires or self.expires > _now())

    def sees(self, site: str) -> bool:
        return not self.sites or site in self.sites

    @property
    def reads_cells(self) -> bool:
        """Whether the internal lane - exact numbers - is open to it."""
        return self.role in ("analyst", "operator")

    @property
    def audits(self) -> bool:
        """Whether it may read the query log and the gate's inventory."""
        return self.role in ("auditor", "operator")

    @property
    def operates(self) -> bool:
        return self.role == "operator"

    @property
    def is_local(self) -> bool:
        """Whether it stands for a command of this machine, which read its token from the data folder."""
        return self.id == LOCAL


class Book(msgspec.Struct, frozen=True):
    """The whole file; `key` signs the dashboard's sessions."""

    key: str
    grants: tuple[Grant, ...] = ()


class Access:
    """The grants of a data folder. Changes by another process (`analytics token`) are seen at the next question."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "access.json"
        self._seen: tuple[int, int] | None = None
        self._book = Book(key="")
        self._local: Grant | None = None

    @property
    def book(self) -> Book:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            with self._changing() as book:
                return book
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._seen:
            self._book = msgspec.json.decode(self.path.read_bytes(), type=Book)
            self._seen = stamp
        return self._book

    def local_token(self) -> str:
        """A token for the commands of this machine, valid as long as this process lives."""
        token = _new_token()
        self._local = Grant(LOCAL, "command line", "operator", (), _digest(token), _now())
        return token

    def first_token(self) -> str | None:
        """An operator's token when there is none yet, else None."""
        if any(grant.operates for grant in self.book.grants):
            return None
        return self.create("first operator", "operator")

    def create(
        self,
        name: str,
        role: Role | Literal["shared link"],
        sites: tuple[str, ...] = (),
        days: int = 0,
        email: str = "",
    ) -> str:
        """The new token; it can't be read again."""
        token = _new_token()
        expires = (dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).isoformat(timespec="seconds")
        with self._changing() as book:
            ids = {grant.id for grant in book.grants}
            id_ = next(id_ for id_ in iter(lambda: secrets.token_hex(4), "") if id_ not in ids)
            grant = Grant(id_, name, role, sites, _digest(token), _now(), expires=expires if days else "", email=email)
            self._write(msgspec.structs.replace(book, grants=(*book.grants, grant)))
        return token

    def revoke(self, id_: str) -> Grant:
        """Raises KeyError."""
        with self._changing() as book:
            found = next((grant for grant in book.grants if grant.id == id_ and not grant.revoked), None)
            if found is None:
                raise KeyError(id_)
            changed = msgspec.structs.replace(found, revoked=_now())
            grants = tuple(changed if grant is found else grant for grant in book.grants)
            self._write(msgspec.structs.replace(book, grants=grants))
            return changed

    def find(self, token: str) -> Grant | None:
        """The active grant of a token."""
        if not 20 <= len(token) <= 100 or not token.isascii():
            return None
        digest = _digest(token)
        known = (*self.book.grants, *((self._local,) if self._local else ()))
        found = [grant for grant in known if secrets.compare_digest(grant.digest, digest)]
        return found[0] if found and found[0].active else None

    def is_staff(self, email: str, site: str) -> bool:
        """Whether this address belongs to somebody who reads the internal lane of the site."""
        return any(
            grant.active and grant.reads_cells and grant.sees(site) and grant.email.casefold() == email.casefold()
            for grant in self.book.grants
            if grant.email
        )

    def by_id(self, id_: str) -> Grant | None:
        return next((grant for grant in self.book.grants if grant.id == id_ and grant.active), None)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Book]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path.with_name("access.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.path.exists():
                self._write(Book(key=secrets.token_urlsafe(32)))
            yield msgspec.json.decode(self.path.read_bytes(), type=Book)
        finally:
            os.close(lock)

    def _write(self, book: Book) -> None:
        new = self.path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(book), indent=1))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)


def _new_token() -> str:
    return f"ana_{secrets.token_urlsafe(32)}"  # a prefix that secret scanners can know


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
