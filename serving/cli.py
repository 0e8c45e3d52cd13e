"""The `faketagger` command: tag and read pictures, make a key, ask a server how it is.

    faketagger tag in.jpg out.png --uid 12345
    faketagger read out.png

By the shipped tagger, in this process, unless --model names another or --server a server.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Callable

from absl import app
from absl.flags import argparse_flags

from faketagger.components.contract import images, payload, pretrained

# The client imports TensorFlow, which takes seconds: only the commands that need it do, where they need it.

DEFAULT_KEY_FILE = "~/.config/faketagger/key"
SERVER_VARIABLE = "FAKETAGGER_SERVER"
KEY_FILE_VARIABLE = "FAKETAGGER_KEY_FILE"

OK, ERROR, USAGE, NO_TAG = 0, 1, 2, 3

# The p-value of nearly every untagged picture is 1; below, the best candidate may help to find the original.
_WORTH_A_LOOK = 0.5


class CommandError(Exception):
    """Ends the command with a line for people and an exit code."""

    def __init__(self, message: str, exit_code: int = ERROR):
        super().__init__(message)
        self.exit_code = exit_code


def main() -> None:
    """The console script."""
    app.run(run, flags_parser=parse)


def parse(argv: list[str]):
    """The arguments of a command line, program name first; exits with 2 and a usage line when they are wrong."""
    parser = argparse_flags.ArgumentParser(prog="faketagger", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    tag = commands.add_parser("tag", help="put a tag into a picture; what comes out is PNG, of the same size")
    tag.add_argument("input", help="the picture: JPEG, PNG, WebP, BMP or TIFF")
    tag.add_argument("output", help="the tagged picture; it must end in .png: other formats would damage the tag")
    tag.add_argument("--uid", type=int, required=True, help="the number to put in; `faketagger status` says how large")
    tag.add_argument("--strength", type=float, help="how strongly; the model's own default")
    tag.set_defaults(function=_tag)
    read = commands.add_parser("read", help="read tags; exit code 0: all are tagged, 3: some are not, 1: some failed")
    read.add_argument("inputs", nargs="+", metavar="picture", help="a picture file")
    read.set_defaults(function=_read)
    status = commands.add_parser("status", help="which versions are served, and what the tagger in use can do")
    status.set_defaults(function=_status)
    keygen = commands.add_parser("keygen", help="make a new secret key")
    keygen.add_argument("path", help="the file to write; an existing one is never replaced")
    keygen.set_defaults(function=_keygen)
    for command in (tag, read, status):
        _add_backend_arguments(command)
    for command in (tag, read):
        default = f"default: ${KEY_FILE_VARIABLE} or {DEFAULT_KEY_FILE}"
        command.add_argument("--key_file", help=f"the secret key; {default}")
    return parser.parse_args(argv[1:])


def _add_backend_arguments(command) -> None:
    where = command.add_mutually_exclusive_group()
    where.add_argument("--server", metavar="HOST:PORT", help=f"a server to work through; default: ${SERVER_VARIABLE}")
    where.add_argument(
        "--model", metavar="DIR", help="a SavedModel to run in this process; default: the shipped tagger"
    )
    command.add_argument("--model_name", default="faketagger", help="the served model's name")
    command.add_argument("--label", help="the version label to use, such as stable; default: the latest version")
    command.add_argument("--timeout", type=float, default=60.0, help="seconds that one call may take")
    command.add_argument("--tls", action="store_true", help="the server uses TLS, with a publicly known certificate")
    command.add_argument("--tls_ca_file", help="PEM file of the authority that signed the server's; implies --tls")
    command.add_argument("--tls_cert_file", help="PEM file of this client's certificate; implies --tls")
    command.add_argument("--tls_key_file", help="PEM file of this client's private key")
    command.add_argument("--json", action="store_true", help="print JSON")


def run(arguments) -> int:
    """Does what parsed arguments say and returns the exit code."""
    try:
        return arguments.function(arguments)
    except CommandError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(message: str, exit_code: int) -> int:
    print(f"faketagger: {message}", file=sys.stderr)
    return exit_code


def _tag(arguments) -> int:
    _check_output(arguments.input, arguments.output)
    picture = _read_picture(arguments.input)
    key = _key(arguments, make_default=True)

    def work(client) -> bytes:
        return client.tag(picture, arguments.uid, arguments.strength, arguments.input)

    png = _with_client(arguments, key, work)
    _write(arguments.output, png)
    facts = {"file": arguments.output, "uid": arguments.uid, "bytes": len(png)}
    print(json.dumps(facts) if arguments.json else f"{arguments.output}: tagged with UID {arguments.uid}")
    return OK


def _write(path: str, data: bytes) -> None:
    import tensorflow as tf

    from faketagger.components.contract import files

    try:
        files.write_bytes(path, data)
    except tf.errors.OpError as error:
        raise CommandError(f"{path}: cannot be written: {error.message}") from error


def _check_output(input_path: str, output_path: str) -> None:
    if not output_path.lower().endswith(".png"):
        raise CommandError(f"{output_path}: must end in .png: other formats would damage the tag", USAGE)
    if os.path.exists(input_path) and os.path.exists(output_path) and os.path.samefile(input_path, output_path):
        raise CommandError(f"{output_path}: is the input; name another file", USAGE)


def _read(arguments) -> int:
    key = _key(arguments, make_default=False)
    findings = _with_client(arguments, key, lambda client: [_read_one(client, path) for path in arguments.inputs])
    failed = [it for it in findings if "error" in it]
    if arguments.json:
        print(json.dumps(findings, indent=2))
    else:
        width = max(len(path) for path in arguments.inputs)
        for finding in findings:
            if "error" not in finding:
                print(_sentence(finding, width))
    for finding in failed:
        _fail(finding["error"], ERROR)
    if failed and len(findings) > 1:
        _fail(f"{len(failed)} of {len(findings)} pictures could not be read", ERROR)
    if failed:
        return ERROR
    return OK if all(it["tagged"] for it in findings) else NO_TAG


def _read_one(client, path: str) -> dict:
    """A picture's reading, or why there is none; errors that concern every picture are raised."""
    from faketagger.serving.client import PictureError

    try:
        reading = client.read(_read_picture(path), path)
    except (PictureError, CommandError) as error:
        return {"file": path, "error": str(error)}
    return {"file": path, "uid": reading.uid, **dataclasses.asdict(reading)}


