"""Every table of the report, in its order."""

from collections.abc import Iterable

from faketagger.components.evaluator.report.tables import conditions, edits, overall, variants
from faketagger.components.evaluator.report.tables.cells import Table
from faketagger.components.evaluator.report.tables.comparisons import Comparison, group
from faketagger.components.evaluator.verdict.record import Evaluation


def all_tables(evaluation: Evaluation, comparisons: Iterable[Comparison] = ()) -> list[Table]:
    """The tables of an evaluation and of others beside it (comparisons.group says which goes where)."""
    groups = group(evaluation, comparisons)
    return [
        overall.overall(evaluation, groups.peers),
        conditions.conditions(evaluation, groups.peers),
        edits.sizes(evaluation, groups.by_size),
        edits.synthesis(evaluation, groups.by_size),
        edits.levels(evaluation, groups.by_level),
        overall.quality(evaluation, groups.peers),
        variants.lengths(evaluation, groups.by_length),
        conditions.compounds(evaluation, groups.peers),
        variants.weights(evaluation, groups.by_weights),
        conditions.black_box(evaluation, groups.peers),
        conditions.strengths(evaluation, groups.peers),
    ]
