"""Runs Beam pipelines on a Dask cluster: --runner=faketagger.pipelines.dask_runner.DaskRunner.

    dask scheduler & dask worker tcp://HOST:8786 --nthreads=1     # on each machine; the package must be installed there
    … --beam_args=--runner=faketagger.pipelines.dask_runner.DaskRunner --beam_args=--dask_client_address=tcp://HOST:8786

Without an address, --dask_workers processes are started on this machine. Beam's own DaskRunner (2.74) loses what a
DoFn gives at the end of a bundle, mixes outputs of several tags, computes but one of several ends of a pipeline, and
computes side inputs anew in every bundle; so writes, RunInference and example_gen do not work on it. This one takes
its options and its view of a pipeline, and runs what our pipelines are made of: Create, ParDo with tags and side
inputs, GroupByKey, Flatten and Reshuffle, bounded; anything else is refused. A bundle is a Dask task: what a dead
worker had is computed again.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import dask
from apache_beam import coders, pipeline, pvalue
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners import common, runner
from apache_beam.runners.dask import dask_runner, overrides
from apache_beam.transforms import sideinputs, window
from apache_beam.utils import windowed_value
from dask import distributed, optimization
from dask.delayed import Delayed

# Bundles a worker: enough that a slow one keeps none of the others waiting for long.
_BUNDLES = 8
_Elements = list[windowed_value.WindowedValue]


class LocalOptions(PipelineOptions):
    """Of a cluster that is started for one pipeline."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--dask_workers", type=int, help="processes to start where no address is given")


class DaskRunner(dask_runner.DaskRunner):
    """Executes a bounded pipeline on Dask's workers."""

    def run_pipeline(self, pipeline: beam.Pipeline, options: PipelineOptions) -> "Result":
        given = options.view_as(dask_runner.DaskOptions).get_all_options(drop_default=True, current_only=True)
        bundles = given.pop("npartitions", None)
        if not (given.get("address") or given.get("scheduler_file")):
            workers = options.view_as(LocalOptions).dask_workers or os.cpu_count()
            logging.getLogger("distributed").setLevel(logging.ERROR)  # It tells of each connection.
            # A thread each: TensorFlow brings its own.
            given["address"] = distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
        client = distributed.Client(**given)
        pipeline.replace_all(overrides.dask_overrides())
        graph = _Graph(bundles or _BUNDLES * max(1, len(client.nthreads())))
        pipeline.visit(graph)
        ends = graph.ends()
        keys = [each.key for each in ends]
        # One task of those of which each is all that the next one takes: less is moved, and less is to be scheduled.
        tasks, _ = optimization.fuse(dict(dask.base.collections_to_dsk(ends)), keys, ave_width=1)
        return Result(client, client.get(tasks, keys, sync=False))


class Result(runner.PipelineResult):
    """A running pipeline; its cluster ends with it where it was started for it."""

    def __init__(self, client: distributed.Client, futures: Sequence[distributed.Future]):
        super().__init__(runner.PipelineState.RUNNING)
        self._client, self._futures = client, futures

    def wait_until_finish(self, duration: int | None = None) -> str:
        """Waits, at most `duration` milliseconds; raises what a worker raised."""
        try:
            distributed.wait(self._futures, None if duration is None else duration / 1000)
            self._client.gather(self._futures)
            self._state = runner.PipelineState.DONE
        except BaseException:
            self._state = runner.PipelineState.FAILED
            raise
        finally:
            self._close()
        return self._state

    def cancel(self) -> str:
        self._client.cancel(self._futures)
        self._close()
        self._state = runner.PipelineState.CANCELLED
        return self._state

    def _close(self) -> None:
        cluster = self._client.cluster
        self._client.close()
        if cluster is not None:
            # On a busy machine workers take longer to end than Dask waits for; what they were asked for is done.
            with contextlib.suppress(asyncio.TimeoutError):
                cluster.close()


