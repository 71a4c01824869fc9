"""RoutingTrace: the one record of a routing that every room shares."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.routing.errors import TraceError

FORMAT = 3
Stack = Literal["encoder", "decoder"]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_ARRAYS = ("logits", "probabilities", "experts", "weights", "dropped")
# Score functions whose values over all experts sum to 1.
_DISTRIBUTIONS = ("softmax", "softmax of the top-k", "sparsemixer")
_UNBOUNDED = ("sqrt-softplus",)


def _frozen(array: Any, dtype: type) -> NDArray[Any]:
    copy: NDArray[Any] = np.array(array, dtype=dtype, order="C")
    copy.setflags(write=False)
    return copy


def _plain(value: Any) -> Any:
    """A copy that shares nothing, and is what a file would give back."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Mapping) and all(type(name) is str for name in value):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    raise TraceError("the provenance holds more than plain JSON values")


@dataclass(frozen=True, eq=False)
class TokenSequence:
    """The tokens that one stack saw, without padding, special tokens included.

    `tokens` are the tokenizer's pieces, `token_ids` int64 [T], `special` bool [T] marks
    tokens such as `</s>` that stand for no text, `generated` bool [T] those that the model
    itself made (none unless given). `offsets` int64 [T, 2]: begin and end of each token in
    the characters of the text that the stack read; −1, −1 for one that stands for none of
    them, and where that is not known (everywhere unless given).
    """

    tokens: tuple[str, ...]
    token_ids: Ints
    special: Bools
    generated: Bools = None  # type: ignore[assignment]
    offsets: Ints = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        object.__setattr__(self, "token_ids", _frozen(self.token_ids, np.int64))
        object.__setattr__(self, "special", _frozen(self.special, np.bool_))
        generated = np.zeros(len(self)) if self.generated is None else self.generated
        object.__setattr__(self, "generated", _frozen(generated, np.bool_))
        offsets = np.full((len(self), 2), -1) if self.offsets is None else self.offsets
        object.__setattr__(self, "offsets", _frozen(offsets, np.int64))
        if not self.tokens:
            raise TraceError("a sequence without tokens has no routing")
        if any(a.shape != (len(self),) for a in (self.token_ids, self.special, self.generated)):
            raise TraceError("tokens, their ids and their marks differ in number")
        if self.offsets.shape != (len(self), 2):
            raise TraceError("tokens and their places in the text differ in number")
        begin, end = self.offsets.T
        if (((begin < 0) | (end < begin)) & ((begin != -1) | (end != -1))).any():
            raise TraceError("a token's place in the text is impossible")

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class RouterLayer:
    """What one router did with T tokens, E experts, k chosen each.

    `name` is the router's module path. Arrays: `logits`, `probabilities` float32 [T, E];
    `experts` int64 [T, k] in order of rank; `weights` float32 [T, k], the combine weight
    applied (0 for a dropped token); `dropped` bool [T]. `score_function` names what made
    probabilities of logits (those of a sigmoid don't sum to 1), `selection` how experts
    were chosen by them; `capacity` is the expert capacity in tokens, None without one.
    """

    name: str
    stack: Stack
    block: int
    logits: Floats
    probabilities: Floats
    experts: Ints
    weights: Floats
    dropped: Bools
    score_function: str = "softmax"
    selection: str = "top-k"
    capacity: int | None = None

    def __post_init__(self) -> None:
        for name, dtype in zip(
            _ARRAYS, (np.float32, np.float32, np.int64, np.float32, np.bool_), strict=True
        ):
            object.__setattr__(self, name, _frozen(getattr(self, name), dtype))
        self._check_shapes()
        self._check_values()

    @property
    def num_experts(self) -> int:
        return int(self.logits.shape[1])

    @property
    def top_k(self) -> int:
        return int(self.experts.shape[1])

    def _check_shapes(self) -> None:
        if self.logits.ndim != 2 or self.experts.ndim != 2:
            raise TraceError(f"{self.name}: logits and experts must be [tokens, …]")
        tokens, experts = self.logits.shape
        k = self.experts.shape[1]
        if not tokens:
            raise TraceError(f"{self.name}: no token was routed")
        if not 1 <= k <= experts:
            raise TraceError(f"{self.name}: {k} chosen of {experts} experts")
        wanted = {
            "probabilities": (tokens, experts),
            "experts": (tokens, k),
            "weights": (tokens, k),
            "dropped": (tokens,),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                found = getattr(self, name).shape
                raise TraceError(f"{self.name}: {name} has shape {found}, not {shape}")

    def _check_values(self) -> None:
        for name in ("logits", "probabilities", "weights"):
            # No sum of finite float32 leaves float64, and no other sum is finite.
            if not math.isfinite(getattr(self, name).sum(dtype=np.float64)):
                raise TraceError(f"{self.name}: {name} are not all finite")
        if self.experts.min() < 0 or self.experts.max() >= self.num_experts:
            raise TraceError(f"{self.name}: an expert index is out of range")
        if self.top_k > 1 and (np.diff(np.sort(self.experts, axis=1), axis=1) == 0).any():
            raise TraceError(f"{self.name}: a token chose one expert twice")
        self._check_scores()
        if self.dropped.any() and self.capacity is None:
            raise TraceError(f"{self.name}: dropped tokens without a capacity")
        if (self.weights[self.dropped] != 0).any():
            raise TraceError(f"{self.name}: a dropped token has a weight")

    def _check_scores(self) -> None:
        highest = np.inf if self.score_function in _UNBOUNDED else 1 + 1e-3
        if self.probabilities.min() < 0 or self.probabilities.max() > highest:
            raise TraceError(f"{self.name}: probabilities leave [0, 1]")
        if self.score_function in _DISTRIBUTIONS:
            sums = self.probabilities.sum(axis=1, dtype=np.float64)
            if np.abs(sums - 1).max() > 1e-3:
                raise TraceError(f"{self.name}: probabilities do not sum to 1")
        if self.selection == "top-k":
            rows = np.arange(len(self.experts))[:, None]
            chosen = self.probabilities[rows, self.experts].min(axis=1, keepdims=True)
            if (self.probabilities > chosen + 1e-2).sum(axis=1).max() >= self.top_k:
                raise TraceError(f"{self.name}: a chosen expert is not among the most probable")


@dataclass(frozen=True)
class ModelIdentity:
    """Which model: public id, revision (commit or hash of the weights), architecture."""

    id: str
    revision: str
    architecture: str


@dataclass(frozen=True, eq=False)
class RoutingTrace:
    """The routing of one text: immutable, checked when made, equal by content.

    `sequences` maps each stack to its tokens, `layers` stand in order of depth, encoder
    first. `provenance` holds plain JSON values: library versions, dtype, mode, settings.
    `target` is the text that the decoder was forced to, `output` the one it generated.
    Raises TraceError if the parts contradict each other.
    """

    text: str
    model: ModelIdentity
    sequences: Mapping[Stack, TokenSequence]
    layers: tuple[RouterLayer, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    output: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        # Encoder first, in whatever order they came (a file's header is sorted).
        ordered = dict(sorted(self.sequences.items(), key=lambda item: item[0] != "encoder"))
        object.__setattr__(self, "sequences", MappingProxyType(ordered))
        object.__setattr__(self, "provenance", _plain(self.provenance))
        if not self.layers:
            raise TraceError("no router fired: there is nothing to show")
        if len({layer.name for layer in self.layers}) != len(self.layers):
            raise TraceError("two router layers have the same name")
        if {layer.stack for layer in self.layers} != set(self.sequences):
            raise TraceError("stacks with tokens and stacks with routers differ")
        for layer in self.layers:
            tokens = len(self.sequences[layer.stack])
            if len(layer.logits) != tokens:
                raise TraceError(f"{layer.name}: {len(layer.logits)} rows for {tokens} tokens")

    @property
    def stacks(self) -> tuple[Stack, ...]:
        return tuple(self.sequences)

    def stack_layers(self, stack: Stack) -> tuple[RouterLayer, ...]:
        """The router layers of one stack, in order of depth."""
        return tuple(layer for layer in self.layers if layer.stack == stack)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RoutingTrace):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]

    def to_bytes(self) -> bytes:
        """The whole trace as one `.npz` file (numpy's format, nothing pickled)."""
        header = {
            "format": FORMAT,
            "text": self.text,
            "target": self.target,
            "output": self.output,
            "model": vars(self.model),
            "provenance": self.provenance,
            "sequences": {stack: list(seq.tokens) for stack, seq in self.sequences.items()},
            "layers": [
                {
                    f.name: getattr(layer, f.name)
                    for f in fields(RouterLayer)
                    if f.name not in _ARRAYS
                }
                for layer in self.layers
            ],
        }
        encoded = json.dumps(header, ensure_ascii=True, sort_keys=True).encode()
        arrays: dict[str, NDArray[Any]] = {"header": np.frombuffer(encoded, dtype=np.uint8)}
        for stack, seq in self.sequences.items():
            arrays[f"{stack}.token_ids"] = seq.token_ids
            arrays[f"{stack}.special"] = seq.special
            arrays[f"{stack}.generated"] = seq.generated
            arrays[f"{stack}.offsets"] = seq.offsets
        for index, layer in enumerate(self.layers):
            for name in _ARRAYS:
                arrays[f"{index}.{name}"] = getattr(layer, name)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> RoutingTrace:
        """Reads what `to_bytes` wrote. Raises TraceError for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                header = json.loads(bytes(file["header"]))
                if header["format"] > FORMAT:
                    raise TraceError(
                        "the trace file was written by a newer version of MoEScope "
                        f"(format {header['format']}; this one reads up to {FORMAT})"
                    )
                return cls(
                    text=header["text"],
                    model=ModelIdentity(**header["model"]),
                    sequences={
                        stack: TokenSequence(
                            tuple(tokens),
                            file[f"{stack}.token_ids"],
                            file[f"{stack}.special"],
                            # Format 1 knew no generated tokens, format 2 no offsets.
                            file.get(f"{stack}.generated"),
                            file.get(f"{stack}.offsets"),
                        )
                        for stack, tokens in header["sequences"].items()
                    },
                    layers=tuple(
                        RouterLayer(**plain, **{name: file[f"{index}.{name}"] for name in _ARRAYS})
                        for index, plain in enumerate(header["layers"])
                    ),
                    provenance=header["provenance"],
                    target=header.get("target"),
                    output=header.get("output"),
                )
        except TraceError:
            raise
        except Exception as error:
            raise TraceError("this is no readable trace file") from error
