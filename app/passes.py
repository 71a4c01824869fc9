"""A pass over a corpus from where it stands to its run: what command line and jobs call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from app.corpus import running
from app.corpus.atlases import atlas_of
from app.corpus.library import Library, Pass
from app.corpus.on_ray import Cluster, Recipe, run_on_ray
from app.corpus.order import Progress
from app.corpus.reading.source import Corpus, Selection, digest
from app.corpus.state import BusyPassError, Kept
from app.figures.atlas.report import report_figures
from app.recording.base import StoreDownError
from app.recording.corpus_runs import CorpusRecorder
from app.routing.models import ModelRegistry
from app.settings import Settings

_LOAD_SECONDS = 3600.0
_TELL_SECONDS = 0.5
_RECORD_SECONDS = 300.0

Tell = Callable[[Progress], None]
Stop = Callable[[], bool]


class Passes:
    """Carries on the passes of a library in this process and thread."""

    def __init__(self, settings: Settings) -> None:
        self.library = Library(settings.data_dir)
        self.registry = ModelRegistry(
            settings.model_specs(), settings.dtype, settings.threads, settings.data_dir / "models"
        )
        self._recorder = CorpusRecorder(settings, report_figures)
        self._settings = settings

    def go_on(
        self,
        id_: str,
        tell: Tell,
        stop: Stop = lambda: False,
        cluster: Cluster | None = None,
    ) -> bool:
        """Goes on with a pass until its end, or until `stop` says so; gives which.

        In this process, or on a Ray `cluster`. Whoever looks at the library sees how far it is.
        Raises PassNotFoundError, BusyPassError, SourceError, RoutingError, RayError or OSError.
        """
        about = self.library.find(id_).about
        order = about.order
        with Kept(self.library.folder(id_)).alone():
            corpus = Corpus(
                [Path(name) for name in order.files], Selection(order.text, order.labels)
            )
            loaded = self.registry.get(order.model, _LOAD_SECONDS)
            kept = running.begin(self.library, id_, loaded)
            if kept.state().finished:
                return True
            told, last = 0.0, Progress(size=corpus.size)

            def tell_both(progress: Progress) -> None:
                nonlocal told, last
                last = progress
                tell(progress)
                if progress.seconds - told > _TELL_SECONDS:
                    told = progress.seconds
                    self.library.tell(id_, progress)

            if cluster is None:
                done = running.run(loaded, corpus, order, kept, tell_both, stop)
            else:
                recipe = self._recipe(order.model)
                done = run_on_ray(loaded, corpus, order, kept, cluster, recipe, tell_both, stop)
            # What stands after the last document is read too, though it is none.
            self.library.tell(id_, replace(last, done=last.size) if done else last)
            if done:
                self._digested(self.library.find(id_))
            return done

    def _recipe(self, model: str) -> Recipe:
        of = self._settings
        return Recipe(of.model_specs()[model], of.dtype, of.threads, of.data_dir / "models")

    def record(self, id_: str) -> str:
        """Makes a run of a finished pass, or finds the one it has; gives its id.

        Waits for another process that does the same. Raises PassNotFoundError, BusyPassError,
        SourceError or RecordingError.
        """
        kept = Kept(self.library.folder(self.library.find(id_).about.id))
        end = time.monotonic() + _RECORD_SECONDS
        while True:
            try:
                with kept.alone():
                    return self._record(id_)
            except BusyPassError:
                if time.monotonic() > end:
                    raise

    def _record(self, id_: str) -> str:
        found = self._digested(self.library.find(id_))
        atlas = atlas_of(self.library, found)
        try:
            run_id = self._recorder.record(found, atlas, self.library.folder(id_))
        except StoreDownError:
            if found.run_id is None:
                raise
            return found.run_id
        self.library.recorded(id_, run_id)
        return run_id

    def _digested(self, found: Pass) -> Pass:
        """With the digest of its files, which are read once for it."""
        if found.digest:
            return found
        of_files = digest([Path(name) for name in found.about.order.files])
        self.library.digested(found.about.id, of_files)
        return replace(found, digest=of_files)
