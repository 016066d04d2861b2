"""The page where one draws a digit and attacks it, and what it asks for.

Predictions come from TensorFlow Serving's own interface; here is what that has
not: a drawing made to look like MNIST, and attacks on the served models.
"""

import asyncio
import dataclasses
import pathlib
import timeit
from typing import Any

import fastapi
import fastapi.staticfiles
import foolbox
import numpy as np
import tensorflow as tf

from dim_tf import attacks
from dim_tf import digits
from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.caching import kept_with_model
from dim_tf.serving import tensors
from dim_tf.serving.errors import RequestError
from dim_tf.serving.errors import within
from dim_tf.serving.http import answer
from dim_tf.serving.http import read_json
from dim_tf.serving.models import Models
from dim_tf.serving.versions import Tensor
from dim_tf.serving.versions import Version

STATIC = pathlib.Path(__file__).with_name("static")
# An attack is shown at so many budgets, up to the one that was asked for.
_FRAMES = 12
_LARGEST_SIDE = 512
# What the model under attack takes, and what it gives among other things.
_IMAGES = {
    "images": Tensor("images", np.dtype(np.float32), (None, 28, 28, 1)),
}
_ANSWERS = {
    "label": Tensor("label", np.dtype(np.int64), (None,)),
    "scores": Tensor("scores", np.dtype(np.float32), (None, 10)),
}


@dataclasses.dataclass(frozen=True)
class Offer:
    """An attack that the page offers.

    Attributes:
        label: what the page calls it.
        norm: of its budget.
        attack: the attack.
    """

    label: str
    norm: str
    attack: FixedEpsilon


OFFERS = {
    "linf_pgd": Offer("PGD", "linf", attacks.LinfPGD(random_start=False)),
    "linf_fgsm": Offer("FGSM, one step", "linf", attacks.FGSM()),
    "linf_noise": Offer(
        "uniform noise", "linf", attacks.LinfAdditiveUniformNoiseAttack()
    ),
    "l2_pgd": Offer("PGD", "l2", attacks.L2PGD(random_start=False)),
    "l2_fgm": Offer("FGM, one step", "l2", attacks.FGM()),
    "l2_noise": Offer(
        "Gaussian noise", "l2", attacks.L2AdditiveGaussianNoiseAttack()
    ),
}
BUDGETS = {"linf": 1.0, "l2": 8.0}


def router(models: Models) -> fastapi.APIRouter:
    """The page at `/`, and the routes below `/demo`."""
    routes = fastapi.APIRouter()
    running = asyncio.Lock()  # one at a time: an attack takes every core

    @routes.get("/", include_in_schema=False)
    async def page():
        return fastapi.responses.FileResponse(STATIC / "index.html")

    @routes.get("/demo/offers")
    async def offers():
        return answer(
            {
                "models": models.repository.names,
                "budgets": BUDGETS,
                "attacks": [
                    {"name": name, "label": offer.label, "norm": offer.norm}
                    for name, offer in OFFERS.items()
                ],
            }
        )

    @routes.post("/demo/digit")
    async def digit(request: fastapi.Request):
        body = await read_json(request, models.limits)
        drawing = _drawing(body.get("drawing"))
        try:
            return answer({"image": digits.normalize(drawing, "the drawing")})
        except ValueError as error:
            raise RequestError(400, str(error)) from error

    @routes.post("/demo/attack")
    async def attack(request: fastapi.Request):
        body = await read_json(request, models.limits)
        version = models.repository.get(str(body.get("model")))
        asked = _asked(body, version)
        async with within(models.limits.seconds):
            await running.acquire()
        try:
            found = await asyncio.to_thread(
                run, version, models.limits.seconds, *asked
            )
        finally:
            running.release()
        return answer(found)

    return routes


def static_files() -> fastapi.staticfiles.StaticFiles:
    """Scripts, styles and digits of the page."""
    return fastapi.staticfiles.StaticFiles(directory=STATIC)


