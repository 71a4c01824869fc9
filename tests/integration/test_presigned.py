"""Downloads by presigned links: the files come from the bucket itself."""

from __future__ import annotations

import httpx
import pytest

from app.recording.export import routing_csv
from app.server import build
from app.settings import load_settings
from tests.integration.helpers import Folder, MakeEntry, is_ready, serving, until
from tests.s3 import S3Server


@pytest.mark.parametrize("public", ["", "http://files.example.org:9000"])
def test_a_download_is_a_link_into_the_bucket(
    data_folder: Folder, s3: S3Server, make_entry: MakeEntry, public: str
) -> None:
    settings = load_settings(
        MOESCOPE_DATA_DIR=data_folder(),
        MINIO_PRESIGN="true",
        MINIO_PUBLIC_ENDPOINT=public,
        **s3.settings("presigned"),
    )
    with serving(build(settings)) as address, httpx.Client(base_url=address, timeout=60) as client:
        until(lambda: is_ready(address))
        made = client.post("/api/v1/analyses", json={"text": "The river bank"}).json()
        until(lambda: client.get("/api/v1/store").json()["pending"] == 0)
        path = f"/api/v1/analyses/{made['run_id']}/routing.csv"
        answer = client.get(path)
        assert answer.status_code == 307
        link = answer.headers["location"]
        assert s3.secret not in link
        if public:
            assert link.startswith(f"{public}/presigned/")
            return
        assert link.startswith(f"http://{s3.endpoint}/presigned/")
        given = client.get(link)
        assert given.headers["content-disposition"].startswith('attachment; filename="routing-')
        assert given.text == routing_csv(make_entry("The river bank").trace)
        # A figure's page is made by the app: the bucket's needs the network to open.
        page = client.get(f"/api/v1/analyses/{made['run_id']}/figures/flow.html")
        assert page.status_code == 200
