"""Whether what an attack ends with counts: near enough, and misclassified."""

import numpy as np
import tensorflow as tf

from dim_tf.attacks.graphs import Graphs
from dim_tf.attacks.norms import NORMS
from dim_tf.caching import kept_with_model


def judge(problem, norm: str, candidates, epsilon):
    """Candidates moved to within epsilon, and whether they are adversarial.

    Args:
        problem: `Problem`.
        norm: a key of `NORMS`.
        candidates: float32 `(batch, pixels)`.
        epsilon: float32 `(batch, 1)`.

    Returns:
        dict: `clipped` float32 `(batch, pixels)`, `success` bool `(batch,)`.
    """
    clipped = NORMS[norm].clip_perturbation(problem.images, candidates, epsilon)
    clipped = problem.clip(clipped)
    success = problem.fooled_by(clipped)
    return {"clipped": clipped, "success": success}


def judge_samples(samples, norm, candidates, epsilons, jit_compile):
    """Judges one candidate of each sample at every epsilon.

    Args:
        samples: `Samples`.
        norm: a key of `NORMS`.
        candidates: float32 `(batch, pixels)`.
        epsilons: floats, or None where there is no limit.
        jit_compile: whether XLA compiles the judge.

    Returns:
        float32 `(epsilons, batch, pixels)`, bool `(epsilons, batch)`.
    """
    compiled = _compiled(samples.model, norm, jit_compile, *samples.setting)
    names = ("images", "classes", "seeds", "margins")
    rows = {name: samples.rows[name] for name in names if name in samples.rows}
    rows["candidates"] = tf.constant(candidates)
    clipped, success = [], []
    for epsilon in epsilons:
        limit = np.float32(np.inf if epsilon is None else epsilon)
        judged = compiled(
            "judge", {**rows, "epsilon": tf.fill((len(samples), 1), limit)}
        )
        clipped.append(judged["clipped"])
        success.append(judged["success"])
    return np.stack(clipped), np.stack(success)


@kept_with_model
def _compiled(model, norm, jit_compile, bounds, shape, targeted) -> Graphs:
    del bounds  # of the model, which can change in place

    def step(problem, rows):
        return judge(problem, norm, rows["candidates"], rows["epsilon"])

    return Graphs({"judge": step}, model, shape, targeted, jit_compile)
