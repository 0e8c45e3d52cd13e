"""Which devices a training runs on, from what TensorFlow sees and TF_CONFIG says; and what its replicas have in common.

Vertex AI and Kubeflow's training operator set TF_CONFIG (JSON: `cluster`, addresses by task type; `task`, this one).
"""

import json
import os

import tensorflow as tf

VARIABLE = "TF_CONFIG"
_WORKING = ("chief", "worker")  # Task types that train.


def choose() -> tf.distribute.Strategy:
    """One worker of several, several GPUs, or what there is. To be called before anything of TensorFlow's is computed.

    Raises:
      ValueError: TF_CONFIG is no such JSON, or does not name this task.
    """
    if workers() > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def workers() -> int:
    """How many processes train together: 1 without TF_CONFIG."""
    return max(1, sum(len(tasks) for tasks in _cluster().values()))


def is_chief() -> bool:
    """Whether it is this process that writes what was trained."""
    if workers() < 2:
        return True
    task = _told().get("task", {})
    cluster = _cluster()
    kind, index = task.get("type"), task.get("index")
    if kind not in cluster or not isinstance(index, int) or not 0 <= index < len(cluster[kind]):
        raise ValueError(f"{VARIABLE}: `task` must be one of `cluster`'s, found {task!r}")
    return index == 0 and kind == ("chief" if "chief" in cluster else "worker")


def _cluster() -> dict[str, list[str]]:
    cluster = _told().get("cluster", {})
    if not isinstance(cluster, dict) or not all(isinstance(tasks, list) for tasks in cluster.values()):
        raise ValueError(f"{VARIABLE}: `cluster` must have lists of addresses by task type, found {cluster!r}")
    return {kind: cluster[kind] for kind in _WORKING if kind in cluster}


def _told() -> dict:
    text = os.environ.get(VARIABLE) or "{}"
    try:
        told = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{VARIABLE}: expected JSON, found {text[:100]!r}: {error}") from error
    if not isinstance(told, dict):
        raise ValueError(f"{VARIABLE}: expected an object, found {text[:100]!r}")
    return told


def replicas() -> int:
    """How many replicas compute a step, where one of them is being built; 1 elsewhere."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def mean(value: tf.Tensor) -> tf.Tensor:
    """The mean over all replicas of what each has; not inside a condition."""
    return _reduced(tf.distribute.ReduceOp.MEAN, value)


def total(value: tf.Tensor) -> tf.Tensor:
    """The sum over all replicas; not inside a condition."""
    return _reduced(tf.distribute.ReduceOp.SUM, value)


def _reduced(operation: tf.distribute.ReduceOp, value: tf.Tensor) -> tf.Tensor:
    return value if replicas() == 1 else tf.distribute.get_replica_context().all_reduce(operation, value)


def shared_variable(value, dtype: tf.DType | None = None) -> tf.Variable:
    """A variable that every replica assigns the same: each keeps its own, so that a condition may assign it too."""
    return tf.Variable(
        value,
        trainable=False,
        dtype=dtype,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
