"""What an S3 store's refusal means: one line that names the variable to change, no secrets."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from app.settings import Settings

_TLS_SECONDS = 2.0
_CODE = re.compile(r"[A-Za-z0-9.]{1,60}")
_DENIED = ("AccessDenied", "AllAccessDisabled", "403")
_FULL = ("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded")
# What boto3 was doing for MLflow, by the names of its operations.
_DOING = {
    "ListObjectsV2": "list",
    "HeadObject": "read from",
    "GetObject": "read from",
    "PutObject": "write to",
    "CreateMultipartUpload": "write to",
    "UploadPart": "write to",
    "CompleteMultipartUpload": "write to",
    "DeleteObject": "delete from",
    "DeleteObjects": "delete from",
}


def place(settings: Settings) -> str:
    """Host and port of the store, as people know it."""
    return settings.minio_endpoint.rpartition("://")[2]


def address(settings: Settings, endpoint: str = "") -> str:
    """The store's address, or that of another `endpoint`; its own scheme wins."""
    endpoint = endpoint or settings.minio_endpoint
    if "://" in endpoint:
        return endpoint
    return f"{'https' if settings.minio_secure else 'http'}://{endpoint}"


def explain(error: BaseException, settings: Settings, doing: str = "") -> str | None:
    """Why the store can't be used, in one line; None if that is not what went wrong.

    `doing` says what was tried, such as «list the bucket «name»», where the error does not.
    """
    links = list(chain(error))
    for link in links:
        line = _refused(link, settings, doing) or _not_s3(link, settings)
        if line is not None:
            return line
    if _is_of(links, "requests") and not _is_of(links, "botocore", "minio"):
        return None  # Somebody else's connection, MLflow's for instance.
    return _cut_off(links, settings)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, its reasons included that only urllib3 tells."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        reason = getattr(link, "reason", None)
        waiting.append(link.__cause__ or link.__context__)
        waiting.append(reason if isinstance(reason, BaseException) else None)


def is_of_nothing(error: BaseException) -> bool:
    """Whether the store answered that what was asked for does not exist: no fault of its."""
    return any(code_of(link) in ("NoSuchKey", "404") for link in chain(error))


def code_of(error: BaseException) -> str:
    """The S3 error code that the store answered with, empty if it did not answer like that."""
    return _said(error)[0]


def _said(link: BaseException) -> tuple[str, str]:
    """Error code and boto3's name of the operation, empty where there are none."""
    from botocore.exceptions import ClientError
    from minio.error import S3Error

    if isinstance(link, ClientError):
        return str(link.response.get("Error", {}).get("Code", "")), link.operation_name
    if isinstance(link, S3Error):
        return link.code or "", ""
    return "", ""


def refusal(code: str, settings: Settings, doing: str) -> str:
    """What an error code of S3 means; `doing` says what was tried."""
    bucket = f"the bucket «{settings.minio_bucket}»"
    if code in _DENIED:
        return f"the S3 store's access key may not {doing} (MINIO_ACCESS_KEY)"
    if code in _FULL:
        return "the S3 store is full"
    known = {
        "InvalidAccessKeyId": "the S3 store does not know the access key (MINIO_ACCESS_KEY)",
        "SignatureDoesNotMatch": "the secret key does not belong to the S3 store's access key "
        "(MINIO_SECRET_KEY)",
        "RequestTimeTooSkewed": "the clocks of this machine and the S3 store differ too much",
        "AuthorizationHeaderMalformed": "the S3 store is in another region (AWS_DEFAULT_REGION)",
        "NoSuchBucket": f"{bucket} is missing (MINIO_BUCKET)",
        "BucketAlreadyExists": f"{bucket} belongs to somebody else (MINIO_BUCKET)",
    }
    if code in known:
        return known[code]
    shown = code if _CODE.fullmatch(code) else "of an unknown kind"
    return f"the S3 store at {place(settings)} answers with an error ({shown})"


