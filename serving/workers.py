"""A bounded number of threads that calls wait for, and a bounded number of calls that wait."""

import asyncio
import concurrent.futures
import contextlib
import functools
import threading
from collections.abc import Callable
from typing import TypeVar

import grpc

from faketagger.serving import decoding
from faketagger.serving.servable import ServingError

_Answer = TypeVar("_Answer")


class Workers:
    """Runs functions in threads, for coroutines of one event loop."""

    def __init__(self, name: str, threads: int, most_calls: int, most_bytes: int):
        """Makes the threads.

        Args:
          name: of the threads.
          threads: how many functions run at once.
          most_calls: how many run or wait; more are refused.
          most_bytes: what the messages of those may have together; a single one may have any size.
        """
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most_calls = most_calls
        self._most_bytes = most_bytes
        self._calls = 0
        self._bytes = 0

    async def run(self, function: Callable[[bytes], _Answer], message: bytes) -> _Answer:
        """What `function` makes of a message.

        If the caller is cancelled while it waits, `function` is not called at all; while it runs, it finds
        decoding.is_given_up true.

        Raises:
          ServingError: too much waits already: RESOURCE_EXHAUSTED, which a later try may not find.
        """
        if self._calls >= self._most_calls or (self._calls and self._bytes + len(message) > self._most_bytes):
            raise ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"overloaded: {self._calls} calls wait; try again later", True
            )
        self._calls += 1
        self._bytes += len(message)
        gone = threading.Event()
        future = self._threads.submit(_work, gone, function, message)
        # A thread cannot be stopped: its place is free when it is done, not when its caller goes.
        future.add_done_callback(functools.partial(self._leave_soon, asyncio.get_running_loop(), len(message)))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            gone.set()
            raise

    def stop(self) -> None:
        """Calls nothing that still waits."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _leave_soon(self, loop: asyncio.AbstractEventLoop, size: int, future: concurrent.futures.Future) -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody counts any more.
            loop.call_soon_threadsafe(self._leave, size)

    def _leave(self, size: int) -> None:
        self._calls -= 1
        self._bytes -= size


def _work(gone: threading.Event, function: Callable[[bytes], _Answer], message: bytes) -> _Answer:
    decoding.is_given_up.set(gone.is_set)
    return function(message)
