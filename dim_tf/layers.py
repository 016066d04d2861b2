"""The layers that the models need and Keras does not have."""

import copy
import functools

import keras
import numpy as np
from keras import ops

SURROGATES = ("zero", "straight_through", "sigmoid")


@keras.saving.register_keras_serializable("dim_tf")
class ParallelDense(keras.layers.Layer):
    """`count` independent dense layers, computed as one batched matmul.

    Ten small autoencoders in a Python list cost ten times the kernel launches
    of one. Here they are slices of one kernel along a class axis, which lies
    where the matmul needs it: `(count, inputs, units)`, or `(inputs, count,
    units)` where all layers share their input and one wide matmul does.

    Args:
        units: int, output units of each dense layer.
        count: int, number of dense layers.
        activation: name of a Keras activation, applied to every output.

    Input shape: `(batch, count, inputs)`, one input per layer, or
        `(batch, 1, inputs)`, one input that all layers share.
    Output shape: `(batch, count, units)`.
    """

    def __init__(self, units, count, activation=None, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("units", units), ("count", count)):
            if type(value) is not int or value < 1:
                raise ValueError(
                    f"ParallelDense: `{name}` must be a positive int, "
                    f"received {value!r}."
                )
        self.units = units
        self.count = count
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        if len(input_shape) != 3 or input_shape[1] not in (1, self.count):
            raise ValueError(
                "ParallelDense: expected inputs of shape (batch, "
                f"{self.count}, inputs) or (batch, 1, inputs), received "
                f"{tuple(input_shape)}."
            )
        self.shared = input_shape[1] == 1
        self.kernel = self.add_weight(
            shape=self._layout((self.count, input_shape[-1], self.units)),
            initializer=self._initialize,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.count, self.units), initializer="zeros", name="bias"
        )

    def _layout(self, shape):
        count, inputs, units = shape
        return (inputs, count, units) if self.shared else shape

    def _initialize(self, shape, dtype=None):
        # Fan-in and fan-out are those of one slice, not of the whole stack.
        _, inputs, units = self._layout(shape)
        return ops.stack(
            [
                keras.initializers.GlorotUniform()((inputs, units), dtype)
                for _ in range(self.count)
            ],
            axis=1 if self.shared else 0,
        )

    def call(self, inputs):
        if self.shared:
            kernel = ops.reshape(self.kernel, (-1, self.count * self.units))
            outputs = ops.reshape(
                ops.matmul(inputs[:, 0], kernel), (-1, self.count, self.units)
            )
            return self.activation(outputs + self.bias)
        slices = ops.matmul(ops.transpose(inputs, (1, 0, 2)), self.kernel)
        slices = self.activation(slices + self.bias[:, None])
        # Last, so that it meets a consumer's own and a compiler drops both.
        return ops.transpose(slices, (1, 0, 2))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.count, self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "count": self.count,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable("dim_tf")
class IntensityRatio(keras.layers.Layer):
    """Relative output intensity of each internal model, equation (3).

    `|F_i(D(x))|_1 / max(|D(x)|_1, floor)`. The paper leaves 0/0 open for an
    image that the denoiser maps to black; the floor of one white pixel keeps
    every score finite there. It never changes a prediction, since all classes
    share the denominator.

    Args:
        floor: float > 0, smallest intensity that is divided by.

    Input: `[reconstructions (batch, classes, h, w, 1),
        denoised (batch, h, w, 1)]`, float.
    Output shape: `(batch, classes)`, non-negative.
    """

    def __init__(self, floor=1.0, **kwargs):
        super().__init__(**kwargs)
        if not floor > 0:
            raise ValueError(
                f"IntensityRatio: `floor` must be > 0, received {floor!r}."
            )
        self.floor = floor

    def call(self, inputs):
        reconstructions, denoised = inputs
        intensities = ops.sum(ops.abs(reconstructions), axis=(2, 3, 4))
        total = ops.sum(ops.abs(denoised), axis=(1, 2, 3))
        return intensities / ops.maximum(total, self.floor)[:, None]

    def compute_output_shape(self, input_shape):
        return input_shape[0][:2]

    def get_config(self):
        return {**super().get_config(), "floor": self.floor}


