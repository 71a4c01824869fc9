"""MinIO, or any S3, as the place of the runs' files."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.recording.base import RecordingError, StoreDownError
from app.recording.s3_faults import address, explain, is_of_nothing, no_s3
from app.settings import Settings

if TYPE_CHECKING:
    from minio import Minio

_CONNECT_SECONDS, _READ_SECONDS = 2.0, 5.0
_LINK_MINUTES = 10
_FOLDER = "moescope"
_PROBE = f"{_FOLDER}/.may-write"


def location(settings: Settings) -> str:
    """Where runs keep their files."""
    return f"s3://{settings.minio_bucket}/{_FOLDER}"


def prepare(settings: Settings) -> str:
    """Points MLflow at the endpoint, makes the bucket if it is missing; gives its location.

    MLflow reads endpoint and keys from the environment and offers no other way. May be called
    again at any time. Raises StoreDownError with a line that says what to change.
    """
    import boto3
    import botocore.session

    os.environ["MLFLOW_S3_ENDPOINT_URL"] = address(settings)
    os.environ["AWS_ACCESS_KEY_ID"] = settings.minio_access_key.get_secret_value()
    os.environ["AWS_SECRET_ACCESS_KEY"] = settings.minio_secret_key.get_secret_value()
    session = botocore.session.get_session()
    session.set_default_client_config(_bounds(_READ_SECONDS))
    session.register("before-call.s3.DeleteObjects", _with_md5)
    boto3.setup_default_session(botocore_session=session)

    bucket = settings.minio_bucket
    _make_sure_of(settings, bucket)
    with asking(settings, f"read from the bucket «{bucket}»"):
        _look_for_probe(client(settings), bucket)
    with asking(settings, f"write to the bucket «{bucket}»"):
        _begin_to_write(settings, bucket)
    return location(settings)


def reason(error: BaseException, settings: Settings) -> str | None:
    """Why the store can't be used, in one line, if that is what an error came from.

    For what is raised inside MLflow's calls. None also if only a file was not there.
    """
    if not settings.minio_endpoint or is_of_nothing(error):
        return None
    return explain(error, settings)


def presigned(settings: Settings, object_name: str, filename: str) -> str:
    """An address that gives an object as a download for ten minutes, without any key.

    It is signed for MINIO_PUBLIC_ENDPOINT if that is set, and nothing is asked for it.
    """
    filename = re.sub(r"[^A-Za-z0-9._-]", "_", filename)
    return client(settings, endpoint=settings.minio_public_endpoint).presigned_get_object(
        settings.minio_bucket,
        object_name,
        expires=timedelta(minutes=_LINK_MINUTES),
        response_headers={"response-content-disposition": f'attachment; filename="{filename}"'},
    )


def object_of(settings: Settings, artifact_uri: str, path: str) -> str | None:
    """Name of the object behind a run's file; None if the run does not lie in the bucket."""
    parts = urlsplit(artifact_uri)
    if parts.scheme != "s3" or parts.netloc != settings.minio_bucket:
        return None
    return f"{parts.path.strip('/')}/{path}".lstrip("/")


def client(settings: Settings, read_seconds: float = _READ_SECONDS, endpoint: str = "") -> Minio:
    """A client with short time-outs and no second tries."""
    import urllib3
    from minio import Minio

    where = urlsplit(address(settings, endpoint))
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=read_seconds),
        retries=False,
        # The file that boto3 reads as well; by default the system's authorities.
        ca_certs=os.environ.get("AWS_CA_BUNDLE"),
    )
    return Minio(
        where.netloc,
        settings.minio_access_key.get_secret_value(),
        settings.minio_secret_key.get_secret_value(),
        secure=where.scheme == "https",
        # Else the client would ask the store for it before anything else.
        region=os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        http_client=pool,
    )


def boto_client(settings: Settings, read_seconds: float = _READ_SECONDS) -> Any:
    """boto3's client, for what the other one does not offer."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=address(settings),
        aws_access_key_id=settings.minio_access_key.get_secret_value(),
        aws_secret_access_key=settings.minio_secret_key.get_secret_value(),
        config=_bounds(read_seconds),
    )


@contextmanager
def asking(settings: Settings, doing: str) -> Iterator[None]:
    """Turns what a client raises into a StoreDownError of one line. `doing` says in words
    what the access key must be allowed to."""
    from xml.etree.ElementTree import ParseError

    from botocore.parsers import ResponseParserError

    try:
        yield
    except RecordingError:
        raise
    except (ParseError, ResponseParserError, ValueError) as error:
        # The clients take what they can't read for a fault of the caller.
        raise StoreDownError(no_s3(settings)) from error
    except Exception as error:
        line = explain(error, settings, doing)
        if line is None:
            raise
        raise StoreDownError(line) from error


def _bounds(read_seconds: float) -> Any:
    from botocore.config import Config

    return Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"total_max_attempts": 1},
    )


def _with_md5(params: dict[str, Any], **_: object) -> None:
    """boto3 sends another checksum now, and older stores insist on this one."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()


def _make_sure_of(settings: Settings, bucket: str) -> None:
    """Makes the bucket unless it is there."""
    from minio.error import S3Error

    store = client(settings)
    with asking(settings, f"list the bucket «{bucket}»"):
        try:
            next(iter(store.list_objects(bucket, prefix=_PROBE)), None)
        except S3Error as error:
            if error.code != "NoSuchBucket":
                raise
        else:
            return
    with asking(settings, f"create the bucket «{bucket}», which is missing"):
        try:
            store.make_bucket(bucket)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":  # Made by another process meanwhile.
                raise


def _look_for_probe(store: Minio, bucket: str) -> None:
    """Raises if files can't be read. There is none of that name, and need not be."""
    try:
        store.stat_object(bucket, _PROBE)
    except Exception as error:
        if not is_of_nothing(error):
            raise


def _begin_to_write(settings: Settings, bucket: str) -> None:
    """Raises if files can't be written. An upload that is begun and given up needs the same
    right as any, and leaves nothing, not even a version."""
    from botocore.exceptions import ClientError

    store = boto_client(settings)
    upload = store.create_multipart_upload(Bucket=bucket, Key=_PROBE)
    with suppress(ClientError):
        store.abort_multipart_upload(Bucket=bucket, Key=_PROBE, UploadId=upload["UploadId"])
