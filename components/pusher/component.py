"""TFX's stock Pusher, wired to a TF Serving base path.

It copies `saved_model.pb` last, so a push that was killed leaves a version that no server loads.
"""

from tfx.components import Pusher
from tfx.proto import pusher_pb2
from tfx.types import channel


def make_pusher(model: channel.BaseChannel, blessing: channel.BaseChannel, base_path: str) -> Pusher:
    """A Pusher that copies a blessed tagger to `base_path`/<version>; without a blessing it pushes nothing.

    Args:
      model: channel of Model.
      blessing: channel of ModelBlessing; required, as the stock Pusher only warns where it is missing.
      base_path: what TF Serving is given as the model's base path.
    """
    destination = pusher_pb2.PushDestination(filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=base_path))
    return Pusher(model=model, model_blessing=blessing, push_destination=destination)
