"""How a picture's tagging or reading can end: a word and an exit status each."""

import enum


class Outcome(str, enum.Enum):
    """Its value is the word; what there is beside success and failure are statuses of their own (startup.py)."""

    TAGGED = "tagged"
    NO_TAG = "no tag"
    PERHAPS = "perhaps"
    DAMAGED = "damaged file"
    REFUSED = "refused"

    @property
    def exit_code(self) -> int:
        """0 tagged, 3 no tag, 4 perhaps, 5 a file that is no picture or a broken one, 6 a picture that is not taken."""
        return {"tagged": 0, "no tag": 3, "perhaps": 4, "damaged file": 5, "refused": 6}[self.value]
