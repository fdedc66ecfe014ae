"""A whole run, from settings to result: the way of the data, from top to bottom."""

import dataclasses
import functools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import jax
import numpy as np

from rnnjax import classifier
from rnnjax import config as settings
from rnnjax.config import Config
from rnnjax.data import batches as pipeline
from rnnjax.data import datasets
from rnnjax.data.sequences import num_features, to_sequences
from rnnjax.reporting.report import Result, open_report
from rnnjax.reporting.terminal import Stopwatch
from rnnjax.runs import resume, workdir
from rnnjax.runs.checkpoint import Progress
from rnnjax.runs.checkpoints import Checkpoints
from rnnjax.system import devices, distributed
from rnnjax.system.signals import StoppedError, StopRequest
from rnnjax.training import state as train_state
from rnnjax.training.evaluation import Evaluation, device_batches, evaluate
from rnnjax.training.metrics import TrainMetrics, check_finite, check_skipped, compute
from rnnjax.training.optimizer import adam, learning_rate
from rnnjax.training.step import eval_step, train_step, train_steps


def train(config: Config, folder: Path) -> Result:
    """Trains, or goes on from the newest intact checkpoint in `folder`, and returns the result.

    Raises:
      ConfigError: for settings that do not fit, before anything is written.
      DataError: if the data is missing or altered, before anything is written.
      NonFiniteError: if the loss or the state became NaN or infinite; no checkpoint has it.
      StoppedError: after SIGTERM or SIGINT, when all is saved.
      RunError: if another process trains in `folder`, or something there cannot be read or written.
    """
    started = time.monotonic()
    settings.validate(config)
    devices.check_batch_size(config.batch_size)
    features = num_features(config.data.sequence)
    model = classifier.build(config.model, datasets.NUM_CLASSES, features)
    params_key, dropout_key = jax.random.split(jax.random.key(config.seed))
    optimizer = adam(config.optimizer, config.num_steps)
    schedule = learning_rate(config.optimizer, config.num_steps)
    read = functools.partial(
        to_sequences, kind=config.data.sequence, permutation_seed=config.data.permutation_seed
    )
    create_state = functools.partial(
        train_state.create, model, optimizer, params_key, read(np.zeros((1, 28, 28), np.uint8))
    )
    distributed.check_same_settings(config)
    result = resume.finished(config, folder, create_state)
    if result is not None:
        distributed.print_first(f"{folder} has finished already: {result}")
        return result

    with workdir.explained(folder), ExitStack() as stack:
        stop = stack.enter_context(StopRequest(agree=devices.Largest()))
        with ThreadPoolExecutor() as background:  # reading and compiling each take seconds
            loading = background.submit(datasets.load, config.data)
            state = create_state()
            dataset = loading.result()
        checkpoints = stack.enter_context(
            closing(Checkpoints(folder / "checkpoints", config.checkpoint.keep))
        )
        state, resumed = resume.begin(config, folder, state, checkpoints, stack)
        before = resumed or Progress()
        first_step = int(state.step)

        one_step = functools.partial(
            train_step,
            model=model,
            optimizer=optimizer,
            read=read,
            label_smoothing=config.optimizer.label_smoothing,
            skip_non_finite=config.on_nan == "skip",
            axis_name=devices.AXIS,
        )
        compiled_train_steps = devices.compile_step(
            functools.partial(train_steps, step=one_step), donate_argnums=(0,)
        )
        compiled_eval_step = devices.compile_step(
            functools.partial(eval_step, model=model, read=read, axis_name=devices.AXIS),
            donate_argnums=(1,),
        )
        state, dropout_key = devices.replicate((state, dropout_key))
        stays = config.data.on_device and devices.fits(dataset.train)
        images = devices.replicate(dataset.train) if stays else None  # else they are streamed
        train_rows = pipeline.train_rows(
            len(dataset.train.labels),
            config.seed,
            config.batch_size,
            range(first_step, config.num_steps),
            config.steps_per_dispatch,
            jax.process_index(),
            jax.process_count(),
        )
        batches = train_rows if stays else pipeline.stream(dataset.train, train_rows)
        eval_batches = {
            name: device_batches(split, config.eval_batch_size)
            for name, split in (("test", dataset.test), ("validation", dataset.validation))
            if split is not None
        }
        # What was evaluated last before the restored step may not have been reported; a run whose
        # last step is done is evaluated for its result.
        evaluate_first = not before.evaluated or first_step == config.num_steps
        report = stack.enter_context(
            open_report(folder, config, dataset, first_step, forget_last=evaluate_first)
        )

        def seconds() -> float:
            return before.seconds + time.monotonic() - started

        def evaluate_all(step: int) -> dict[str, Evaluation]:
            """Evaluates and reports; with nothing of either if told to stop meanwhile."""
            jax.block_until_ready(state.step)
            evaluations = {
                name: evaluate(compiled_eval_step, state.params, batches, stop)
                for name, batches in eval_batches.items()
            }
            found = {name: e for name, e in evaluations.items() if e is not None}
            if len(found) < len(evaluations):
                return {}
            for name, evaluation in found.items():
                report.evaluation(step, name, evaluation, state)
                if config.on_nan == "halt" or step == config.num_steps:
                    check_finite({f"{name} cross_entropy": evaluation.cross_entropy}, step)
            return found

        clock, best = Stopwatch(first_step), checkpoints.best_accuracy()
        final = evaluate_all(first_step) if evaluate_first else {}
        if resumed is not None and "validation" in final and not before.evaluated:
            # Saved again, so that it can be found as the best.
            accuracy = final["validation"].accuracy
            progress = Progress(seconds=seconds(), validation_accuracy=accuracy)
            report.flush()
            checkpoints.save(devices.unreplicate(state), progress)
            best = max(best, accuracy)
        ending = bool(stop)
        step = first_step
        for batch in devices.prefetch(batches, axis=1):
            if ending:
                break
            state, last_hidden = compiled_train_steps(state, batch, dropout_key, images)
            step += config.steps_per_dispatch
            report.steps(config.steps_per_dispatch)
            checkpoints.check()
            ends = step == config.num_steps
            shows = ends or step % config.log_every_steps == 0
            if step == first_step + config.steps_per_dispatch:
                jax.block_until_ready(state.step)
                report.line(
                    f"step {step} was done {time.monotonic() - started:.1f} s after the start"
                )
                if not shows:  # else the first figures would have no step to time
                    clock.restart(step)
            if shows:
                figures = compute(devices.unreplicate(state.metrics))
                figures["learning_rate"] = float(np.asarray(schedule(step - 1)))
                figures["steps_per_second"] = clock.steps_per_second(step)
                if config.on_nan == "skip":
                    figures["skipped_steps"] = int(devices.unreplicate(state.skipped))
                    check_skipped(int(figures["skipped_steps"]), config.max_skipped_steps, step)
                report.training(step, step * config.batch_size / len(dataset.train.labels), figures)
                if config.on_nan == "halt":
                    check_finite(figures, step)
                state = dataclasses.replace(state, metrics=devices.replicate(TrainMetrics.empty()))
            progress = Progress()
            if ends or step % config.eval_every_steps == 0:
                with clock.paused():
                    report.histograms(
                        step, "train", state, np.concatenate(jax.device_get(last_hidden))
                    )
                    final = evaluate_all(step)
                accuracy = final["validation"].accuracy if "validation" in final else None
                progress = Progress(evaluated=bool(final), validation_accuracy=accuracy)
            improves = (progress.validation_accuracy or 0) > best
            ending = bool(stop)  # asked once a dispatch: what it ends after is saved
            if ends or ending or improves or step % config.checkpoint.every_steps == 0:
                jax.block_until_ready(state.step)  # what is still under way is training time
                skipped = int(devices.unreplicate(state.skipped))
                check_skipped(skipped, config.max_skipped_steps, step)
                with clock.paused():
                    report.flush()  # what a checkpoint comes after must not be lost
                    checkpoints.save(
                        devices.unreplicate(state), progress._replace(seconds=seconds())
                    )
                best = max(best, progress.validation_accuracy or 0)
        distributed.on_first(checkpoints.wait)
        if stop.signal is not None:
            raise StoppedError(
                stop.signal,
                f"{stop.signal.name}: stopped after step {int(devices.unreplicate(state.step))}; "
                "all is saved, the same command goes on from there",
            )
        # Not before the last checkpoint is on disk, and the summaries are.
        report.flush()
        result = Result(
            test_accuracy=final["test"].accuracy,
            test_loss=final["test"].cross_entropy,
            steps=config.num_steps,
            seconds=seconds(),
            dataset=dataset.name,
            seed=config.seed,
            validation_accuracy=final["validation"].accuracy if "validation" in final else None,
        )
        distributed.on_first(
            functools.partial(workdir.write_json, folder / resume.RESULT, result._asdict())
        )
    distributed.print_first(f"{result}; checkpoints, summaries and result.json are in {folder}")
    return result
