"""What the commands share: exit statuses, the key, and the back-end that flags name."""

import argparse
import functools
import os
import re
import ssl
import stat
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from faketagger.components.contract import payload, pretrained, startup

# The client imports TensorFlow, which takes seconds: only the commands that need it do, where they need it.

DEFAULT_KEY_FILE = "~/.config/faketagger/key"
SERVER_VARIABLE = "FAKETAGGER_SERVER"
KEY_FILE_VARIABLE = "FAKETAGGER_KEY_FILE"

OK, FAILED, USAGE = startup.OK, startup.FAILED, startup.USAGE


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_Answer = TypeVar("_Answer")


class RefusedError(Exception):
    """A picture is not taken; the others can be."""


class CommandError(Exception):
    """Ends the command with a line for people and an exit status."""

    def __init__(self, message: str, exit_code: int = FAILED):
        super().__init__(message)
        self.exit_code = exit_code


def telling(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Decorates what does a command's work: a CommandError is told, and its exit status returned."""

    @functools.wraps(run)
    def run_and_tell(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except CommandError as error:
            tell(str(error))
            return error.exit_code

    return run_and_tell


def tell(message: str) -> None:
    """A line on standard error."""
    print(f"faketagger: {legible(message)}", file=sys.stderr)


def legible(text: str) -> str:
    """Text with its control characters written out: a file's name may hold such, which a terminal would obey."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def add_backend_flags(parser: startup.Parser) -> None:
    """Where the tagger runs, and how the answer is printed."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--server", metavar="HOST:PORT", help=f"a server to work through; default: ${SERVER_VARIABLE}")
    where.add_argument(
        "--model", metavar="DIR", help="a SavedModel to run in this process; default: the shipped tagger"
    )
    add = parser.add_argument
    add("--model_name", default="faketagger", help="the served model's name")
    add("--label", help="the version label to use, such as stable; default: the latest version")
    add("--timeout", type=float, default=60.0, help="seconds that one call may take")
    add("--tls", action="store_true", help="the server uses TLS, with a publicly known certificate")
    add("--tls_ca_file", help="PEM file of the authority that signed the server's; implies --tls")
    add("--tls_cert_file", help="PEM file of this client's certificate; implies --tls")
    add("--tls_key_file", help="PEM file of this client's private key")
    add("--json", action="store_true", help="print JSON")


def add_key_flag(parser: startup.Parser) -> None:
    """Which secret key is used."""
    default = f"default: ${KEY_FILE_VARIABLE} or {DEFAULT_KEY_FILE}"
    parser.add_argument("--key_file", help=f"the secret key; {default}")


def make_key(path: str) -> None:
    """A new key in a file of its own; CommandError where there is one."""
    if not _made_key(path):
        raise CommandError(f"{path}: exists, and a key is never replaced: tags made with it would be lost")


def _made_key(path: str) -> bool:
    """Whether there was none."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        payload.make_key(path)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error


def key_path(arguments: argparse.Namespace) -> str:
    """The file of the key that the flags name."""
    return arguments.key_file or os.environ.get(KEY_FILE_VARIABLE) or os.path.expanduser(DEFAULT_KEY_FILE)


def read_key(arguments: argparse.Namespace, make_default: bool) -> bytes:
    """The key that the flags name; `make_default` makes the default one where there is none."""
    path = key_path(arguments)
    is_default = path == os.path.expanduser(DEFAULT_KEY_FILE)
    # Of several programs that begin at a time one makes it.
    if make_default and is_default and not os.path.exists(path) and _made_key(path):
        tell(f"made a new key, {path}; keep a copy: without it no tag can be read")
    try:
        key = payload.read_key(path)
        _tell_of_readers(path)
        return key
    except ValueError as error:
        hint = "" if make_default else "; reading takes the very key that the picture was tagged with"
        raise CommandError(f"{error}{hint}") from error


class LazyClient:
    """A TaggerClient that is made when it is first called: what fails before that is told at once. A context."""

    def __init__(self, arguments: argparse.Namespace, key: Callable[[], bytes]):
        """Calls `key` when the client is made."""
        self._arguments, self._key = arguments, key
        self._client: Any = None

    def __enter__(self) -> "LazyClient":
        return self

    def __exit__(self, *error: object) -> None:
        if self._client is not None:
            self._client.close()

    @property
    def key_fingerprint(self) -> str:
        """Of the key in use, after the first call."""
        return self._client.key_fingerprint

    def call(self, work: Callable[[Any], _Answer]) -> _Answer:
        """What `work` makes of the client.

        Raises:
          RefusedError: this one picture is refused.
          CommandError: the client fails at what concerns every picture.
        """
        key = self._key() if self._client is None else b""
        from faketagger.serving.client import PictureError, TaggerClient, TaggerError

        try:
            if self._client is None:
                self._client = TaggerClient(backend(self._arguments), key)
            return work(self._client)
        except PictureError as error:
            raise RefusedError(str(error)) from error
        except TaggerError as error:
            raise CommandError(str(error)) from error


def backend(arguments: argparse.Namespace) -> Any:
    """The Backend that the flags name."""
    from faketagger.serving.client import TaggerError, connect, load

    address = server(arguments)
    if address:
        credentials = _credentials(arguments)
        return connect(address, arguments.model_name, arguments.timeout, credentials, arguments.label)
    try:
        return load(model(arguments))
    except TaggerError as error:
        raise CommandError(str(error)) from error


def server(arguments: argparse.Namespace) -> str | None:
    """None where the work is done in this process."""
    return None if arguments.model else arguments.server or os.environ.get(SERVER_VARIABLE)


def model(arguments: argparse.Namespace) -> str:
    """The model that is used where the work is done in this process."""
    return arguments.model or pretrained.TAGGER


def _credentials(arguments: argparse.Namespace) -> Any:
    import grpc

    paths = (arguments.tls_ca_file, arguments.tls_key_file, arguments.tls_cert_file)
    if bool(arguments.tls_key_file) != bool(arguments.tls_cert_file):
        raise CommandError("--tls_key_file and --tls_cert_file go together", USAGE)
    if not (arguments.tls or any(paths)):
        return None
    return grpc.ssl_channel_credentials(*read_pem(*paths))


def read_pem(
    ca_file: str | None, key_file: str | None, certificate_file: str | None
) -> tuple[bytes | None, bytes | None, bytes | None]:
    """The PEM files of an authority, of a private key and of its certificate, as far as there are such.

    Raises:
      CommandError: a file is missing or no PEM, or certificate and key do not belong together: gRPC would take them,
        and then fail every connection without a word.
    """
    ca, key, certificate = (_read_file(path) if path else None for path in (ca_file, key_file, certificate_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except ssl.SSLError as error:
            raise CommandError(f"{ca_file}: holds no certificate in PEM form") from error
    if key_file and certificate_file:
        _tell_of_readers(key_file)
        try:
            context.load_cert_chain(certificate_file, key_file, password="")  # Otherwise it would be asked for.
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise CommandError(f"{certificate_file}: not the certificate of the key {key_file}") from error
            wanted = "a certificate and its unencrypted private key, both in PEM form"
            raise CommandError(f"{certificate_file}, {key_file}: expected {wanted}") from error
    return ca, key, certificate


def _tell_of_readers(path: str) -> None:
    if os.stat(path).st_mode & stat.S_IROTH:  # Told and not refused: some systems mount secrets so.
        tell(f"{path}: every user of this machine can read this secret; `chmod 600 {path}` keeps it")


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
