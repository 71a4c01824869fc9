"""What the API takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
)

from app.recording.base import MOST_NAME, MOST_TAG, MOST_TAGS
from app.routing.task import DEFAULT_NEW_TOKENS, Generation, Task

Floats = list[list[list[float]]]
Mode = Literal["encoder", "prompt", "teacher-forced", "generated"]


def _one_line(name: str) -> str:
    # Asked before anything is changed: the recorder would say no after the tags.
    if not " ".join(name.split()).isprintable():
        raise ValueError("a name can't hold control characters")
    return name


# Ranges are documented here and checked by the task itself, which knows the token limit.


class Generate(BaseModel):
    """How the model goes on from the text: greedy, or sampled with a seed."""

    model_config = ConfigDict(extra="forbid")

    max_new_tokens: StrictInt = Field(
        DEFAULT_NEW_TOKENS, description="From 1 to the token limit; the end token counts"
    )
    do_sample: StrictBool = Field(False, description="Sample instead of the likeliest token")
    temperature: StrictFloat = Field(1.0, description="Above 0, at most 100; when sampling")
    top_p: StrictFloat = Field(1.0, description="Above 0, at most 1; when sampling")
    seed: StrictInt = Field(0, description="From 0 to 4294967295; when sampling")


class AnalysisRequest(BaseModel):
    """A text to analyse, and what to do with it.

    Without `target` and `generate`, an encoder–decoder model runs its encoder alone and any
    other reads the text. Only one of the two may be given.
    """

    model_config = ConfigDict(
        extra="forbid",
        # Several, and the plain one first: it works with every model.
        json_schema_extra={
            "examples": [
                {"text": "The river bank was closed on Sunday."},
                {"text": "The river <extra_id_0> was closed.", "target": "<extra_id_0> bank"},
                {"text": "The river <extra_id_0> was closed.", "generate": {"max_new_tokens": 5}},
            ]
        },
    )

    text: str = Field(description="Not blank, within the token limit, any script")
    model: str | None = Field(
        None, min_length=1, description="One of `/api/v1/models`; the default if left out"
    )
    target: str | None = Field(
        None,
        description="What the decoder of an encoder–decoder model is forced to; not blank, "
        "within the token limit",
    )
    generate: Generate | None = Field(None, description="Let the model generate; `{}` will do")
    capacity: StrictInt | None = Field(
        None,
        description="Expert capacity in tokens instead of the model's own, from 1 to 1,000,000; "
        "for models that have one",
    )
    record: StrictBool = Field(True, description="Keep the analysis as a run")
    force: StrictBool = Field(
        False, description="Make a new run even if the same analysis is recorded already"
    )

    def task(self) -> Task:
        """What is asked of the model. Its values may still be out of range."""
        generation = Generation(**self.generate.model_dump()) if self.generate else None
        return Task(self.text, self.target, generation, self.capacity)


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
    score_function: str = Field(description="What made probabilities of logits")
    selection: str = Field(description="How experts were chosen by their probabilities")
    capacity: int | None = Field(description="Expert capacity in tokens; null without one")


class Analysis(BaseModel):
    """Where a model's routers sent each token. With two stacks, `tokens`, `token_ids`,
    `special` and `generated` are objects with one list per stack."""

    run_id: str | None = Field(description="Opens the recorded analysis; null without one")
    status: Literal["recorded", "pending", "not recorded"]
    detail: str = Field("", description="Why it could not be recorded; else empty")
    url: str | None = Field(description="Page of the recorded analysis")
    model: Model
    text: str
    mode: Mode | None = Field(description="What ran; null where a run does not tell")
    target: str | None = Field(description="What the decoder was forced to")
    output: str | None = Field(description="What the model generated, without special tokens")
    generate: Generate | None = Field(description="How it was generated")
    stopped: bool = Field(description="Whether the generation was ended before its time")
    tokens: list[str] | dict[str, list[str]]
    token_ids: list[int] | dict[str, list[int]]
    special: list[bool] | dict[str, list[bool]] = Field(
        description="True for tokens such as `</s>` that stand for no text"
    )
    generated: list[bool] | dict[str, list[bool]] = Field(
        description="True for tokens that the model itself made"
    )
    layers: list[Layer]
    experts: list[list[list[int]]] = Field(description="[layer][token][k], in order of rank")
    weights: Floats = Field(description="[layer][token][k], 0 for a dropped token")
    probabilities: Floats = Field(description="[layer][token][expert]")
    logits: Floats = Field(description="[layer][token][expert]")
    dropped: list[list[bool]] = Field(description="[layer][token]")
    metrics: dict[str, Any] = Field(
        description="`tokens`, `paths` of each stack through its layers, and the measures of "
        "each layer by its name; undefined ones null"
    )
    mlflow_url: str | None = Field(
        None,
        description="The run's page in MLflow's own interface, of a recorded analysis that is "
        "read back; null where it is not known",
    )


class ModelState(BaseModel):
    """A model that may be chosen. What only its weights tell is null or empty until it is
    loaded."""

    id: str
    loaded: bool
    status: Literal["unloaded", "loading", "ready", "failed"]
    detail: str = Field(description="Why it failed; else empty")
    architecture: str | None
    stacks: list[str] | None
    router_layers: int | None
    num_experts: int | None
    top_k: int | None
    kind: Literal["encoder-decoder", "decoder-only", "encoder-only"] | None
    generates: bool | None = Field(description="Whether `generate` may be asked of it")
    score_functions: list[str] = Field(description="What its routers make probabilities with")
    capacity: int | None = Field(description="Expert capacity in tokens; null without a fixed one")
    notes: list[str] = Field(description="What is particular about it")


class Models(BaseModel):
    default: str
    models: list[ModelState]


class Run(BaseModel):
    run_id: str
    created: datetime
    model: str
    text: str = Field(description="The text's beginning, or the corpus' name")
    tokens: int
    status: Literal["recorded", "pending", "failed"]
    url: str
    name: str = Field(description="What somebody called it, else the text's beginning")
    tags: list[str]
    stacks: list[str]
    size: int | None = Field(description="Bytes of its files; null where not known")
    load: str = Field(
        description="Load of the first stack: layers with dots between, one hexadecimal digit "
        "per expert, f for four times the uniform share or more"
    )
    value: float | None = Field(description="The metric that the list is sorted by")
    detail: str = Field(description="Why it waits or was refused; else empty")
    kind: Literal["analysis", "corpus"] = Field(description="Of a text, or a pass over a corpus")
    documents: int | None = Field(description="Of a corpus; null for a text")


class Runs(BaseModel):
    runs: list[Run]
    next: str | None = Field(description="`cursor` of the next page; null on the last")
    notice: str = Field(description="Why the list may miss something; else empty")


class RunChange(BaseModel):
    """What to change of a run; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "the bank, again", "add_tags": ["banks"]}]},
    )

    name: Annotated[str, AfterValidator(_one_line)] | None = Field(
        None, max_length=MOST_NAME, description="Empty for the text's beginning"
    )
    add_tags: list[str] = Field(
        [], description=f"Up to {MOST_TAG} characters each, no comma; {MOST_TAGS} on a run"
    )
    remove_tags: list[str] = Field([], description="Those that it does not have are passed over")


class Deletion(BaseModel):
    run_id: str
    undo_seconds: float = Field(description="So long it can be restored")


class Restored(BaseModel):
    run_id: str


class Store(BaseModel):
    """How recording goes on."""

    pending: int = Field(description="Analyses on the local disk that wait for the store")
    failed: int = Field(description="Analyses on the local disk that the store refused")
    down: str = Field(description="Why the store can't be used; empty while it can")
    failure: str = Field(description="Why the last one was refused; else empty")


class Reproduction(BaseModel):
    """A recorded analysis computed again."""

    identical: bool = Field(description="Whether every array, token and text is equal to the bit")
    differences: list[str] = Field(description="What is not equal, in words")
    environment: list[str] = Field(description="What is not as it was then: versions, weights …")
    max_logit_difference: float | None
    changed_experts: int | None = Field(description="Choices that came out otherwise")
    n: int | None = Field(description="Choices compared")


class State(BaseModel):
    status: str
