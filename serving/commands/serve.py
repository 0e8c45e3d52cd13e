"""Serves a tagger over gRPC and REST, as TensorFlow Serving would, on machines that have only Python.

    faketagger serve --model_base_path=work/serving/faketagger --rest_api_port=8501

It loads the newest version below --model_base_path, which `faketagger run` and TFX's Pusher fill, and each newer one
that appears there, until it is interrupted or terminated. docs/serving.md says what TensorFlow Serving does besides.
"""

import argparse
import signal
import threading
from typing import Any

from absl import logging

from faketagger.components.contract import startup
from faketagger.serving.commands import common

MAX_MESSAGE_MIB = 2047  # As start_server's.
MAX_MEGAPIXELS = 50  # The same.


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv, verbosity=logging.INFO)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger serve", __doc__, _check)
    add = parser.add_argument
    models = parser.add_mutually_exclusive_group(required=True)
    models.add_argument("--model_base_path", help="directory of directories named by version number")
    models.add_argument("--model_config_file", help="several models, as in serving/models.config")
    add("--model_name", default="faketagger", help="the name that clients ask for, with --model_base_path")
    add("--port", type=int, default=8500, help="0 for any free one")
    add("--rest_api_port", type=int, default=0, help="of the REST API; 0 for none")
    add("--rest_api_timeout_in_ms", type=int, default=30_000, help="of a REST call")
    add("--monitoring_config_file", help="where metrics are, as in serving/monitoring.config; default: nowhere")
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
    if not 1 <= arguments.max_message_mib <= MAX_MESSAGE_MIB:
        parser.error(f"--max_message_mib goes from 1 to {MAX_MESSAGE_MIB}, gRPC's own limit")
    if arguments.monitoring_config_file and not arguments.rest_api_port:
        parser.error("--monitoring_config_file needs --rest_api_port, where the metrics are")
    if arguments.rest_api_port and arguments.rest_api_port == arguments.port:
        parser.error("--rest_api_port cannot be --port as well")
    if arguments.rest_api_timeout_in_ms <= 0:
        parser.error("--rest_api_timeout_in_ms is a number above 0")
    if not 0 < arguments.max_megapixels <= 1000:
        parser.error("--max_megapixels goes from 0 to 1000")


@common.telling
def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    from faketagger.serving import configs, server
    from faketagger.serving.servable import ServingError

    try:
        running = server.start_server(
            _models(arguments),
            arguments.port,
            model_name=arguments.model_name,
            host=arguments.host,
            credentials=_credentials(arguments),
            max_message_bytes=arguments.max_message_mib * 2**20,
            max_pixels=int(arguments.max_megapixels * 1e6),
            rest=_rest(arguments),
        )
    except (OSError, ServingError, configs.ConfigError) as error:
        raise common.CommandError(str(error)) from error
    for name in running.manager.names():
        versions = running.manager.available(name)
        what = f"version {max(versions)}" if versions else "no version yet, waiting for one"
        where = f"{running.manager.base_path(name)} on {server.address(arguments.host, running.port)}"
        print(f"Serving {name} ({what}) from {where}", flush=True)
    if running.rest_port:
        print(f"REST on {server.address(arguments.host, running.rest_port)}", flush=True)
    stopping.wait()
    running.stop()
    return startup.OK


def _models(arguments: argparse.Namespace) -> Any:
    from faketagger.serving import configs

    return arguments.model_base_path or configs.read_models(arguments.model_config_file)


def _rest(arguments: argparse.Namespace) -> Any | None:
    from faketagger.serving import configs, server

    if not arguments.rest_api_port:
        return None
    monitoring = arguments.monitoring_config_file
    return server.Rest(
        arguments.rest_api_port,
        arguments.rest_api_timeout_in_ms / 1000,
        configs.read_metrics_path(monitoring) if monitoring else "",
        arguments.ssl_key_file,
        arguments.ssl_cert_file,
        arguments.ssl_client_ca_file,
    )


def _credentials(arguments: argparse.Namespace) -> Any | None:
    import grpc

    if not arguments.ssl_key_file:
        return None
    client_ca, key, certificate = common.read_pem(
        arguments.ssl_client_ca_file, arguments.ssl_key_file, arguments.ssl_cert_file
    )
    return grpc.ssl_server_credentials([(key, certificate)], client_ca, require_client_auth=client_ca is not None)
