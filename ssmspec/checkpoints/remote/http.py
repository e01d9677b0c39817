"""Files behind http(s), read by ranges: bounded in time and in bytes, whatever the server does."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any
from urllib.parse import quote, urlsplit

from ssmspec._version import __version__
from ssmspec.checkpoints.remote.mirror import BLOCK, Mirror
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable

STALL = 20.0
"""Seconds without a byte after which a server is given up."""
PATIENCE, PACE = 60.0, 1 << 15
"""A request may take this many seconds, and one more for so many bytes."""
SMALL = 1 << 20
"""A file up to this size is taken whole from a server that knows no ranges."""
ATTEMPTS = 2
_CHUNK = 1 << 18


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http(s) only, and takes no token along to another host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
        headers: http.client.HTTPMessage, newurl: str,
    ) -> urllib.request.Request | None:  # fmt: skip
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise CheckpointError(
                f"{printable(req.full_url)} leads to {printable(newurl[:200])}, which is no web "
                f"address; it was not followed"
            )
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            new.headers.pop("Authorization", None)
        return new


_OPENER = urllib.request.build_opener(_Redirects)


class HttpStore:
    """Files below one address.

    Args:
        base: the folder's address, with a slash at the end.
        headers: sent to its host, and to no other.
        queries: what follows the question mark, for single files.
    """

    def __init__(
        self,
        base: str,
        headers: Mapping[str, str] | None = None,
        queries: Mapping[str, str] | None = None,
    ) -> None:
        self._base, self._headers, self._queries = base, dict(headers or {}), queries or {}
        self._known: dict[str, tuple[int, str]] = {}
        self._first: dict[str, bytes] = {}

    def size(self, name: str) -> int | None:
        """Bytes of a file, or None where there is none; its first block comes along."""
        try:
            self._first[name] = b"".join(self._tried(name, 0, BLOCK))
        except FileNotFoundError:
            return None
        return self._known[name][0]

    def read(self, name: str, begin: int, end: int) -> Iterator[bytes]:
        """Bytes [begin, end) of a file, in pieces.

        Raises:
            CheckpointError: the server cannot or may not be asked, or answers with something else.
        """
        have = self._first.pop(name, b"")
        if begin == 0 and have:
            yield have[:end]
            begin = min(len(have), end)
        try:
            yield from self._tried(name, begin, end)
        except FileNotFoundError:
            raise CheckpointError(f"{self._shown(name)} is not there any more") from None

    def _tried(self, name: str, begin: int, end: int) -> Iterator[bytes]:
        """Requests until the bytes are there. Raises FileNotFoundError where there is no file."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                for piece in self._ask(name, begin, end):
                    begin += len(piece)
                    yield piece
            except ConnectionError as error:
                if attempt == ATTEMPTS:
                    raise CheckpointError(
                        f"the connection to {self._shown(name)} broke off "
                        f"({printable(str(error))[:100]}); try again"
                    ) from None
            else:
                return

    def _ask(self, name: str, begin: int, end: int) -> Iterator[bytes]:
        """One request. Raises FileNotFoundError, and ConnectionError where another may help."""
        if begin >= end:
            return
        headers = {
            "Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity",
            "User-Agent": f"ssmspec/{__version__}",
        }  # fmt: skip
        url = self._base + quote(name) + self._queries.get(name, "")
        deadline = time.monotonic() + PATIENCE + (end - begin) / PACE
        try:
            with _opened(url, headers | self._headers) as answer:
                end = self._judge(answer, name, begin, end)
                yield from _body(answer, end - begin, deadline)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and begin == 0:  # no bytes at all
                self._known[name] = (0, "")
                return
            raise self._refusal(name, error.code) from None
        except TimeoutError:
            raise CheckpointError(
                f"{self._shown(name)} stalled: too few bytes came within the time limit; try again "
                f"or download it"
            ) from None
        except (ConnectionError, http.client.HTTPException) as error:
            raise ConnectionError(str(error) or type(error).__name__) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise CheckpointError(f"{self._shown(name)} did not answer; try again") from None
            raise CheckpointError(
                f"{self._shown(name)} cannot be reached: {printable(str(reason))[:200]}"
            ) from None

    def _judge(self, answer: Any, name: str, begin: int, end: int) -> int:
        """Where the bytes that come end, which must begin where they were asked for."""
        tag = answer.headers.get("ETag", "")
        if answer.status == 200:
            length = answer.headers.get("Content-Length", "")
            size = int(length) if length.isdecimal() else SMALL + 1
            if begin or size > SMALL:
                raise CheckpointError(
                    f"the server of {self._shown(name)} sends whole files only, not parts of them; "
                    f"download it and give the file"
                )
            stop = size
        else:
            stated = re.fullmatch(
                r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", answer.headers.get("Content-Range", "")
            )
            first, last, size = (int(n) for n in stated.groups()) if stated else (-1, 0, 0)
            stop = last + 1
            if answer.status != 206 or first != begin or stop != min(end, size):
                raise CheckpointError(
                    f"the server of {self._shown(name)} sent other bytes than those asked for; "
                    f"download it and give the file"
                )
        known = self._known.setdefault(name, (size, tag))
        if known[0] != size or (tag and known[1] and known[1] != tag):
            raise CheckpointError(f"{self._shown(name)} changed while it was being read; try again")
        return stop

    def _refusal(self, name: str, code: int) -> Exception:
        if code in (404, 410):
            return FileNotFoundError(name)
        if code in (401, 403):
            return CheckpointError(
                f"{self._shown(name)} may not be read ({code}): it is private, gated or not there; "
                f"log in (hf auth login, or HF_TOKEN), or ask for access"
            )
        return CheckpointError(
            f"the server of {self._shown(name)} answered {code}; try again later"
        )

    def _shown(self, name: str) -> str:
        return printable(self._base + name)


