"""Runs Beam pipelines on a Dask cluster: --runner=faketagger.pipelines.dask_runner.DaskRunner.

    dask scheduler & dask worker tcp://HOST:8786 --nthreads=1     # on each machine; the package must be installed there
    … --beam_args=--runner=faketagger.pipelines.dask_runner.DaskRunner --beam_args=--dask_client_address=tcp://HOST:8786

Without an address, --dask_workers processes are started on this machine. Beam's own DaskRunner (2.74) loses what a
DoFn gives at the end of a bundle, mixes outputs of several tags, computes but one of several ends of a pipeline, and
computes side inputs anew in every bundle; so writes, RunInference and example_gen do not work on it. This one takes
its options and its view of a pipeline, and runs what our pipelines are made of: Create, ParDo with tags and side
inputs, GroupByKey, Flatten and Reshuffle, bounded; anything else is refused. What DoFns one after the other do to a
bundle is one Dask task, an element at a time: what a dead worker had is computed again.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import logging
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

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
        try:
            pipeline.replace_all(overrides.dask_overrides())
            graph = _Graph(bundles or _BUNDLES * max(1, len(client.nthreads())))
            pipeline.visit(graph)
            return Result(client, _submit(graph, client))
        except BaseException:
            _close(client)
            raise


def _submit(graph: "_Graph", client: distributed.Client) -> list[distributed.Future]:
    graph.begin(lambda tasks: client.gather(client.compute(tasks)))
    ends = graph.ends()
    keys = [each.key for each in ends]
    # One task of those of which each is all that the next one takes: less is moved, and less is to be scheduled.
    tasks, _ = optimization.fuse(dict(dask.base.collections_to_dsk(ends)), keys, ave_width=1)
    return client.get(tasks, keys, sync=False)


def _close(client: distributed.Client) -> None:
    """Ends a client, and its cluster where it was started for it."""
    cluster = client.cluster
    client.close()
    if cluster is not None:
        # On a busy machine workers take longer to end than Dask waits for; what they were asked for is done.
        with contextlib.suppress(asyncio.TimeoutError):
            cluster.close()


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
            _close(self._client)
        return self._state

    def cancel(self) -> str:
        self._client.cancel(self._futures)
        _close(self._client)
        self._state = runner.PipelineState.CANCELLED
        return self._state


@dataclasses.dataclass(eq=False)
class _Stage:
    """DoFns that one task applies to a bundle of `source`, each element through all of them before the next one.

    So a bundle holds no more than what leaves it: what is read, prepared and written is there once, not all at a time.
    """

    source: pvalue.PCollection
    nodes: list[pipeline.AppliedPTransform] = dataclasses.field(default_factory=list)

    def sides(self) -> list[pvalue.PCollection]:
        return [side.pvalue for node in self.nodes for side in node.side_inputs]


class _Graph(pipeline.PipelineVisitor):
    """A pipeline's PCollections as tasks, each of which gives a bundle's elements."""

    def __init__(self, bundles: int):
        self._bundles = bundles
        self._makers: dict[pvalue.PCollection, pipeline.AppliedPTransform] = {}
        self._takers: defaultdict[pvalue.PCollection, list[pipeline.AppliedPTransform]] = defaultdict(list)
        self._stages: dict[pvalue.PCollection, _Stage] = {}
        self._made: dict[pvalue.PCollection, list[Delayed]] = {}
        self._done: dict[_Stage, list[Delayed]] = {}

    def visit_transform(self, node: pipeline.AppliedPTransform) -> None:
        if all(each in self._makers for each in node.outputs.values()):  # It hands on what it takes.
            return
        taken = [each for each in node.inputs if isinstance(each, pvalue.PCollection)]
        for each in {*taken, *(side.pvalue for side in node.side_inputs)}:
            self._takers[each].append(node)
        for each in node.outputs.values():
            self._makers[each] = node
        if isinstance(node.transform, beam.ParDo):
            stage = self._stage_for(node)
            stage.nodes.append(node)
            self._stages |= dict.fromkeys(node.outputs.values(), stage)

    def begin(self, compute: Callable[[list[Delayed]], list[Any]]) -> None:
        """Computes the side inputs that all else waits for, such as a sink's temporary directory, once.

        Where a worker died with one, it would be made again, and be another directory.
        """
        for stage in dict.fromkeys(self._stages.values()):
            if self._begins(stage):
                made = compute(self._of_stage(stage))
                self._done[stage] = [_task(pickler.loads)(pickler.dumps(each)) for each in made]

    def ends(self) -> list[Delayed]:
        """Tasks that need all others."""
        tasks = [task for stage in dict.fromkeys(self._stages.values()) for task in self._of_stage(stage)]
        unused = [made for made in self._makers if made not in self._stages and not self._takers[made]]
        tasks += [task for made in unused for task in self._tasks(made)]
        return [_task(_counted)(task) for task in tasks]

    def _stage_for(self, node: pipeline.AppliedPTransform) -> _Stage:
        """The stage that gives what a DoFn takes, unless it must end before the DoFn's side inputs are there."""
        (taken,) = node.main_inputs.values()
        stage = self._stages.get(taken)
        if stage is None or stage in self._needed([side.pvalue for side in node.side_inputs]):
            return _Stage(taken)
        return stage

    def _needed(self, wanted: list[pvalue.PCollection]) -> set[_Stage]:
        """The stages that must end before there is all of the PCollections `wanted`."""
        seen: set[pvalue.PCollection] = set()
        stages: set[_Stage] = set()
        while wanted:
            one = wanted.pop()
            if one in seen:
                continue
            seen.add(one)
            stage = self._stages.get(one)
            if stage:
                stages.add(stage)
                wanted += [stage.source, *stage.sides()]
            else:
                wanted += [each for each in self._makers[one].inputs if isinstance(each, pvalue.PCollection)]
        return stages

    def _begins(self, stage: _Stage) -> bool:
        """Whether a stage gives side inputs, and needs nothing but single values that the pipeline was told."""
        sources = [each.source for each in (stage, *self._needed([stage.source, *stage.sides()]))]
        makers = [self._makers[each].transform for each in sources if each not in self._stages]
        single = all(isinstance(each, overrides._Create) and len(list(each.values)) == 1 for each in makers)
        outputs = [made for node in stage.nodes for made in node.outputs.values()]
        return single and any(_takes_aside(node, made) for made in outputs for node in self._takers[made])

    def _tasks(self, made: pvalue.PCollection) -> list[Delayed]:
        """A bundle each."""
        if made not in self._made:
            self._made[made] = self._of(made)
        return self._made[made]

    def _of(self, made: pvalue.PCollection) -> list[Delayed]:
        if made in self._stages:
            name = id(made)
            return [_task(_item)(each, name) for each in self._of_stage(self._stages[made])]
        node = self._makers[made]
        inputs = [self._tasks(each) for each in node.inputs if isinstance(each, pvalue.PCollection)]
        if isinstance(node.transform, overrides._Create):
            return self._created(list(node.transform.values))
        if isinstance(node.transform, overrides._Reshuffle):
            return self._spread(*inputs)
        if isinstance(node.transform, overrides._GroupByKeyOnly):
            return self._grouped(*inputs)
        if isinstance(node.transform, overrides._Flatten):
            return [task for each in inputs for task in each]
        raise NotImplementedError(f"{node.full_label}: {type(node.transform).__name__} is not run on Dask here")

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

    def _of_stage(self, stage: _Stage) -> list[Delayed]:
        """Tasks that give each PCollection that is needed elsewhere, by id()."""
        if stage not in self._done:
            packed = pickler.dumps([self._described(node, stage) for node in stage.nodes])
            sides = [self._tasks(each) for each in stage.sides()]
            self._done[stage] = [
                _task(_bundle)(packed, id(stage.source), task, sides) for task in self._tasks(stage.source)
            ]
        return self._done[stage]

    def _described(self, node: pipeline.AppliedPTransform, stage: _Stage) -> "_DoFn":
        args, kwargs = node.transform.raw_side_inputs
        (main,) = node.main_inputs.values()
        kept = {
            id(made)
            for made in node.outputs.values()
            if any(each not in stage.nodes or _takes_aside(each, made) for each in self._takers[made])
        }
        return _DoFn(
            node.transform.fn,
            args,
            kwargs,
            [(type(each), each._view_options()) for each in node.side_inputs],
            main.windowing.windowfn,
            node.full_label,
            id(main),
            {tag: id(made) for tag, made in node.outputs.items()},
            kept,
        )


