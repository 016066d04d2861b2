import numpy as np
import tensorflow as tf

from dim_tf.attacks import splitmix

SEEDS = tf.constant([[0, 5], [0, 6], [1, 5]])


def test_words_are_those_of_the_published_generator():
    # The first numbers of Java's SplittableRandom and others for this seed.
    words = splitmix.words(tf.constant([1234567], tf.uint64), 3)
    assert words.numpy()[0].tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_uniform_numbers_are_uniform_and_normal_ones_normal():
    uniform = splitmix.uniform(SEEDS, 50000).numpy()
    assert uniform.min() > 0
    assert uniform.max() < 1
    counts = np.histogram(uniform, 50, (0, 1))[0]
    np.testing.assert_allclose(counts, 3000, atol=5 * np.sqrt(3000))
    normal = splitmix.normal(SEEDS, 50000).numpy()
    np.testing.assert_allclose(
        [(normal**power).mean() for power in range(1, 5)],
        [0, 1, 0, 3],
        atol=0.1,
    )


def test_draws_of_other_seeds_and_numbers_are_unrelated():
    draws = [
        splitmix.uniform(SEEDS, 20000),
        splitmix.uniform(SEEDS, 20000, 0),
        splitmix.uniform(SEEDS, 20000, 1),
        splitmix.uniform(SEEDS, 20000, 0, 1),
    ]
    correlations = np.corrcoef(np.concatenate(draws))
    np.fill_diagonal(correlations, 0)
    assert np.abs(correlations).max() < 0.03


def test_rows_may_count_by_themselves():
    counts = tf.constant([[3, 4], [5, 6], [3, 9]])
    both = splitmix.uniform(SEEDS, 7, 2, counts)
    assert both.shape == (3, 2, 7)
    for column in range(2):
        alone = splitmix.uniform(SEEDS, 7, 2, counts[:, column])
        np.testing.assert_array_equal(both[:, column], alone)
    same = splitmix.uniform(SEEDS[2:], 7, 2, 3)
    np.testing.assert_array_equal(both[2:, 0], same)


def test_xla_draws_the_same():
    draw = tf.function(
        lambda: splitmix.uniform(SEEDS, 100, 3),
        jit_compile=True,
        autograph=False,
    )
    np.testing.assert_array_equal(draw(), splitmix.uniform(SEEDS, 100, 3))
