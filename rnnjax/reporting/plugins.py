"""What TensorBoard's plugins beyond scalars, images and histograms read, as they want it."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from clu.metric_writers import MetricWriter
from jaxtyping import Float64
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalars
from tensorboard.plugins.histogram import metadata as histograms
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import metadata as sessions_metadata
from tensorboard.plugins.hparams import summary as sessions
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.pr_curve import metadata as pr_curves
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf.config_pb2 import RunMetadata

from rnnjax.reporting.figures import png

NUM_BUCKETS = 30  # of a histogram
FINAL = "final/"  # before the names of a run's last figures, which HParams compares
START_TAGS = (sessions_metadata.EXPERIMENT_TAG, sessions_metadata.SESSION_START_INFO_TAG)
END_TAGS = (FINAL, sessions_metadata.SESSION_END_INFO_TAG)  # that `write_session_end` writes
GRAPH_PLUGIN, GRAPH_CONTENT = "graph_run_metadata_graph", b"1"


def write_graph(writer: MetricWriter, step: int, graph: GraphDef) -> None:
    """Writes a graph for the plugin Graphs, which reads it as that of a function that has run."""
    metadata = RunMetadata()
    metadata.function_graphs.add().pre_optimization_graph.CopyFrom(graph)
    plugin = tf.compat.v1.SummaryMetadata.PluginData(
        plugin_name=GRAPH_PLUGIN, content=GRAPH_CONTENT
    )
    # As a tensor: NumPy would strip zeros from the end of the bytes.
    values: Any = {"model": tf.constant(metadata.SerializeToString())}
    own = tf.compat.v1.SummaryMetadata(plugin_data=plugin)
    writer.write_summaries(step, values, {"model": own})


def write_histograms(writer: MetricWriter, step: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes how the values of arrays are distributed, as `tf.summary.histogram` would."""
    values, metadata = {}, {}
    for tag, array in arrays.items():
        values[tag] = _buckets(np.asarray(array, np.float64).ravel())
        own = histograms.create_summary_metadata(None, "")
        metadata[tag] = tf.compat.v1.SummaryMetadata.FromString(own.SerializeToString())
    writer.write_summaries(step, values, metadata)


def _buckets(values: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, "K 3"]:
    """Returns from where to where each bucket goes, and how many finite values are in it."""
    values = values[np.isfinite(values)]
    if values.size == 0:
        return np.zeros((NUM_BUCKETS, 3))
    least, largest = values.min(), values.max()
    if least == largest:  # TensorFlow's way to show this
        counts = np.array([0] * (NUM_BUCKETS - 1) + [values.size])
        return np.stack([np.full(NUM_BUCKETS, least)] * 2 + [counts], axis=1)
    counts, edges = np.histogram(values, NUM_BUCKETS, (least, largest))
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def write_images(writer: MetricWriter, step: int, images: Mapping[str, np.ndarray]) -> None:
    """Writes images `[N, Y, X, 3]`, uint8, as `tf.summary.image` would."""
    values, metadata = {}, {}
    for tag, batch in images.items():
        size = [str(batch.shape[2]), str(batch.shape[1])]
        values[tag] = tf.constant([*(text.encode() for text in size), *map(png, batch)])
        own = image_metadata.create_summary_metadata(None, "")
        metadata[tag] = tf.compat.v1.SummaryMetadata.FromString(own.SerializeToString())
    writer.write_summaries(step, values, metadata)


def write_pr_curves(
    writer: MetricWriter, step: int, curves: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Writes curves of precision and recall.

    Args:
      writer: of a split.
      step: the steps taken.
      curves: by class: true positives, false positives, true negatives, false negatives, precision
        and recall, `[P]` each, at thresholds from 0 to 1.
    """
    values, metadata = {}, {}
    for name, curve in curves.items():
        tag = f"{name}/pr_curves"
        values[tag] = np.stack(curve).astype(np.float32)
        own = pr_curves.create_summary_metadata(name, "", values[tag].shape[1])
        metadata[tag] = tf.compat.v1.SummaryMetadata.FromString(own.SerializeToString())
    writer.write_summaries(step, values, metadata)


def write_layout(writer: MetricWriter, charts: Mapping[str, Sequence[str]]) -> None:
    """Writes a layout for the plugin Custom Scalars, which puts several runs into one chart.

    Args:
      writer: of any split.
      charts: by title, the tags of all runs that belong there, as regular expressions.
    """
    protos: Any = layout_pb2  # whose classes are made when it is imported
    chart = [
        protos.Chart(title=title, multiline=protos.MultilineChartContent(tag=[*tags]))
        for title, tags in charts.items()
    ]
    layout = protos.Layout(category=[protos.Category(title="rnnjax", chart=chart)])
    own: Any = custom_scalars.create_summary_metadata()
    metadata = tf.compat.v1.SummaryMetadata.FromString(own.SerializeToString())
    tag = custom_scalars.CONFIG_SUMMARY_TAG
    values: Any = {tag: tf.constant(layout.SerializeToString())}
    writer.write_summaries(0, values, {tag: metadata})


def write_session(
    writer: MetricWriter,
    group: str,
    settings: Mapping[str, Any],
    compared: Container[str],
    figures: Sequence[str],
) -> None:
    """Writes the beginning of a run for the plugin HParams.

    Args:
      writer: of the split whose folder is the session's.
      group: its name, of runs whose figures HParams averages.
      settings: by name; bools, numbers and texts.
      compared: the names of those that are shown first.
      figures: names of those that `write_session_end` writes.
    """
    protos: Any = api_pb2  # whose classes are made when it is imported
    # By `differs` they are sorted; of several runs, those of one hold for all.
    infos = [protos.HParamInfo(name=name, differs=name in compared) for name in settings]
    metrics = [
        hparams.Metric(f"{FINAL}{figure}", display_name=figure).as_proto() for figure in figures
    ]
    _write_proto(writer, 0, sessions.experiment_pb(infos, metrics, time_created_secs=0))
    _write_proto(writer, 0, hparams.hparams_pb(settings, group, start_time_secs=0))


def write_session_end(writer: MetricWriter, step: int, figures: Mapping[str, float]) -> None:
    """Writes the end of a run, and its last figures, for the plugin HParams."""
    writer.write_scalars(step, {f"{FINAL}{name}": figure for name, figure in figures.items()})
    success: Any = api_pb2
    _write_proto(writer, step, sessions.session_end_pb(success.STATUS_SUCCESS, end_time_secs=0))


def _write_proto(writer: MetricWriter, step: int, summary: Any) -> None:
    """Writes a summary of TensorBoard's own by a writer of TensorFlow's."""
    for value in summary.value:
        metadata = tf.compat.v1.SummaryMetadata.FromString(value.metadata.SerializeToString())
        values: Any = {value.tag: tf.make_ndarray(value.tensor)}
        writer.write_summaries(step, values, {value.tag: metadata})
