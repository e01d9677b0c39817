"""Models on the Hugging Face hub: `hf://owner/name[@revision][/file]`.

One request lists a revision's files and pins it to its commit; the files are read by ranges. What
the hub's own library has in its cache is read from there. The token goes to the hub and to no
other host.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from ssmspec.checkpoints.remote.http import HttpStore, fetch
from ssmspec.checkpoints.remote.mirror import Mirror
from ssmspec.errors import CheckpointError
from ssmspec.naming import printable

_ADDRESS = re.compile(
    r"hf://([\w.-]+/[\w.-]+)(?:@(refs/(?:pr|convert)/[\w.-]+|[^/@]+))?(?:/([^@]*))?"
)
MAX_LISTING = 32 * 2**20
MAX_FILES = 10_000


@dataclass(frozen=True)
class _Address:
    repository: str
    revision: str
    file: str


def _address(url: str) -> _Address:
    match = _ADDRESS.fullmatch(url)
    if match is None or ".." in url.split("/"):
        raise CheckpointError(
            f"{printable(url)} is no address of a model; it is hf://owner/name, perhaps with "
            f"@revision and /file behind it"
        )
    return _Address(match[1], match[2] or "main", (match[3] or "").strip("/"))


def _cache() -> Path:
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    return Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()


def _folder(repository: str) -> Path:
    return _cache() / f"models--{repository.replace('/', '--')}"


def _snapshot(repository: str, commit: str) -> Path:
    return _folder(repository) / "snapshots" / commit


def cached(url: str) -> Path | None:
    """The file or folder of an address in the cache of the hub's own library, or None."""
    address = _address(url)
    refs = _folder(address.repository) / "refs"
    try:
        commit = (refs / address.revision).read_text("utf-8").strip()
    except (OSError, ValueError):
        commit = address.revision
    found = _snapshot(address.repository, commit) / address.file
    return found if re.fullmatch(r"[0-9a-f]{40}", commit) and found.exists() else None


def _token() -> str | None:
    if token := os.environ.get("HF_TOKEN"):
        return token.strip()
    try:
        from huggingface_hub import get_token  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    found: str | None = get_token()
    return found


class _HubStore(HttpStore):
    """The listed files of one commit."""

    listed: dict[str, int]

    def size(self, name: str) -> int | None:
        return self.listed.get(name)


def place(
    url: str, progress: Callable[[str, int, int, bool], None] | None
) -> tuple[Path, Mirror | None]:
    """A mirror of a model's files, and the name of the one that is meant ("" for all).

    Raises:
        CheckpointError: the hub cannot be reached, or there is no such model, revision or file.
    """
    address = _address(url)
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    token = _token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    where = (
        f"{endpoint}/api/models/{address.repository}/revision/{quote(address.revision, safe='')}"
    )
    try:
        document = json.loads(fetch(f"{where}?blobs=true", headers, MAX_LISTING))
        commit, listed = document["sha"], dict(_files(document["siblings"]))
        if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
            raise ValueError
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no model {printable(address.repository)} with a revision "
            f"{printable(address.revision)} on {printable(endpoint)}"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(f"{printable(endpoint)} does not answer as the hub does") from None
    file = address.file
    if file and file not in listed and not any(name.startswith(f"{file}/") for name in listed):
        raise CheckpointError(f"there is no {printable(file)} in {printable(url)}")
    kept = _snapshot(address.repository, commit)
    wanted = [file] if file in listed else [name for name in listed if name.startswith(file)]
    if wanted and all(os.path.lexists(kept / name) for name in wanted):
        return kept / file, None
    store = _HubStore(f"{endpoint}/{address.repository}/resolve/{quote(commit)}/", headers)
    store.listed = listed
    shown = f"hf://{address.repository}" + (f"@{address.revision}" if "@" in url else "")
    made = Mirror(shown, store, listed, progress)
    return made.folder / file, made


def _files(siblings: object) -> Iterator[tuple[str, int]]:
    """Names and sizes, of plain names below the repository."""
    if not isinstance(siblings, list) or len(siblings) > MAX_FILES:
        raise ValueError
    for one in siblings:
        name, size = one["rfilename"], one.get("size")
        parts = PurePosixPath(name).parts
        plain = parts and ".." not in parts and not name.startswith("/") and "\0" not in name
        if plain and type(size) is int and size >= 0:
            yield "/".join(parts), size
