"""A sentence through a model and through what explains its routers: true and predicted experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from app.analysis import Analyst
from app.automl.library import Training, Trainings
from app.automl.mojo import named
from app.corpus.library import PassNotFoundError
from app.corpus.surface import TARGET
from app.corpus.token_features import LABEL, Vocabulary, features
from app.figures.trainings.explained import Explained
from app.routing.trace import RoutingTrace
from app.tables.errors import TableError
from app.tables.fitting import Fitted
from app.tables.secret import secret_key


@dataclass(frozen=True)
class Guessed:
    """One router layer: of each token the first expert, the predicted one, and the probability
    that was given to the true one."""

    layer: int
    name: str
    training: str
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    probability: tuple[float, ...]


@dataclass(frozen=True)
class Sentence:
    """The tokens of a text, and what is guessed of each layer that a training explains."""

    tokens: tuple[str, ...]
    layers: tuple[Guessed, ...]


def guess(
    analyst: Analyst,
    trainings: Trainings,
    data: Path,
    id_: str,
    text: str,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Sentence:
    """Predicts a text's routing by the newest training of each layer of the pass that a training
    explains. `labels` are the text's, by column of the corpus; others are missing.

    Raises TrainingNotFoundError, TableError for a training of another kind, RoutingError,
    ModelFileError or AutomlMissingError.
    """
    source = trainings.find(id_).order.source
    if "pass" not in source:
        raise TableError("this training does not explain a router")
    try:
        pieces = analyst.library.pieces(source["pass"])
    except (PassNotFoundError, FileNotFoundError):
        raise TableError("the pass that was explained is not here any more") from None
    trace = analyst.trace(text, source["model"])
    vocabulary = Vocabulary(pieces, source["special"])
    of_layer = newest(trainings, source["pass"])
    found = [
        _guessed(trainings, data, of_layer[each], trace, vocabulary, labels)
        for each in sorted(of_layer)
    ]
    return Sentence(trace.sequences[trace.stacks[0]].tokens, tuple(found))


def newest(trainings: Trainings, pass_: str) -> dict[int, Training]:
    """The newest finished training of each layer of a pass, by the layer's number."""
    found = dict[int, Training]()
    for one in trainings.all():
        source = one.order.source
        if one.result and one.order.target == TARGET and source.get("pass") == pass_:
            found.setdefault(source["layer"], one)
    return found


def explained(trainings: Trainings, pass_: str) -> list[Explained]:
    """The layers of a pass that trainings explain, each by the newest."""
    return [
        Explained(
            layer,
            one.order.source["layer_name"],
            one.result.best.holdout,
            one.result.baseline,
            _labels(one),
            one.id,
        )
        for layer, one in sorted(newest(trainings, pass_).items())
        if one.result
    ]


def _labels(one: Training) -> tuple[str, ...]:
    """The labels of a document that a training learnt from."""
    features = Fitted.of(one.table["fitted"]).recipe.features
    return tuple(name.removeprefix(LABEL) for name in features if name.startswith(LABEL))


def _guessed(
    trainings: Trainings,
    data: Path,
    one: Training,
    trace: RoutingTrace,
    vocabulary: Vocabulary,
    labels: Mapping[str, str],
) -> Guessed:
    assert one.result is not None
    source, columns = one.order.source, one.result.columns
    layer = next((each for each in trace.layers if each.name == source["layer_name"]), None)
    if layer is None:
        raise TableError(f"the model has no router layer {source['layer_name']} any more")
    ids = trace.sequences[layer.stack].token_ids
    nothing = np.zeros(len(ids), dtype=np.int64)
    fitted = Fitted.of(one.table["fitted"])
    told = {name: [value] * len(ids) for name, value in labels.items()}
    frame = features(vocabulary, ids, np.arange(len(ids)), nothing, told)
    for feature in fitted.features:
        if feature.name not in frame:
            frame[feature.name] = np.nan
    key = secret_key(data) if fitted.key else None
    scores = trainings.scorer(one.id, one.result.best.name).score(fitted.apply(frame, key))
    true = [str(expert) for expert in layer.experts[:, 0].tolist()]
    places = {name: place for place, name in enumerate(columns.classes)}
    return Guessed(
        source["layer"],
        source["layer_name"],
        one.id,
        tuple(true),
        tuple(named(scores, columns)),
        tuple(
            float(row[places[name]]) if name in places else 0.0
            for row, name in zip(scores.probabilities, true, strict=True)
        ),
    )
