"""What a browser posts to the page's callbacks, without the browser: built from what the
page itself declares, so that it does not go stale."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Prop = tuple[str, str]
# Sends a body to the callbacks' address; gives the answer's, None where there is none.
Post = Callable[[str, str], bytes | None]


@dataclass(frozen=True)
class Callback:
    """A callback that the server runs, as /_dash-dependencies declares it."""

    output: str
    outputs: tuple[Prop, ...]
    inputs: tuple[Prop, ...]
    states: tuple[Prop, ...]

    @property
    def name(self) -> str:
        """Short, for tables: its first output."""
        return ".".join(self.outputs[0]) if self.outputs else self.output

    def body(self, values: Mapping[Prop, Any], changed: Prop) -> str:
        """What the browser would post after a change of one of its inputs."""
        named = [{"id": id_, "property": prop} for id_, prop in self.outputs]
        return json.dumps(
            {
                "output": self.output,
                "outputs": named if self.output.startswith("..") else named[0],
                "inputs": [_valued(prop, values) for prop in self.inputs],
                "state": [_valued(prop, values) for prop in self.states],
                "changedPropIds": [".".join(changed)],
                "parsedChangedPropsIds": [".".join(changed)],
            }
        )


class Visit:
    """One open page: its values, and the callbacks that a change of them sets off."""

    def __init__(self, declared: list[dict[str, Any]], post: Post) -> None:
        self._callbacks = tuple(_callbacks(declared))
        self._post = post
        self.values: dict[Prop, Any] = {}

    def change(self, id_: str, prop: str, value: Any) -> None:
        """Sets a value, and runs what depends on it on the server, as far as it goes."""
        self.values[id_, prop] = value
        for callback in self._callbacks:
            if (id_, prop) in callback.inputs:
                self._run(callback, (id_, prop))

    def _run(self, callback: Callback, changed: Prop) -> None:
        answer = self._post(callback.name, callback.body(self.values, changed))
        given = json.loads(answer)["response"] if answer else {}
        told = [(id_, prop, v) for id_, props in given.items() for prop, v in props.items()]
        self.values |= {(id_, prop): value for id_, prop, value in told}
        following: dict[Callback, Prop] = {}
        for id_, prop, _ in told:
            for other in self._callbacks:
                if (id_, prop) in other.inputs:
                    following.setdefault(other, (id_, prop))
        for other, cause in following.items():
            self._run(other, cause)


def _callbacks(declared: list[dict[str, Any]]) -> Iterator[Callback]:
    for one in declared:
        props = [_props(one[kind]) for kind in ("inputs", "state")]
        # Those by pattern belong to lists of runs, which nobody looks at here.
        if one["clientside_function"] or any(id_.startswith("{") for id_, _ in sum(props, ())):
            continue
        output = str(one["output"])
        names = output.strip(".").split("...") if output.startswith("..") else [output]
        outputs = [name.partition("@")[0].rpartition(".") for name in names]
        yield Callback(output, tuple((id_, prop) for id_, _, prop in outputs), *props)


def _props(listed: list[dict[str, Any]]) -> tuple[Prop, ...]:
    return tuple((str(each["id"]), str(each["property"])) for each in listed)


def _valued(prop: Prop, values: Mapping[Prop, Any]) -> dict[str, Any]:
    return {"id": prop[0], "property": prop[1], "value": values.get(prop)}
