"""Which attacks are compared, and with what hyper-parameters on both sides."""

import dataclasses
import inspect
from typing import Any

import foolbox

from dim_tf import attacks
from dim_tf.attacks import suite
from dim_tf.attacks.flexible import Flexible
from dim_tf.benchmarking import pointwise

# No abort, which foolbox decides for the batch and ours for a sample.
_SHORT_SEARCH = {
    "binary_search_steps": 6,
    "steps": 300,
    "abort_early": False,
}
# Where the comparison departs from the suite, for both sides alike: fewer
# steps of what is long, and the one schedule of DDN that foolbox still has.
SETTINGS: dict[str, dict[str, Any]] = {
    "l2_ddn": {"schedule": "cosine"},
    "l2_carlini_wagner": _SHORT_SEARCH,
    "l1_ead": _SHORT_SEARCH,
    "l2_brendel_bethge": {"steps": 100},
    "linf_brendel_bethge": {"steps": 100},
    "l1_brendel_bethge": {"steps": 100},
    "l0_brendel_bethge": {"steps": 100},
    "l2_boundary": {"steps": 300},
    "l2_ls_contrast": {"steps": 200},
    "l2_gaussian_blur": {"steps": 200},
    "l2_blended_uniform": {"steps": 200, "directions": 50},
}
# Images from which on the longest take fewer steps still, as foolbox would
# need hours.
LARGE_BATCH = 1000
_BRIEF_SEARCH = {"binary_search_steps": 2, "steps": 30}
LARGE_BATCH_SETTINGS: dict[str, dict[str, Any]] = {
    "l2_carlini_wagner": _BRIEF_SEARCH,
    "l1_ead": _BRIEF_SEARCH,
    **{f"{norm}_pgd": {"steps": 10} for norm in ("l2", "linf", "l1")},
    **{name: {"repeats": 10} for name in suite.PAPER if "_rep_" in name},
}
# To be asked for by name, as foolbox has but a like one, and runs it on NumPy.
# Both run once, not ten times.
ON_NUMPY = ("l0_pointwise_x10",)


def comparable() -> tuple[str, ...]:
    """Names of the suite's attacks that foolbox can run on TensorFlow.

    Flexible attacks do the same in Linf as in L2.
    """
    return tuple(
        name
        for name, spec in suite.PAPER.items()
        if name not in ON_NUMPY
        and not (spec.norm == "linf" and isinstance(spec.attack, Flexible))
    )


def native(name: str, num_examples: int):
    """Our attack as it is raced on so many images.

    Args:
        name: of an attack in the suite.
        num_examples: in the batch.
    """
    settings = dict(SETTINGS.get(name, {}))
    if num_examples >= LARGE_BATCH:
        settings |= LARGE_BATCH_SETTINGS.get(name, {})
    return dataclasses.replace(suite.PAPER[name].attack, **settings)


def stock(attack):
    """foolbox's attack of the same name and hyper-parameters."""
    if isinstance(attack, attacks.PointwiseAttack):
        return pointwise.PointwiseAttack()
    kind = getattr(foolbox.attacks, type(attack).__name__)
    known = inspect.signature(kind).parameters
    fields = {
        field.name: getattr(attack, field.name)
        for field in dataclasses.fields(attack)
    }
    return kind(**{k: value for k, value in fields.items() if k in known})
