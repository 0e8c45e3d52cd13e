"""An evaluation as one self-contained HTML page: the verdict first, tables and curves beside the papers', pictures.

    faketagger report --evaluation=DIR --out=report.html
        [--markdown=report.md] [--compare=LABEL=DIR …]
        [--model=DIR [--simulators=DIR] (--images=DIR | --examples=DIR | --gallery_images=DIR)]

`--compare` takes other evaluations: other methods, or the tagger at another message length, embedding level, picture
size or loss weights. With the tagger the page shows each slice's best, median and worst picture: of the photographs
that were evaluated (a folder, or Examples), or of `--gallery_images`, Examples of pictures that may be shown.
`--markdown` is where the same tables go in Markdown. Exit status: 0, 1 failed.
"""

import argparse
import sys

from absl import logging

from faketagger.components.contract import startup


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv, verbosity=logging.FATAL)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger report", __doc__, _check)
    add = parser.add_argument
    add("--evaluation", required=True, help="the evaluation's directory")
    add("--out", required=True, help="where the page goes")
    add("--markdown", help="where its tables go in Markdown; without it they are not written")
    add("--compare", action="append", default=[], metavar="LABEL=DIR", help="another evaluation and what to call it")
    add("--model", help="the evaluated tagger's SavedModel directory, for the pictures")
    add("--simulators", help="the simulators it was evaluated with; by default the shipped ones")
    add("--images", help="the folder of photographs that was evaluated")
    add("--examples", help="the Examples that were evaluated")
    add("--gallery_images", help="other Examples, whose pictures may be shown")
    return parser


def _check(parser: startup.Parser, arguments: argparse.Namespace) -> None:
    given = [each for each in (arguments.images, arguments.examples, arguments.gallery_images) if each]
    if len(given) != (1 if arguments.model else 0):
        parser.error("a gallery takes --model and one of --images, --examples and --gallery_images")


def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    import tensorflow as tf

    from faketagger.components.evaluator.report.write import GallerySource, write_report

    source = None
    if arguments.model:
        pictures = (arguments.images, arguments.examples, arguments.gallery_images)
        source = GallerySource(arguments.model, arguments.simulators, *pictures)
    try:
        write_report(arguments.evaluation, arguments.out, arguments.markdown, arguments.compare, source)
    except (ValueError, OSError, tf.errors.OpError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return startup.FAILED
    return startup.OK


if __name__ == "__main__":
    main(sys.argv)
