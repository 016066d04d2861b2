"""What an attack sees inside its graph: images, a goal, a model to ask."""

import contextvars
import dataclasses
import functools
import warnings
from collections.abc import Callable

import tensorflow as tf

from dim_tf.attacks import splitmix

# Backward passes that one traced pass stands for: pfor makes many of it, and
# still runs once what counts them.
passes_at_once = contextvars.ContextVar("passes_at_once", default=1)


def own_class(classes, scores):
    """Which score of a row is its class's: bool `(batch, classes)`."""
    return tf.one_hot(classes, scores.shape[-1], on_value=True, off_value=False)


def log_odds_against(classes, scores):
    """Logarithm of how much likelier than its class the others are, together.

    The cross-entropy is `log(1 + exp(log-odds))`. Its gradient leads the same
    way, but vanishes with the probability of the others: in float32 that by
    the class's own score is zero once it leads by 17.

    Args:
        classes: int64 `(batch,)`.
        scores: float32 `(batch, classes)`, logits.
    """
    own = own_class(classes, scores)
    of_class = tf.reduce_sum(tf.where(own, scores, 0.0), -1)
    others = tf.where(own, scores.dtype.min, scores)
    return tf.reduce_logsumexp(others, -1) - of_class


def decided(scores):
    """`scores.decided` in a graph: float32 `(..., classes)` -> bool `(...)`."""
    known = ~tf.reduce_any(tf.math.is_nan(scores), -1)
    return known & tf.math.is_finite(tf.reduce_max(scores, -1))


def _finite(gradients):
    return tf.where(tf.math.is_finite(gradients), gradients, 0.0)


def scores_and_gradient(model, objective, images):
    """Scores of images, and the gradient of an objective of them.

    It is zero where the model does not depend on the images, or has an
    operation without a gradient.

    Args:
        model: images -> scores.
        objective: scores -> `(batch,)`.
        images: float32 `(batch, ...)`.
    """

    def ask():
        scores = model(images)
        return scores, tf.reduce_sum(objective(scores))

    def differentiate(tape, outputs):
        return tape.gradient(outputs[1], images)

    (scores, _), gradients = _differentiated(
        ask, images, differentiate, lambda _: tf.zeros_like(images)
    )
    return scores, gradients


def _differentiated(ask, images, differentiate, zeros):
    """What is asked of a model, and derivatives of it by the images.

    Args:
        ask: function `() -> outputs`.
        images: which the outputs are of.
        differentiate: function `(tape, outputs) -> derivatives`, None where
            outputs do not depend on the images.
        zeros: function `outputs -> derivatives` for models that have an
            operation without a gradient, at which TensorFlow gives up.
    """
    outputs, found = None, None
    try:
        # Of the weights, ABS would keep every step of its search.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            outputs = ask()
        found = differentiate(tape, outputs)
    except LookupError as error:
        # A KeyError is one too, and somebody's mistake.
        if type(error) is not LookupError:
            raise
    if outputs is None:
        # Within a function, it is met before there is an answer.
        outputs = ask()
    if found is None:
        warnings.warn(
            "the model has no gradient by its images, and attacks that follow "
            "one stay where they are, which is no robustness",
            stacklevel=2,
        )
        found = zeros(outputs)
    return outputs, found


