"""The models: a registry of names, building, loading.

Every model here is a Keras functional model with a dict of outputs, of which
`scores (batch, 10)` is the classifier; `load` gives that classifier alone,
`load_outputs` the whole dict.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import keras

from dim_tf import config
from dim_tf.models import analysis_by_synthesis
from dim_tf.models import cnn
from dim_tf.models import dim
from dim_tf.models import madry
from dim_tf.models import saving

SAVED_MODELS = pathlib.Path(__file__).resolve().parents[2] / "saved_models"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row of the registry.

    Attributes:
        summary: what the model is, in a line.
        build: function `sizes -> keras.Model`.
        sizes: dataclass that `build` takes.
        switches: the fields of `sizes` that make this variant.
        parent: name of the model whose weights this one uses, or None.
        search_view: settings of a cheaper stand-in that attacks search on; no
            model but this one ever judges them.
    """

    summary: str
    build: Callable[[Any], keras.Model]
    sizes: type[Any]
    switches: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    parent: str | None = None
    search_view: Mapping[str, int] = dataclasses.field(default_factory=dict)


MODELS: dict[str, Entry] = {
    "dim": Entry("denoiser and ten internal models", dim.build, dim.DimConfig),
    "bi_dim": Entry(
        "DIM with input and denoised image binarized",
        dim.build,
        dim.DimConfig,
        {"binarize": True},
        parent="dim",
    ),
    "im": Entry(
        "ten internal models without a denoiser",
        dim.build,
        dim.DimConfig,
        {"denoiser": False},
    ),
    "single_im": Entry(
        "one encoder, ten decoders, no denoiser",
        dim.build,
        dim.DimConfig,
        {"denoiser": False, "encoders": 1},
    ),
    "dn_single_im": Entry(
        "denoiser, one encoder, ten decoders",
        dim.build,
        dim.DimConfig,
        {"encoders": 1},
    ),
    "cnn": Entry("plain convolutional network", cnn.build, cnn.CnnConfig),
    "bi_cnn": Entry(
        "CNN with its input binarized",
        cnn.build,
        cnn.CnnConfig,
        {"binarize": True},
        parent="cnn",
    ),
    "madry": Entry(
        "convolutional network, adversarially trained",
        madry.build,
        madry.MadryConfig,
    ),
    "abs": Entry(
        "analysis by synthesis: ten variational autoencoders",
        analysis_by_synthesis.build,
        analysis_by_synthesis.AbsConfig,
        search_view=analysis_by_synthesis.SEARCH_VIEW,
    ),
    "bi_abs": Entry(
        "ABS with its input binarized and its scores scaled",
        analysis_by_synthesis.build,
        analysis_by_synthesis.AbsConfig,
        {"binarize": True},
        parent="abs",
        search_view=analysis_by_synthesis.SEARCH_VIEW,
    ),
}


def entry(name: str) -> Entry:
    """The registry's row of a model.

    Raises:
        ValueError: unknown name; lists the valid ones.
    """
    if name not in MODELS:
        raise ValueError(
            f"unknown model {name!r}, expected one of {', '.join(MODELS)}"
        )
    return MODELS[name]


def resolve(name: str, sizes: Any = None) -> Any:
    """Sizes with the switches of a name set.

    Args:
        name: a key of `MODELS`.
        sizes: of the class that `entry` names; None: the defaults.

    Raises:
        ValueError: unknown name, or sizes of another kind of model.
    """
    row = entry(name)
    sizes = row.sizes() if sizes is None else sizes
    if not isinstance(sizes, row.sizes):
        raise ValueError(
            f"model {name!r} takes a {row.sizes.__name__}, got {sizes!r}"
        )
    return dataclasses.replace(sizes, **row.switches)


def build(name: str, sizes: Any = None) -> keras.Model:
    """Builds an untrained model; arguments and errors as `resolve`.

    Returns:
        Functional model, images `(batch, 28, 28, 1)` -> dict of outputs.
    """
    return entry(name).build(resolve(name, sizes))


def load_outputs(
    name_or_path: str | pathlib.Path, surrogate: str | None = None
) -> keras.Model:
    """Loads a trained model with all its outputs.

    Args:
        name_or_path: a key of `MODELS` (looked up under `saved_models/`) or a
            folder that holds `card.json`.
        surrogate: gradient of a binarized model's binarization, see
            `layers.Binarize`; None: as trained.

    Returns:
        Functional model, images `(batch, 28, 28, 1)` in [0, 1] -> dict.

    Raises:
        ValueError: unknown name, no such folder, a damaged one, or a surrogate
            for a model that binarizes nothing.
        FileNotFoundError: no card or no weights in the folder.
    """
    folder = find(name_or_path).resolve()
    card = saving.read_card(folder)
    row = entry(card["model"])
    if surrogate is not None:
        check_binarizes(card["model"], surrogate)
    weights_folder = folder.parent / row.parent if row.parent else folder
    model = saving.read_weights(weights_folder)
    if row.parent is None:
        return model
    sizes = config.from_values(row.sizes, card["settings"]["sizes"], folder)
    if surrogate is not None:
        sizes = dataclasses.replace(sizes, surrogate=surrogate)
    variant = build(card["model"], sizes)
    variant.set_weights(model.get_weights())
    saving.check_digest(variant, folder)
    return variant


def check_binarizes(name: str, surrogate: str) -> None:
    """Checks that a model has a binarization, for a surrogate to be of.

    Args:
        name: a key of `MODELS`.
        surrogate: for the message.

    Raises:
        ValueError: it binarizes nothing, or there is no such model.
    """
    if not entry(name).switches.get("binarize"):
        raise ValueError(
            f"{name} has no binarization, so no surrogate gradient; got "
            f"surrogate={surrogate!r}"
        )


def load(
    name_or_path: str | pathlib.Path, surrogate: str | None = None
) -> keras.Model:
    """Loads a trained classifier; arguments and errors as `load_outputs`.

    Returns:
        Functional model, images `(batch, 28, 28, 1)` in [0, 1] -> scores
        `(batch, 10)`, deterministic and finite.
    """
    return classifier(load_outputs(name_or_path, surrogate))


def classifier(model: keras.Model) -> keras.Model:
    """The `scores` view of a multi-output model; shares its weights."""
    return keras.Model(model.input, model.output["scores"], name=model.name)


def search_view(model: keras.Model, settings: Mapping[str, int]) -> keras.Model:
    """What attacks search on in place of a model.

    Args:
        model: images -> dict of outputs.
        settings: the `Entry.search_view` of its name; empty: the model itself.
    """
    if not settings:
        return model
    return analysis_by_synthesis.search_view(model, **settings)


def find(name_or_path: str | pathlib.Path) -> pathlib.Path:
    """The folder of a trained model, given as a name or as that folder.

    A text that is a name of `MODELS` is the model's, also where a folder has
    it; the text `./dim` and every path are a folder.

    Raises:
        ValueError: neither a folder nor a known name.
        FileNotFoundError: a known name that has not been trained.
    """
    if not isinstance(name_or_path, str) or name_or_path not in MODELS:
        folder = pathlib.Path(name_or_path)
        if folder.is_dir():
            return folder.resolve()
        raise ValueError(
            f"{str(name_or_path)!r} is neither a folder nor one of the models "
            f"{', '.join(MODELS)}"
        )
    folder = SAVED_MODELS / name_or_path
    if not folder.is_dir():
        trained = entry(name_or_path).parent or name_or_path
        raise FileNotFoundError(
            f"no trained model in {folder}; make it with `python -m "
            f"dim_tf.train --flagfile=flags/{trained}.cfg`"
        )
    return folder
