"""Which pass over a corpus belongs to a model, as the live page asks for it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from app.server import build
from app.settings import load_settings
from tests.atlas_pass import make_pass, write_corpus
from tests.integration.helpers import Folder, ask, serving


def test_the_newest_finished_pass_of_the_same_weights(data_folder: Folder) -> None:
    data: Path = data_folder()
    corpus = data / "corpus.jsonl"
    write_corpus(corpus, 1)
    older, newer = (make_pass(data, corpus, name) for name in ("older", "newer"))
    stopped = make_pass(data, corpus, "stopped", stop=lambda: True)
    with serving(build(load_settings(MOESCOPE_DATA_DIR=data))) as server:

        def found(**asked: str | int) -> list[str]:
            answer = ask(f"{server}/api/v1/corpora?{urlencode(asked)}")
            assert answer.status == 200
            return [line["id"] for line in answer.json()["corpora"]]

        assert found() == [stopped, newer, older]
        lines = ask(f"{server}/api/v1/corpora").json()["corpora"]
        (revision,) = {line["revision"] for line in lines}
        mine = {"model": "switch-mini-8", "revision": revision}
        assert found(**mine, finished="true") == [newer, older]
        assert found(**mine, finished="true", limit=1) == [newer]
        assert found(**mine) == [stopped, newer, older]
        assert found(model="switch-mini-8", revision="other") == []
        assert found(model="other", revision=revision) == []
        assert ask(f"{server}/api/v1/corpora?finished=perhaps").status == 422
