"""Where the bytes of photos are kept: a folder, or any server that speaks S3.

Keys are made by `reports.media`; here they are opaque paths of lower-case letters, digits, dots
and slashes. Nothing here opens a transaction, and nobody should call it inside one: a storage is
somebody else's server.

The folder is for one machine. With several, or with none that keeps its disk, set `STORAGE_URL`:
`s3://KEY:SECRET@HOST[:PORT]/BUCKET[/PREFIX][?region=…][&tls=off]`.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from core.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_KEY = re.compile(r"[a-z0-9]+(?:[/.][a-z0-9]+)*")

#: A request stages photos while its sender waits: better a clear 503 than a held thread.
_CONNECT_TIMEOUT_S = 2
_READ_TIMEOUT_S = 10


class StorageAwayError(UnavailableError):
    """The storage does not answer or refuses; the same call may succeed later."""

    code = "storage_away"
    title = "Photos cannot be stored or read for the moment"


class MissingFileError(LookupError):
    """No bytes are kept under that key."""


class Storage(Protocol):
    """Bytes under keys. Writing is atomic: a reader finds all of a file or nothing."""

    def put(self, key: str, source: IO[bytes], media_type: str) -> None:
        """Keep the rest of `source` under `key`; what was there is replaced."""

    def get(self, key: str) -> bytes:
        """The bytes under `key`.

        Raises:
            MissingFileError: there are none.
        """

    def delete(self, key: str) -> None:
        """Forget `key`; nothing happens when it is not there."""

    def older_than(self, prefix: str, before: datetime) -> Iterator[str]:
        """Keys under `prefix/` last written before that instant."""


def open_storage(url: str | None, data_dir: Path) -> Storage:
    """The storage that `STORAGE_URL` names; without one, the folder `media` of `DATA_DIR`.

    Raises:
        ValueError: the URL is not of the form that the module documents; says how it should be.
    """
    return Bucket.from_url(url) if url else Folder(data_dir / "media")


class Folder:
    """Files below a folder, written beside and renamed into place."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, source: IO[bytes], media_type: str) -> None:  # noqa: ARG002
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
                try:
                    while block := source.read(1024 * 1024):
                        file.write(block)
                    file.flush()
                    # What a 201 promised must outlive a power cut.
                    os.fsync(file.fileno())
                    Path(file.name).replace(path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise StorageAwayError("The folder of photos cannot be written.") from error

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise MissingFileError(key) from error
        except OSError as error:
            raise StorageAwayError("The folder of photos cannot be read.") from error

    def delete(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise StorageAwayError("The folder of photos cannot be written.") from error

    def older_than(self, prefix: str, before: datetime) -> Iterator[str]:
        root = self._path(prefix)
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder) / name
                # Another process may take it away meanwhile; then it is no longer old.
                with contextlib.suppress(FileNotFoundError):
                    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                    if written >= before:
                        continue
                    if name.startswith("."):  # a write that a kill cut short
                        path.unlink()
                    else:
                        yield path.relative_to(self._root).as_posix()

    def _path(self, key: str) -> Path:
        return self._root / _checked(key)


class Bucket:
    """Objects of an S3 bucket, at any endpoint that speaks the protocol.

    The client is made at first use: importing boto3 costs 30 MB that a town without a bucket
    should not pay, and a client must not be shared across a fork.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        *,
        prefix: str = "",
        region: str = "us-east-1",
        access_key: str | None = None,
        secret_key: str | None = None,
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._options: dict[str, Any] = {
            "endpoint_url": endpoint,
            "region_name": region,
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
        }
        self._lock = threading.Lock()
        self._client: tuple[int, Any] | None = None

    @classmethod
    def from_url(cls, url: str) -> Bucket:
        """The bucket of `s3://KEY:SECRET@HOST[:PORT]/BUCKET[/PREFIX][?region=…][&tls=off]`.

        Without key and secret, boto3 looks where it always looks (environment, instance role).
        """
        parts = urlsplit(url)
        bucket, _, prefix = parts.path.strip("/").partition("/")
        query = parse_qs(parts.query)
        if parts.scheme != "s3" or not parts.hostname or not bucket:
            raise ValueError(
                "STORAGE_URL must read s3://KEY:SECRET@HOST:PORT/BUCKET?region=REGION;"
                " add &tls=off for a server without TLS."
            )
        scheme = "http" if query.get("tls") == ["off"] else "https"
        place = parts.netloc.rpartition("@")[2]
        return cls(
            f"{scheme}://{place}",
            bucket,
            prefix=prefix,
            region=query.get("region", ["us-east-1"])[0],
            access_key=parts.username and unquote(parts.username),
            secret_key=parts.password and unquote(parts.password),
        )

    def put(self, key: str, source: IO[bytes], media_type: str) -> None:
        # One call with a known length: an object is there whole or not at all.
        body = source.read()
        self._call(
            lambda client: client.put_object(
                Bucket=self._bucket, Key=self._name(key), Body=body, ContentType=media_type
            )
        )

    def get(self, key: str) -> bytes:
        def read(client: Any) -> bytes:
            answer = client.get_object(Bucket=self._bucket, Key=self._name(key))
            content: bytes = answer["Body"].read()
            return content

        content: bytes = self._call(read)
        return content

    def delete(self, key: str) -> None:
        with contextlib.suppress(MissingFileError):
            self._call(
                lambda client: client.delete_object(Bucket=self._bucket, Key=self._name(key))
            )

    def older_than(self, prefix: str, before: datetime) -> Iterator[str]:
        after: dict[str, str] = {}

        def list_page(client: Any) -> Any:
            return client.list_objects_v2(
                Bucket=self._bucket, Prefix=f"{self._name(prefix)}/", **after
            )

        while True:
            page = self._call(list_page)
            for found in page.get("Contents", []):
                if found["LastModified"] < before:
                    yield found["Key"].removeprefix(self._prefix)
            if not page.get("IsTruncated"):
                return
            after = {"ContinuationToken": page["NextContinuationToken"]}

    def _name(self, key: str) -> str:
        return self._prefix + _checked(key)

    def _call(self, work: Callable[[Any], Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return work(self._connected())
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                raise MissingFileError from error
            raise StorageAwayError("The storage refused; its settings may be wrong.") from error
        except (BotoCoreError, OSError) as error:
            raise StorageAwayError("The storage does not answer.") from error

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None or self._client[0] != os.getpid():
                self._client = (os.getpid(), self._connect())
            return self._client[1]

    def _connect(self) -> Any:
        import boto3
        from botocore.config import Config

        # A session of its own: the default one is not safe to make clients from in threads.
        return boto3.session.Session().client(
            "s3",
            **self._options,
            config=Config(
                connect_timeout=_CONNECT_TIMEOUT_S,
                read_timeout=_READ_TIMEOUT_S,
                retries={"total_max_attempts": 2, "mode": "standard"},
                s3={"addressing_style": "path"},
                # Servers other than Amazon's refuse the checksums that boto3 adds unasked.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a storage key: {key!r}")
    return key
