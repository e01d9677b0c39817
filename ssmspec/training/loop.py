"""The training loop: one optimizer step after another, from any point of any epoch.

What a step does follows from the weights, the optimizer's state, the seed and the number of the
step; nothing else is carried along. So a run that was stopped, or killed, continues from its last
save to the very same numbers.

On a GPU nothing in a step waits for the device: its numbers are read once the next one is under
way (`late`), and before that wherever something is measured or saved. So a step whose numbers are
no numbers is noticed one step late there, and never gets into a file.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import NoReturn

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from ssmspec.errors import UsageError
from ssmspec.training.batches import ahead, share, step_indices, steps_per_epoch
from ssmspec.training.config import TrainConfig
from ssmspec.training.engine import Numbers, Tensors, seed_step, to_device, to_tensors
from ssmspec.training.interruption import SIGNALS, Interruption, signal_in
from ssmspec.training.recorder import Recorder
from ssmspec.training.result import DivergedError, OnProgress, Progress, Row
from ssmspec.training.resume_file import Best, Standing, Window
from ssmspec.training.schedule import Rate
from ssmspec.training.scoring import Measure, Objective, measure
from ssmspec.training.tasks.base import Data, Split


@dataclass(frozen=True)
class Step:
    """What one step measured, over all processes, before it was applied.

    Attributes:
        loss: mean over what was asked.
        metric: likewise.
        norm: of the gradient, before clipping; None where nobody asked for it.
        signal: number of a signal that some process caught; 0 for none.
    """

    loss: float
    metric: float
    norm: float | None
    signal: int


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a batch: on its way to the device, and how many answers it asks for."""

    tensors: Tensors
    asked: int


