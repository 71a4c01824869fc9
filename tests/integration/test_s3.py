"""MinIO as the place of the runs' files: what is made there, and what is said when it fails."""

from __future__ import annotations

import io
import logging
import os
import time
import traceback
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from minio import Minio

from app.recording import s3 as store
from app.recording.base import StoreDownError
from app.settings import Settings, load_settings
from tests.integration.helpers import ask, free_port
from tests.listeners import Answer, hanging_up, listening, make_certificate, page, saying, silence
from tests.s3 import S3Server, s3_server

# The longest that a person waits to be told what is wrong.
_SECONDS = 8.0
_ENVIRONMENT = ("MLFLOW_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(autouse=True)
def environment_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`prepare` sets what MLflow reads; other tests must not find it."""
    before = {name: os.environ.pop(name, None) for name in _ENVIRONMENT}
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture
def settings(s3: S3Server) -> Settings:
    """Settings with a bucket of their own, which is not there yet."""
    return load_settings(**s3.settings(f"runs-{uuid.uuid4().hex[:12]}"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def changed(settings: Settings, **changes: object) -> Settings:
    """The settings with some others, by the environment's names."""
    found = settings.model_dump(by_alias=True)
    return load_settings(**(found | changes))


def refusal(settings: Settings) -> str:
    """What `prepare` says, in time, without the secret in any line that leads there."""
    started = time.monotonic()
    with pytest.raises(StoreDownError) as caught:
        store.prepare(settings)
    assert time.monotonic() - started < _SECONDS
    line = str(caught.value)
    assert "\n" not in line
    assert settings.minio_secret_key.get_secret_value() not in "".join(
        traceback.format_exception(caught.value)
    )
    return line


def uploads(client: Minio, bucket: str) -> list[object]:
    return list(client._list_multipart_uploads(bucket).uploads)


def test_prepare_makes_the_bucket_and_leaves_nothing_in_it(
    s3: S3Server, settings: Settings
) -> None:
    bucket = settings.minio_bucket
    assert not s3.client.bucket_exists(bucket)
    assert store.prepare(settings) == f"s3://{bucket}/moescope"
    assert s3.client.bucket_exists(bucket)
    assert list(s3.client.list_objects(bucket, recursive=True)) == []
    assert uploads(s3.client, bucket) == []
    # Again, and after somebody removed it.
    assert store.prepare(settings) == f"s3://{bucket}/moescope"
    s3.client.remove_bucket(bucket)
    assert store.prepare(settings) == f"s3://{bucket}/moescope"
    assert s3.client.bucket_exists(bucket)


def test_prepare_keeps_what_the_bucket_holds(s3: S3Server, settings: Settings) -> None:
    s3.client.make_bucket(settings.minio_bucket)
    s3.client.put_object(settings.minio_bucket, "moescope/kept", io.BytesIO(b"12"), 2)
    store.prepare(settings)
    names = [o.object_name for o in s3.client.list_objects(settings.minio_bucket, recursive=True)]
    assert names == ["moescope/kept"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"MINIO_ACCESS_KEY": "nobody-knows-me"},
            "the S3 store does not know the access key (MINIO_ACCESS_KEY)",
        ),
        (
            {"MINIO_SECRET_KEY": "another-secret"},
            "the secret key does not belong to the S3 store's access key (MINIO_SECRET_KEY)",
        ),
        ({"MINIO_SECURE": True}, "{place} does not speak TLS: MINIO_SECURE must be false"),
        (
            {"MINIO_ENDPOINT": "https://{place}"},
            "{place} does not speak TLS: MINIO_ENDPOINT must begin with http://",
        ),
        (
            {"MINIO_ENDPOINT": "no-such-host.invalid:9000"},
            "the host of no-such-host.invalid:9000 is not known (MINIO_ENDPOINT)",
        ),
    ],
)
def test_a_wrong_setting_is_named(
    s3: S3Server, settings: Settings, changes: dict[str, object], line: str
) -> None:
    place = s3.endpoint
    given = {n: v.format(place=place) if isinstance(v, str) else v for n, v in changes.items()}
    assert refusal(changed(settings, **given)) == line.format(place=place)
    assert not s3.client.bucket_exists(settings.minio_bucket)


def test_nothing_that_listens(settings: Settings) -> None:
    place = f"127.0.0.1:{free_port()}"
    line = refusal(changed(settings, MINIO_ENDPOINT=place))
    assert line == f"nothing listens at {place} (MINIO_ENDPOINT)"


@pytest.mark.parametrize("secure", [False, True])
def test_one_that_never_answers(settings: Settings, secure: bool) -> None:
    with listening(silence) as place:
        line = refusal(changed(settings, MINIO_ENDPOINT=place, MINIO_SECURE=secure))
    assert line == f"{place} takes connections but does not answer (MINIO_ENDPOINT)"


