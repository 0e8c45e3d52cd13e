"""One picture that shows what happens to a tag: original, tagged, residual ×10, after each simulator, what was read.

python -m faketagger.components.evaluator.sheet --model=DIR --simulators=DIR --out=sheet.png PICTURE…
"""

import argparse
import sys

from faketagger.components.contract import startup


def main(argv: list[str]) -> None:
    """The program."""
    startup.run(run, make_parser(), argv)


def make_parser() -> startup.Parser:
    """Of the program's flags."""
    parser = startup.Parser("python -m faketagger.components.evaluator.sheet", __doc__)
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="a picture file")
    parser.add_argument("--model", required=True, help="the tagger's SavedModel")
    parser.add_argument("--simulators", required=True, help="a directory of simulators")
    parser.add_argument("--out", required=True, help="where the PNG goes")
    parser.add_argument(
        "--slices",
        type=startup.comma_list,
        default=[],
        metavar="SIMULATOR/CONDITION,…",
        help="by default the first condition of each simulator",
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    import tensorflow as tf

    from faketagger.components.contract import files, images
    from faketagger.components.evaluator.report.sheet import make_sheet

    try:
        pictures = [images.load_image(path) for path in arguments.pictures]
        png = make_sheet(arguments.model, arguments.simulators, pictures, arguments.slices)
        files.write_bytes(arguments.out, png)
    except (ValueError, OSError, tf.errors.OpError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return startup.FAILED
    return startup.OK


if __name__ == "__main__":
    main(sys.argv)
