"""What a scorecard asks, what answers it takes, and the score that comes of them. Nothing here touches a table.

**Score.** Each answer to a question that is scored is brought to 0 to 1:

    SCALE     (answer - 1) / (steps - 1), for an answer from 1 to `steps`
    YES_NO    1 for yes, 0 for no

The score is 100 x sum(weight x value) / sum(weight) over the questions that were answered: a question that was left out
(only one that is not required can be) weighs nothing. It is worked out as a fraction and rounded once, half to even, to
four places. TEXT is never scored. Without an answer of any weight there is no score.

    score([Question("a", "?", SCALE, steps=5, weight=2), Question("b", "?", YES_NO, weight=1)], a=4, b=no)
    = 100 x (2 x 3/4 + 1 x 0) / 3 = 50
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

from domain.errors import Invalid, ItemError, Refused

QUESTIONS_LIMIT = 50
TEXT_LIMIT = 500
ANSWER_LIMIT = 5_000
MOST_STEPS = 10
WEIGHT_LIMIT = Decimal(1_000)
WEIGHT_PLACES = 3
SCORE_STEP = Decimal("0.0001")
FULL_SCORE = 100
_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")


class QuestionKind(StrEnum):
    """How a question is answered."""

    SCALE = "SCALE"
    YES_NO = "YES_NO"
    TEXT = "TEXT"


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a scorecard.

    Args:
        key: Its name from version to version, by which answers are kept.
        text: What is asked.
        kind: How it is answered.
        steps: Of a scale: answers go from 1 to this.
        weight: How much it counts; 0 for nothing.
        required: Whether a card cannot be submitted without it.
        help: What the answers mean.
    """

    key: str
    text: str
    kind: QuestionKind
    steps: int | None = None
    weight: Decimal = Decimal(1)
    required: bool = True
    help: str | None = None

    @property
    def scored(self) -> bool:
        """Whether its answer enters the score."""
        return self.kind is not QuestionKind.TEXT and self.weight > 0

    def to_json(self) -> dict[str, Any]:
        """As a version keeps it."""
        return {
            "key": self.key,
            "text": self.text,
            "kind": self.kind.value,
            "steps": self.steps,
            "weight": format(self.weight, "f"),
            "required": self.required,
            "help": self.help,
        }

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> Question:
        """The same back."""
        return cls(
            kept["key"],
            kept["text"],
            QuestionKind(kept["kind"]),
            kept["steps"],
            Decimal(kept["weight"]),
            kept["required"],
            kept["help"],
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a question: exactly one of a number, yes or no, and a text; with a remark.

    Args:
        key: The question's.
        scale: A step of the scale.
        yes: Yes or no.
        text: A text.
        remark: What else is to be said of it.
    """

    key: str
    scale: int | None = None
    yes: bool | None = None
    text: str | None = None
    remark: str | None = None

    @property
    def value(self) -> int | bool | str | None:
        """What was answered; None for a remark alone."""
        return next((one for one in (self.scale, self.yes, self.text) if one is not None), None)

    def to_json(self) -> dict[str, Any]:
        """As a card keeps it, under its key."""
        held = {"value": self.value, "remark": self.remark}
        return {name: value for name, value in held.items() if value is not None}

    @classmethod
    def of_json(cls, key: str, kept: Mapping[str, Any]) -> Answer:
        """The same back."""
        value = kept.get("value")
        return cls(
            key,
            scale=value if type(value) is int else None,
            yes=value if type(value) is bool else None,
            text=value if type(value) is str else None,
            remark=kept.get("remark"),
        )


def check_questions(questions: Sequence[Question]) -> tuple[Question, ...]:
    """Questions that can be published, as they are kept.

    Raises:
        Refused: an error for each that cannot be.
        Invalid: there are none or too many, or none of them is scored.
    """
    path = ("input", "questions")
    if not 1 <= len(questions) <= QUESTIONS_LIMIT:
        raise Invalid(f"questions: ask 1 to {QUESTIONS_LIMIT}.", path=path)
    errors: list[ItemError] = []
    seen: set[str] = set()
    for number, question in enumerate(questions):
        errors += [
            ItemError("INVALID", f"questions.{number}.{name}: {problem}", (*path, str(number), name))
            for name, problem in _problems(question, seen)
        ]
        seen.add(question.key)
    if errors:
        raise Refused(errors)
    if not any(question.scored for question in questions):
        raise Invalid(
            "questions: give at least one a scale, or yes and no, and a weight: there is no score else.", path=path
        )
    return tuple(_trimmed(question) for question in questions)


def _trimmed(question: Question) -> Question:
    text = question.kind is QuestionKind.TEXT
    return Question(
        question.key,
        question.text.strip(),
        question.kind,
        question.steps if question.kind is QuestionKind.SCALE else None,
        Decimal(0) if text else question.weight,
        question.required,
        (question.help or "").strip() or None,
    )


def _problems(question: Question, seen: set[str]) -> Iterable[tuple[str, str]]:
    if not _KEY.fullmatch(question.key):
        yield "key", "a small letter, then up to 39 small letters, digits and underscores."
    elif question.key in seen:
        yield "key", f"{question.key} is there twice."
    for name, text, needed in (("text", question.text, True), ("help", question.help or "", False)):
        if len(text) > TEXT_LIMIT or "\0" in text or (needed and not text.strip()):
            yield name, f"write {'1 to' if needed else 'at most'} {TEXT_LIMIT} characters, without NUL."
    if question.kind is QuestionKind.SCALE and not 2 <= (question.steps or 0) <= MOST_STEPS:
        yield "steps", f"a scale goes from 1 to a number from 2 to {MOST_STEPS}."
    if not question.weight.is_finite() or not 0 <= question.weight <= WEIGHT_LIMIT:
        yield "weight", f"from 0 to {WEIGHT_LIMIT}."
    elif question.weight != round(question.weight, WEIGHT_PLACES):
        yield "weight", f"at most {WEIGHT_PLACES} places."


def check_answers(questions: Sequence[Question], answers: Iterable[Answer], *, complete: bool) -> tuple[Answer, ...]:
    """Answers that fit the questions, in the questions' order; what answers and remarks nothing falls away.

    Args:
        questions: What is asked.
        answers: What was answered.
        complete: Whether required questions must be answered.

    Raises:
        Refused: an error for each that does not fit, or is missing.
    """
    known = {question.key: question for question in questions}
    errors: list[ItemError] = []
    found: dict[str, Answer] = {}
    for number, answer in enumerate(answers):
        problem = _misfit(known.get(answer.key), answer)
        if answer.key in found:
            problem = f"the question {answer.key} is answered twice."
        if problem is not None:
            errors.append(ItemError("INVALID", f"answers.{number}: {problem}", ("input", "answers", str(number))))
        found[answer.key] = answer
    if complete:
        errors += [
            ItemError("REQUIRED", f"{question.text} Answer this question: it is required.", ("input", "answers", key))
            for key, question in known.items()
            if question.required and (key not in found or found[key].value in (None, ""))
        ]
    if errors:
        raise Refused(errors)
    return tuple(found[key] for key in known if key in found and found[key].to_json())


def _misfit(question: Question | None, answer: Answer) -> str | None:
    """Why an answer does not fit its question."""
    if question is None:
        return f"this version has no question {answer.key!r}."
    given = [name for name in ("scale", "yes", "text") if getattr(answer, name) is not None]
    wanted = {QuestionKind.SCALE: "scale", QuestionKind.YES_NO: "yes", QuestionKind.TEXT: "text"}[question.kind]
    if given not in ([], [wanted]):
        return f"the question {question.key} is answered by {wanted} alone."
    if answer.scale is not None and not 1 <= answer.scale <= (question.steps or 0):
        return f"the scale of {question.key} goes from 1 to {question.steps}."
    if any(len(text) > ANSWER_LIMIT or "\0" in text for text in (answer.text or "", answer.remark or "")):
        return f"write at most {ANSWER_LIMIT} characters, without NUL."
    return None


def normalized(question: Question, answer: Answer) -> Fraction | None:
    """An answer from 0 to 1; None for what is not scored."""
    if not question.scored:
        return None
    if answer.yes is not None:
        return Fraction(int(answer.yes))
    if answer.scale is not None and question.steps is not None:
        return Fraction(answer.scale - 1, question.steps - 1)
    return None


def score(questions: Sequence[Question], answers: Iterable[Answer]) -> Decimal | None:
    """The score of a card, 0 to 100; None where nothing of weight was answered."""
    known = {question.key: question for question in questions}
    points, weights = Fraction(0), Fraction(0)
    for answer in answers:
        question = known[answer.key]
        value = normalized(question, answer)
        if value is not None:
            points += Fraction(question.weight) * value
            weights += Fraction(question.weight)
    return None if not weights else rounded(FULL_SCORE * points / weights)


def rounded(value: Fraction) -> Decimal:
    """A fraction as a decimal of four places, half to even."""
    scaled = value / Fraction(SCORE_STEP)
    whole = round(scaled)  # Python rounds fractions half to even.
    return (Decimal(whole) * SCORE_STEP).quantize(SCORE_STEP, ROUND_HALF_EVEN)
