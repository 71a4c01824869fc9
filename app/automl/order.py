"""What a training is asked for, how far it is, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from app.automl.columns import Columns, Task

Wanted = Literal["run", "stop", "cancel"]
Stage = Literal["preparing", "starting", "training", "evaluating"]

# What the models are ranked by: our name and H2O's; the first one unless another is asked for.
METRICS: dict[Task, dict[str, str]] = {
    "binary": {
        "log_loss": "logloss",
        "auc": "AUC",
        "mean_per_class_error": "mean_per_class_error",
    },
    "multiclass": {"log_loss": "logloss", "mean_per_class_error": "mean_per_class_error"},
    "regression": {"rmse": "RMSE", "mae": "MAE"},
}
# Deep learning is left out: its models differ from one time to the next, whatever the seed.
FAMILIES = ("GLM", "DRF", "GBM", "XGBoost", "StackedEnsemble")
DEFAULT_SECONDS = 300
FOLDS = 5


class OrderError(ValueError):
    """What was asked for does not go with the table; the message is one line."""


@dataclass(frozen=True)
class Plan:
    """What AutoML is asked for.

    It trains for `seconds`, or until there are so many `models` besides the ensembles of them
    (0: without that limit). `metric` is one of the task's METRICS. Each model is judged by
    cross-validation in `folds` parts. With a number of models the same seed gives the same ones.
    """

    metric: str
    seconds: int = 0
    models: int = 0
    seed: int = 1
    families: tuple[str, ...] = FAMILIES
    folds: int = FOLDS


@dataclass(frozen=True)
class Order:
    """A training as somebody asks for it.

    `source`: the table's `file` (and the `name` that people know it by), or whatever else a
    table is made of; `recipe`: how it is prepared, None where that is guessed. Of both nothing
    is known here. `holdout`: the share of rows that is held out. `metric`: "" for the task's
    first. `follows`: the id of the training that this one renews.
    """

    source: Mapping[str, Any]
    target: str
    name: str
    recipe: Mapping[str, Any] | None = None
    metric: str = ""
    seconds: int = 0
    models: int = 0
    seed: int = 1
    holdout: float = 0.2
    families: tuple[str, ...] = FAMILIES
    folds: int = FOLDS
    follows: str = ""

    def plan(self, task: Task) -> Plan:
        """What AutoML is asked for. Raises OrderError for a metric that the task has not."""
        metric = self.metric or next(iter(METRICS[task]))
        if metric not in METRICS[task]:
            names = ", ".join(METRICS[task])
            raise OrderError(f"a {task} model is judged by one of {names}, not by «{metric}»")
        limits = (
            (self.seconds, self.models) if self.seconds or self.models else (DEFAULT_SECONDS, 0)
        )
        return Plan(metric, *limits, self.seed, self.families, self.folds)

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `plain`. Raises TypeError for other values."""
        order = cls(**values)
        return replace(order, families=tuple(order.families))


@dataclass(frozen=True)
class Leader:
    """A model on the leaderboard. `validation`: cross-validated metrics on the training's rows.

    `name` is its own within the training, such as GBM_1; `key` is H2O's.
    """

    name: str
    key: str
    validation: Mapping[str, float]

    @property
    def family(self) -> str:
        """What kind of model it is, such as GBM or StackedEnsemble."""
        return self.name.partition("_")[0]


@dataclass(frozen=True)
class Failure:
    """A model that could not be trained, and why in a line."""

    model: str
    reason: str


@dataclass(frozen=True)
class Progress:
    """How far a training is. `leaders`: the best first. `now`: what is being trained.

    `seconds` have gone since the models began; `left` are estimated, None while unknown.
    """

    stage: Stage = "preparing"
    seconds: float = 0.0
    left: float | None = None
    now: str = ""
    leaders: tuple[Leader, ...] = ()
    failures: tuple[Failure, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `plain`."""
        leaders = tuple(Leader(**one) for one in values["leaders"])
        failures = tuple(Failure(**one) for one in values["failures"])
        return cls(**{**values, "leaders": leaders, "failures": failures})


@dataclass(frozen=True)
class Model:
    """A model that was kept. `holdout`: metrics on rows that took no part in the training.

    `seconds` it took to train, without its cross-validation.
    """

    name: str
    family: str
    validation: Mapping[str, float]
    holdout: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Importance:
    """How much worse the best model is on the hold-out with a column shuffled among its rows.

    `value` is the rise of log loss or root mean square error, with the standard deviation of
    the shuffles.
    """

    feature: str
    value: float
    deviation: float


@dataclass(frozen=True)
class Result:
    """What came of a training; the best model first.

    `baseline`: the hold-out's metrics of a model that knows the training's target alone.
    `rows`: how many were trained on and held out. `others`: leaders of which no model was kept.
    """

    columns: Columns
    metric: str
    models: tuple[Model, ...]
    others: tuple[Leader, ...]
    failures: tuple[Failure, ...]
    baseline: Mapping[str, float]
    importance: tuple[Importance, ...]
    rows: Mapping[str, int]
    seconds: float
    stopped: bool
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def best(self) -> Model:
        """The one that cross-validation puts first."""
        return self.models[0]

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `plain`."""
        known = {
            "columns": Columns.of(values["columns"]),
            "models": tuple(Model(**one) for one in values["models"]),
            "others": tuple(Leader(**one) for one in values["others"]),
            "failures": tuple(Failure(**one) for one in values["failures"]),
            "importance": tuple(Importance(**one) for one in values["importance"]),
        }
        return cls(**{**values, **known})
