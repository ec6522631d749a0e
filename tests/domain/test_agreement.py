"""How far scorers agree.

Invariants:
A. Alpha is what the matrix of coincidences says, which is another way to work it out.
B. Full agreement is 1; units and scorers may come in any order; scores shifted and stretched agree as before.
C. Where there is nothing to tell, nothing is told.
D. Biases are against the others who scored the same; with two scorers they are opposite.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agreement import biases, krippendorff_alpha, spread
from tests.oracle import film

SCORES = st.decimals(min_value=0, max_value=100, places=4)
UNITS = st.lists(st.lists(SCORES, max_size=5), max_size=8)


@given(UNITS)
def test_alpha_by_coincidences(units: list[list[Decimal]]) -> None:
    found, expected = krippendorff_alpha(units), film.alpha(units)
    assert (found is None) == (expected is None)
    if found is not None:
        assert found == pytest.approx(expected, abs=1e-9)
        assert found <= 1


def test_the_published_example() -> None:
    """Krippendorff 2011, section C: four coders, twelve units; interval alpha is 0.849."""
    rows = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    units = [[Decimal(value) for value in unit if value != "."] for unit in zip(*map(str.split, rows), strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.849, abs=0.0005)


@given(UNITS, st.randoms(use_true_random=False))
def test_order_and_scale_change_nothing(units: list[list[Decimal]], random: Random) -> None:
    found = krippendorff_alpha(units)
    mixed = [random.sample(unit, len(unit)) for unit in units]
    random.shuffle(mixed)
    assert krippendorff_alpha(mixed) == found
    stretched = krippendorff_alpha([[3 * value - 7 for value in unit] for unit in units])
    assert stretched == pytest.approx(found) if found is not None else stretched is None


def test_nothing_to_tell() -> None:
    a, b = Decimal(10), Decimal(20)
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([[a, b]]) is None, "one unit"
    assert krippendorff_alpha([[a], [b]]) is None, "nothing pairs"
    assert krippendorff_alpha([[a, a], [a, a]]) is None, "nothing differs"
    assert krippendorff_alpha([[a, a], [b, b]]) == 1
    assert spread([]) is None


@given(st.lists(st.dictionaries(st.sampled_from("abc"), SCORES), max_size=8))
def test_biases(units: list[dict[str, Decimal]]) -> None:
    found = {one.scorer: one for one in biases(units)}
    for scorer in "abc":
        mine = [
            unit[scorer] - sum(v for k, v in unit.items() if k != scorer) / (len(unit) - 1)
            for unit in units
            if scorer in unit and len(unit) > 1
        ]
        assert (scorer in found) == bool(mine)
        if mine:
            assert found[scorer].count == len(mine)
            assert float(found[scorer].mean) == pytest.approx(float(sum(mine) / len(mine)))
    if all(set(unit) == {"a", "b"} for unit in units) and units:
        assert found["a"].mean == -found["b"].mean