class _Graph(pipeline.PipelineVisitor):
    """A pipeline's PCollections as tasks, each of which gives a bundle's elements."""

    def __init__(self, bundles: int):
        self._bundles = bundles
        self._made: dict[pvalue.PCollection, list[Delayed]] = {}
        self._used: set[pvalue.PCollection] = set()

    def visit_transform(self, node: pipeline.AppliedPTransform) -> None:
        transform, taken = node.transform, [each for each in node.inputs if isinstance(each, pvalue.PCollection)]
        if all(each in self._made for each in node.outputs.values()):  # It hands on what it takes.
            return
        self._used.update(taken, (side.pvalue for side in node.side_inputs))
        inputs = [self._made[each] for each in taken]
        if isinstance(transform, beam.ParDo):
            self._add_bundles(node, *inputs)
            return
        (output,) = node.outputs.values()
        if isinstance(transform, overrides._Create):
            self._made[output] = self._created(list(transform.values))
        elif isinstance(transform, overrides._Reshuffle):
            self._made[output] = self._spread(*inputs)
        elif isinstance(transform, overrides._GroupByKeyOnly):
            self._made[output] = self._grouped(*inputs)
        elif isinstance(transform, overrides._Flatten):
            self._made[output] = [task for each in inputs for task in each]
        else:
            raise NotImplementedError(f"{node.full_label}: {type(transform).__name__} is not run on Dask here")

    def ends(self) -> list[Delayed]:
        """Tasks that need all others."""
        last = [tasks for made, tasks in self._made.items() if made not in self._used]
        return [_task(_counted)(task) for tasks in last for task in tasks]

    def _created(self, values: list[Any]) -> list[Delayed]:
        size = max(1, -(-len(values) // self._bundles))
        cut = [values[start : start + size] for start in range(0, len(values), size)]
        # Pickled: Dask would look into them for tasks of its own.
        return [_task(_windowed)(pickler.dumps(each)) for each in cut or [[]]]

    def _spread(self, tasks: list[Delayed]) -> list[Delayed]:
        each = -(-self._bundles // len(tasks))
        if each == 1:
            return tasks
        return [_task(_every)(task, start, each) for task in tasks for start in range(each)]

    def _grouped(self, tasks: list[Delayed]) -> list[Delayed]:
        count = min(max(1, self._bundles // _BUNDLES), len(tasks))  # Each bundle has something for each of them.
        split = [_task(_by_key)(task, count) for task in tasks]
        return [_task(_merged)([_task(_item)(each, bucket) for each in split]) for bucket in range(count)]

    def _add_bundles(self, node: pipeline.AppliedPTransform, tasks: list[Delayed]) -> None:
        args, kwargs = node.transform.raw_side_inputs
        views = [(type(each), each._view_options()) for each in node.side_inputs]
        (main,) = node.main_inputs.values()
        packed = pickler.dumps(
            (node.transform.fn, args, kwargs, views, main.windowing.windowfn, node.full_label, list(node.outputs))
        )
        sides = [self._made[each.pvalue] for each in node.side_inputs]
        bundles = [_task(_bundle)(packed, task, sides) for task in tasks]
        for tag, output in node.outputs.items():
            self._made[output] = [_task(_item)(each, tag) for each in bundles]


def _task(function: Any) -> Any:
    return dask.delayed(function, pure=False)


class _Received(common.Receiver):
    """What a DoFn gives for one tag."""

    def __init__(self) -> None:
        self.elements: _Elements = []

    def receive(self, windowed_value: windowed_value.WindowedValue) -> None:
        self.elements.append(windowed_value)


def _bundle(packed: bytes, elements: _Elements, sides: Sequence[Sequence[_Elements]]) -> dict[Any, _Elements]:
    """What a DoFn makes of a bundle, by tag."""
    fn, args, kwargs, views, window_fn, label, tags = pickler.loads(packed)
    received: defaultdict[Any, _Received] = defaultdict(_Received)
    maps = [
        sideinputs.SideInputMap(view, options, [element for bundle in side for element in bundle])
        for (view, options), side in zip(views, sides)
    ]
    invoker = common.DoFnInvoker.create_invoker(
        common.DoFnSignature(fn),
        common._OutputHandler(window_fn, received[None], received, None, None, False, False),
        common.DoFnContext(label, state=None),
        maps,
        args,
        kwargs,
        bundle_finalizer_param=beam.DoFn.BundleFinalizerParam(),
    )
    invoker.invoke_setup()
    try:
        invoker.invoke_start_bundle()
        for element in elements:
            invoker.invoke_process(element)
        invoker.invoke_finish_bundle()
    finally:
        invoker.invoke_teardown()
    return {tag: received[tag].elements for tag in tags}


def _windowed(packed: bytes) -> _Elements:
    everything = (window.GlobalWindow(),)
    return [windowed_value.WindowedValue(each, window.MIN_TIMESTAMP, everything) for each in pickler.loads(packed)]


def _item(parts: Any, name: Any) -> Any:
    return parts[name]


def _every(elements: _Elements, start: int, step: int) -> _Elements:
    return elements[start::step]


def _counted(elements: _Elements) -> int:
    return len(elements)


def _by_key(elements: _Elements, count: int) -> list[dict[bytes, tuple[Any, list[Any]]]]:
    """Keys and their values, in buckets that are the same in every process, as hash() is not."""
    buckets: list[dict[bytes, tuple[Any, list[Any]]]] = [{} for _ in range(count)]
    coder = coders.FastPrimitivesCoder()
    for element in elements:
        key, value = element.value
        name = coder.encode(key)
        buckets[zlib.crc32(name) % count].setdefault(name, (key, []))[1].append(value)
    return buckets


def _merged(parts: Iterable[dict[bytes, tuple[Any, list[Any]]]]) -> _Elements:
    groups: dict[bytes, tuple[Any, list[Any]]] = {}
    for part in parts:
        for name, (key, values) in part.items():
            groups.setdefault(name, (key, []))[1].extend(values)
    everything = (window.GlobalWindow(),)
    return [windowed_value.WindowedValue(each, window.MIN_TIMESTAMP, everything) for each in groups.values()]
