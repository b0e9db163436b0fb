"""An access log, plain, gzip or zstd, read as text; damage is told, and what lies before it is read."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from consent_middleware.lazy import UserError

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
CHUNK: Final = 1024 * 1024


class Damage(msgspec.Struct, frozen=True):
    """Why a log could not be read to its end, and at which byte of the file on disk."""

    what: str
    at: int


class _Decompressor(Protocol):
    """What zlib's and zstandard's objects have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class LogFile:
    """The text of a log, once from its beginning to its end, into memory of the caller.

    Compressed logs may consist of several members or frames. Reading never fails on damage: the text simply ends there
    and `damage` says why.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError when the file can't be opened or what unpacks it is not installed."""
        self.path = path
        self.damage: Damage | None = None
        self.read = 0  # bytes of text
        try:
            self._file: io.FileIO = path.open("rb", buffering=0)
            magic = self._file.read(4)
            self._file.seek(0)
        except OSError as error:
            raise UserError(f"{path}: can't be read: {error.strerror}") from None
        self.packing = "gzip" if magic[:2] == GZIP else "zstd" if magic == ZSTD else ""
        self._new = {"gzip": _gunzip, "zstd": _unzstd}.get(self.packing)
        self._member: _Decompressor | None = None
        self._member_at = 0
        self._packed = b""
        self._text = b""
        self._ended = False
        if self.packing == "zstd":
            _unzstd()

    @property
    def position(self) -> int:
        """Bytes of the file on disk that were read."""
        return self._file.tell()

    def readinto(self, target: memoryview) -> int:
        """Fill `target` with the next text; less than its length at the end only."""
        filled = 0
        while filled < len(target):
            if self._new is None:
                count = self._raw(target[filled:])
            else:
                if not self._text:
                    self._text = self._unpack()
                count = min(len(self._text), len(target) - filled)
                target[filled : filled + count] = self._text[:count]
                self._text = self._text[count:]
            if not count:
                break
            filled += count
        self.read += filled
        return filled

    def first_line(self, limit: int) -> bytes:
        """The first line that is not empty, among `limit` bytes; a look at a log that is opened anew later."""
        buffer = bytearray(limit)
        count = self.readinto(memoryview(buffer))
        return bytes(buffer[:count]).lstrip().split(b"\n", 1)[0]

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _raw(self, target: memoryview) -> int:
        try:
            return self._file.readinto(target) or 0
        except OSError as error:
            self._hurt(f"the disk gave an error: {error.strerror}")
            return 0

    def _unpack(self) -> bytes:
        """The next text of a compressed log; empty at its end or where it is damaged."""
        assert self._new is not None
        while not self._ended:
            if not self._packed:
                buffer = bytearray(CHUNK)
                self._packed = bytes(buffer[: self._raw(memoryview(buffer))])
            if not self._packed:
                self._ended = True
                if self._member is not None and not self.damage:
                    self._hurt(f"the {self.packing} file ends in the middle: it was cut off")
                return b""
            if self._member is None:
                if not self._packed.strip(b"\0"):  # padding behind the last member
                    self._packed = b""
                    continue
                self._member = self._new()
                self._member_at = self._file.tell() - len(self._packed)
            try:
                text = self._member.decompress(self._packed)
            except Exception as error:  # zlib.error, ZstdError: each package has its own
                self._ended = True
                return self._salvage(error)
            self._packed = b""
            if self._member.eof:
                self._packed = self._member.unused_data
                self._member = None
            if text:
                return text
        return b""

    def _salvage(self, error: Exception) -> bytes:
        """The text between what was read and the damage: the member once more, its last chunk byte by byte."""
        assert self._new is not None
        end = self._file.tell()
        begin = end - len(self._packed)
        self._file.seek(self._member_at)
        member = self._new()
        text = bytearray()
        try:
            while (here := self._file.tell()) < begin:
                member.decompress(self._file.read(min(CHUNK, begin - here)))
            for place in range(len(self._packed)):
                end = begin + place
                text += member.decompress(self._packed[place : place + 1])
        except Exception as again:  # the same, at its exact place
            error = again
        self.damage = self.damage or Damage(f"the {self.packing} file is damaged: {error}", end)
        return bytes(text)

    def _hurt(self, what: str) -> None:
        self.damage = self.damage or Damage(what, self._file.tell())


def _gunzip() -> _Decompressor:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def _unzstd() -> Any:
    try:
        import zstandard
    except ImportError:
        raise UserError("a log compressed by zstd needs: pip install zstandard") from None
    return zstandard.ZstdDecompressor().decompressobj()
