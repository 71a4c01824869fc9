"""Where trainings are ordered: which tables there are, what can be learnt from one, and the
orders that the jobs in the background carry out."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from app.automl.library import Training
from app.automl.order import FAMILIES, METRICS, Order, OrderError
from app.corpus.library import Library, Pass, PassNotFoundError
from app.corpus.uploads import Uploads
from app.jobs import TrainingJobs
from app.routing.models import ModelRegistry
from app.settings import Settings
from app.sources import group_of, read_source, router, target_of_source
from app.tables.cells import as_numbers
from app.tables.columns import Column, describe
from app.tables.errors import TableError
from app.tables.fitting import trainable
from app.tables.reading import Table
from app.tables.recipe import FeatureKind, Missing, Recipe, Task, Unknown
from app.tables.targets import Target, guess_task, target_of
from app.trainings import Trainers, refusal

Use = Literal["number", "category", "hash", "drop"]

_ROUTER = re.compile(r"router\.([0-9a-f]{32})\.(\d{1,4})")
_MODEL_SECONDS = 60.0
# These make a column of every piece of the vocabulary, and would take longer than all others.
_ROUTER_FAMILIES = tuple(each for each in FAMILIES if each not in ("GLM", "XGBoost"))
# Of pieces; with more a tree takes so much memory that H2O refuses to grow many.
_ROUTER_LEVELS = 200
# A larger table is read again for each question.
_KEPT_CELLS = 5_000_000


class TrainingRefusedError(Exception):
    """Nothing can be trained here; the message is one line that says what is missing."""


@dataclass(frozen=True)
class Described:
    """A table to learn from. `target` is the only column worth predicting, None for a choice."""

    id: str
    name: str
    table: Table
    columns: tuple[Column, ...]
    target: str | None


@dataclass(frozen=True)
class Plan:
    """What would be learnt from what, and the metrics that it can be judged by."""

    target: Target
    recipe: Recipe
    metrics: tuple[str, ...]

    def prepared(
        self, missing: Missing, unknown: Unknown, most_levels: int | None, least_rows: int
    ) -> Plan:
        """The same with other values of the recipe; None for the one it has."""
        recipe = replace(
            self.recipe,
            missing=missing,
            unknown=unknown,
            most_levels=most_levels or self.recipe.most_levels,
            least_rows=least_rows,
        )
        return replace(self, recipe=recipe)


class Desk:
    """Takes orders for trainings. Safe to use from any thread."""

    def __init__(
        self, settings: Settings, uploads: Uploads, passes: Library, models: ModelRegistry
    ) -> None:
        self.data = settings.data_dir
        self._trainers = Trainers(settings)
        self.library = self._trainers.library
        self.uploads = uploads
        self._settings = settings
        self._passes = passes
        self._models = models
        self._jobs = TrainingJobs(self.library, settings.environment())
        self._reading = threading.Lock()
        self._last: tuple[str, Described] | None = None

    def start(self) -> None:
        """Begins with what waits, unless training is switched off."""
        if self._settings.training:
            self._jobs.start()

    def close(self) -> None:
        """Stops what is in hand."""
        self._jobs.close()

    def refusal(self) -> str | None:
        """Why nothing can be trained here, in a line; None where it can."""
        return refusal(self._settings)

    def check(self) -> None:
        """Raises TrainingRefusedError where nothing can be trained."""
        if why := self.refusal():
            raise TrainingRefusedError(why)

    def routers(self) -> list[Pass]:
        """The passes that can be learnt from, the newest first: those that kept each token."""
        return [
            one for one in self._passes.passes() if one.about.order.tokens and one.state.finished
        ]

    def layers(self, found: Pass) -> list[dict[str, Any]]:
        """The router layers of a pass, each with the id of its table."""
        return [
            {
                "table": f"router.{found.about.id}.{number}",
                "name": each.name,
                "stack": each.stack,
                "block": each.block,
                "experts": each.num_experts,
            }
            for number, each in enumerate(self._passes.counts(found.about.id).shape)
        ]

    def describe(self, id_: str) -> Described:
        """A table by the id of its upload or router layer. Raises SourceError, TableError, or
        RoutingError where the model of a pass can't be had."""
        with self._reading:
            if self._last and self._last[0] == id_:
                return self._last[1]
            source = self._source(id_)
            table = read_source(source, self.data)
            columns = describe(table.frame)
            found = Described(id_, source["name"], table, columns, target_of_source(source))
            self._last = (id_, found) if table.frame.size <= _KEPT_CELLS else None
            return found

    def plan(
        self, id_: str, target: str, task: Task | None = None, uses: Mapping[str, Use] | None = None
    ) -> Plan:
        """What would be learnt of a target; `uses` says of columns what is not as guessed.

        Raises what `describe` does.
        """
        found = self.describe(id_)
        frame = found.table.frame
        if target not in frame:
            raise TableError(f"there is no column «{target}»")
        about = target_of(frame[target], task or guess_task(frame[target]))
        group = group_of(self._source(id_))
        recipe = used(Recipe.guess(found.columns, target, about.task, group), uses or {})
        if group is not None:
            recipe = replace(recipe, most_levels=_ROUTER_LEVELS)
        return Plan(about, recipe, tuple(METRICS[about.kind]))

    def submit(self, id_: str, order: Order, plan: Plan) -> Training:
        """Has a planned training of a table carried out, as `order` has the rest.

        Raises TrainingRefusedError, TableError, OrderError, OSError, and what `describe` does.
        """
        self.check()
        frame = self.describe(id_).table.frame
        recipe = plan.recipe
        recipe.check(frame.columns)
        if plan.target.problems:
            raise TableError(plan.target.problems[0])
        for name, kind in recipe.features.items():
            if kind == "number":
                as_numbers(frame[name])
        if not trainable(frame, recipe).any():
            raise TableError("every row has a missing value; fill them or keep them as such")
        if order.metric and order.metric not in plan.metrics:
            raise OrderError(f"it is judged by one of {', '.join(plan.metrics)}")
        source = self._source(id_)
        families = _ROUTER_FAMILIES if "pass" in source else order.families
        training = self.library.submit(
            replace(order, source=source, recipe=recipe.plain(), families=families)
        )
        self.again(training)
        return self.library.find(training)

    def again(self, id_: str) -> None:
        """Begins one that was broken off or failed. Raises TrainingRefusedError or OSError."""
        self.check()
        self.library.want(id_, "run")
        self._jobs.wake(id_)

    def remove(self, id_: str) -> None:
        """Cancels a training and removes its models here; runs and versions that it became stay.

        Its file is removed too if it was handed in and nothing else needs it. Raises
        TrainingNotFoundError.
        """
        found = self.library.find(id_)
        self._trainers.remove(found.id)
        needed = {one.order.source.get("file") for one in self.library.all()}
        needed |= {name for one in self._passes.passes() for name in one.about.order.files}
        file = found.order.source.get("file")
        if file and file not in needed:
            self.uploads.discard_file(file)

    def _source(self, id_: str) -> dict[str, Any]:
        if match := _ROUTER.fullmatch(id_):
            try:
                found = self._passes.find(match[1])
                counts = self._passes.counts(found.about.id)
            except (PassNotFoundError, FileNotFoundError):
                raise TableError("there is no such pass, or it has counted nothing yet") from None
            loaded = self._models.get(found.about.order.model, _MODEL_SECONDS)
            return router(found, counts, int(match[2]), loaded.special_ids)
        file = self.uploads.file(id_)
        return {"file": str(file), "name": file.name}


def used(recipe: Recipe, uses: Mapping[str, Use]) -> Recipe:
    """A recipe with some columns used otherwise. Raises TableError for one that can't be."""
    features = dict[str, FeatureKind](recipe.features)
    dropped, hashed = dict(recipe.dropped), set(recipe.hashed)
    for name, use in uses.items():
        if name in (recipe.target, recipe.group):
            continue
        if name not in features and name not in dropped:
            raise TableError(f"there is no column «{name}»")
        if use == "drop":
            if features.pop(name, None):
                dropped[name] = "left out by hand"
            continue
        dropped.pop(name, None)
        features[name] = "number" if use == "number" else "category"
        hashed.discard(name)
        if use == "hash":
            hashed.add(name)
    return replace(recipe, features=features, dropped=dropped, hashed=tuple(sorted(hashed)))