def run(
    version: Version,
    limit: float,
    offer: Offer,
    image: np.ndarray,
    label: int,
    epsilon: float,
) -> dict[str, Any]:
    """Attacks a served model at growing budgets.

    Args:
        version: the model; differentiable, as SavedModels are.
        limit: of seconds that it may take.
        offer: the attack.
        image: float32 `(1, 28, 28, 1)` in [0, 1].
        label: which the model is to be moved away from.
        epsilon: the largest budget, in the offer's norm.

    Returns:
        `epsilons`, `images (n, 28, 28)`, `labels` and `scores` at each, the
        first being the image itself.

    Raises:
        RequestError: 400, it would take longer.
    """
    once = min(
        timeit.repeat(
            lambda: version.default.predict({"images": image}),
            number=1,
            repeat=3,
        )
    )
    passes = _FRAMES * getattr(offer.attack, "steps", 1)
    if passes * once > limit:
        raise RequestError(
            400,
            f"{version.name} takes {once:.2g} s for an image, and an attack by "
            f"{offer.label} {passes} times that, more than {limit:g} s; use "
            "`python -m dim_tf.evaluate`",
        )
    budgets = np.linspace(0.0, epsilon, _FRAMES + 1)
    _, found, _ = offer.attack(
        _classifier(version),
        image,
        np.array([label]),
        epsilons=budgets[1:].tolist(),
    )
    images = np.concatenate([image, *(step.numpy() for step in found)])
    outputs = version.default.predict({"images": images})
    return {
        "epsilons": budgets,
        "images": np.ascontiguousarray(images[..., 0]),
        "labels": outputs["label"],
        "scores": outputs["scores"],
    }


@kept_with_model  # attacks compile for a model
def _classifier(version: Version) -> foolbox.TensorFlowModel:
    device = "/GPU:0" if tf.config.list_physical_devices("GPU") else "/CPU:0"
    return foolbox.TensorFlowModel(version.scores, (0, 1), device=device)


def _asked(body: dict[str, Any], version: Version):
    name = body.get("attack")
    if not isinstance(name, str) or name not in OFFERS:
        raise RequestError(
            400, f"expected 'attack' to be one of {', '.join(OFFERS)}"
        )
    offer = OFFERS[name]
    taken, given = version.default.inputs, version.default.outputs
    if taken != _IMAGES or not _ANSWERS.items() <= given.items():
        raise RequestError(
            400,
            f"{version.name} is no classifier of MNIST images: expected it to "
            "take 'images' alone and to give 'label' and 'scores'; name a "
            "model that this package exported",
        )
    image = tensors.as_array(body.get("image"), _IMAGES["images"], 1)
    if image.min() < 0 or image.max() > 1:
        raise RequestError(400, "input 'images': expected values in [0, 1]")
    label, epsilon = _number(body, "label"), _number(body, "epsilon")
    if label not in range(10):
        raise RequestError(400, "expected 'label' to be a digit, 0 to 9")
    most = BUDGETS[offer.norm]
    if not 0 < epsilon <= most:
        raise RequestError(
            400, f"expected 'epsilon' to be above 0, up to {most:g}"
        )
    return offer, image, int(label), epsilon


def _number(body: dict[str, Any], name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(400, f"expected {name!r} to be a number")
    return float(value)


def _drawing(value: Any) -> np.ndarray:
    """A drawing of any size as float32 `(height, width)` in [0, 1]."""
    if not isinstance(value, list) or not 1 <= len(value) <= _LARGEST_SIDE:
        raise RequestError(
            400, f"expected 'drawing' to be 1 to {_LARGEST_SIDE} rows of pixels"
        )
    width = len(value[0]) if isinstance(value[0], list) else 0
    if not 1 <= width <= _LARGEST_SIDE:
        raise RequestError(
            400, f"expected rows of 1 to {_LARGEST_SIDE} pixels, from 0 to 1"
        )
    pixels = Tensor("drawing", np.dtype(np.float32), (None, width))
    drawing = tensors.as_array(value, pixels, _LARGEST_SIDE)
    if drawing.min() < 0 or drawing.max() > 1:
        raise RequestError(400, "expected pixels from 0 to 1")
    return drawing
