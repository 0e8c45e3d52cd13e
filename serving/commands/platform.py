"""Runs a platform: pictures are tagged when they are uploaded, and traced when they come back (docs/platform.md).

    faketagger platform account ann --database=sqlite:///platform.db
    faketagger platform --database=sqlite:///platform.db

The first makes an account and prints its token, the second serves pages, an interface for programs and C2PA's
resolution of soft bindings until it is interrupted. `token NAME` makes one more token of an account, `revoke ID` ends
one. Behind a proxy or with --ssl_…: browsers log in through TLS alone, but for localhost.
"""

import argparse
import os
from typing import Any

from absl import logging

from faketagger.components.contract import startup
from faketagger.serving.commands import common
from faketagger.serving.platform import DATABASE_VARIABLE

_DEFAULT_DATABASE = "sqlite:///faketagger-platform.db"
_NAMED = ("account", "token", "revoke")
_ROLES = ("user", "service", "moderator")


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv, verbosity=logging.WARNING)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger platform", __doc__, _check)
    add = parser.add_argument
    add("action", nargs="?", default="serve", choices=("serve", *_NAMED), help="what to do; default: serve")
    add("name", nargs="?", help="of the account, or the ID of the token")
    default = f"default: ${DATABASE_VARIABLE} or {_DEFAULT_DATABASE}"
    add("--database", metavar="URL", help=f"sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME; {default}")
    add("--role", default="user", choices=_ROLES, help="of a new account; services look up pictures for others")
    add("--public", action="store_true", help="verifying tells everyone the new account's name")
    add("--host", default="localhost", help="the address to listen on, 0.0.0.0 for all")
    add("--port", type=int, default=8600, help="0 for any free one")
    add("--ssl_key_file", help="PEM file of the platform's private key; with --ssl_cert_file for TLS")
    add("--ssl_cert_file", help="PEM file of the platform's certificate chain")
    add("--workers", type=int, default=2, help="pictures that are worked on at a time; of one account, one fewer")
    add("--max_mib", type=int, default=20, help="largest file")
    add("--max_megapixels", type=float, default=40.0, help="largest picture")
    add("--uploads", type=int, default=60, help="of an account in an hour")
    add("--verifications", type=int, default=120, help="of an account in an hour")
    common.add_key_flag(parser)
    common.add_backend_flags(parser)
    return parser


def _check(parser: startup.Parser, arguments: argparse.Namespace) -> None:
    if arguments.action in _NAMED and not arguments.name:
        parser.error(f"{arguments.action} takes a name")
    if arguments.action == "serve" and arguments.name:
        parser.error("serve takes no name")
    if bool(arguments.ssl_key_file) != bool(arguments.ssl_cert_file):
        parser.error("--ssl_key_file and --ssl_cert_file go together")
    for flag in ("workers", "max_mib", "max_megapixels", "uploads", "verifications"):
        if not 0 < getattr(arguments, flag) < 1e6:
            parser.error(f"argument --{flag}: a number above 0, got {getattr(arguments, flag)}")


@common.telling
def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    from faketagger.serving.platform import tables

    key = common.read_key(arguments, make_default=True) if arguments.action == "serve" else b""
    try:
        engine = tables.open_database(arguments.database or os.environ.get(DATABASE_VARIABLE) or _DEFAULT_DATABASE)
    except tables.DatabaseError as error:
        raise common.CommandError(str(error)) from error
    try:
        return _serve(arguments, engine, key) if arguments.action == "serve" else _administer(arguments, engine)
    finally:
        engine.dispose()


def _administer(arguments: argparse.Namespace, engine: Any) -> int:
    from faketagger.serving.platform.accounts import AccountError, Accounts

    accounts = Accounts(engine)
    try:
        if arguments.action == "revoke":
            accounts.revoke(arguments.name)
            print("the token is revoked")
        elif arguments.action == "token":
            print(accounts.new_token(arguments.name))
        else:
            print(accounts.add(arguments.name, arguments.role, arguments.public))
    except AccountError as error:
        raise common.CommandError(str(error)) from error
    if arguments.action != "revoke":
        common.tell("this token is shown once; only its digest is stored")
    return common.OK


def _serve(arguments: argparse.Namespace, engine: Any, key: bytes) -> int:
    from faketagger.serving.platform import app, service
    from faketagger.serving.platform.tagger import ClientTagger
    from faketagger.serving.web import listener

    common.read_pem(None, arguments.ssl_key_file, arguments.ssl_cert_file)
    limits = service.Limits(
        max_bytes=arguments.max_mib * 2**20,
        max_pixels=int(arguments.max_megapixels * 1e6),
        uploads=arguments.uploads,
        verifications=arguments.verifications,
        at_once=max(1, arguments.workers - 1),
    )
    tagger = ClientTagger(common.backend(arguments), key)
    try:
        application = app.make_app(service.Service(engine, tagger, limits), arguments.workers)
        listener.serve(
            application, arguments.host, arguments.port, arguments.ssl_key_file, arguments.ssl_cert_file, announce=_say
        )
    except OSError as error:
        where = f"{arguments.host}:{arguments.port}"
        raise common.CommandError(f"{where}: {error.strerror or error}") from error
    finally:
        tagger.close()
    return common.OK


def _say(address: str) -> None:
    print(f"The platform is on {address}", flush=True)
