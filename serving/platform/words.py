"""What people are told of uploads and verdicts, in plain words; never more than a verdict holds."""

from collections.abc import Mapping

from faketagger.serving.outcomes import Outcome
from faketagger.serving.platform import service
from faketagger.serving.platform.fingerprints import Change
from faketagger.serving.platform.service import Verdict

OF_OUTCOME: Mapping[str, str] = {
    service.TAGGED: "Tagged and registered. Publish the tagged file, not the one you uploaded.",
    service.ACCEPTED: "Accepted: it carries your own tag.",
    service.HELD: "Held: it carries the tag of a registered picture that is not yours, or looks like one. A moderator "
    "will look at it.",
    service.RELEASED: "A moderator has released it.",
    service.REJECTED: "A moderator has rejected it. The file is deleted.",
}
OF_REASON: Mapping[str, str] = {
    service.ANOTHERS: "It carries the tag of a picture of another account, and comes from that picture.",
    service.COPIED: "It carries the tag of a registered picture and is another picture: the tag was copied onto it, or "
    "the picture was changed beyond recognition.",
    service.UNKNOWN: "It carries a tag that no registered picture has: forged, or made outside this platform.",
    service.ALIKE: "It carries no tag that can be read, and looks like a registered picture of another account: its "
    "tag may have been erased.",
}
OF_CHANGE: Mapping[Change, str] = {
    Change.NONE: "No difference from the registered picture was found, beyond what saving and resizing do. Small "
    "changes can go unseen.",
    Change.FACE: "The face differs from the registered picture, and what is around it does not: the face was "
    "swapped, re-enacted or edited.",
    Change.SURROUNDINGS: "What is around the face differs from the registered picture; the face does not.",
    Change.WHOLE: "The picture differs from the registered one all over: it was edited or made anew from it.",
    Change.OTHER: "It is another picture than the registered one: the tag was copied onto it, or the picture was "
    "changed beyond recognition.",
}


def of_change(change: str) -> str:
    """Of a change's value, as cases hold it."""
    return OF_CHANGE[Change(change)]


def of_verdict(verdict: Verdict) -> list[str]:
    """Sentences, the answer first."""
    said = [_answer(verdict)]
    if verdict.change is not None:
        said.append(OF_CHANGE[verdict.change])
    if verdict.how:
        said.append(f"The picture is {verdict.how}, compared with the one that was tagged.")
    return said + [f"Not all of the file was looked at: {each}." for each in verdict.damage]


def _answer(verdict: Verdict) -> str:
    if verdict.outcome is Outcome.NO_TAG:
        return "No tag was found. That says nothing about where the picture comes from."
    if verdict.outcome is Outcome.TAGGED and not verdict.registered:
        return "It carries a tag that no registered picture has: forged, or made outside this platform."
    whose = "you" if verdict.mine else verdict.owner or "an account that does not show its name"
    if verdict.outcome is Outcome.TAGGED:
        return f"It carries the tag of a picture that was registered by {whose}."
    if verdict.by == service.BY_LOOK:
        return f"No tag can be read. Perhaps it comes from a picture that was registered by {whose}: it looks like it."
    return f"Perhaps it carries the tag of a picture that was registered by {whose}: not enough can be read to be sure."
