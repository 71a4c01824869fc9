"""A newcomer trains models on a table, uses the best one, renews it and watches it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sklearn.datasets import load_iris

from app.automl.library import Trainings
from app.automl.order import Leader, Order, Progress
from tests.e2e.conftest import Server, Visitor
from tests.integration.helpers import until
from tests.trained import put

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]
SECONDS = 240_000
MODEL = "flowers"
ENDED = re.compile("recorded|failed|broken off|stopped")


@pytest.fixture(scope="module")
def predict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a model of two versions."""
    data = tmp_path_factory.mktemp("predict")
    server = Server(data, MOESCOPE_AUTOML_MB="512")
    server.start()
    try:
        for name in ("flowers", "flowers again"):
            recorded(server, put(name, data, data / f"{name}.csv"))
        yield server
    finally:
        server.stop()


def recorded(server: Server, id_: str) -> None:
    """Waits until a finished training is recorded: the second is then the second version."""
    training = f"/api/v1/trainings/{id_}"
    until(lambda: server.json(training)["status"] == "recorded", SECONDS / 1000)


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    """Three kinds of iris, with addresses that look personal and one row that is broken."""
    bunch = load_iris(as_frame=True)
    frame = bunch.frame.assign(species=[bunch.target_names[each] for each in bunch.target])
    frame = frame.drop(columns="target").assign(mail=[f"a{row}@b.org" for row in range(150)])
    path = tmp_path / "iris.csv"
    path.write_text(frame.to_csv(index=False) + "one cell\n", encoding="utf-8")
    return path


def opened(visitor: Visitor, query: str = "") -> Page:
    page = visitor.page
    page.goto(f"{visitor.server.url}/predict{query}")
    page.wait_for_selector("#predict-steps [aria-current]")
    return page


def hand_in(page: Page, file: Path, target: str) -> None:
    page.set_input_files("#predict-file", file)
    expect(page.locator("#predict-table-title")).to_contain_text(file.name)
    page.select_option("#predict-target", target)
    expect(page.locator("#predict-plan")).to_contain_text(target)


def trained(page: Page, name: str, models: int) -> None:
    """Starts the ordered training and waits until its best model is registered."""
    page.select_option("#predict-budget", "models")
    page.fill("#predict-count", str(models))
    page.fill("#predict-name", name)
    page.click("#predict-order [type=submit]")
    mine = page.locator(f"#predict-list li:has(h3:text-is('{name}'))")
    expect(mine).to_have_attribute("data-status", ENDED, timeout=SECONDS)
    expect(mine).to_have_attribute("data-status", "recorded")


