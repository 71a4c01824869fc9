"""What the API takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

Floats = list[list[list[float]]]


class AnalysisRequest(BaseModel):
    """A text to analyse."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"text": "The river bank was closed on Sunday."}]},
    )

    text: str = Field(description="Not blank, within the token limit, any script")
    model: str | None = Field(
        None, min_length=1, description="One of `/api/v1/models`; the default if left out"
    )
    record: StrictBool = Field(True, description="Keep the analysis as a run")
    force: StrictBool = Field(
        False, description="Make a new run even if the same analysis is recorded already"
    )


class Model(BaseModel):
    id: str
    revision: str = Field(description="Commit of the hub, or hash of the weights")
    architecture: str


class Layer(BaseModel):
    name: str = Field(description="Module path of the router")
    stack: Literal["encoder", "decoder"]
    block: int
    num_experts: int
    top_k: int


class Analysis(BaseModel):
    """Where a model's routers sent each token. With two stacks, `tokens`, `token_ids` and
    `special` are objects with one list per stack."""

    run_id: str | None = Field(description="Opens the recorded analysis; null without one")
    status: Literal["recorded", "pending", "not recorded"]
    detail: str = Field("", description="Why it could not be recorded; else empty")
    url: str | None = Field(description="Page of the recorded analysis")
    model: Model
    text: str
    tokens: list[str] | dict[str, list[str]]
    token_ids: list[int] | dict[str, list[int]]
    special: list[bool] | dict[str, list[bool]] = Field(
        description="True for tokens such as `</s>` that stand for no text"
    )
    layers: list[Layer]
    experts: list[list[list[int]]] = Field(description="[layer][token][k], in order of rank")
    weights: Floats = Field(description="[layer][token][k], 0 for a dropped token")
    probabilities: Floats = Field(description="[layer][token][expert]")
    logits: Floats = Field(description="[layer][token][expert]")
    dropped: list[list[bool]] = Field(description="[layer][token]")
    metrics: dict[str, Any] = Field(
        description="`tokens`, and the measures of each layer by its name; undefined ones null"
    )


class ModelState(BaseModel):
    """A model that may be chosen. What only its weights tell is null until it is loaded."""

    id: str
    loaded: bool
    architecture: str | None
    stacks: list[str] | None
    router_layers: int | None
    num_experts: int | None
    top_k: int | None


class Models(BaseModel):
    default: str
    models: list[ModelState]


class Run(BaseModel):
    run_id: str
    created: datetime
    model: str
    text: str = Field(description="The text's beginning")
    tokens: int
    status: Literal["recorded", "pending", "failed"]
    url: str


class Runs(BaseModel):
    runs: list[Run]
    next: str | None = Field(description="`cursor` of the next page; null on the last")


class State(BaseModel):
    status: str
