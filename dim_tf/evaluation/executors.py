"""Who attacks: this process, or the workers of a Ray cluster.

Either way the Parquet files are the truth: a job whose file is there is done,
whoever wrote it, if with the same settings, and one whose file is not there is
not.
"""

import dataclasses
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from dim_tf import data
from dim_tf.evaluation import fitness
from dim_tf.evaluation import planning
from dim_tf.evaluation import sweep
from dim_tf.evaluation import targets

# A shard that kills this many workers in turn is not tried again.
_RETRIES = 3
# Seconds for a cluster to answer.
_PATIENCE = 10


@dataclasses.dataclass(frozen=True)
class Job:
    """A shard, and the model that it is of."""

    target: targets.Target
    shard: planning.Shard


@dataclasses.dataclass(frozen=True)
class Done:
    """What came of a job.

    Attributes:
        job: which.
        clean_accuracy: of its model on all examples; NaN with a failure.
        failure: why its model cannot be attacked; empty: it can.
        unsuited: why this attack cannot attack it; empty: the records are
            there.
        broken: why the attack broke on samples, a reason for each of these.
    """

    job: Job
    clean_accuracy: float
    failure: str = ""
    unsuited: str = ""
    broken: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Resources:
    """What a worker takes of a Ray cluster, and where that is.

    Attributes:
        address: of the cluster; empty: one on this machine, for this run.
        cpus: for each worker; there are as many workers as fit.
        gpus: for each worker, possibly a share of one.
    """

    address: str = ""
    cpus: float = 2
    gpus: float = 0


class Worker:
    """Attacks shards; keeps the model, and with it the compiled attacks.

    Args:
        examples: all images, in the order in which they are attacked.
        xla: as `targets.jit_compile`.
        threads: of TensorFlow; 0: one for every core.
    """

    def __init__(self, examples: data.Examples, xla: str, threads: int = 0):
        # A process of Ray has not gone through `entry`.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        self._examples = examples
        self._xla = xla
        self._loaded: dict[tuple[str, str], Any] = {}

    def run(self, job: Job) -> Done:
        """Attacks a shard and writes its records.

        Raises:
            OSError: they cannot be written.
            ValueError: others were, in the meantime, with other settings.
        """
        subject, accuracy, failure = self._load(job.target)
        if failure:
            return Done(job, accuracy, failure)
        try:
            job.shard.cell.spec.for_model(subject.model)
        except ValueError as error:
            return Done(job, accuracy, unsuited=str(error))
        jit_compile = targets.jit_compile(self._xla, subject.model)
        broken: tuple[str, ...] = ()
        # A worker may have died between the writing and the telling, or others
        # may have been here, with files of another size.
        for shard in planning.left(job.shard):
            broken += sweep.run_shard(shard, subject, jit_compile=jit_compile)
        return Done(job, accuracy, broken=broken)

    def suits(self, target: targets.Target) -> bool:
        """Whether a model can be attacked at all."""
        _, _, failure = self._load(target)
        return not failure

    def _load(self, target):
        key = target.name, target.weights_digest
        if key not in self._loaded:
            try:
                subject = sweep.Subject(target.loaded(), self._examples)
                accuracy = fitness.check(subject.model, self._examples)
                self._loaded[key] = subject, accuracy, ""
            except Exception as error:  # whatever anybody's model may raise
                why = str(error) or type(error).__name__
                self._loaded[key] = None, float("nan"), why
        return self._loaded[key]


def in_process(
    jobs: list[Job], examples: data.Examples, xla: str
) -> Iterator[Done]:
    """Does jobs one after the other; arguments as `Worker`.

    All models are looked at first, so that whoever waits for hours hears at
    once of those that cannot be attacked.
    """
    worker = Worker(examples, xla)
    for job in sorted(jobs, key=lambda job: worker.suits(job.target)):
        yield worker.run(job)


def on_ray(
    jobs: list[Job], examples: data.Examples, xla: str, resources: Resources
) -> Iterator[Done]:
    """Does jobs on the workers of a Ray cluster, in any order.

    A worker that dies is started again, and its job with it.

    Raises:
        ValueError: Ray is not installed, the cluster is too small, or as
            `Worker.run`.
        OSError: a worker cannot write its records.
        ConnectionError: no cluster at the address, or no workers left.
    """
    try:
        # Nothing is to be told to anybody about the use of Ray.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        import ray.exceptions
        import ray.util
    except ImportError:
        raise ValueError(
            "Ray is not installed; in the clone of dim_tf, run `pip install -e "
            "'.[ray]'`"
        ) from None
    _knock(resources.address)
    ray.init(
        address=resources.address or "local",
        include_dashboard=False if not resources.address else None,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    try:
        count = _fitting(ray.cluster_resources(), resources)
        kind: Any = ray.remote(Worker).options(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            max_restarts=-1,
            max_task_retries=_RETRIES,
        )
        arguments = ray.put(examples), xla, max(1, int(resources.cpus))
        workers = [
            kind.remote(*arguments) for _ in range(min(count, len(jobs)))
        ]
        pool = ray.util.ActorPool(workers)
        yield from pool.map_unordered(
            lambda worker, job: worker.run.remote(job), jobs
        )
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        reason = str(error).partition("\n")[0]
        raise ConnectionError(
            f"the workers are gone ({reason}); the same command resumes where "
            "they were"
        ) from error
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Checks that a cluster is there: Ray asks a dead address for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        # Brackets are around addresses with colons.
        socket.create_connection(
            (host.strip("[]"), int(port)), _PATIENCE
        ).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(
            f"no Ray cluster answers at {address} ({error}); start one there "
            "with `ray start --head`"
        ) from error


def _fitting(there: dict[str, float], resources: Resources) -> int:
    """How many workers fit into a cluster."""
    counts = [int(there.get("CPU", 0) // resources.cpus)]
    if resources.gpus:
        counts.append(int(there.get("GPU", 0) // resources.gpus))
    if min(counts) < 1:
        raise ValueError(
            f"no worker of {resources.cpus:g} CPUs and {resources.gpus:g} GPUs "
            f"fits into a cluster of {there.get('CPU', 0):g} CPUs and "
            f"{there.get('GPU', 0):g} GPUs"
        )
    return min(counts)
