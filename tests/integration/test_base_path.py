"""Behind a reverse proxy below a base path, which the proxy takes off or leaves on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from app.components import links
from app.server import build
from app.settings import SettingsError, load_settings
from tests.integration.helpers import Answer, Folder, ask, is_ready, serving, until
from tests.proxy import proxied

BASE = "/tools/moescope"
TEXT = "The bank of the river"


@pytest.fixture(scope="module")
def server(data_folder: Folder) -> Iterator[str]:
    """A really started server that stands below a base path; gives the port's own address."""
    settings = load_settings(MOESCOPE_DATA_DIR=data_folder(), MOESCOPE_BASE_PATH=BASE)
    with serving(build(settings)) as address:
        until(lambda: is_ready(address))
        yield address
    # The links of what is made from now on stand at the root again.
    build(load_settings(MOESCOPE_DATA_DIR=data_folder()))


@pytest.fixture(scope="module", params=[True, False], ids=["taken-off", "left-on"])
def proxy(request: pytest.FixtureRequest, server: str) -> Iterator[str]:
    with proxied(server, BASE, strips=request.param, scheme="https") as address:
        yield address


def test_every_address_of_a_page_begins_with_the_base_path(proxy: str) -> None:
    page = ask(f"{proxy}{BASE}/").body.decode()
    asked = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert len(asked) > 5
    assert [address for address in asked if not address.startswith(f"{BASE}/")] == []
    found = {address: ask(proxy + address) for address in asked}
    assert {answer.status for answer in found.values()} == {200}
    # An unknown address answers with the page, so the status alone says nothing.
    assert not [address for address, answer in found.items() if _is_page(answer)]
    config = re.search(r'<script id="_dash-config"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert config
    assert json.loads(config[1])["requests_pathname_prefix"] == f"{BASE}/"


def test_links_begin_with_it(server: str) -> None:
    assert links.to("/") == f"{BASE}/"
    assert links.to("/runs/abc?view=both") == f"{BASE}/runs/abc?view=both"
    layout = json.dumps(ask(f"{server}{BASE}/_dash-layout").json())
    ours = re.findall(r'"href": "(/[^"]*)"', layout)
    assert f"{BASE}/runs" in ours
    assert [address for address in ours if not address.startswith(f"{BASE}/")] == []


@pytest.mark.parametrize("page", ["", "runs", "metrics", "nowhere", "runs/unknown"])
def test_pages_are_found(proxy: str, page: str) -> None:
    answer = _page(proxy, f"{BASE}/{page}")
    assert answer.status == 200
    said = answer.body.decode()
    assert ("There is no such page" in said) == (page == "nowhere")
    assert ("There is no such run" in said) == (page == "runs/unknown")


def _is_page(answer: Answer) -> bool:
    return answer.headers["content-type"].startswith("text/html")


def _page(proxy: str, pathname: str) -> Answer:
    """What the page's script asks for once it knows its address."""
    dependencies = ask(f"{proxy}{BASE}/_dash-dependencies").json()
    router = next(d for d in dependencies if "_pages_content.children" in d["output"])
    outputs = [
        {"id": id_, "property": property_}
        for id_, property_ in re.findall(r"([\w-]+)\.([\w-]+)", router["output"])
    ]
    values = {"pathname": pathname, "search": ""}
    inputs, state = (
        [{**item, "value": values.get(item["property"])} for item in router[kind]]
        for kind in ("inputs", "state")
    )
    body = {
        "output": router["output"],
        "outputs": outputs,
        "inputs": inputs,
        "state": state,
        "changedPropIds": ["_pages_location.pathname"],
    }
    return ask(f"{proxy}{BASE}/_dash-update-component", body)


def test_an_analysis_gives_the_address_that_the_browser_can_open(proxy: str) -> None:
    made = ask(f"{proxy}{BASE}/api/v1/analyses", {"text": TEXT}).json()
    # The proxy said that it is asked over TLS.
    expected = f"{proxy.replace('http:', 'https:')}{BASE}/runs/{made['run_id']}"
    assert made["url"] == expected
    opened = ask(f"{proxy}{BASE}/api/v1/analyses/{made['run_id']}").json()
    assert opened["url"] == expected
    runs = ask(f"{proxy}{BASE}/api/v1/runs").json()["runs"]
    assert expected in [run["url"] for run in runs]
    csv = ask(f"{proxy}{BASE}/api/v1/analyses/{made['run_id']}/routing.csv")
    assert csv.headers["content-type"].startswith("text/csv")


def test_documentation_and_its_files_are_found(proxy: str) -> None:
    page = ask(f"{proxy}{BASE}/docs").body.decode()
    addresses = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page)
    found = {first or second for first, second in addresses}
    assert f"{BASE}/openapi.json" in found
    for address in found:
        answer = ask(proxy + address)
        assert answer.status == 200, address
        assert not _is_page(answer), address
    schema = ask(f"{proxy}{BASE}/openapi.json").json()
    assert schema["servers"] == [{"url": BASE}]
    assert "/api/v1/analyses" in schema["paths"]


def test_errors_of_the_api_stay_problems(proxy: str) -> None:
    for path in ("/api/v1/analyses/unknown", "/api/nothing", "/api"):
        answer = ask(f"{proxy}{BASE}{path}")
        assert answer.status == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_base_path_alone_leads_to_the_page(server: str) -> None:
    # The query goes along; the redirect is followed here.
    assert _is_page(ask(f"{server}{BASE}?text=a%20b"))


def test_the_port_itself_answers_health_checks_without_it(server: str) -> None:
    assert ask(f"{server}/healthz").json() == {"status": "alive"}
    assert ask(f"{server}/readyz").json() == {"status": "ready"}


def test_a_name_that_only_begins_like_it_is_another_address(server: str) -> None:
    assert not _is_page(ask(f"{server}{BASE}/api/v1/models"))
    assert _is_page(ask(f"{server}{BASE}2/api/v1/models"))


@pytest.mark.parametrize(
    "value",
    ["moescope", "/moescope/", "/", "//host", "/a//b", "/a/..", "/a b", "/a?b", "/ä", "/%2e"],
)
def test_a_base_path_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOESCOPE_BASE_PATH", value)
    with pytest.raises(SettingsError, match=r"^MOESCOPE_BASE_PATH: not a path"):
        load_settings()


@pytest.mark.parametrize("value", ["", "/moescope", "/a/b-c_d.e~f", "/~user/v1.2"])
def test_a_plain_path_is_taken(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOESCOPE_BASE_PATH", value)
    assert load_settings().base_path == value
