"""Tags a whole archive of photographs, each face and the rest as `faketagger tag` does, or reads what one carries.

    faketagger archive photographs/ --out=tagged/
    faketagger archive --csv=owners.csv --out=gs://BUCKET/tagged --server=HOST:8500 --beam_args=--runner=DataflowRunner
    faketagger archive tagged/ --read

Outputs lie below --out as inputs lie in their folder, beside manifest.parquet: a row a picture, with its UID, faces,
PSNR, visibility, outcome and error. Pictures get UIDs from --first_uid on, one each; in a table (--csv), the column
`uid` says another, and the column `owner` gives all pictures of an owner one. With --register, UIDs are drawn by the
platform's registry, and `owner` is an account there. The same call again goes on where the last one stopped, takes what
is new, and tries again what failed; a picture that cannot be tagged never stops it.

Exit status: 0 all are tagged, 3 read, and some carry no tag, 1 failed or not all.
"""

import argparse
import collections
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from faketagger.components.contract import files, payload, startup
from faketagger.serving.commands import common
from faketagger.serving.platform import DATABASE_VARIABLE

MANIFEST, READINGS = "manifest.parquet", "readings.parquet"
_ERRORS_SHOWN = 5
_WIDEST_NAME = 60


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger archive", __doc__, _check)
    add = parser.add_argument
    add("inputs", nargs="*", metavar="folder", help="a folder, a pattern or a file, local, gs:// or s3://")
    add("--csv", metavar="FILE", help="a table of pictures: path (from the table's folder), uid, owner")
    add("--out", metavar="DIR", help="the folder for tagged pictures and the manifest; with --read, for readings")
    add("--read", action="store_true", help="lists what an archive carries, and tags nothing")
    add("--first_uid", type=int, default=1, help="the first of the UIDs that are given; default: 1")
    add("--strength", type=float, help="how strongly; the model's own default")
    add("--whole", action="store_true", help="puts one tag over the whole picture, and looks for no faces")
    add("--replace", action="store_true", help="tags pictures that carry a tag of this key already")
    add("--max_megapixels", type=float, default=200.0, help="refuses larger pictures; default: 200")
    add("--register", action="store_true", help="registers what is tagged with the platform, for the table's owners")
    add(
        "--database",
        metavar="URL",
        help="the platform's, for this machine's workers; else $FAKETAGGER_DATABASE",
    )
    add("--beam_args", action="append", default=[], help="an option for Beam's runner; may be given again")
    common.add_key_flag(parser)
    common.add_backend_flags(parser)
    return parser


def _check(parser: startup.Parser, arguments: argparse.Namespace) -> None:
    if bool(arguments.inputs) == bool(arguments.csv):
        parser.error("name folders, or a table with --csv")
    if not (arguments.out or arguments.read):
        parser.error("the following arguments are required: --out")
    if arguments.register and (arguments.read or not arguments.csv):
        parser.error("--register takes a table with the column owner (--csv), and tags")
    if not 0 <= arguments.first_uid < 2**62:
        parser.error(f"argument --first_uid: a number from 0 on, got {arguments.first_uid}")


@common.telling
def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    key = common.read_key(arguments, make_default=not arguments.read)
    if arguments.database:
        os.environ[DATABASE_VARIABLE] = arguments.database  # Where workers look for it.
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(arguments, payload.fingerprint(key), folder)
        try:
            return _run(arguments, settings)
        except common.CommandError:
            raise
        except Exception as error:  # Beam's runners raise what its workers raised in forms of their own.
            if startup.was_interrupted(error):
                raise
            goes_on = "; the same call goes on from here" if arguments.out else ""
            raise common.CommandError(f"{_reason(error)}{goes_on}") from error


def _settings(arguments: argparse.Namespace, key_fingerprint: str, folder: str) -> Any:
    from faketagger.pipelines.archive.settings import ArchiveSettings, Backend

    where = {"server": common.server(arguments), "model": arguments.model and files.absolute(arguments.model)}
    others = ("model_name", "label", "timeout", "tls", "tls_ca_file", "tls_cert_file", "tls_key_file")
    taken = ("strength", "whole", "max_megapixels")
    try:
        return ArchiveSettings(
            out=files.absolute(arguments.out or folder),
            key_file=files.absolute(common.key_path(arguments)),
            key_fingerprint=key_fingerprint,
            backend=Backend(**where, **{name: getattr(arguments, name) for name in others}),
            reads=arguments.read,
            replaces=arguments.replace,
            registers=arguments.register,
            **{name: getattr(arguments, name) for name in taken},
        )
    except ValueError as error:
        raise common.CommandError(str(error), common.USAGE) from error


def _run(arguments: argparse.Namespace, settings: Any) -> int:
    import apache_beam as beam
    from apache_beam.ml.inference.base import RunInference

    from faketagger.components.evaluator.measure.folder import local_pipeline
    from faketagger.pipelines.archive import work

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(settings.alone())
            settings, parts = _plan(arguments, settings)
        except ValueError as error:
            raise common.CommandError(str(error)) from error
        waiting = work.unfinished(settings, parts)
        if waiting:
            with local_pipeline(*arguments.beam_args) as pipeline:
                # Parts and not pictures are spread: a part's rows are written as soon as it is done.
                _ = (
                    pipeline
                    | "Parts" >> beam.Create(waiting)
                    | "Spread" >> beam.Reshuffle()
                    | "Do" >> RunInference(work.Handler(settings))
                )
        return _tell(settings, parts, arguments.json)


