"""Evaluates an exported tagger on a folder of photographs, without a pipeline.

    faketagger evaluate --model=pretrained/tagger --images=DIR --out=DIR

Where the folder's attributes.csv has a `split` column its `eval` rows are used, else every picture. Without
`--simulators` the shipped ones are made for the tagger's picture size. Exit status: 0 the gate would bless it, 2 it
would not (or wrong usage), 1 failed.
"""

import argparse
import sys

from absl import logging

from faketagger.components.contract import startup

PASSED, FAILED, NOT_PASSED = 0, 1, 2


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv, verbosity=logging.FATAL)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger evaluate", __doc__)
    add = parser.add_argument
    add("--model", required=True, help="the tagger's SavedModel directory")
    add("--images", required=True, help="a folder of photographs, with an optional attributes.csv")
    add("--out", required=True, help="where all that evaluate.evaluate makes is written")
    add("--simulators", help="a directory of simulator SavedModels; by default the shipped ones")
    add("--newest_blessed", help="the SavedModel directory of a tagger that this one must not be worse than")
    add("--image_size", type=int, help="the side of the pictures; the simulators', or by default the tagger's")
    add(
        "--black_box",
        type=startup.comma_list,
        metavar="NAME,…",
        help="the simulators that the tagger was not trained through; by default as its record of training says",
    )
    add("--repeats", type=int, help="how many UIDs each picture is tagged with; 1 by default")
    add("--config", metavar="JSON", help="an EvaluatorConfig: gate, seed, limit, …; the flags above go before it")
    add("--beam_args", action="append", default=[], help="an option for Beam's runner; may be given again")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    import tensorflow as tf

    from faketagger.components.evaluator import folder_evaluation
    from faketagger.components.evaluator.config import EvaluatorConfig
    from faketagger.components.evaluator.measure import folder
    from faketagger.components.evaluator.report.text import format_table

    try:
        evaluation, decision = folder_evaluation.evaluate_folder(
            arguments.images,
            arguments.model,
            arguments.out,
            EvaluatorConfig.from_flags(arguments.config, black_box=arguments.black_box, repeats=arguments.repeats),
            simulators=arguments.simulators,
            newest_blessed=arguments.newest_blessed,
            image_size=arguments.image_size,
            knows_black_box=arguments.black_box is not None,
            beam_args=arguments.beam_args,
        )
    except (ValueError, OSError, tf.errors.OpError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return FAILED
    except RuntimeError as error:  # Beam's, of whatever its workers raised.
        if startup.was_interrupted(error):
            raise
        print(f"failed: {folder.reason(error)}", file=sys.stderr)
        return FAILED
    print(format_table(evaluation, decision))
    return PASSED if decision.blessed else NOT_PASSED


if __name__ == "__main__":
    main(sys.argv)
