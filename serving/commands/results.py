"""What a command says of pictures, one by one and at the end, for people or as JSON, and how it ends."""

import collections
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from faketagger.components.contract import startup
from faketagger.components.contract.picture import DamagedError, ImageError
from faketagger.serving.commands import common
from faketagger.serving.outcomes import Outcome

FAILED = "failed"  # Neither picture nor tagger is to blame: a file that is not there, a full disk.
_LEFT_OUT_SHOWN = 3


def of(name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` finds in a picture, or its outcome and `error` where it finds nothing.

    Errors that concern every picture are raised, and so is a closed pipe.
    """
    try:
        return work()
    except DamagedError as error:
        return {"file": name, "outcome": Outcome.DAMAGED.value, "error": str(error)}
    except (ImageError, common.RefusedError) as error:
        return {"file": name, "outcome": Outcome.REFUSED.value, "error": str(error)}
    except BrokenPipeError:
        raise
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else name
        return {"file": name, "outcome": FAILED, "error": f"{where}: {error.strerror or error}"}
    except MemoryError:
        return {"file": name, "outcome": FAILED, "error": f"{name}: there is not enough memory for it"}
    except common.CommandError:
        raise
    except Exception as error:  # What nobody has thought of, in one file, is not to cost the others.
        *_, frame = traceback.extract_tb(error.__traceback__)
        where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        return {
            "file": name,
            "outcome": FAILED,
            "error": f"{name}: failed by {type(error).__name__}: {error} ({where})",
        }


class Results:
    """Tells of each picture as soon as it is done; a context, within which pictures are added."""

    def __init__(self, as_json: bool, sentence: Callable[[dict[str, Any]], str], one: bool = False, out: Any = None):
        """Tells of nothing yet.

        Args:
          as_json: whether to print a JSON object (`one`) or an array, instead of sentences.
          sentence: says for people what was found in a picture.
          one: whether one picture is all that can come.
          out: where to print; standard output by default.
        """
        self._as_json, self._sentence, self._one, self._out = as_json, sentence, one, out or sys.stdout
        self._outcomes: collections.Counter[str] = collections.Counter()

    def __enter__(self) -> "Results":
        return self

    def add(self, finding: dict[str, Any]) -> None:
        """Tells of a picture; warnings and errors always on standard error."""
        if self._as_json:
            before = "" if self._one else ",\n" if self._outcomes else "[\n"
            self._print(before + json.dumps(finding, indent=None if self._one else 2), end="")
        elif "error" not in finding:
            self._print(self._sentence(finding))
        self._outcomes[finding["outcome"]] += 1
        for note in (
            [finding["error"]] if "error" in finding else [f"{finding['file']}: {it}" for it in finding["notes"]]
        ):
            tqdm.write(f"faketagger: {common.legible(note)}", sys.stderr)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if not self._as_json or isinstance(error, (BrokenPipeError, startup.OutputError)):
            return
        if self._one and isinstance(error, common.CommandError):
            self._print(json.dumps({"outcome": FAILED, "error": str(error)}))
        else:
            self._print("" if self._one else "\n]" if self._outcomes else "[]")

    def _print(self, text: str, end: str = "\n") -> None:
        try:
            tqdm.write(text, self._out, end)  # Above the bar of progress.
            self._out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise startup.OutputError(error.strerror or str(error)) from error

    def end(self, left_out: list[str]) -> int:
        """Sums several pictures up, on standard error, and returns the exit status."""
        count = self._outcomes.total()
        if count > 1 or left_out:
            sums = ", ".join(f"{number} {outcome}" for outcome, number in self._outcomes.most_common())
            shown = ", ".join(left_out[:_LEFT_OUT_SHOWN]) + (", …" if len(left_out) > _LEFT_OUT_SHOWN else "")
            rest = f"; left out, as no pictures, hidden or links: {len(left_out)} ({shown})" if left_out else ""
            common.tell(f"{count} {'picture' if count == 1 else 'pictures'}: {sums}{rest}")
        if count == 1:
            (outcome,) = self._outcomes
            return common.FAILED if outcome == FAILED else Outcome(outcome).exit_code
        good = {it.value for it in (Outcome.TAGGED, Outcome.NO_TAG, Outcome.PERHAPS)}
        if not self._outcomes.keys() <= good:
            return common.FAILED
        return common.OK if self._outcomes.keys() == {Outcome.TAGGED.value} else Outcome.NO_TAG.exit_code