def _plan(arguments: argparse.Namespace, settings: Any) -> tuple[Any, int]:
    """The settings with the tagger's fingerprint, and how many parts there are to do, which are written down."""
    from faketagger.pipelines.archive import plan

    table = arguments.csv and files.absolute(arguments.csv)
    entries = plan.find([files.absolute(each) for each in arguments.inputs], table, settings.out)
    if not settings.reads:
        plan.check_places(entries, settings.out)
    manifest = _manifest(arguments)
    settings = settings.replace(tagger=files.fingerprint(manifest.to_json()))
    settings.keep()
    return settings, plan.update(settings, entries, _numbering(settings, arguments, manifest.message_bits))


def _manifest(arguments: argparse.Namespace) -> Any:
    """The tagger's; CommandError where it cannot be reached or loaded, sooner than every worker would find out."""
    from faketagger.serving.client import TaggerError, describe

    backend = common.backend(arguments)
    try:
        return describe(backend)[1]
    except TaggerError as error:
        raise common.CommandError(str(error)) from error
    finally:
        backend.close()


def _numbering(settings: Any, arguments: argparse.Namespace, message_bits: int) -> Any:
    """How new pictures get their UIDs, as plan.update takes it."""
    from faketagger.pipelines.archive import plan

    if settings.reads:
        return list
    if not settings.registers:
        return plan.numbered(settings, arguments.first_uid, message_bits)
    from faketagger.serving.platform.registrar import Registrar

    registrar = Registrar.open()

    def drawn(entries: Sequence[Any]) -> list[Any]:
        if any(each.owner is None or each.uid is not None for each in entries):
            raise ValueError(f"{arguments.csv}: to register pictures, each has an owner, and no uid: one is drawn")
        registrar.check_owners(sorted({each.owner for each in entries}))
        uids = registrar.free_uids(settings.key_fingerprint, message_bits, len(entries))
        return [each._replace(uid=uid) for each, uid in zip(entries, uids)]

    return drawn


def _rows(settings: Any, parts: int) -> Iterator[dict[str, Any]]:
    from faketagger.pipelines.archive import tables, work

    for part in range(parts):
        yield from tables.read(work.path_of(settings, part))


def _tell(settings: Any, parts: int, as_json: bool) -> int:
    """Writes the manifest, says how it went, and returns the exit status."""
    from faketagger.pipelines.archive import tables, work
    from faketagger.serving.commands.results import Results
    from faketagger.serving.outcomes import Outcome

    manifest = os.path.join(settings.out, READINGS if settings.reads else MANIFEST)
    tables.join(manifest, (work.path_of(settings, part) for part in range(parts)), work.schema_of(settings))
    outcomes: collections.Counter[str] = collections.Counter()
    errors = 0
    listed = settings.reads or as_json
    with Results(as_json, _sentence) if listed else contextlib.nullcontext() as told:
        for row in _rows(settings, parts):
            outcomes[row["outcome"]] += 1
            errors += row["error"] is not None
            if told:
                told.add(_finding(row))
            elif row["error"] and errors <= _ERRORS_SHOWN:
                common.tell(row["error"])
    sums = ", ".join(f"{number:,} {outcome}" for outcome, number in outcomes.most_common())
    more = f"; the manifest has {errors:,} errors" if not told and errors > _ERRORS_SHOWN else ""
    common.tell(f"{outcomes.total():,} pictures: {sums}{more}")
    if not listed:
        print(manifest)
    if set(outcomes) <= {Outcome.TAGGED.value}:
        return common.OK
    return Outcome.NO_TAG.exit_code if settings.reads and not errors else common.FAILED


def _finding(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the other commands tell of a picture."""
    told = {name: value for name, value in row.items() if name not in ("path", "notes", "error")}
    notes = [row["notes"]] if row["notes"] else []
    return {"file": row["path"], **told, "notes": notes, **({"error": row["error"]} if row["error"] else {})}


def _sentence(row: dict[str, Any]) -> str:
    found = f"UID {row['uid']}" if row["outcome"] == "tagged" else row["outcome"]
    if row["outcome"] == "perhaps":
        found = f"no tag for sure, perhaps UID {row['candidate']}"
    if row["expected"] not in (None, row["candidate"]):
        found += f", not {row['expected']}"
    return f"{row['file']:<{_WIDEST_NAME}}  {found}"


def _reason(error: BaseException) -> str:
    """The line that says what failed, of an error that may hold a worker's whole traceback."""
    from faketagger.components.evaluator.measure.folder import reason

    told = [line for line in str(error).splitlines() if "CommandError: " in line]
    return told[-1].partition("CommandError: ")[2].strip()[:500] if told else reason(error)


if __name__ == "__main__":
    main(sys.argv)
