"""Calls that send nothing: each costs a coroutine, and those that wait longest go first."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

MOST_WAITING = 500


class FirstMessage(grpc.aio.ServerInterceptor):
    """Ends calls whose message is not there in time, or malformed, and the oldest of very many that wait for one."""

    def __init__(self, seconds: float, most_waiting: int = MOST_WAITING):
        """`seconds` is how long one is waited for, `most_waiting` by how many calls."""
        self._seconds = seconds
        self._most_waiting = most_waiting
        self._waiting: dict[asyncio.Future, None] = {}  # The oldest first.

    async def intercept_service(self, continuation: Callable, details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(details)
        if handler is None or handler.request_streaming:
            return handler
        method = handler.unary_stream if handler.response_streaming else handler.unary_unary
        parse = handler.request_deserializer or (lambda message: message)

        async def handle(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> Any:
            message = await self._first(messages, context)
            try:
                request = parse(message)
            except Exception:  # Whatever a parser raises.
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Malformed message for {details.method}")
            return await method(request, context)

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(handle, None, handler.response_serializer)
        return grpc.stream_unary_rpc_method_handler(handle, None, handler.response_serializer)

    async def _first(self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
        reading = asyncio.ensure_future(_next(messages))
        self._waiting[reading] = None
        if len(self._waiting) > self._most_waiting:
            next(iter(self._waiting)).cancel()
        try:
            await asyncio.wait({reading}, timeout=self._seconds)
        finally:
            del self._waiting[reading]
            in_time = reading.done() and not reading.cancelled()
            reading.cancel()
        if not in_time:
            late = f"No whole message came within {self._seconds:g} s, or too many calls wait for theirs"
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, late)
        message = reading.result()
        if message is None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The call ended without a message")
        return message


async def _next(messages: AsyncIterator[bytes]) -> bytes | None:
    """None where there is none: a future holds no StopAsyncIteration."""
    return await anext(aiter(messages), None)
