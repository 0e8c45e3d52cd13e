"""The artifact type that carries simulators between steps."""

from tfx.types import artifact


class GanSimulators(artifact.Artifact):
    """A directory with one simulator a folder (contract/manifest.py says what is in it).

    TYPE_NAME has exactly one dot and is also where the class is imported from, as TFX's Kubeflow v2 runner requires.
    """

    TYPE_NAME = "faketagger.GanSimulators"