@dataclass(frozen=True, eq=False)
class Loop:
    """One run, ready to train.

    Attributes:
        config: the settings.
        data: what it trains on.
        objective: loss and metric.
        accelerator: device, precision and processes.
        model: as it is, for its weights and for evaluation.
        wrapped: the model as it trains, data-parallel where there are several processes.
        optimizer: prepared by Accelerate.
        rates: learning rate of each parameter group before the schedule.
        rate: the schedule, as the run started with it.
        standing: where the run stands; the one thing that changes.
        recorder: writes the run's files.
        on_progress: called after every step, in the main process.
        late: steps that may be under way while their numbers are not read yet.
    """

    config: TrainConfig
    data: Data
    objective: Objective
    accelerator: Accelerator
    model: nn.Module
    wrapped: nn.Module
    optimizer: Optimizer
    rates: Sequence[float]
    rate: Rate
    standing: Standing
    recorder: Recorder
    on_progress: OnProgress | None = None
    late: int = 0

    @property
    def epoch_steps(self) -> int:
        """Optimizer steps in one pass over the data."""
        return steps_per_epoch(len(self.data.train), self.config.batch_size)

    @property
    def total_steps(self) -> int:
        """Optimizer steps after which the run is over."""
        return self.config.total_steps(self.epoch_steps)

    def run(self) -> int:
        """Train until the last step or until a signal, saving as it goes.

        Returns:
            The number of the signal; 0 where the last step was reached.

        Raises:
            DivergedError: the loss or its gradient is no number; the step was not applied.
            UsageError: a file cannot be written.
        """
        standing, total = self.standing, self.total_steps
        first, started = standing.step, time.monotonic()
        waiting: deque[Numbers] = deque()
        stopped = 0
        before = standing.seconds
        with ExitStack() as stack:
            interruption = stack.enter_context(Interruption())
            batches = ahead(self._parts, range(first, total))
            stack.callback(batches.close)
            self._evaluate_if_due()  # where a run was stopped before it got to that
            if self.patience_is_out():
                return 0
            for number, parts in enumerate(batches, first + 1):
                waiting.append(self._launch(number, parts, interruption))
                # what looks at the weights must find those of the step that it is about
                while len(waiting) > (
                    0 if stopped or self._something_is_due(number) else self.late
                ):
                    step = self._settle(waiting.popleft())
                    stopped = stopped or step.signal
                    standing.seconds = before + time.monotonic() - started
                    self._note(step)
                    if not stopped:
                        self._evaluate_if_due()
                    self.recorder.look(standing.step)
                    self.recorder.keep(standing.step, self.config.keep_every)
                    standing.seconds = before + time.monotonic() - started
                    pace = (standing.step - first) / max(standing.seconds - before, 1e-9)
                    self._tell(step, pace)
                if stopped:
                    self.recorder.save(standing)
                    return stopped
                if self._save_is_due():
                    self.recorder.save(standing)
                if self.patience_is_out():
                    return 0
        self.recorder.save(standing)
        return 0

    def measure(self, split: Split) -> Measure:
        """Evaluate the model as it is, over all processes."""
        accelerator = self.accelerator
        self.model.eval()
        result = measure(
            self.model,
            split,
            self.objective,
            batch_size=self.config.batch_size // self.config.accumulate,
            device=accelerator.device,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
            add_up=self._add_up,
        )
        self.model.train()
        return result

    def validate(self) -> Row:
        """Evaluate on the validation data, and keep the model where it is the best so far.

        Raises:
            DivergedError: the model gives no numbers any more.
        """
        standing = self.standing
        result = self.measure(self.data.validation)
        if not result.finite:
            self._diverged("validation loss", result.loss, standing.step)
        best = standing.best
        if best is None or self.objective.improves(result.metric, best.metric):
            standing.best = Best(standing.step, result.metric, weights_of(self.model))
            self.recorder.keep_best(standing.best)
        return self.row("validation", result)

    def row(self, split: str, result: Measure) -> Row:
        """A measure as a row of `metrics.csv`."""
        step = self.standing.step
        return Row(
            step,
            self.epoch_of(step),
            split,
            result.loss,
            result.metric,
            seconds=self.standing.seconds,
        )

    def _parts(self, step: int) -> list[Part]:
        """This process's share of a step's batch, in as many parts as are accumulated."""
        config, accelerator = self.config, self.accelerator
        indices = step_indices(len(self.data.train), config.batch_size, config.seed, step)
        mine = share(indices, accelerator.process_index, accelerator.num_processes)
        batches = (
            self.data.train.batch(share(mine, part, config.accumulate))
            for part in range(config.accumulate)
        )
        return [
            Part(to_tensors(batch, accelerator.device), self.objective.count(batch.y))
            for batch in batches
        ]

    def _launch(self, number: int, parts: Sequence[Part], interruption: Interruption) -> Numbers:
        """Forward, backward and one step of the optimizer; without `late`, of finite numbers only.

        Args:
            number: of the step, from 1.
            parts: of its batch.
            interruption: tells of signals.
        """
        accelerator = self.accelerator
        seed_step(self.config.seed, number - 1, accelerator.process_index)
        factor = self.rate.factor(number - 1)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(4, dtype=torch.float64, device=accelerator.device)
        sums[2] = SIGNALS.get(interruption.caught, 0)
        sums[3] = sum(part.asked for part in parts)
        # Data-parallel gradients are averaged over the processes, each of which has divided by all
        # that was asked of all of them.
        scale = accelerator.num_processes / self._add_up(sums[3:].clone())
        for context, part in self._synchronized_last(parts):
            with context:
                x, y, lengths = to_device(part.tensors, accelerator.device)
                loss, metric = self.objective.score(self.wrapped(x, lengths), y)
                accelerator.backward(loss * scale[0].to(loss.dtype))
                sums[0] += loss.detach().double()
                sums[1] += metric.double()
        numbers = Numbers(torch.cat([self._add_up(sums), *self._norm(number)]))
        if not self.late:
            self._require_finite(self._step_of(numbers))
        self.optimizer.step()
        return numbers

    def _norm(self, number: int) -> list[Tensor]:
        """The norm of the gradient, which is clipped by it; nothing where nobody needs it.

        Without clipping it is taken where a row is written and before anything is saved: a gradient
        that is no number would show in the loss of the next step only.
        """
        clip = self.config.clip
        if clip is None:
            if number % self.config.log_every and not self._something_is_due(number):
                return []
            clip = math.inf
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), clip)
        return [norm.detach().double().reshape(1)]

    def _settle(self, numbers: Numbers) -> Step:
        """Read what a step came to, and count it.

        Raises:
            DivergedError: it came to no numbers.
        """
        step = self._step_of(numbers)
        self._require_finite(step)
        self.standing.step += 1
        return step

    def _step_of(self, numbers: Numbers) -> Step:
        loss, metric, signals, asked, *norm = numbers.read()
        if not asked:
            raise UsageError(
                f"the batch of step {self.standing.step + 1:,} asks for nothing; check the targets"
            )
        return Step(
            loss / asked, metric / asked, norm[0] if norm else None, signal_in(int(signals))
        )

    def _synchronized_last(self, parts: Sequence[Part]) -> Iterator[tuple[nullcontext[None], Part]]:
        """Parts, each in a context in which only the last one's gradient goes to all processes."""
        for part in parts[:-1]:
            yield self.accelerator.no_sync(self.wrapped), part
        yield nullcontext(), parts[-1]

    def _require_finite(self, step: Step) -> None:
        number = self.standing.step + 1
        if not math.isfinite(step.loss):
            self._diverged("loss", step.loss, number)
        # A gradient that overflows in fp16 is the scaler's business: it skips the step and tries
        # a smaller scale.
        norm = step.norm
        if norm is not None and not math.isfinite(norm) and self.accelerator.scaler is None:
            self._diverged("norm of the gradient", norm, number)

    def _diverged(self, what: str, value: float, number: int) -> NoReturn:
        raise DivergedError(
            f"the {what} became {value} at step {number:,}; the last good checkpoint is "
            f"{self.recorder.last_before(number, self.standing)}; a lower learning rate, "
            f"--warmup-steps or --clip helps",
            number,
        )

    def _note(self, step: Step) -> None:
        """Add a step to the window, and close the window where a row is due."""
        standing, window = self.standing, self.standing.window
        window.steps += 1
        window.loss += step.loss
        window.metric += step.metric
        if step.norm is not None and math.isfinite(step.norm):
            window.norms += 1
            window.norm += step.norm
        if standing.step % self.config.log_every:
            return
        standing.rows.append(
            Row(
                standing.step,
                self.epoch_of(standing.step),
                "train",
                window.loss / window.steps,
                window.metric / window.steps,
                self.config.lr * self.rate.factor(standing.step - 1),
                window.norm / window.norms if window.norms else None,
                standing.seconds,
            )
        )
        standing.window = Window()

    def _something_is_due(self, number: int) -> bool:
        """Whether the weights after so many steps are measured, saved or looked at."""
        config = self.config
        periods = (self._eval_every, config.save_every, config.spectrum_every, config.keep_every)
        return number == self.total_steps or any(every and number % every == 0 for every in periods)

    def patience_is_out(self) -> bool:
        """Whether too many evaluations in a row brought no better model."""
        patience, best = self.config.patience, self.standing.best
        if patience is None or best is None:
            return False
        since = (row.split == "validation" and row.step > best.step for row in self.standing.rows)
        return sum(since) >= patience

    @property
    def _eval_every(self) -> int:
        return self.config.eval_every or self.epoch_steps

    def _evaluate_if_due(self) -> None:
        standing = self.standing
        if standing.step % self._eval_every == 0 and standing.evaluated < standing.step:
            standing.rows.append(self.validate())
            standing.evaluated = standing.step

    def _save_is_due(self) -> bool:
        standing, every = self.standing, self.config.save_every
        return standing.evaluated == standing.step or bool(every and standing.step % every == 0)

    def _tell(self, step: Step, pace: float) -> None:
        if self.on_progress is None or not self.accelerator.is_main_process:
            return
        standing = self.standing
        evaluated = standing.evaluated == standing.step
        self.on_progress(
            Progress(
                step=standing.step,
                steps=self.total_steps,
                epoch=self.epoch_of(standing.step),
                loss=step.loss,
                metric=step.metric,
                metric_name=self.objective.metric,
                validation=standing.rows[-1].metric if evaluated else None,
                steps_per_second=pace,
            )
        )

    def epoch_of(self, step: int) -> int:
        """The pass over the data, from 1, that a step belongs to."""
        return (max(step, 1) - 1) // self.epoch_steps + 1

    def _add_up(self, sums: Tensor) -> Tensor:
        if self.accelerator.num_processes == 1:
            return sums
        result: Tensor = self.accelerator.reduce(sums, "sum")
        return result


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's tensors on the CPU, by name and of their shapes."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
