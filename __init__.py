"""FakeTagger: invisible tags in face photographs that survive deepfake generators.

Importing the package is cheap: TFX is only imported when the artifact type is asked for, so that Beam workers, the
client and the networks do without it.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    # TFX's Kubeflow v2 runner imports an artifact type by its TYPE_NAME, `faketagger.GanSimulators`.
    if name == "GanSimulators":
        from faketagger.components.simulator.artifact import GanSimulators

        return GanSimulators
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
