"""How much of a bulk act one step does, by how long the last ones took."""

from __future__ import annotations

from worker.domain.ramp import CANARY
from worker.ledger.step_size import StepSize


def test_a_slow_step_halves_the_next_down_to_a_few() -> None:
    """Each slow one again, and never to nothing: an act on a slow server comes to its end as well."""
    size, seen = StepSize(25), list[int]()
    for _ in range(5):
        size.took(4.1, ids=size.ids)
        seen.append(size.ids)

    assert seen == [12, 6, 5, 5, 5]


def test_a_canary_is_never_cut() -> None:
    """However slow the server: five that fail again stop an act, not the first three of them."""
    size = StepSize(25)
    for _ in range(9):
        size.took(50.0, ids=size.ids)

    assert size.ids >= CANARY


def test_quick_steps_grow_back_little_by_little_to_the_most() -> None:
    """Two ids a step, and no further than it began."""
    size = StepSize(14)
    size.took(9.0, ids=14)
    seen = list[int]()
    for _ in range(4):
        size.took(1.0, ids=size.ids)
        seen.append(size.ids)

    assert seen == [9, 11, 13, 14]


def test_a_quick_step_on_a_few_ids_proves_nothing() -> None:
    """A canary's five are quick where twenty-five would not be."""
    size = StepSize(25)
    size.took(9.0, ids=25)
    size.took(1.0, ids=5)

    assert size.ids == 12
