"""The tree of parts: nodes cover every part once, few wait at a time, and more parts change none that is there."""

import math

import pytest
from tokengeometry.geometry.part_tree import children, roots

MOST = 130


def leaves(first, last):
    """The parts below a node, by way of its children."""
    if first == last:
        return [first]
    return [part for child in children(first, last) for part in leaves(*child)]


@pytest.mark.parametrize("rest", [0, 1])
def test_roots_cover_every_part_once_and_are_few(rest):
    for full in range(1 - rest, MOST):
        found = roots(full, full + rest)
        assert [part for root in found for part in leaves(*root)] == list(range(full + rest))
        assert len(found) <= math.log2(max(1, full)) + 1 + rest
        for first, last in found:
            size = last - first + 1
            assert size & (size - 1) == 0
            assert first % size == 0


def test_a_part_that_is_not_full_is_a_root_of_its_own():
    assert roots(5, 6) == [(0, 3), (4, 4), (5, 5)]
    assert roots(0, 1) == [(0, 0)]
    # One part has no nodes above it.
    assert roots(1, 1) == [(0, 0)]


def nodes(first, last):
    return {(first, last)}.union(*(nodes(*child) for child in children(first, last))) if first < last else set()


def test_more_parts_leave_all_nodes_as_they_are():
    before = set()
    for full in range(1, MOST):
        now = set().union(*(nodes(*root) for root in roots(full, full)))
        assert before <= now
        before = now


def test_of_parts_that_come_one_after_the_other_few_nodes_wait():
    waiting, most = [], 0
    for part in range(128):
        waiting.append((part, part))
        most = max(most, len(waiting))
        while len(waiting) > 1:
            both = waiting[-2][0], waiting[-1][1]
            try:
                halves = children(*both)
            except ValueError:
                break
            if halves != waiting[-2:]:
                break
            waiting[-2:] = [both]
    assert waiting == [(0, 127)]
    assert most == 8


@pytest.mark.parametrize("node", [(0, 0), (0, 2), (1, 2), (2, 5), (3, 2)])
def test_what_is_no_node_has_no_children(node):
    with pytest.raises(ValueError, match="are no node"):
        children(*node)
