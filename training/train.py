"""The training loop: one budget of minutes, checkpoints, progress on one line at a time."""

from __future__ import annotations

import json
import logging
import math
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training import losses
from training import model as architecture
from training.data import Batch, Stream

log = logging.getLogger(__name__)

_STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Options:
    """What may be chosen on the command line."""

    minutes: float = 75.0
    batch_tokens: int = 4096
    learning_rate: float = 2e-2
    router_factor: float = 0.25
    position_factor: float = 10.0
    warmup_steps: int = 80
    auxiliary: float = 0.03
    z: float = 1e-3
    seed: int = 8
    checkpoint_minutes: float = 4.0

    def factor(self, parameter: str) -> float:
        """What the rate of a parameter is multiplied with.

        Routers: at the full rate whole domains change their expert every few dozen steps. Position
        biases: they start near zero but must grow to several nats before attention is local.
        """
        if parameter.endswith("router.classifier.weight"):
            return self.router_factor
        return self.position_factor if "relative_attention_bias" in parameter else 1.0


@dataclass
class Progress:
    """How far a run is; stored in the checkpoint."""

    step: int = 0
    seconds: float = 0.0
    source_tokens: int = 0
    target_tokens: int = 0
    load: dict[str, list[float]] = field(default_factory=dict)


def learning_rate(options: Options, progress: Progress) -> float:
    """Linear warm-up by steps, then a cosine down to 1 % by the share of the time that is spent.

    Time and not steps, so that a run on any machine ends decayed when its minutes are over.
    """
    spent = min(1.0, progress.seconds / (60 * options.minutes))
    warm = min(1.0, (progress.step + 1) / options.warmup_steps)
    return options.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * spent)))


