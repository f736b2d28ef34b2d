"""Persisted operations: documents that are known by their SHA-256, from a manifest.

Clients send `extensions.persistedQuery` as Apollo's do:
https://www.apollographql.com/docs/apollo-server/performance/apq
"""

import hashlib
from pathlib import Path
from typing import Any

import orjson

from economy.settings import PersistedOperationsMode, Settings

NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"


class UnknownOperation(Exception):
    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message


class InvalidManifest(ValueError):
    """The message says what is wrong, and in which file."""


class PersistedOperations:
    def __init__(self, mode: PersistedOperationsMode, documents: dict[str, str]) -> None:
        self._mode = mode
        self._documents = documents

    @classmethod
    def of(cls, settings: Settings) -> "PersistedOperations":
        """Raises InvalidManifest."""
        file = settings.persisted_operations_file
        return cls(settings.persisted_operations, {} if file is None else read_manifest(Path(file)))

    def document_of(self, query: str | None, sha256: str | None) -> str:
        """The document to run: the one that was sent, or the one that is known by that hash.

        Raises UnknownOperation. One of the two is given.
        """
        if query is not None:
            if self._mode is PersistedOperationsMode.ONLY and _hash(query) not in self._documents:
                raise UnknownOperation(NOT_FOUND, "Only persisted operations are run here.")
            return query
        if self._mode is PersistedOperationsMode.OFF:
            raise UnknownOperation(NOT_SUPPORTED, "PersistedQueryNotSupported")
        document = self._documents.get(sha256 or "")
        if document is None:
            # Apollo's clients know these words: they send the whole document then
            raise UnknownOperation(NOT_FOUND, "PersistedQueryNotFound")
        return document


def digits_of(sha256: str) -> str:
    """Some tools write the name of the algorithm before the digits."""
    return sha256.removeprefix("sha256:").lower()


def matches(query: str, sha256: str) -> bool:
    return _hash(query) == sha256


def read_manifest(file: Path) -> dict[str, str]:
    """From SHA-256, in hexadecimal digits, to document: a JSON object of exactly that, such as
    graphql-codegen's, or what Apollo's generate-persisted-query-manifest writes.

    Raises InvalidManifest.
    """
    try:
        content = orjson.loads(file.read_bytes())
    except OSError as error:
        raise InvalidManifest(f"{file}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise InvalidManifest(f"{file} is not JSON: {error.msg}") from None
    found = _documents_in(content)
    if found is None:
        raise InvalidManifest(f"{file} is no object of SHA-256 to document")
    documents = {digits_of(sha256): document for sha256, document in found.items()}
    for sha256, document in documents.items():
        if not matches(document, sha256):
            raise InvalidManifest(f"{file}: {sha256} is not the SHA-256 of its document")
    return documents


def _documents_in(content: Any) -> dict[str, str] | None:
    if isinstance(content, dict) and isinstance(content.get("operations"), list):
        entries = content["operations"]
        if not all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in entries):
            return None
        content = {one["id"]: one.get("body") for one in entries}
    is_map = isinstance(content, dict) and all(isinstance(one, str) for one in content.values())
    return content if is_map else None


def _hash(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()
