"""The training loop: epochs of steps, evaluations, checkpoints."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from itertools import islice

from mapanything_data.datasets.samples import BrokenSample
from mapanything_data.errors import ConfigError, DataError
from train.checkpoints.keep import BEST, FINAL
from train.distributed.ranks import Ranks
from train.evaluation.evaluation import Evaluation
from train.metrics.names import METRICS
from train.sampling.loader import TrainLoader
from train.sampling.plan import GlobalBatch
from train.settings.train_params import TrainParams
from train.training.progress import Progress
from train.training.run_files import RunFiles
from train.training.run_log import RunLog
from train.training.step import Batch, NotFiniteError, StepReport, TrainingStep

_SHOWN = ("points_abs_rel", "depth_abs_rel", "ray_error_deg", "rotation_error_deg", "ate_rmse")


class Trainer:
    """Trains a network from where it is to the last epoch.

    Args:
        params: Options.
        step: Trains by one step.
        loader: Reads the batches of an epoch.
        evaluate: Measures the network, with its averaged weights where there are any, on the test samples.
        files: Keeps the run's checkpoints.
        log: Keeps what is said of it.
        ranks: Who trains together.
        stop_requested: Whether this process was asked to stop.
        progress: How far the training is; changes as it goes on.
    """

    def __init__(
        self,
        *,
        params: TrainParams,
        step: TrainingStep,
        loader: TrainLoader,
        evaluate: Callable[[], Evaluation],
        files: RunFiles,
        log: RunLog,
        ranks: Ranks,
        stop_requested: Callable[[], bool],
        progress: Progress,
    ) -> None:
        self._params = params
        self._step = step
        self._loader = loader
        self._evaluate = evaluate
        self._files = files
        self._log = log
        self._ranks = ranks
        self._stop_requested = stop_requested
        self._speed = _Speed(loader)
        self.progress = progress

    def run(self) -> bool:
        """Train until the last epoch; returns False where a rank was asked to stop before, with all saved.

        Raises:
            ConfigError: It is further already.
            DataError: The loss is not finite, a sample cannot be read, or a checkpoint cannot be written.
        """
        done = self.progress.epoch + (self.progress.step_in_epoch > 0)
        if done > self._params.epochs:
            raise ConfigError(
                "train_params.epochs",
                f"{self._params.epochs}, and the run is in epoch {done} already",
                remedy=f"give {done} or more, or take one of its checkpoints as it is",
            )
        while True:
            if self._evaluation_is_due():
                self._evaluate_and_keep_best()
            if self.progress.epoch >= self._params.epochs:
                break
            finished = self._train_epoch()
            self._keep_epoch()  # before the one that a run goes on from: after a kill in between it is made again
            if not finished or self._passed(self._params.save_freq, self.progress.epoch - 1, self.progress.epoch):
                self._files.save_last(self.progress)
            if not finished:
                return False
        self._files.save_last(self.progress)
        self._files.save_weights(FINAL, self.progress)
        return True

    def _keep_epoch(self) -> None:
        every, ended = self._params.keep_freq, self.progress.step_in_epoch == 0
        if every and ended and self.progress.epoch % every == 0:
            self._files.keep(self.progress)

    def _train_epoch(self) -> bool:
        """The steps of the epoch that are left; False where a rank was asked to stop."""
        progress, steps = self.progress, self._plan_epoch()
        self._speed.start()
        started, first, samples, stop = time.perf_counter(), progress.step_in_epoch, 0, False
        with closing(self._batches_of_steps()) as groups:
            for batches in groups:
                before = progress.epoch + progress.step_in_epoch / steps
                after = progress.epoch + (progress.step_in_epoch + 1) / steps
                report = self._train_step(batches, after)
                samples, stop = samples + report.samples, report.stop
                self._note(report, after)
                self._log.progress(
                    f"epoch {progress.epoch + 1}/{self._params.epochs}",
                    done=progress.step_in_epoch,
                    total=steps,
                    unit="steps",
                    seconds=time.perf_counter() - started,
                    before=first,
                )
                if progress.step_in_epoch < steps:
                    if stop:
                        return False
                    if self._passed(self._params.save_freq, before, after):
                        self._files.save_last(progress)
        if not samples and not first:
            raise DataError(
                f"epoch {progress.epoch + 1}",
                "all its samples were left out, so there was nothing to train on",
                remedy="mend the files that the lines above name, or correct dataset.root",
            )
        progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
        return not stop

    def _train_step(self, batches: list[Batch], epochs_done: float) -> StepReport:
        progress = self.progress
        try:
            report = self._step(batches, step=progress.step, progress=epochs_done, stop=self._stop_requested())
        except NotFiniteError as error:
            raise self._files.dump(batches, error, progress) from error
        progress.step += 1
        progress.step_in_epoch += 1
        if report.broken:
            self._tell_broken(batches)
        return report

    def _batches_of_steps(self) -> Generator[list[Batch], None, None]:
        """What is left of the epoch, in portions of one step."""
        start = self.progress.step_in_epoch * self._params.accum_iter
        with closing(self._loader.epoch(self.progress.epoch, start=start)) as batches:
            while group := list(islice(batches, self._params.accum_iter)):
                yield group

    def _plan_epoch(self) -> int:
        """Steps of the epoch; a place in the middle of other batches, as after a change of the budget, is given up."""
        plan = self._loader.plan(self.progress.epoch)
        known = plan_fingerprint(plan, self._params.accum_iter)
        if self.progress.step_in_epoch and known != self.progress.plan:
            self._log.say(f"the batches of epoch {self.progress.epoch + 1} are others than before: it starts anew")
            self.progress.step_in_epoch = 0
        self.progress.plan = known
        return math.ceil(len(plan) / self._params.accum_iter)

    def _passed(self, every: float, before: float, after: float) -> bool:
        """Whether a multiple of `every` epochs lies behind `before` and not behind `after`."""
        return math.floor(after / every + 1e-6) > math.floor(before / every + 1e-6)

    def _evaluation_is_due(self) -> bool:
        done, every = self.progress.epoch, self._params.eval_freq
        new = done > self.progress.evaluated and self.progress.step_in_epoch == 0
        return bool(every) and new and (done % every == 0 or done == self._params.epochs)

    def _evaluate_and_keep_best(self) -> None:
        progress, name = self.progress, self._params.best_metric
        started = time.perf_counter()
        evaluation = self._evaluate()
        means = evaluation.means()
        value = means.get(name, math.nan)
        if progress.best_metric != name:
            progress.best, progress.best_metric = None, name
        best, higher = progress.best, METRICS[name].higher_is_better
        improved = math.isfinite(value) and (best is None or (value > best if higher else value < best))
        progress.evaluated = progress.epoch
        if improved:
            progress.best = value
            self._files.save_weights(BEST, progress)
        self._log.note({"kind": "test", "epoch": progress.epoch, "step": progress.step, **means})
        for number, picture in enumerate(evaluation.pictures):
            self._log.picture(f"epoch_{progress.epoch:04d}_sample{number}", picture, progress.step)
        seconds = time.perf_counter() - started
        shown = ", ".join(
            f"{metric} {mean:.4g}" for metric, mean in means.items() if metric in _SHOWN or metric == name
        )
        self._log.say(
            f"epoch {progress.epoch}: test {shown} ({len(evaluation.rows)} samples, {seconds:.0f} s)"
            + (f"; best {name} so far" if improved else "")
        )
        self._say_left_out(evaluation.broken)
        if not math.isfinite(value):
            self._log.say(f"  {name} is {value}: this evaluation decides nothing about checkpoint-best.pth")

    def _note(self, report: StepReport, epochs_done: float) -> None:
        """Sum up, and say the means once in a while."""
        window, progress = self.progress.window, self.progress
        for name, value in {"loss": report.loss, **report.terms}.items():
            window[name] = window.get(name, 0.0) + value * report.samples
        for name, value in {
            "samples": report.samples,
            "broken": report.broken,
            "steps": 1,
            "overflows": not report.updated,
        }.items():
            window[name] = window.get(name, 0.0) + value
        self._speed.count(report.images)
        if progress.step > 1 and progress.step % self._params.log_freq and progress.epoch + 1 > epochs_done:
            return
        samples = max(window["samples"], 1)
        means = {name: window[name] / samples for name in ("loss", *report.terms)}
        speed = self._speed.lap()
        row = {
            "kind": "train",
            "epoch": round(epochs_done, 6),
            "step": progress.step,
            **means,
            "lr": max(report.learning_rates),
            "grad_norm": report.grad_norm,
            **{name: int(window[name]) for name in ("broken", "overflows") if window[name]},
            **speed,
        }
        self._log.note(row)
        self._log.say(
            f"epoch {epochs_done:.3f}  step {progress.step}  loss {means['loss']:.4f}  lr {row['lr']:.2e}  "
            f"gradient {report.grad_norm:.2f}  {speed['images_per_s']:.1f} images/s  waiting {speed['waiting']:.1%}"
        )
        window.clear()

    def _tell_broken(self, batches: list[Batch]) -> None:
        for broken in self._ranks.gather([sample for _, batch in batches for sample in batch.broken]):
            self._say_left_out(broken)

    def _say_left_out(self, broken: list[BrokenSample]) -> None:
        for sample in broken:
            self._log.say(f"left out sample {sample.index}: {sample.reason}")


class _Speed:
    """Images a second, and the share of the time that was spent waiting for data."""

    def __init__(self, loader: TrainLoader) -> None:
        self._loader = loader
        self.start()

    def start(self) -> None:
        """Begin to count now."""
        self._started, self._waited, self._images = time.perf_counter(), self._loader.waited_s, 0

    def count(self, images: int) -> None:
        """Take note of images that a step was trained on."""
        self._images += images

    def lap(self) -> dict[str, float]:
        """Since the start, or the last lap."""
        seconds = time.perf_counter() - self._started
        told = {
            "images_per_s": round(self._images / seconds, 3),
            "waiting": round((self._loader.waited_s - self._waited) / seconds, 4),
        }
        self.start()
        return told


def plan_fingerprint(plan: list[GlobalBatch], accumulated: int) -> str:
    """Text that differs between epochs of different batches."""
    digest = hashlib.sha256(str(accumulated).encode())
    for batch in plan:
        digest.update(f"{batch.num_views} {batch.resolution} ".encode() + batch.indices.tobytes())
    return digest.hexdigest()[:16]