def _opened(url: str, headers: Mapping[str, str]) -> Any:
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - http(s) only
    return _OPENER.open(request, timeout=STALL)


def _body(answer: Any, length: int, deadline: float) -> Iterator[bytes]:
    """Exactly so many bytes, before the deadline.

    Raises:
        TimeoutError: they come too slowly.
        ConnectionError: they end early.
    """
    while length:
        piece = answer.read1(min(length, _CHUNK))
        if not piece:
            raise ConnectionError(f"it ended {length:,} bytes early")
        if time.monotonic() > deadline:
            raise TimeoutError
        length -= len(piece)
        yield piece


def fetch(url: str, headers: Mapping[str, str], limit: int) -> bytes:
    """A small document.

    Raises:
        CheckpointError: it cannot be had, or is larger than `limit`.
        FileNotFoundError: there is none.
    """
    base, _, name = url.partition("?")
    store = HttpStore(base, headers, {"": f"?{name}" if name else ""})
    deadline = time.monotonic() + PATIENCE
    try:
        with _opened(url, dict(headers) | {"User-Agent": f"ssmspec/{__version__}"}) as answer:
            found = bytearray()
            while piece := answer.read1(_CHUNK):
                found += piece
                if len(found) > limit or time.monotonic() > deadline:
                    raise CheckpointError(f"{printable(base)} answers with more than can be read")
            return bytes(found)
    except urllib.error.HTTPError as error:
        error.close()
        raise store._refusal("", error.code) from None  # noqa: SLF001 - its own module
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise CheckpointError(
            f"{printable(base)} cannot be reached: {printable(str(reason) or 'no answer')[:200]}"
        ) from None


def mirror(url: str, progress: Callable[[str, int, int, bool], None] | None) -> tuple[Mirror, str]:
    """A mirror of the folder that an address is in, and the name of the file."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise CheckpointError("an address with a password in it is not opened; it would be logged")
    folder, _, name = parts.path.rpartition("/")
    if not name:
        raise CheckpointError(
            f"{printable(url)} is a folder, and web servers do not say what is in one; give the "
            f"file or the index of shards"
        )
    base = f"{parts.scheme}://{parts.netloc}{folder}"
    store = HttpStore(base + "/", queries={name: f"?{parts.query}"} if parts.query else {})
    size = store.size(name)
    if size is None:
        raise CheckpointError(f"{printable(url)} does not exist")
    return Mirror(base, store, {name: size}, progress), name
