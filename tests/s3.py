"""A real S3 server for the tests: JuiceFS's gateway, whose S3 side is MinIO's own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minio import Minio
from minio.credentials import StaticProvider
from minio.minioadmin import MinioAdmin

_READY_SECONDS = 60.0
_PROGRAM = Path(sys.executable).with_name("juicefs")


class S3Server:
    """The server with the keys of who may do everything. It can be taken down and up again at
    the same address."""

    def __init__(self, folder: Path, quick: bool = False) -> None:
        self._folder = folder
        # The quick one makes thousands of objects in seconds; what a crash does to it is unknown.
        self._meta = f"badger://{folder / 'meta'}" if quick else f"sqlite3://{folder / 'meta.db'}"
        self._port, self._metrics_port = _free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = f"127.0.0.1:{self._port}"
        self.access = "moescope-tests"
        self.secret = "not-to-be-seen-anywhere"
        where = ["--storage", "file", "--bucket", f"{folder / 'data'}/"]
        line = [_PROGRAM, "format", *where, "--trash-days", "0", self._meta, "moe"]
        subprocess.run(line, check=True, capture_output=True)

    @property
    def client(self) -> Minio:
        """A client of its own, with all rights."""
        return Minio(self.endpoint, self.access, self.secret, secure=False, region="us-east-1")

    def settings(self, bucket: str) -> dict[str, str]:
        """What points the app at a bucket of it, by the environment's names."""
        return {
            "MINIO_ENDPOINT": self.endpoint,
            "MINIO_ACCESS_KEY": self.access,
            "MINIO_SECRET_KEY": self.secret,
            "MINIO_BUCKET": bucket,
        }

    def user(self, *actions: str, bucket: str = "*") -> tuple[str, str]:
        """Makes a user who may do only these, such as `s3:GetObject`; gives both keys."""
        name = f"user-{uuid.uuid4().hex[:12]}"
        keys = StaticProvider(self.access, self.secret)
        admin = MinioAdmin(endpoint=self.endpoint, credentials=keys, secure=False)
        places = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        statement = {"Effect": "Allow", "Action": actions, "Resource": places}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        admin.user_add(name, f"{self.secret}-{name}")
        admin.policy_add(name, policy=policy)
        admin.policy_set(name, user=name)
        return name, f"{self.secret}-{name}"

    def start(self) -> None:
        """Starts it; returns when it answers."""
        assert self._process is None, "it runs already"
        keys = {"MINIO_ROOT_USER": self.access, "MINIO_ROOT_PASSWORD": self.secret}
        line = (
            "--multi-buckets --keep-etag --object-tag --object-meta --no-usage-report --no-banner"
        )
        line += " --backup-meta 0 --cache-dir memory --cache-size 0"
        line += f" --metrics 127.0.0.1:{self._metrics_port} --log {self._folder / 'gateway.log'}"
        self._process = subprocess.Popen(
            [_PROGRAM, "--no-agent", "gateway", self._meta, self.endpoint, *line.split()],
            env=os.environ | keys,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + _READY_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "the S3 server ended"
            assert time.monotonic() < end, "the S3 server does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it in order. Again is no harm."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)
        self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.endpoint}/minio/health/live", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def s3_server(quick: bool = False) -> Iterator[S3Server]:
    """A running server with a folder of its own; a `quick` one must not be taken down."""
    folder = Path(tempfile.mkdtemp(prefix="moescope-s3-"))
    server = S3Server(folder, quick)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    # All open at once, so that they differ.
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
