"""Records that are there already, and what is left for whom beside them."""

import dataclasses
import itertools

import pytest
from test_sweep import BIM
from test_sweep import COUNT
from test_sweep import DDN
from test_sweep import linear_subject
from test_sweep import records
from test_sweep import run
from test_sweep import same

from dim_tf.evaluation import executors
from dim_tf.evaluation import planning
from dim_tf.evaluation import results
from dim_tf.evaluation import sweep
from dim_tf.evaluation import targets
from dim_tf.evaluation.campaign import Campaign


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


def shares(folder, count, size):
    """What each of so many machines has left to do."""
    target = targets.Target("toy", "digest", lambda: None)
    found = []
    for index in range(count):
        campaign = Campaign(
            preset="quick",
            attacks=[BIM.spec, DDN.spec],
            num_examples=COUNT,
            dataset="toys",
            probes=False,
            shard_size=size,
            shard_index=index,
            shard_count=count,
        )
        jobs = campaign.jobs([target], folder)
        found.append([job.shard for job in jobs])
    return found


def test_machines_share_the_work_whoever_is_ahead(subject, tmp_path):
    before = shares(tmp_path, 3, 5)
    everything = planning.plan(tmp_path, [BIM, DDN], COUNT, 5)
    paths = [shard.path for share in before for shard in share]
    assert sorted(paths) == sorted(shard.path for shard in everything)
    assert [len(share) for share in before] == [4, 4, 4]
    done, *left = before[0]
    sweep.run_shard(done, subject, jit_compile=False)
    assert shares(tmp_path, 3, 5) == [left, *before[1:]]


def test_machines_share_attacks_of_one_file_each(tmp_path):
    first, second = shares(tmp_path, 2, COUNT)
    assert [shard.cell.spec.name for shard in first] == ["l2_bim"]
    assert [shard.cell.spec.name for shard in second] == ["l2_ddn"]


@pytest.mark.parametrize(
    ("done", "count", "size", "expected"),
    [
        ([range(3, 5)], 8, 8, [range(0, 3), range(5, 8)]),
        ([range(3, 5)], 8, 4, [range(0, 3), range(5, 8)]),
        ([range(1), range(5, 6)], 6, 3, [range(1, 3), range(3, 5)]),
        (
            [range(1, 2)],
            7,
            3,
            [range(0, 1), range(2, 3), range(3, 6), range(6, 7)],
        ),
        ([range(9)], 7, 3, []),
    ],
)
def test_files_end_where_others_begin(
    subject, tmp_path, done, count, size, expected
):
    for positions in done:
        write(tmp_path, subject, positions)
    planned = planning.plan(tmp_path, [BIM], count, size)
    assert [shard.positions for shard in planned] == expected


def write(folder, subject, positions):
    """Does what a machine does whose files are of another size."""
    path = results.shard_path(folder / "toy" / "l2_bim", positions)
    shard = planning.Shard(BIM, path, positions)
    sweep.run_shard(shard, subject, jit_compile=False)
    return shard


@pytest.mark.parametrize("others", [range(4, 9), range(15), range(12, 14)])
def test_what_others_wrote_since_is_not_written_again(
    subject, tmp_path, others
):
    """Neither before nor after the attack, which may take hours."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    whole = write(alone, subject, range(10))
    written = write(shared, subject, others)
    before = written.path.read_bytes()
    path = shared / whole.path.relative_to(alone)
    shard = dataclasses.replace(whole, path=path)
    left = [each.positions for each in planning.left(shard)]
    assert sorted([*others, *itertools.chain(*left)])[:10] == list(range(10))
    sweep.run_shard(shard, subject, jit_compile=False)
    assert written.path.read_bytes() == before
    rows, expected = records(shared), records(alone)
    assert len(rows) == len({*others, *range(10)})
    same({key: rows[key] for key in expected}, expected)
