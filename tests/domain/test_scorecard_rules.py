"""Questions, answers, scores.

Invariants:
A. A score lies from 0 to 100; full answers give 100, the lowest 0; a better answer never lowers it.
B. It is what weights and answers say, worked out another way, to the last place; scaling all weights changes nothing.
C. What is not answered, and what has no weight, changes nothing.
D. Answers that do not fit, and questions that cannot be, are refused by name, all of them at once.
E. What is kept comes back the same.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid, Refused
from domain.scorecard_rules import Answer, Question, QuestionKind, check_answers, check_questions, score

WEIGHTS = st.decimals(min_value=0, max_value=1000, places=3)


@st.composite
def cards(draw: st.DrawFn) -> tuple[list[Question], list[Answer]]:
    questions, answers = [], []
    for number in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(QuestionKind))
        steps = draw(st.integers(2, 10)) if kind is QuestionKind.SCALE else None
        question = Question(f"q{number}", "?", kind, steps, draw(WEIGHTS), required=False)
        questions.append(question)
        if draw(st.booleans()):
            continue
        scale = draw(st.integers(1, steps)) if steps else None
        yes = draw(st.booleans()) if kind is QuestionKind.YES_NO else None
        answers.append(Answer(question.key, scale, yes, "words" if kind is QuestionKind.TEXT else None))
    return questions, answers


def by_hand(questions: list[Question], answers: list[Answer]) -> Decimal | None:
    """The score in decimals of many places."""
    given_answers = {answer.key: answer for answer in answers}
    with localcontext() as context:
        context.prec = 60
        points = weights = Decimal(0)
        for question in questions:
            answer = given_answers.get(question.key)
            if answer is None or question.kind is QuestionKind.TEXT:
                continue
            share = Decimal(int(answer.yes or False))
            if question.steps:
                share = Decimal((answer.scale or 0) - 1) / (question.steps - 1)
            points, weights = points + share * question.weight, weights + question.weight
        return None if not weights else (100 * points / weights).quantize(Decimal("0.0001"), ROUND_HALF_EVEN)


@given(cards())
def test_a_score_is_what_weights_and_answers_say(card: tuple[list[Question], list[Answer]]) -> None:
    questions, answers = card
    found = score(questions, answers)
    assert found == by_hand(questions, answers)
    if found is not None:
        assert 0 <= found <= 100
        assert found.as_tuple().exponent == -4
        tenfold = [Question(one.key, one.text, one.kind, one.steps, one.weight * 10, one.required) for one in questions]
        assert score(tenfold, answers) == found


@given(cards(), st.data())
def test_a_better_answer_never_lowers_it(card: tuple[list[Question], list[Answer]], data: st.DataObject) -> None:
    questions, answers = card
    known = {question.key: question for question in questions}
    if not answers:
        return
    place = data.draw(st.integers(0, len(answers) - 1))
    old = answers[place]
    steps = known[old.key].steps
    better = Answer(old.key, steps and min(steps, (old.scale or 0) + 1), None if old.yes is None else True, old.text)
    before, after = score(questions, answers), score(questions, [*answers[:place], better, *answers[place + 1 :]])
    assert before == after if before is None or after is None else after >= before


@given(cards())
def test_full_and_lowest(card: tuple[list[Question], list[Answer]]) -> None:
    questions, answers = card
    known = {question.key: question for question in questions}
    full = [Answer(a.key, known[a.key].steps, None if a.yes is None else True, a.text) for a in answers]
    lowest = [Answer(a.key, a.scale and 1, None if a.yes is None else False, a.text) for a in answers]
    assert score(questions, full) in (None, 100)
    assert score(questions, lowest) in (None, 0)


@given(cards())
def test_what_is_kept_comes_back(card: tuple[list[Question], list[Answer]]) -> None:
    questions, answers = card
    kept = orjson.loads(orjson.dumps([question.to_json() for question in questions]))
    assert [Question.of_json(one) for one in kept] == questions
    held = orjson.loads(orjson.dumps({answer.key: answer.to_json() for answer in answers}))
    assert [Answer.of_json(key, value) for key, value in held.items()] == answers
    assert check_answers(questions, answers, complete=True) == tuple(answers)


def test_the_docstring_adds_up() -> None:
    questions = [
        Question("a", "?", QuestionKind.SCALE, 5, Decimal(2)),
        Question("b", "?", QuestionKind.YES_NO, weight=Decimal(1)),
    ]
    assert score(questions, [Answer("a", scale=4), Answer("b", yes=False)]) == 50


def test_questions_that_cannot_be_are_named() -> None:
    questions = [
        Question("A b", "?", QuestionKind.YES_NO),
        Question("fine", " ", QuestionKind.YES_NO),
        Question("fine", "?", QuestionKind.SCALE, steps=11),
        Question("heavy", "?", QuestionKind.YES_NO, weight=Decimal("1000.5")),
        Question("narrow", "?", QuestionKind.YES_NO, weight=Decimal("0.0005")),
    ]
    with pytest.raises(Refused) as refused:
        check_questions(questions)
    assert [item.path[2:] for item in refused.value.items] == [
        ("0", "key"),
        ("1", "text"),
        ("2", "key"),
        ("2", "steps"),
        ("3", "weight"),
        ("4", "weight"),
    ]
    with pytest.raises(Invalid, match="no score"):
        check_questions([Question("words", "?", QuestionKind.TEXT)])
    with pytest.raises(Invalid, match="1 to 50"):
        check_questions([])


def test_answers_that_do_not_fit_are_named() -> None:
    questions = [
        Question("step", "How far?", QuestionKind.SCALE, steps=3),
        Question("yes", "Is it?", QuestionKind.YES_NO),
        Question("text", "What?", QuestionKind.TEXT),
    ]
    wrong = [
        Answer("step", scale=4),
        Answer("yes", scale=1),
        Answer("text", text="a", yes=True),
        Answer("nothing", yes=True),
        Answer("step", scale=1),
    ]
    with pytest.raises(Refused) as refused:
        check_answers(questions, wrong, complete=False)
    assert len(refused.value.items) == 5
    with pytest.raises(Refused) as refused:
        check_answers(questions, [Answer("step", scale=1), Answer("text", text="")], complete=True)
    assert [item.path[-1] for item in refused.value.items] == ["yes", "text"]
    # A remark alone is kept, and is no answer.
    assert check_answers(questions, [Answer("yes", remark="hm")], complete=False) == (Answer("yes", remark="hm"),)
    assert check_answers(questions, [Answer("yes")], complete=False) == ()
