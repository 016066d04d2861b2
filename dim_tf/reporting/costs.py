"""What attacks cost, from records."""

import pyarrow as pa
import pyarrow.compute as pc

from dim_tf.evaluation import results
from dim_tf.reporting.formats import Rows


def costs_table(records: pa.Table) -> Rows:
    """What an attack costs a sample, on average, below a header row.

    Args:
        records: of `evaluation.results`.

    Returns:
        Rows of cells, a column for each model: forward and backward passes of
        one image, and seconds on the machine that made the records. Last the
        seconds of all attacks together, without and with the probes, which
        have no row, and the hours of a thousand samples.
    """
    costs = _mean_costs(records, pc.field("preset") != results.PROBE)
    probes = _mean_costs(records, pc.field("preset") == results.PROBE)
    models = sorted({model for _, model in costs})
    rows: Rows = [("", *(f"`{model}`" for model in models))]
    for attack in dict.fromkeys(attack for attack, _ in costs):
        of_models = (costs.get((attack, model)) for model in models)
        rows.append((f"`{attack}`", *map(_cost, of_models)))
    alone = [_seconds(costs, model) for model in models]
    probed = [_seconds(costs | probes, model) for model in models]
    rows.append(("**together**", *(f"{each:.3g} s" for each in alone)))
    rows.append(("**with probes**", *(f"{each:.3g} s" for each in probed)))
    hours = (f"{each / 3.6:,.1f} h" for each in probed)
    rows.append(("**1,000 images**", *hours))
    return rows


_Costs = dict[tuple[str, str], list[float]]


def _mean_costs(records: pa.Table, wanted: pc.Expression) -> _Costs:
    """Forwards, backwards and seconds of an attacked sample: of attack, model.

    With threads, their order would not be that of the records.
    """
    names = ("forwards", "backwards", "seconds")
    # Of what broke no cost is known.
    costly = ~pc.field("status").isin(["misclassified", "error"])
    kept = records.filter(wanted & costly)
    means = kept.group_by(["model", "attack"], use_threads=False).aggregate(
        [(name, "mean") for name in names]
    )
    return {
        (row["attack"], row["model"]): [row[f"{name}_mean"] for name in names]
        for row in means.to_pylist()
    }


def _seconds(costs: _Costs, model: str) -> float:
    return sum(cost[-1] for (_, of), cost in costs.items() if of == model)


def _cost(cost: list[float] | None) -> str:
    if cost is None:
        return "-"
    forwards, backwards, seconds = cost
    digits = f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.2g}"
    return f"{forwards:,.0f} + {backwards:,.0f}, {digits} s"