# Trainings give way to all else on the machine.
@pytest.mark.timeout(4 * SECONDS / 1000)
def test_the_whole_way_of_a_newcomer(
    visit: Visit, predict_server: Server, iris: Path, tmp_path: Path
) -> None:
    """Upload, training, leaderboard, form, prediction, drift, retraining, promotion, way back."""
    visitor = visit(predict_server)
    page = visitor.page
    page.goto(visitor.server.url + "/metrics")
    page.click("nav >> text=Predict")
    page.wait_for_url("**/predict")
    page.wait_for_selector("#predict-file")
    hand_in(page, iris, "species")
    expect(page.locator("#predict-plan")).to_contain_text("setosa (50)")
    expect(page.locator("#predict-skipped")).to_contain_text("1 row skipped")
    mail = page.locator("#predict-columns tr:has(th:has-text('mail'))")
    expect(mail).to_contain_text("looks personal: e-mail")
    page.select_option("[data-column='sepal width (cm)']", "drop")
    page.click("#predict-table [type=submit]")
    expect(page.locator("#predict-ordered")).to_contain_text("from 3 columns")
    trained(page, "My iris", 2)
    page.wait_for_selector("#predict-result .main-svg")
    assert "On the rows held out" in page.inner_text("#predict-result")
    assert "120 rows trained on, 30 rows held out" in page.inner_text("#predict-result")
    page.reload()
    page.click("#predict-result [data-does=use]")
    page.wait_for_selector("#predict-row [data-input]")
    assert page.locator("#predict-row [data-input]").count() == 3
    assert "1 to 6.9 in the training" in page.inner_text("#predict-row")
    page.fill("[data-input='petal length (cm)']", "1.3")
    page.fill("[data-input='petal width (cm)']", "0.2")
    page.fill("[data-input='sepal length (cm)']", "4.9")
    page.click("#predict-row [type=submit]")
    expect(page.locator("#predict-answer .prediction")).to_have_text("species: setosa")
    assert page.locator("#predict-answer .bar").count() == 3
    rows = tmp_path / "large.csv"
    header = "sepal length (cm),petal length (cm),petal width (cm)"
    rows.write_text("\n".join([header, *["7.5,6.5,2.4"] * 60, ""]), encoding="utf-8")
    page.set_input_files("#predict-many-file", rows)
    page.wait_for_selector("text=Download as CSV")
    page.click("#predict-steps [data-step=watch]")
    expect(page.locator("#predict-watched")).to_contain_text("2 requests in 30 days, 61 rows")
    drift = page.locator("#predict-watched tr:has-text('petal length')")
    expect(drift).to_contain_text("much drift")
    assert page.locator("#predict-watched .histogram").count() == 4

    page.click("[data-does=renew]")
    expect(page.locator("#predict-status")).to_contain_text("same columns")
    assert "follows=" in page.url
    page.set_input_files("#predict-file", iris)
    expect(page.locator("#predict-status")).to_contain_text("used as in My iris")
    assert page.input_value("#predict-target") == "species"
    assert page.input_value("[data-column='sepal width (cm)']") == "drop"
    page.click("#predict-table [type=submit]")
    expect(page.locator("#predict-ordered")).to_contain_text("challenger")
    trained(page, "My iris again", 1)
    page.click("#predict-steps [data-step=models]")
    model = "[data-model=My-iris]"
    expect(page.locator(f"{model} .state")).to_have_text("Version 1 answers")
    page.click(f"{model} [data-does=compare]")
    expect(page.locator(f"{model} .beside")).to_contain_text("30 rows that its training held out")
    page.click(f"{model} [data-does=promote]")
    expect(page.locator(f"{model} .state")).to_have_text("Version 2 answers")
    page.click(f"{model} [data-does=rollback]")
    expect(page.locator(f"{model} .state")).to_have_text("Version 1 answers")


def test_a_file_of_rows_is_answered_downloaded_and_its_truth_told(
    visit: Visit, predict_server: Server, tmp_path: Path
) -> None:
    page = opened(visit(predict_server), "?step=models")
    page.click(f"[data-model={MODEL}] [data-does=use]")
    page.wait_for_selector("#predict-many-file")
    header = [each.get_attribute("data-input") for each in page.locator("[data-input]").all()]
    rows = tmp_path / "rows.csv"
    example = predict_server.json(f"/api/v1/models/{MODEL}/schema")["example"]
    line = ",".join(str(example[name]) for name in header if name)
    rows.write_text("\n".join([",".join(filter(None, header)), line, line, ""]), encoding="utf-8")
    page.set_input_files("#predict-many-file", rows)
    with page.expect_download() as download:
        page.click("text=Download as CSV")
    answers = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8"))))
    assert len(answers) == 2
    truth = tmp_path / "truth.csv"
    told = [f"{each['id']},{each['Prediction']}" for each in answers]
    truth.write_text("\n".join(["id,truth", *told, ""]), encoding="utf-8")
    page.click("#predict-steps [data-step=watch]")
    page.wait_for_selector("#predict-labels-file")
    page.set_input_files("#predict-labels-file", truth)
    expect(page.locator("#predict-status")).to_contain_text("truth of 2 rows is noted")
    assert "Lately" in page.inner_text("#predict-watched")