NO_S3 = "what answers at {place} is no S3 store (MINIO_ENDPOINT)"


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (page("404 Not Found", b"<html>not here</html>"), NO_S3),
        (page("200 OK", b"<!doctype html><p>Welcome"), NO_S3),
        (page("200 OK", b"<html><body>Welcome</body></html>"), NO_S3),
        (page("200 OK", b"{}", "application/json"), NO_S3),
        (page("200 OK", b"\xff\xfe\xe9"), NO_S3),
        (page("404 Not Found", b"\xff\xfe\xe9"), NO_S3),
        (page("200 OK", b""), NO_S3),
        (page("302 Found\r\nLocation: /login", b""), NO_S3),
        (page("502 Bad Gateway", b"<html>nobody behind me</html>"),
         "the S3 store at {place} answers with an error (HTTP 502)"),
        (page("503 Slow", b"<Error><Code>SlowDown</Code></Error>", "application/xml"),
         "the S3 store at {place} answers with an error (SlowDown)"),
        (page("400 Bad Request", b"Client sent an HTTP request to an HTTPS server.\n"),
         "{place} speaks TLS: MINIO_SECURE must be true"),
        (hanging_up, "what listens at {place} breaks connections off (MINIO_ENDPOINT)"),
        (saying(b"SSH-2.0-OpenSSH\r\n"),
         "what listens at {place} breaks connections off (MINIO_ENDPOINT)"),
    ],
    ids=range(13),
)  # fmt: skip
def test_a_server_that_is_something_else(settings: Settings, answer: Answer, line: str) -> None:
    with listening(answer) as place:
        assert refusal(changed(settings, MINIO_ENDPOINT=place)) == line.format(place=place)


def test_tls_where_none_is_expected_and_the_other_way_round(
    settings: Settings, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with listening(page("200 OK", b"Welcome"), certificate) as place:
        plain = changed(settings, MINIO_ENDPOINT=place)
        assert refusal(plain) == f"{place} speaks TLS: MINIO_SECURE must be true"
        written = changed(settings, MINIO_ENDPOINT=f"http://{place}")
        assert refusal(written) == f"{place} speaks TLS: MINIO_ENDPOINT must begin with https://"
        secure = changed(settings, MINIO_ENDPOINT=place, MINIO_SECURE=True)
        why = "is not trusted: self-signed certificate (AWS_CA_BUNDLE)"
        assert refusal(secure) == f"the certificate of {place} {why}"
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
        assert refusal(secure) == "the file of certificates can't be read (AWS_CA_BUNDLE)"
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        assert refusal(secure) == NO_S3.format(place=place)


READING = ("s3:ListBucket", "s3:GetObject")


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        (("s3:GetObject", "s3:PutObject"), "list the bucket «{bucket}»"),
        (("s3:ListBucket", "s3:PutObject"), "read from the bucket «{bucket}»"),
        (READING, "write to the bucket «{bucket}»"),
        ((*READING, "s3:PutObject"), None),
    ],
)
def test_a_missing_right_is_named(
    s3: S3Server, settings: Settings, rights: tuple[str, ...], missing: str | None
) -> None:
    bucket = settings.minio_bucket
    s3.client.make_bucket(bucket)
    access, secret = s3.user(*rights)
    user = changed(settings, MINIO_ACCESS_KEY=access, MINIO_SECRET_KEY=secret)
    if missing is None:
        assert store.prepare(user) == f"s3://{bucket}/moescope"
    else:
        what = missing.format(bucket=bucket)
        assert refusal(user) == f"the S3 store's access key may not {what} (MINIO_ACCESS_KEY)"
    assert list(s3.client.list_objects(bucket, recursive=True)) == []


def test_a_missing_bucket_that_may_not_be_made(s3: S3Server, settings: Settings) -> None:
    access, secret = s3.user(*READING, "s3:PutObject")
    user = changed(settings, MINIO_ACCESS_KEY=access, MINIO_SECRET_KEY=secret)
    what = f"create the bucket «{settings.minio_bucket}», which is missing"
    assert refusal(user) == f"the S3 store's access key may not {what} (MINIO_ACCESS_KEY)"
    access, secret = s3.user(*READING, "s3:PutObject", "s3:CreateBucket")
    store.prepare(changed(settings, MINIO_ACCESS_KEY=access, MINIO_SECRET_KEY=secret))
    assert s3.client.bucket_exists(settings.minio_bucket)


def test_what_mlflow_runs_into_is_told_as_well(settings: Settings, tmp_path: Path) -> None:
    """Each fault comes out of MLflow's own artifact calls, wrapped in its own way."""
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    (tmp_path / "file.txt").write_text("content")
    with s3_server() as server:
        mine = changed(settings, MINIO_ENDPOINT=server.endpoint)
        bucket = mine.minio_bucket
        repository = S3ArtifactRepository(f"{store.prepare(mine)}/run/artifacts")
        repository.log_artifacts(str(tmp_path))
        assert [found.path for found in repository.list_artifacts()] == ["file.txt"]

        def reason(call: Callable[..., object], *arguments: str) -> str | None:
            with pytest.raises(Exception) as caught:  # noqa: PT011
                call(*arguments)
            return store.reason(caught.value, mine)

        # A file that is not there is no fault of the store.
        assert reason(repository._download_file, "none", str(tmp_path / "none")) is None
        repository.delete_artifacts()
        for left in server.client.list_objects(bucket, recursive=True):
            server.client.remove_object(bucket, str(left.object_name))
        server.client.remove_bucket(bucket)
        gone = f"the bucket «{bucket}» is missing (MINIO_BUCKET)"
        assert reason(repository.log_artifacts, str(tmp_path)) == gone
        assert reason(repository.list_artifacts) == gone
        store.prepare(mine)
        repository.log_artifacts(str(tmp_path))
        server.kill()
        nothing = f"nothing listens at {server.endpoint} (MINIO_ENDPOINT)"
        assert reason(repository.log_artifacts, str(tmp_path)) == nothing
        assert reason(repository.list_artifacts) == nothing
        server.start()
        store.prepare(mine)
        assert [found.path for found in repository.list_artifacts()] == ["file.txt"]