@dataclasses.dataclass(frozen=True)
class Problem:
    """One batch to attack.

    Every method treats each row by itself, so that no sample's outcome depends
    on its neighbors.

    Attributes:
        images: float32 `(batch, pixels)`, within the bounds.
        classes: int64 `(batch,)`, labels to leave or classes to reach.
        seeds: int32 `(batch, 2)`, one stateless seed per row.
        targeted: whether `classes` are to be reached.
        model: images `(n, *shape)` -> scores `(n, classes)`.
        shape: of an image.
        bounds: smallest and largest value of a pixel.
        margins: float32 `(batch,)`, by how much another class must lead, as
            what the scores of `classes` are raised by; None: by nothing.
    """

    images: tf.Tensor
    classes: tf.Tensor
    seeds: tf.Tensor
    targeted: bool
    model: Callable
    shape: tuple[int, ...]
    bounds: tuple[float, float]
    margins: tf.Tensor | None = None

    @property
    def batch(self):
        """Number of rows, int32 scalar tensor."""
        return tf.shape(self.images)[0]

    @property
    def pixels(self) -> int:
        return self.images.shape[1]

    def seeds_within(self, epsilon):
        """Seeds of what is drawn anew for every epsilon `(batch, 1)`."""
        # In another unit of the pixels the draws are the same.
        return splitmix.seeds_within(self.seeds, epsilon / self.range)

    @property
    def range(self) -> float:
        """Width of the bounds."""
        return self.bounds[1] - self.bounds[0]

    @property
    def farthest_change(self):
        """How much every pixel may change, within the bounds."""
        lower, upper = self.bounds
        return tf.maximum(self.images - lower, upper - self.images)

    def clip(self, flat):
        """Into the bounds."""
        return tf.clip_by_value(flat, *self.bounds)

    def restrict(self, flat, ball, epsilon):
        """Into the ball of a norm about the images, and into the bounds.

        Args:
            flat: float32 `(batch, pixels)`.
            ball: row of the table of norms.
            epsilon: scalar or `(batch, 1)`.
        """
        change = ball.project(flat - self.images, epsilon)
        return self.clip(self.images + change)

    def scores(self, flat):
        """Scores `(batch, classes)` of images, `(batch, k, classes)` of
        candidates: float32 `(batch, pixels)` or `(batch, k, pixels)`."""
        scores = self.ask(tf.reshape(flat, (-1, self.pixels)))
        if flat.shape.rank == 3:
            scores = tf.reshape(scores, (self.batch, -1, scores.shape[-1]))
        return self.raised(scores)

    def ask(self, images):
        """What the model says of any images: `(k, pixels)` -> `(k, classes)`"""
        scores = self.model(tf.reshape(images, (-1, *self.shape)))
        return tf.cast(scores, tf.float32)

    def raised(self, scores):
        """Scores `(batch, ..., classes)` with the margins in them."""
        if self.margins is None:
            return scores
        own = tf.one_hot(self.classes, scores.shape[-1])
        rise = own * self.margins[:, None]
        return scores + (rise[:, None] if scores.shape.rank == 3 else rise)

    def contenders(self, scores):
        """The class's score and the best other one, `scores` less an axis."""
        own = own_class(self.classes, scores)
        if scores.shape.rank == 3:
            own = own[:, None]
        lowest = scores.dtype.min
        # Not by a sum with a mask: infinity less infinity is no number.
        of_class = tf.reduce_max(tf.where(own, scores, lowest), -1)
        best_other = tf.reduce_max(tf.where(own, lowest, scores), -1)
        return of_class, best_other

    def margin(self, scores):
        """How far the goal is reached: positive where adversarial.

        Untargeted it is the best other score less the label's, targeted the
        target's score less the best other one.
        """
        of_class, best_other = self.contenders(scores)
        margin = best_other - of_class
        return -margin if self.targeted else margin

    def loss(self, name):
        """What to climb, by its name in `LOSSES`: scores -> `(batch,)`."""
        return functools.partial(LOSSES[name], self)

    def log_odds(self, scores):
        """A loss that grows toward the goal, and is flat in no scores."""
        odds = log_odds_against(self.classes, scores)
        return -odds if self.targeted else odds

    def cross_entropy(self, scores):
        """foolbox's loss, which is flat in scores far from the goal."""
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
            self.classes, scores
        )
        return -loss if self.targeted else loss

    def is_adversarial(self, scores):
        """bool, `scores` less its last axis; never where they are not decided.

        Nor where the best classes tie, as all do where internal models answer
        black: which of them `argmax` names is no opinion of the model.
        """
        return decided(scores) & (self.margin(scores) > 0)

    def fooled_by(self, flat):
        """Whether images are adversarial: as `scores`, less the classes."""
        return self.is_adversarial(self.scores(flat))

    def gradient(self, objective, flat):
        """Scores, and the gradient of an objective of them, `(batch, pixels)`.

        What of it is not finite is zero, as that of a square root is not at
        black, and so is that of a model without a gradient.

        Args:
            objective: scores -> `(batch,)`.
            flat: float32 `(batch, pixels)`.
        """
        scores, gradients = scores_and_gradient(self.scores, objective, flat)
        return scores, _finite(gradients)

    def jacobian(self, objectives, flat, vectorized):
        """Scores, objectives of them, and gradients `(batch, k, pixels)`.

        All gradients share a forward pass. What of them is not finite is zero,
        and so is what a model without a gradient has, of which TensorFlow
        tells nothing here unless it has an operation without one.

        Args:
            objectives: scores -> `(batch, k)`.
            flat: float32 `(batch, pixels)`.
            vectorized: whether to take the k gradients at once, or one by one.
        """

        def ask():
            scores = self.scores(flat)
            return scores, objectives(scores)

        def differentiate(tape, outputs):
            _, values = outputs
            token = passes_at_once.set(values.shape[1] if vectorized else 1)
            try:
                return tape.batch_jacobian(
                    values,
                    flat,
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                    experimental_use_pfor=vectorized,
                )
            finally:
                passes_at_once.reset(token)

        def zeros(outputs):
            _, values = outputs
            return tf.repeat(tf.zeros_like(flat)[:, None], values.shape[1], 1)

        (scores, values), gradients = _differentiated(
            ask, flat, differentiate, zeros
        )
        return scores, values, _finite(gradients)


# What attacks may climb: (problem, scores) -> `(batch,)`.
LOSSES = {
    "log_odds": Problem.log_odds,
    "cross_entropy": Problem.cross_entropy,
    "margin": Problem.margin,
}