class Run:
    """Model, optimiser, random state and progress, together as they go into a checkpoint."""

    def __init__(self, options: Options, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = architecture.build(options.seed)
        self.model.to(self.device)  # type: ignore[arg-type]
        architecture.keep_routers_in_float32(self.model, self.device)
        self.factors = [options.factor(name) for name, _ in self.model.named_parameters()]
        # One group a parameter: each has a rate of its own, see _set_rates.
        self.optimiser = torch.optim.AdamW(
            [{"params": [p]} for p in self.model.parameters()],
            betas=(0.9, 0.98), weight_decay=0.0, fused=True,
        )  # fmt: skip
        self.rng = np.random.default_rng(options.seed)
        self.progress = Progress()
        self._stopped = False

    def stop(self, *_: object) -> None:
        """Finish the step, save and leave the loop (a signal handler)."""
        self._stopped = True

    @property
    def checkpoint(self) -> Path:
        """The one file that a run resumes from."""
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write beside and rename, so that a kill at any moment leaves a whole checkpoint."""
        partial = self.checkpoint.with_suffix(".partial")
        state = {
            "model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
            "numpy": self.rng.bit_generator.state, "torch": torch.get_rng_state(),
            "progress": asdict(self.progress), "options": asdict(self.options),
            "device": self._device_name(),
        }  # fmt: skip
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _device_name(self) -> str:
        if self.device == "cuda":
            return torch.cuda.get_device_name()
        return f"{torch.get_num_threads()} threads of a CPU"

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return False
        state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state = state["numpy"]
        torch.set_rng_state(state["torch"])
        self.progress = Progress(**state["progress"])
        log.info("resumed at step %d, %.1f minutes spent", self.progress.step,
                 self.progress.seconds / 60)  # fmt: skip
        return True

    def step(self, batch: Batch, routers: architecture.RouterLog) -> dict[str, float]:
        """One update; returns the parts of the loss in nats."""
        source, target = batch.source.to(self.device), batch.target.to(self.device)
        inputs = batch.decoder_input.to(self.device)
        rate = self._set_rates()
        with torch.autocast(self.device, torch.bfloat16):
            logits = self.model(input_ids=source, decoder_input_ids=inputs, use_cache=False).logits
        nll = losses.cross_entropy(logits, target)
        valid = {
            name: torch.ones(value.shape[:2], dtype=torch.bool, device=self.device)
            for name, value in routers.logits.items()
        }  # batches are unpadded: every token counts
        balance = losses.mean_over_layers(
            [losses.load_balancing_loss(v, valid[n]) for n, v in routers.logits.items()]
        )
        z = losses.mean_over_layers([losses.z_loss(v, valid[n]) for n, v in routers.logits.items()])
        (nll + self.options.auxiliary * balance + self.options.z * z).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._follow_load(routers)
        self.progress.step += 1
        self.progress.source_tokens += source.numel()
        self.progress.target_tokens += target.numel()
        return {"nll": nll.item(), "balance": balance.item(), "z": z.item(), "rate": rate}

    def _set_rates(self) -> float:
        """Scale the rate by each parameter's root mean square, as Adafactor does for T5.

        T5 initialises matrices at sizes that differ by a factor of 100 (no scaling in the
        attention: queries start at 0.01; embeddings at 1). One rate for all would
        blow up the queries within ten steps, and attention stays saturated from then on.
        """
        rate = learning_rate(self.options, self.progress)
        groups = self.optimiser.param_groups
        parameters = [group["params"][0].detach() for group in groups]
        norms = torch.stack(torch._foreach_norm(parameters)).tolist()
        for group, factor, parameter, norm in zip(
            groups, self.factors, parameters, norms, strict=True
        ):
            size = max(1e-3, norm / math.sqrt(parameter.numel()))
            group["lr"] = rate * factor * size
        return rate

    def _follow_load(self, routers: architecture.RouterLog) -> None:
        """Running mean of every layer's load over about the last hundred steps."""
        for name, value in routers.logits.items():
            valid = torch.ones(value.shape[:2], dtype=torch.bool, device=value.device)
            now = losses.expert_load(value.detach(), valid).tolist()
            before = self.progress.load.get(name, now)
            self.progress.load[name] = [
                0.99 * b + 0.01 * n for b, n in zip(before, now, strict=True)
            ]

    def loop(self, stream: Stream) -> None:
        """Train until the minutes are spent, with a checkpoint every few of them."""
        history = (self.folder / "history.jsonl").open("a", encoding="utf-8")
        total = 60 * self.options.minutes
        spent_before, started = self.progress.seconds, time.monotonic()
        saved = reported = started
        recent: list[float] = []
        tokens = 0
        self.model.train()
        with history, architecture.RouterLog(self.model) as routers:
            while self.progress.seconds < total and not self._stopped:
                batch = stream.batch(self.options.batch_tokens, self.rng)
                parts = self.step(batch, routers)
                now = time.monotonic()
                self.progress.seconds = spent_before + now - started
                recent.append(parts["nll"])
                tokens += batch.source.numel()
                if self.progress.step % 25 == 0:
                    row = {
                        "step": self.progress.step, "minutes": round(self.progress.seconds / 60, 2),
                        "loss": round(sum(recent) / len(recent), 4),
                        "balance": round(parts["balance"], 3), "z": round(parts["z"], 2),
                        "rate": round(parts["rate"], 6),
                        "tokens_per_second": round(tokens / (now - reported)),
                        "eta_minutes": round((total - self.progress.seconds) / 60, 1),
                        "least_load": [round(min(v), 3) for v in self.progress.load.values()],
                    }  # fmt: skip
                    log.info("%s", json.dumps(row))
                    history.write(json.dumps(row) + "\n")
                    history.flush()
                    recent.clear()
                    tokens, reported = 0, now
                if now - saved > 60 * self.options.checkpoint_minutes:
                    self.save()
                    saved = now
        self.save()


def run(options: Options, folder: Path, stream: Stream) -> bool:
    """Train, or go on training, in ``folder``; whether the time was used up."""
    current = Run(options, folder)
    current.resume()
    log.info("%.2f M parameters on %s, %d threads",
             sum(p.numel() for p in current.model.parameters()) / 1e6, current.device,
             torch.get_num_threads())  # fmt: skip
    previous = {number: signal.signal(number, current.stop) for number in _STOPPING}
    try:
        current.loop(stream)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return current.progress.seconds >= 60 * options.minutes
