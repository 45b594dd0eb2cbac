"""A task on text: a program ranks pairs of sentences by similarity as its model does."""

import pytest

from tests.support.similarity import measure, trained

#: the least rank correlation with the model's own similarities after 1, 4 and 16 steps
LEAST = {"graded": (0.99, 0.99, 0.99), "accurate": (0.7, 0.98, 0.98)}


@pytest.fixture(scope="module")
def encoder():
    return trained(60)


@pytest.mark.parametrize("preset", LEAST)
def test_a_program_finds_the_same_sentences_alike(encoder, preset):
    rows = measure(encoder, preset)
    assert rows[0].model_with_truth > 0.5, "a model that has learnt nothing says nothing"
    for row, least in zip(rows, LEAST[preset], strict=True):
        assert row.with_model >= least, row
