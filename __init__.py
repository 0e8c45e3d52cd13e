"""FakeTagger: invisible tags in face photographs that survive deepfake generators.

Importing the package is cheap: what it offers to Python (serving/library.py) and TFX are only imported when they are
asked for, so that Beam workers, the client and the networks do without.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faketagger.serving.errors import AlreadyTaggedError, NotReadError, PictureError, TaggerError
    from faketagger.serving.library import Tagged, Tagger
    from faketagger.serving.outcomes import Outcome

__version__ = "0.1.0"
__all__ = ["AlreadyTaggedError", "NotReadError", "Outcome", "PictureError", "Tagged", "Tagger", "TaggerError"]


def __getattr__(name: str):
    if name in ("Tagged", "Tagger"):
        from faketagger.serving import library

        return getattr(library, name)
    if name.endswith("Error") and name in __all__:
        from faketagger.serving import errors

        return getattr(errors, name)
    if name == "Outcome":
        from faketagger.serving.outcomes import Outcome

        return Outcome
    # TFX's Kubeflow v2 runner imports an artifact type by its TYPE_NAME, `faketagger.GanSimulators`.
    if name == "GanSimulators":
        from faketagger.components.simulator.artifact import GanSimulators

        return GanSimulators
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