def test_deleting_a_run_removes_its_objects(
    s3: S3Server, settings: Settings, tmp_path: Path
) -> None:
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    (tmp_path / "file.txt").write_text("content")
    location = store.prepare(settings)
    for run in ("one", "two"):
        S3ArtifactRepository(f"{location}/{run}").log_artifacts(str(tmp_path))
    S3ArtifactRepository(f"{location}/one").delete_artifacts()
    found = s3.client.list_objects(settings.minio_bucket, recursive=True)
    # This store keeps the empty folder.
    assert [o.object_name for o in found if not o.is_dir] == ["moescope/two/file.txt"]


def test_other_errors_are_not_the_stores(settings: Settings) -> None:
    assert store.reason(ValueError("no"), settings) is None
    assert store.reason(FileNotFoundError("no"), settings) is None
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get(f"http://127.0.0.1:{free_port()}", timeout=5)
    assert store.reason(caught.value, settings) is None
    # Without a store nothing is its fault.
    with pytest.raises(StoreDownError) as down:
        store.prepare(changed(settings, MINIO_ENDPOINT=f"127.0.0.1:{free_port()}"))
    cause = down.value.__cause__
    assert cause is not None
    assert store.reason(cause, settings) is not None
    assert store.reason(cause, load_settings()) is None


def test_a_presigned_address_downloads_under_a_name(s3: S3Server, settings: Settings) -> None:
    store.prepare(settings)
    body = b"layer_name\nencoder\n" * 1000
    name = "moescope/0123/artifacts/figures/a b.csv"
    s3.client.put_object(settings.minio_bucket, name, io.BytesIO(body), len(body))
    link = store.presigned(settings, name, 'routing "x"\r\n-0123.csv')
    answer = ask(link)
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-disposition"] == (
        'attachment; filename="routing__x___-0123.csv"'
    )
    assert "X-Amz-Expires=600&" in link
    assert s3.secret not in link
    assert ask(link.replace("a%20b.csv", "other.csv")).status == 403
    assert ask(link.partition("?")[0]).status == 403


def test_a_presigned_address_is_for_where_browsers_are(settings: Settings) -> None:
    """Signing asks nobody: nothing listens at either place."""
    nowhere = changed(settings, MINIO_ENDPOINT=f"127.0.0.1:{free_port()}")
    link = store.presigned(nowhere, "moescope/x", "x")
    assert link.startswith(f"http://{nowhere.minio_endpoint}/{nowhere.minio_bucket}/moescope/x?")
    public = changed(nowhere, MINIO_PUBLIC_ENDPOINT="https://files.example.org")
    link = store.presigned(public, "moescope/x", "x")
    assert link.startswith(f"https://files.example.org/{public.minio_bucket}/moescope/x?")
    bare = changed(nowhere, MINIO_PUBLIC_ENDPOINT="files.example.org:9443", MINIO_SECURE=True)
    link = store.presigned(bare, "moescope/x", "x")
    assert link.startswith(f"https://files.example.org:9443/{bare.minio_bucket}/moescope/x?")


def test_a_presigned_address_for_another_host_works_there(s3: S3Server, settings: Settings) -> None:
    store.prepare(settings)
    s3.client.put_object(settings.minio_bucket, "moescope/x", io.BytesIO(b"12"), 2)
    inside = changed(
        settings, MINIO_ENDPOINT="minio.internal:9000", MINIO_PUBLIC_ENDPOINT=s3.endpoint
    )
    with urllib.request.urlopen(store.presigned(inside, "moescope/x", "x"), timeout=10) as answer:
        assert answer.read() == b"12"


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://{bucket}/moescope/12/artifacts", "moescope/12/artifacts/figures/flow.json"),
        ("s3://{bucket}/", "figures/flow.json"),
        ("s3://another/moescope/12/artifacts", None),
        ("file:///data/artifacts/12", None),
        ("mlflow-artifacts:/1/12/artifacts", None),
    ],
)
def test_the_object_behind_a_file(settings: Settings, uri: str, name: str | None) -> None:
    uri = uri.format(bucket=settings.minio_bucket)
    assert store.object_of(settings, uri, "figures/flow.json") == name


def test_the_secret_is_in_no_line_of_the_log(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        store.prepare(settings)
        refusal(changed(settings, MINIO_ACCESS_KEY="nobody-knows-me"))
    assert settings.minio_secret_key.get_secret_value() not in caplog.text