@keras.saving.register_keras_serializable("dim_tf")
class Binarize(keras.layers.Layer):
    """1 where the input is at least `threshold`, else 0 (biDIM, section 3.2).

    The step has no useful gradient of its own and TensorFlow reports `None`,
    which crashes most attacks. The layer therefore always has a gradient, and
    which one is a named choice that belongs in every robustness report.

    Args:
        surrogate: gradient used in place of the step's: `"zero"`,
            `"straight_through"` (identity) or `"sigmoid"` (a sigmoid of
            steepness `slope` about the threshold).
        threshold: float, where the step is.
        slope: float > 0, steepness of the sigmoid surrogate.

    Output: same shape as the input, exactly 0.0 or 1.0.
    """

    def __init__(
        self, surrogate="sigmoid", threshold=0.5, slope=10.0, **kwargs
    ):
        super().__init__(**kwargs)
        if surrogate not in SURROGATES:
            raise ValueError(
                f"Binarize: unknown surrogate {surrogate!r}, expected one of "
                f"{', '.join(SURROGATES)}."
            )
        if not slope > 0:
            raise ValueError(
                f"Binarize: `slope` must be > 0, received {slope!r}."
            )
        self.surrogate = surrogate
        self.threshold = threshold
        self.slope = slope

    def call(self, inputs):
        hard = ops.cast(inputs >= self.threshold, inputs.dtype)
        if self.surrogate == "zero":
            soft = 0.0 * inputs
        elif self.surrogate == "straight_through":
            soft = inputs
        else:
            soft = ops.sigmoid(self.slope * (inputs - self.threshold))
        # soft - soft is exactly zero, so that the value stays exactly binary
        # (soft + (hard - soft) would be off by a rounding error).
        return ops.stop_gradient(hard) + (soft - ops.stop_gradient(soft))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "surrogate": self.surrogate,
            "threshold": self.threshold,
            "slope": self.slope,
        }


@keras.saving.register_keras_serializable("dim_tf")
class Stack(keras.layers.Layer):
    """`count` copies of a model, each with its own weights, side by side.

    Every weight of the copies is one variable with a leading class axis, so
    that an optimizer or a checkpoint meets one model and not `count` of them.
    A copy's convolutions run one after the other: on a CPU, a grouped
    convolution is slower than that, and cannot be differentiated.

    Args:
        template: functional model of one input and one output; gives the
            structure, while its weights have no effect.
        count: int, number of copies.

    Input shape: `(batch, count, *template.input_shape[1:])`, one input per
        copy, or with 1 in place of `count`, one input that all copies share.
    Output shape: `(batch, count, *template.output_shape[1:])`.

    Attributes:
        copy_input_shape, copy_output_shape: those of one copy, without batch.
    """

    def __init__(self, template, count, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.copy_input_shape = template.input_shape[1:]
        self.copy_output_shape = template.output_shape[1:]
        # Held by its functions alone: its own weights are not the layer's.
        self._apply = template.stateless_call
        self._clone = functools.partial(keras.models.clone_model, template)
        self._template_config = keras.saving.serialize_keras_object(template)

    def build(self, input_shape):
        count, *shape = input_shape[1:]
        expected = self.copy_input_shape
        if count not in (1, self.count) or tuple(shape) != expected:
            raise ValueError(
                f"Stack: expected inputs of shape (batch, {self.count} or 1, "
                f"*{expected}), received {tuple(input_shape)}."
            )
        copies = [self._clone() for _ in range(self.count)]
        self._weights = self._stack(copies, trainable=True)
        self._state = self._stack(copies, trainable=False)

    def _stack(self, copies, trainable):
        kind = "trainable_variables" if trainable else "non_trainable_variables"
        groups = zip(*(getattr(copy, kind) for copy in copies), strict=True)
        return [self._add_stacked(group, trainable) for group in groups]

    def _add_stacked(self, group, trainable):
        values = np.stack([ops.convert_to_numpy(value) for value in group])
        name = group[0].path.replace("/", "_")
        variable = self.add_weight(
            shape=values.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(values),
            trainable=trainable,
            name=name,
        )
        # TensorFlow's checkpoints hold what is an attribute, and no lists.
        setattr(self, f"stacked_{len(self.weights)}", variable)
        return variable

    def call(self, inputs, training=False):
        slices = ops.unstack(inputs, axis=1)
        if len(slices) == 1:
            slices *= self.count
        weights = self._by_copy(self._weights)
        states = self._by_copy(self._state)
        outputs, after = [], []
        for number, values in enumerate(slices):
            output, state = self._apply(
                weights[number], states[number], values, training=training
            )
            outputs.append(output)
            after.append(state)
        if training:
            for index, variable in enumerate(self._state):
                variable.assign(ops.stack([state[index] for state in after]))
        return ops.stack(outputs, axis=1)

    def _by_copy(self, variables):
        unstacked = [ops.unstack(variable) for variable in variables]
        return [[each[n] for each in unstacked] for n in range(self.count)]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.count, *self.copy_output_shape)

    def get_config(self):
        return {
            **super().get_config(),
            # A copy, since deserializing empties it.
            "template": copy.deepcopy(self._template_config),
            "count": self.count,
        }

    @classmethod
    def from_config(cls, config):
        template = keras.saving.deserialize_keras_object(config["template"])
        return cls(**{**config, "template": template})
