"""How much of a bulk act one step does, by how long the last ones took."""

from __future__ import annotations

from worker.ledger.step_size import StepSize


def test_a_slow_step_halves_the_next_down_to_a_few() -> None:
    """Each slow one again, and never to nothing: an act on a slow server comes to its end as well."""
    size, seen = StepSize(25), list[int]()
    for _ in range(5):
        size.took(4.1, ids=size.ids)
        seen.append(size.ids)

    assert seen == [12, 6, 3, 3, 3]


def test_quick_steps_grow_back_little_by_little_to_the_most() -> None:
    """Two ids a step, and no further than it began."""
    size = StepSize(10)
    size.took(9.0, ids=10)
    seen = list[int]()
    for _ in range(4):
        size.took(1.0, ids=size.ids)
        seen.append(size.ids)

    assert seen == [7, 9, 10, 10]


def test_a_quick_step_on_a_few_ids_proves_nothing() -> None:
    """A canary's five are quick where twenty-five would not be."""
    size = StepSize(25)
    size.took(9.0, ids=25)
    size.took(1.0, ids=5)

    assert size.ids == 12