def _refused(link: BaseException, settings: Settings, doing: str) -> str | None:
    """From the code that the store answered with."""
    code, operation = _said(link)
    if not code:
        return None
    mlflows = f"{_DOING.get(operation, 'use')} the bucket «{settings.minio_bucket}»"
    return refusal(code, settings, doing or mlflows)


def _not_s3(link: BaseException, settings: Settings) -> str | None:
    """From an answer that is not S3's."""
    from minio.error import InvalidResponseError, ServerError

    if isinstance(link, ServerError):
        status, body = link.status_code, ""
    elif isinstance(link, InvalidResponseError):
        status, body = int(link._code), str(link._body or "")
    else:
        return None
    if status == 400 and "HTTPS" in body:
        return _speaks_tls(settings)
    if status >= 500:
        return f"the S3 store at {place(settings)} answers with an error (HTTP {status})"
    return no_s3(settings)


def no_s3(settings: Settings) -> str:
    """The line for a server that is something else."""
    return f"what answers at {place(settings)} is no S3 store (MINIO_ENDPOINT)"


def _cut_off(links: list[BaseException], settings: Settings) -> str | None:
    """From a connection that failed, the plainest reason first."""
    import botocore.exceptions as boto
    from urllib3 import exceptions as http

    where = place(settings)

    def is_any(*kinds: type[BaseException]) -> bool:
        return any(isinstance(link, kinds) for link in links)

    for link in links:
        if isinstance(link, ssl.SSLCertVerificationError):
            why = link.verify_message
            return f"the certificate of {where} is not trusted: {why} (AWS_CA_BUNDLE)"
    if is_any(FileNotFoundError) and os.environ.get("AWS_CA_BUNDLE"):
        return "the file of certificates can't be read (AWS_CA_BUNDLE)"
    if is_any(ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return f"what listens at {where} breaks TLS connections off ({_tls_variable(settings)})"
    if is_any(ssl.SSLError, http.SSLError, boto.SSLError):
        must = "must begin with http://" if "://" in settings.minio_endpoint else "must be false"
        return f"{where} does not speak TLS: {_tls_variable(settings)} {must}"
    if is_any(http.NameResolutionError, socket.gaierror):
        return f"the host of {where} is not known (MINIO_ENDPOINT)"
    if is_any(ConnectionRefusedError):
        return f"nothing listens at {where} (MINIO_ENDPOINT)"
    if is_any(http.ConnectTimeoutError, boto.ConnectTimeoutError):
        return f"{where} can't be reached: it does not answer (MINIO_ENDPOINT)"
    if is_any(http.ReadTimeoutError, boto.ReadTimeoutError):
        return f"{where} takes connections but does not answer (MINIO_ENDPOINT)"
    if is_any(http.ProtocolError, boto.ConnectionClosedError):
        if address(settings).startswith("http://") and _answers_tls(where):
            return _speaks_tls(settings)
        return f"what listens at {where} breaks connections off (MINIO_ENDPOINT)"
    if is_any(http.HTTPError, boto.HTTPClientError):
        return f"{where} can't be reached (MINIO_ENDPOINT)"
    if _is_of(links, "botocore", "boto3"):
        kind = type(links[0]).__name__
        return f"the S3 store at {where} can't be used ({kind})"
    return None


def _speaks_tls(settings: Settings) -> str:
    must = "must begin with https://" if "://" in settings.minio_endpoint else "must be true"
    return f"{place(settings)} speaks TLS: {_tls_variable(settings)} {must}"


def _tls_variable(settings: Settings) -> str:
    return "MINIO_ENDPOINT" if "://" in settings.minio_endpoint else "MINIO_SECURE"


def _answers_tls(where: str) -> bool:
    """Whether a TLS handshake gets anywhere there, whatever the certificate is worth."""
    parts = urlsplit(f"//{where}")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        target = (parts.hostname or "", parts.port or 80)
        with (
            socket.create_connection(target, _TLS_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=parts.hostname),
        ):
            return True
    except OSError:
        return False


def _is_of(links: list[BaseException], *packages: str) -> bool:
    return any(type(link).__module__.partition(".")[0] in packages for link in links)
