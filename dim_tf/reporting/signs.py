"""What all signs of trouble have in common."""

import numpy as np

from dim_tf.reporting import statistics

ALARM, NOTE = "alarm", "note"
# Of the samples by which an attack may do better by chance; above its rounding.
MARGIN = 0.05 + 1e-9


def percent(share: float) -> str:
    """Of so many digits that 1 of 1,000 is neither none nor all."""
    return f"{100 * share:.3g}%"


def robust_on(cell: statistics.Cell, samples: np.ndarray) -> np.ndarray:
    """Which of some samples an attack leaves."""
    return statistics.robust(cell)[np.isin(cell.samples, samples)]
