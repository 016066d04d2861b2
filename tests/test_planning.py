"""Records that are there already: whose they are, and if they are sound."""

import dataclasses

import pytest
from test_sweep import BIM
from test_sweep import COUNT
from test_sweep import DDN
from test_sweep import linear_subject
from test_sweep import run

from dim_tf.evaluation import executors
from dim_tf.evaluation import planning
from dim_tf.evaluation import targets


@pytest.fixture(scope="module")
def subject():
    return linear_subject()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weights_digest": "other"}, "weights_digest"),
        ({"refined": True}, "refinement"),
        ({"dataset": "else"}, "dataset"),
        ({"settings": {"abs_steps": 7}}, "settings"),
    ],
)
def test_attacks_on_another_model_of_the_name_are_refused(
    subject, tmp_path, change, named
):
    """A minimum over both would be of neither."""
    run(tmp_path, subject, [DDN])
    planning.plan(tmp_path, [dataclasses.replace(BIM, seed=1)], COUNT, 10)
    other = dataclasses.replace(BIM, **change)
    with pytest.raises(ValueError, match=f"l2_ddn.*{named}"):
        planning.plan(tmp_path, [other], COUNT, 10)


def test_a_file_that_another_wrote_meanwhile_has_to_be_the_same(
    subject, tmp_path
):
    (shard,) = planning.plan(tmp_path, [DDN], COUNT, COUNT)
    other = dataclasses.replace(shard, cell=dataclasses.replace(DDN, seed=1))
    target = targets.Target("toy", "digest", lambda: subject.model)
    worker = executors.Worker(subject.examples, "off")
    for _ in range(2):
        assert not worker.run(executors.Job(target, shard)).failure
    with pytest.raises(ValueError, match="seed: 0 there, 1 here"):
        worker.run(executors.Job(target, other))


def test_a_damaged_file_of_another_model_stops_nobody(subject, tmp_path):
    run(tmp_path, subject, [DDN], size=COUNT)
    damaged = tmp_path / "other" / "l2_ddn" / "00000-00001.parquet"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("broken")
    assert planning.seconds_per_sample(tmp_path, "third", "l2_ddn") > 0
    assert planning.seconds_per_sample(tmp_path, "other", "l2_ddn") > 0
    assert planning.seconds_per_sample(tmp_path, "other", "l2_bim") is None
