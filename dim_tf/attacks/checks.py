"""Checks of an attack's hyper-parameters."""

from collections.abc import Iterable


def one_of(name: str, value, known: Iterable[str]) -> None:
    """Raises ValueError unless a value is a known one."""
    if value not in known:
        raise ValueError(
            f"{name} must be one of {', '.join(known)}, got {value!r}"
        )


def positive(name: str, value) -> None:
    """Raises ValueError unless a number is above zero."""
    if not value > 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")


def at_least(name: str, value, smallest: float) -> None:
    """Raises ValueError unless a number is large enough."""
    if not value >= smallest:
        raise ValueError(f"{name} must be at least {smallest}, got {value!r}")
