"""Pieces of a computation side by side."""

import threading

import pytest
import torch
from tokengeometry.operations.devices import forward_workers
from tokengeometry.operations.worker_threads import in_order, inferred, share

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_pieces_whichever_is_done_first(workers):
    ends = [threading.Event() for _ in range(6)]

    def wait_for_the_next(piece):
        # With two workers, an even piece ends after the odd one behind it.
        if workers > 1 and piece % 2 == 0:
            ends[piece + 1].wait(10)
        ends[piece].set()
        return piece

    assert list(in_order(wait_for_the_next, range(6), workers)) == list(range(6))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_beside_are_other_threads_with_one_thread_of_torch(workers):
    def where(piece):
        return piece, threading.get_ident(), torch.get_num_threads()

    found = list(inferred(where, range(6), workers, beside=True))
    assert [piece for piece, _, _ in found] == list(range(6))
    assert threading.get_ident() not in {thread for _, thread, _ in found}
    assert {threads for _, _, threads in found} == {1}


def test_pieces_are_computed_without_gradients_by_one_thread_each():
    weight = torch.ones(3, 3, requires_grad=True)
    found = list(inferred(lambda piece: (piece @ weight, torch.get_num_threads()), torch.ones(4, 2, 3), 2))
    assert [(result.requires_grad, threads) for result, threads in found] == [(False, 1)] * 4


@pytest.mark.parametrize("workers", [1, 2])
def test_few_pieces_are_taken_before_their_results_are_asked_for(workers):
    taken = []
    results = in_order(lambda piece: piece, (taken.append(index) or index for index in range(50)), workers)
    next(results)
    assert len(taken) <= workers + 1


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_piece_is_raised(workers):
    def fail(piece):
        raise ValueError(f"piece {piece}")

    with pytest.raises(ValueError, match="piece 0"):
        list(in_order(fail, range(4), workers))


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("workers", [1, 2, 3, 48, 100])
def test_pieces_at_work_are_no_more_than_a_batch(batch_size, workers):
    used, length = share(batch_size, workers, torch.device("cuda"), 257, 384)
    assert 1 <= used <= workers
    assert length >= 1
    assert batch_size / 2 < used * length <= batch_size


@pytest.mark.parametrize(
    ("tokens", "features", "most"), [(257, 384, 10), (785, 768, 1), (17, 64, 64), (10**6, 10**3, 1)]
)
def test_the_cpu_takes_pieces_of_4_mib(tokens, features, most):
    assert share(64, 1, torch.device("cpu"), tokens, features) == (1, most)
    assert share(64, 10, torch.device("cpu"), tokens, features) == (10, min(6, most))


def test_threads_are_as_before_when_the_pieces_are_done():
    torch.set_num_threads(2)
    try:
        assert list(inferred(lambda piece: piece, range(3), 2)) == [0, 1, 2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_forward_pass_takes_twice_its_threads_at_most_and_no_more_than_the_run_has(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setenv("TOKENGEOMETRY_CORES", "6")
    assert [forward_workers(cpu, threads) for threads in (1, 2, 4, 6)] == [2, 4, 6, 6]
    assert forward_workers(torch.device("cuda"), 4) == 1
    # On a cluster a job has its own cores alone.
    monkeypatch.delenv("TOKENGEOMETRY_CORES")
    assert forward_workers(cpu, 4) == 4
