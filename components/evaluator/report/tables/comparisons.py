"""Other evaluations, and what they are to this one: variants of its tagger that differ in one thing, or others."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from faketagger.components.evaluator.report import papers
from faketagger.components.evaluator.verdict.record import Evaluation


class Comparison(NamedTuple):
    """Another evaluation.

    Attributes:
      label: what to call it.
      evaluation: its record.
      alike: whether its pictures are of the same size, so that a difference says something of the methods.
    """

    label: str
    evaluation: Evaluation
    alike: bool = True


class Compared(NamedTuple):
    """Comparisons by what they are: columns beside this tagger's, or variants of it that differ in one thing alone."""

    peers: list[Comparison]
    by_size: list[Comparison]
    by_level: list[Comparison]
    by_length: list[Comparison]
    by_weights: list[Comparison]


def group(evaluation: Evaluation, comparisons: Iterable[Comparison]) -> Compared:
    """Finds what each comparison is.

    A variant is a tagger of ours (it has a strength; other methods have none) that differs from this one in one of
    picture size, embedding level, message length and loss weights. All others stand in columns of their own.
    """
    groups = Compared([], [], [], [], [])
    for comparison in comparisons:
        other = comparison.evaluation
        ways = _differences(evaluation, other)
        if other.tagger.strength is not None and len(ways) == 1:
            groups[1 + ways[0]].append(comparison)
        else:
            alike = other.image_size == evaluation.image_size
            label = comparison.label if alike else f"{comparison.label}, at {size_of(other)}"
            groups.peers.append(Comparison(label, other, alike))
    return groups


def _differences(one: Evaluation, other: Evaluation) -> list[int]:
    """In which of Compared's ways two taggers differ."""
    mine, theirs = one.tagger.weights, other.tagger.weights
    differs = (
        one.image_size != other.image_size,
        one.tagger.level != other.tagger.level,
        one.tagger.message_bits != other.tagger.message_bits,
        # Records older than the weights lack them, which is no difference.
        mine is not None and theirs is not None and mine != theirs,
    )
    return [index for index, found in enumerate(differs) if found]


def by_length(evaluation: Evaluation, variants: Sequence[Comparison]) -> list[Comparison]:
    """This tagger and its variants of other message lengths, shortest first."""
    measured = [Comparison("this tagger", evaluation), *variants]
    return sorted(measured, key=lambda each: each.evaluation.tagger.message_bits)


def size_of(evaluation: Evaluation) -> str:
    """Of the pictures, as `256×256`."""
    return square(evaluation.image_size)


def square(side: int) -> str:
    """`256×256`."""
    return f"{side}×{side}"


def level_of(evaluation: Evaluation) -> str:
    """The embedding level."""
    return evaluation.tagger.level or "level unknown"


def is_as_papers(evaluation: Evaluation, size: int | None = None, level: str | None = None) -> bool:
    """Whether a papers' figure can be held against an evaluation's: message length, and size and level where known."""
    return (
        evaluation.tagger.message_bits == papers.MESSAGE_BITS
        and size in (None, evaluation.image_size)
        and level in (None, evaluation.tagger.level)
    )