def _takes_aside(node: pipeline.AppliedPTransform, made: pvalue.PCollection) -> bool:
    return any(side.pvalue is made for side in node.side_inputs)


class _DoFn(NamedTuple):
    """What a worker is told of a DoFn; PCollections by id()."""

    fn: beam.DoFn
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    views: list[tuple[type, Any]]
    window_fn: window.WindowFn
    label: str
    takes: int
    gives: dict[str | None, int]  # By tag.
    kept: set[int]  # Of what it gives: what is needed elsewhere.


def _task(function: Any) -> Any:
    return dask.delayed(function, pure=False)


class _Received(common.Receiver):
    """What a DoFn gives for one tag: handed on at once, and kept where it is needed elsewhere."""

    def __init__(self, kept: bool) -> None:
        self.elements: _Elements = []
        self.takers: list[Callable[[windowed_value.WindowedValue], Any]] = []
        self._kept = kept

    def receive(self, windowed_value: windowed_value.WindowedValue) -> None:
        if self._kept:
            self.elements.append(windowed_value)
        for take in self.takers:
            take(windowed_value)


def _bundle(packed: bytes, source: int, elements: _Elements, sides: Sequence[Sequence[_Elements]]) -> dict[int, Any]:
    """What DoFns, each after those whose outputs it takes, make of a bundle: what of it is kept."""
    received: defaultdict[int, _Received] = defaultdict(lambda: _Received(kept=False))
    described, given, invokers = pickler.loads(packed), iter(sides), []
    for each in described:
        outputs = {tag: _Received(name in each.kept) for tag, name in each.gives.items()}
        received.update({name: outputs[tag] for tag, name in each.gives.items()})
        invoker = _invoker(each, outputs, [next(given) for _ in each.views])
        received[each.takes].takers.append(invoker.invoke_process)
        invokers.append(invoker)
    for invoker in invokers:
        invoker.invoke_setup()
    try:
        for invoker in invokers:
            invoker.invoke_start_bundle()
        for element in elements:
            received[source].receive(element)
        for invoker in invokers:
            invoker.invoke_finish_bundle()
    finally:
        for invoker in invokers:
            invoker.invoke_teardown()
    return {name: received[name].elements for each in described for name in each.kept}


def _invoker(described: _DoFn, outputs: dict[Any, _Received], sides: Sequence[Sequence[_Elements]]) -> Any:
    maps = [
        sideinputs.SideInputMap(view, options, [element for bundle in side for element in bundle])
        for (view, options), side in zip(described.views, sides)
    ]
    dropped: defaultdict[Any, _Received] = defaultdict(lambda: _Received(kept=False), outputs)
    return common.DoFnInvoker.create_invoker(
        common.DoFnSignature(described.fn),
        common._OutputHandler(described.window_fn, dropped[None], dropped, None, None, False, False),
        common.DoFnContext(described.label, state=None),
        maps,
        described.args,
        described.kwargs,
        bundle_finalizer_param=beam.DoFn.BundleFinalizerParam(),
    )


def _windowed(packed: bytes) -> _Elements:
    everything = (window.GlobalWindow(),)
    return [windowed_value.WindowedValue(each, window.MIN_TIMESTAMP, everything) for each in pickler.loads(packed)]


def _item(parts: Any, name: Any) -> Any:
    return parts[name]


def _every(elements: _Elements, start: int, step: int) -> _Elements:
    return elements[start::step]


def _counted(made: Any) -> int:
    return len(made)


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
