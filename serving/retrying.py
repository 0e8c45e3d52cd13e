"""Which refused calls are tried again, and when.

A call of a tagger changes nothing, so that it may be made twice. Tried again is what a moment may mend: a server that
cannot be reached, by gRPC itself (SERVICE_CONFIG), and one that says it is overloaded, here. Not: what is refused for
what it is, though too large a message has the same code, and what took all of its time.
"""

import random

import grpc

MAX_TRIES = 5

SERVICE_CONFIG = {
    # Where a name stands for several servers, calls go to each in turn.
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": f"tensorflow.serving.{name}"} for name in ("PredictionService", "ModelService")],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


def is_overload(error: grpc.RpcError) -> bool:
    """Whether a server says that it has too much to do."""
    return _pushback(error) is not None


def pause(error: grpc.RpcError, tried: int, seconds_left: float) -> float | None:
    """How many seconds to wait before the next try; None where there should be none.

    Args:
      error: of the last try.
      tried: how many there were.
      seconds_left: of the whole call's time.
    """
    told = _pushback(error)
    if told is None or tried >= MAX_TRIES:
        return None
    # Clients that were refused together should not come back together.
    seconds = told * 2 ** (tried - 1) * random.uniform(0.5, 1.5)
    return seconds if seconds < seconds_left else None


def _pushback(error: grpc.RpcError) -> float | None:
    if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
        return None
    told = dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms", "")
    return int(told) / 1000 if str(told).isdigit() else None