def test_versions_are_promoted_rolled_back_and_retired(
    visit: Visit, predict_server: Server
) -> None:
    page = opened(visit(predict_server), "?step=models")
    model = f"[data-model={MODEL}]"
    page.click(f"{model} [data-does=compare]")
    beside = page.locator(f"{model} .beside")
    expect(beside).to_contain_text(
        "is worse: its log loss is higher by 0.0312 (95 %: 0.00475 to 0.06"
    )
    page.click(f"{model} [data-does=promote]")
    expect(page.locator(f"{model} .state")).to_have_text("Version 2 answers")
    page.click(f"{model} [data-does=rollback]")
    expect(page.locator(f"{model} .state")).to_have_text("Version 1 answers")
    page.click(f"{model} [data-does=ask][data-version='2']")
    expect(page.locator(f"{model} .sure")).to_contain_text("for good")
    page.keyboard.press("Escape")
    expect(page.locator(f"{model} .sure")).to_be_hidden()
    page.click(f"{model} [data-does=ask][data-version='2']")
    page.click(f"{model} [data-does=retire]")
    expect(page.locator(f"{model} tbody tr:has-text('retired')")).to_have_count(1)
    page.click(f"{model} summary")
    assert "version 2 rolled back" in page.inner_text(model)


def test_what_is_no_table_is_told_and_the_chosen_one_stays(
    visit: Visit, predict_server: Server, iris: Path, tmp_path: Path
) -> None:
    visitor = visit(predict_server)
    page = opened(visitor)
    hand_in(page, iris, "species")
    twice = tmp_path / "twice.csv"
    twice.write_text("a,a\n1,2\n", encoding="utf-8")
    page.set_input_files("#predict-file", twice)
    expect(page.locator("#predict-problem")).to_contain_text("twice.csv")
    assert page.input_value("#predict-target") == "species"
    page.select_option("#predict-target", "mail")
    expect(page.locator("#predict-plan")).to_contain_text("▲")
    assert page.locator("#predict-table [type=submit]").is_disabled()
    # The browser itself notes an answer of 422.
    visitor.problems = [one for one in visitor.problems if "422" not in one]


def test_where_nothing_can_be_trained_one_line_says_why(visit: Visit, tmp_path: Path) -> None:
    put("flowers", tmp_path)
    server = Server(tmp_path, MOESCOPE_TRAINING="off")
    server.start()
    try:
        page = opened(visit(server))
        expect(page.locator("#predict-refusal")).to_contain_text("switched off")
        page.click("#predict-steps [data-step=models]")
        expect(page.locator("#predict-models-list")).to_contain_text("No model is registered")
    finally:
        server.stop()


def test_the_leaderboard_grows_while_a_training_runs(visit: Visit, predict_server: Server) -> None:
    library = Trainings(predict_server.log.parent)
    id_ = library.submit(Order({"file": "a.csv", "name": "a.csv"}, "kind", "Slow", models=3))
    with library.alone(id_):
        library.want(id_, "run")
        library.tell(id_, Progress("training", 4.0, now="GBM"))
        page = opened(visit(predict_server), "?step=train")
        mine = page.locator(f"[data-training='{id_}']")
        expect(mine.locator(".state")).to_have_text("Trains: GBM")
        expect(mine.locator("[data-does=stop]")).to_be_hidden()
        found = [Leader(f"GBM_{n}", f"{n}", {"log_loss": n / 10}) for n in (1, 2)]
        for count in (1, 2):
            library.tell(id_, Progress("training", 4.0, 4.0, leaders=tuple(found[:count])))
            expect(mine.locator(".found tbody tr")).to_have_count(count)
        expect(mine.locator(".found thead")).to_contain_text("log loss")
        expect(mine.locator("progress")).to_have_js_property("value", 0.5)
        expect(mine.locator("[data-does=stop]")).to_be_visible()
        library.failed(id_, "the disk is full")
    expect(mine).to_have_attribute("data-status", "failed")
    expect(mine.locator(".state")).to_have_text("Failed: the disk is full")


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_every_step_is_accessible_and_never_scrolls_sideways(
    visit: Visit, predict_server: Server, iris: Path, width: int, scheme: str
) -> None:
    page = opened(visit(predict_server, width=width, color_scheme=scheme))
    hand_in(page, iris, "species")
    shown = {
        "data": "#predict-columns tbody",
        "train": "#predict-list li",
        "models": "#predict-models-list li",
        "use": "#predict-row [data-input]",
        "watch": "#predict-labels-file",
    }
    for step, place in shown.items():
        page.click(f"#predict-steps [data-step={step}]")
        page.wait_for_selector(place)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, step
        found = Axe().run(page).response["violations"]
        assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