def _sentence(finding: dict, width: int) -> str:
    found = f"UID {finding['uid']}" if finding["tagged"] else "no tag"
    if not finding["tagged"] and finding["p_value"] < _WORTH_A_LOOK:
        found = f"no tag for sure, perhaps UID {finding['candidate']}"
    # A float32 may round to 0, which would promise more than it can.
    chance = f"{finding['p_value']:.2g}" if finding["p_value"] > 0 else "1.5e-45"
    return f"{finding['file']:<{width}}  {found:<14}  an untagged picture scores this high with probability ≤ {chance}"


def _status(arguments) -> int:
    from faketagger.serving.client import TaggerError, describe

    backend = _backend(arguments)
    try:
        versions = backend.status()
        served = any(it.state == "AVAILABLE" for it in versions)
        manifest = describe(backend)[1] if served else None
    except TaggerError as error:
        raise CommandError(str(error)) from error
    finally:
        backend.close()
    facts = {} if manifest is None else _facts(manifest)
    if arguments.json:
        print(json.dumps({"versions": [vars(it) for it in versions], **facts}, indent=2))
    else:
        server = _server(arguments)
        print(f"{arguments.model_name} on {server}" if server else _model(arguments))
        for it in versions:
            print(f"  version {it.version}  {it.state}  {it.error}".rstrip())
        for name, value in facts.items():
            print(f"  {name.replace('_', ' ')}: {value}")
    return OK if served else ERROR


def _facts(manifest) -> dict:
    return {
        "largest_uid": 2**manifest.message_bits - 1,
        "message_bits": manifest.message_bits,
        "code_bits": manifest.code_bits,
        "image_size": manifest.image_size,
        "strength": manifest.strength,
        "false_positive_rate": manifest.false_positive_rate,
    }


def _keygen(arguments) -> int:
    _make_key(arguments.path)
    print(f"{arguments.path}: made a new key; keep a copy: tags made with it cannot be read without it")
    return OK


def _make_key(path: str) -> None:
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        payload.make_key(path)
    except FileExistsError:
        raise CommandError(f"{path}: exists, and a key is never replaced: tags made with it would be lost") from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error


def _key(arguments, make_default: bool) -> bytes:
    chosen = arguments.key_file or os.environ.get(KEY_FILE_VARIABLE)
    path = chosen or os.path.expanduser(DEFAULT_KEY_FILE)
    if make_default and not chosen and not os.path.exists(path):
        _make_key(path)
        print(f"faketagger: made a new key, {path}; keep a copy: without it no tag can be read", file=sys.stderr)
    try:
        return payload.read_key(path)
    except ValueError as error:
        hint = "" if make_default else "; reading takes the very key that the picture was tagged with"
        raise CommandError(f"{error}{hint}") from error


def _read_picture(path: str) -> bytes:
    try:
        return images.read_file(path)
    except images.ImageError as error:
        raise CommandError(str(error)) from error


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _with_client(arguments, key: bytes, work: Callable):
    from faketagger.serving.client import TaggerClient, TaggerError

    try:
        client = TaggerClient(_backend(arguments), key)
        try:
            return work(client)
        finally:
            client.close()
    except TaggerError as error:
        raise CommandError(str(error)) from error


def _backend(arguments):
    from faketagger.serving.client import TaggerError, connect, load

    server = _server(arguments)
    if server:
        credentials = _credentials(arguments)
        return connect(server, arguments.model_name, arguments.timeout, credentials, arguments.label)
    try:
        return load(_model(arguments))
    except TaggerError as error:
        raise CommandError(str(error)) from error


def _server(arguments) -> str | None:
    """None where the work is done in this process."""
    return None if arguments.model else arguments.server or os.environ.get(SERVER_VARIABLE)


def _model(arguments) -> str:
    return arguments.model or pretrained.TAGGER


def _credentials(arguments):
    import grpc

    paths = (arguments.tls_ca_file, arguments.tls_key_file, arguments.tls_cert_file)
    if bool(arguments.tls_key_file) != bool(arguments.tls_cert_file):
        raise CommandError("--tls_key_file and --tls_cert_file go together", USAGE)
    if not (arguments.tls or any(paths)):
        return None
    try:
        return grpc.ssl_channel_credentials(*(_read_file(path) if path else None for path in paths))
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from error


if __name__ == "__main__":
    main()
