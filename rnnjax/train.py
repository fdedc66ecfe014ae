"""A whole run, from settings to result: the way of the data, from top to bottom."""

import dataclasses
import functools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import jax
import numpy as np

from rnnjax import classifier, parallel, train_state, workdir
from rnnjax import config as settings
from rnnjax.checkpoint import Checkpoints
from rnnjax.config import Config
from rnnjax.data import pipeline, sources
from rnnjax.data.sequences import num_features, to_sequences
from rnnjax.errors import ConfigError
from rnnjax.evaluate import Evaluation, device_batches, evaluate
from rnnjax.metrics import TrainMetrics, check_finite, compute
from rnnjax.optimizer import adam, learning_rate
from rnnjax.progress import Stopwatch
from rnnjax.report import Result, load_result, open_report
from rnnjax.train_step import eval_step, train_step


def train(config: Config, folder: Path) -> Result:
    """Trains, or goes on from the newest checkpoint in `folder`, and returns the result.

    Raises:
      ConfigError: for settings that do not fit, before anything is written.
      DataError: if the data is missing or altered, before anything is written.
      NonFiniteError: if the loss or the state became NaN or infinite; no checkpoint has it.
    """
    started = time.monotonic()
    settings.validate(config)
    parallel.check_batch_size(config.batch_size)
    features = num_features(config.data.sequence)
    model = classifier.build(config.model, sources.NUM_CLASSES, features)
    workdir.check_writable(folder)
    workdir.check_same_run(config, folder)
    result = load_result(folder / "result.json")
    if result is not None and result.steps >= config.num_steps:
        print(f"{folder} has finished already: {result}")
        return result

    params_key, dropout_key = jax.random.split(jax.random.key(config.seed))
    optimizer = adam(config.optimizer, config.num_steps)
    schedule = learning_rate(config.optimizer, config.num_steps)
    read = functools.partial(
        to_sequences, kind=config.data.sequence, permutation_seed=config.data.permutation_seed
    )
    with ThreadPoolExecutor() as background:  # reading and compiling each take seconds
        loading = background.submit(sources.load, config.data)
        example = read(np.zeros((1, 28, 28), np.uint8))
        state = train_state.create(model, optimizer, params_key, example)
        dataset = loading.result()

    folder.mkdir(parents=True, exist_ok=True)
    checkpoints, seconds_before = Checkpoints(folder, config.checkpoint), 0.0
    if checkpoints.latest_step is not None:
        state, seconds_before = checkpoints.restore(state)
    first_step = int(state.step)
    if first_step > config.num_steps:
        raise ConfigError(
            f"config.num_steps={config.num_steps}, but {folder} has {first_step} steps already"
        )
    workdir.write_json(folder / "config.json", settings.to_dict(config))
    (folder / "result.json").unlink(missing_ok=True)  # of fewer steps

    compiled_train_step = parallel.compile_step(
        functools.partial(
            train_step,
            model=model,
            optimizer=optimizer,
            read=read,
            label_smoothing=config.optimizer.label_smoothing,
            axis_name=parallel.AXIS,
        ),
        donate_argnums=(0,),
    )
    compiled_eval_step = parallel.compile_step(
        functools.partial(eval_step, model=model, read=read, axis_name=parallel.AXIS),
        donate_argnums=(1,),
    )
    state, dropout_key = parallel.replicate((state, dropout_key))
    train_batches = pipeline.train_batches(
        dataset.train,
        config.seed,
        config.batch_size,
        range(first_step, config.num_steps),
        jax.process_index(),
        jax.process_count(),
    )
    eval_batches = {
        name: device_batches(split, config.eval_batch_size)
        for name, split in (("test", dataset.test), ("validation", dataset.validation))
        if split is not None
    }

    def seconds() -> float:
        return seconds_before + time.monotonic() - started

    def evaluate_all(step: int) -> dict[str, Evaluation]:
        evaluations = {
            name: evaluate(compiled_eval_step, state.params, batches)
            for name, batches in eval_batches.items()
        }
        for name, evaluation in evaluations.items():
            report.evaluation(step, name, evaluation, state)
            check_finite({f"{name} cross_entropy": evaluation.cross_entropy}, step)
        return evaluations

    with closing(checkpoints), open_report(folder, config, dataset, first_step) as report:
        clock, final = Stopwatch(first_step), {}
        for step, batch in enumerate(parallel.prefetch(train_batches), first_step + 1):
            state, last_hidden = compiled_train_step(state, batch, dropout_key)
            report.step()
            ends = step == config.num_steps
            if step == first_step + 1:
                jax.block_until_ready(state.step)
                report.line(
                    f"step {step} was done {time.monotonic() - started:.1f} s after the start"
                )
                clock.restart(step)
            if ends or step % config.log_every_steps == 0:
                figures = compute(parallel.unreplicate(state.metrics))
                figures["learning_rate"] = float(np.asarray(schedule(step - 1)))
                figures["steps_per_second"] = clock.steps_per_second(step)
                report.training(step, step * config.batch_size / len(dataset.train.labels), figures)
                check_finite(figures, step)
                state = dataclasses.replace(state, metrics=parallel.replicate(TrainMetrics.empty()))
            if ends or step % config.checkpoint.every_steps == 0:
                jax.block_until_ready(state.step)  # what is still under way is training time
                with clock.paused():
                    checkpoints.save(parallel.unreplicate(state), seconds())
            if ends or step % config.eval_every_steps == 0:
                jax.block_until_ready(state.step)
                with clock.paused():
                    final = evaluate_all(step)
                    report.histograms(
                        step, "train", state, np.concatenate(jax.device_get(last_hidden))
                    )
        if first_step == config.num_steps:  # a run that was killed between its end and its result
            final = evaluate_all(first_step)

    # Not before the last checkpoint is on disk, which closing has waited for.
    result = Result(
        test_accuracy=final["test"].accuracy,
        test_loss=final["test"].cross_entropy,
        steps=config.num_steps,
        seconds=seconds(),
        dataset=dataset.name,
        seed=config.seed,
        validation_accuracy=final["validation"].accuracy if "validation" in final else None,
    )
    workdir.write_json(folder / "result.json", result._asdict())
    print(f"{result}; checkpoints, summaries and result.json are in {folder}", flush=True)
    return result
