"""Serves a tagger over gRPC, as TensorFlow Serving would, on machines that have only Python.

    faketagger serve --model_base_path=work/serving/faketagger

It loads the newest version below --model_base_path, which `faketagger run` and TFX's Pusher fill, and each newer one
that appears there, until it is interrupted or terminated.
"""

import argparse
import signal
import sys
import threading
from typing import Any

from absl import logging

from faketagger.components.contract import startup
from faketagger.serving.commands import common

MAX_MESSAGE_MIB = 64  # As start_server's.
MAX_MEGAPIXELS = 50  # The same.


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv, verbosity=logging.INFO)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger serve", __doc__, _check)
    add = parser.add_argument
    add("--model_base_path", required=True, help="directory of directories named by version number")
    add("--model_name", default="faketagger", help="the name that clients ask for")
    add("--port", type=int, default=8500, help="0 for any free one")
    add("--host", default="localhost", help="the address to listen on, 0.0.0.0 for all")
    add("--max_message_mib", type=int, default=MAX_MESSAGE_MIB, help="largest message")
    add("--max_megapixels", type=float, default=MAX_MEGAPIXELS, help="of one call's pictures together")
    add("--ssl_key_file", help="PEM file of the server's private key; with --ssl_cert_file for TLS")
    add("--ssl_cert_file", help="PEM file of the server's certificate chain")
    add("--ssl_client_ca_file", help="PEM file: clients must show a certificate that it signed")
    return parser


def _check(parser: startup.Parser, arguments: argparse.Namespace) -> None:
    if bool(arguments.ssl_key_file) != bool(arguments.ssl_cert_file):
        parser.error("--ssl_key_file and --ssl_cert_file go together")
    if arguments.ssl_client_ca_file and not arguments.ssl_key_file:
        parser.error("--ssl_client_ca_file needs --ssl_key_file and --ssl_cert_file")
    if not 1 <= arguments.max_message_mib < 2048:
        parser.error("--max_message_mib goes from 1 to 2047, gRPC's own limit")
    if not 0 < arguments.max_megapixels <= 1000:
        parser.error("--max_megapixels goes from 0 to 1000")


@common.telling
def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    from faketagger.serving import server

    try:
        running = server.start_server(
            arguments.model_base_path,
            arguments.port,
            model_name=arguments.model_name,
            host=arguments.host,
            credentials=_credentials(arguments),
            max_message_bytes=arguments.max_message_mib * 2**20,
            max_pixels=int(arguments.max_megapixels * 1e6),
        )
    except OSError as error:
        print(f"faketagger: {error}", file=sys.stderr)
        return startup.FAILED
    versions = running.manager.available(arguments.model_name)
    what = f"version {max(versions)}" if versions else "no version yet, waiting for one"
    where = f"{server.absolute(arguments.model_base_path)} on {server.address(arguments.host, running.port)}"
    print(f"Serving {arguments.model_name} ({what}) from {where}", flush=True)
    stopping.wait()
    running.stop()
    return startup.OK


def _credentials(arguments: argparse.Namespace) -> Any | None:
    import grpc

    if not arguments.ssl_key_file:
        return None
    client_ca, key, certificate = common.read_pem(
        arguments.ssl_client_ca_file, arguments.ssl_key_file, arguments.ssl_cert_file
    )
    return grpc.ssl_server_credentials([(key, certificate)], client_ca, require_client_auth=client_ca is not None)
