"""What can be attacked: models of this project, and anybody else's."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import keras

from dim_tf import config
from dim_tf import models
from dim_tf.models import foreign
from dim_tf.models import latent_search
from dim_tf.models import saving
from dim_tf.models import wrapping
from dim_tf.models.wrapping import Reading

# Of others XLA may lack an operation, or be slow at it, as at convolutions.
_SUIT_XLA = (
    *(keras.layers.InputLayer, keras.layers.Dense, keras.layers.Flatten),
    *(keras.layers.Reshape, keras.layers.Permute, keras.layers.Rescaling),
    *(keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU),
    *(keras.layers.ELU, keras.layers.Softmax, keras.layers.Dropout),
    *(keras.layers.BatchNormalization, keras.layers.LayerNormalization),
    *(keras.layers.Normalization, keras.layers.Add, keras.layers.Concatenate),
)


@dataclasses.dataclass(frozen=True)
class Target:
    """A model, before it is loaded.

    Attributes:
        name: for records and tables.
        weights_digest: of its weights, or of its files.
        load: makes the model, images in [0, 1] -> dict with `scores`.
        search_view: of the model, see `models.Entry`.
        dataset: that it was trained on; empty: a third-party model.
        settings: see `config.beside_weights`.
        digest: what `weights_digest` would be now; None: as it was.
    """

    name: str
    weights_digest: str
    load: Callable[[], keras.Model]
    search_view: Mapping[str, int] = dataclasses.field(default_factory=dict)
    dataset: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    digest: Callable[[], str] | None = None

    def loaded(self) -> keras.Model:
        """The model, if it is still the one that was found.

        Raises:
            ValueError: its weights are others by now; or as `load`.
        """
        model = self.load()
        if self.digest and self.digest() != self.weights_digest:
            raise ValueError(
                f"the weights of {self.name} were replaced while others were "
                "attacked; run the command again, into another results folder"
            )
        return model


def find(
    name_or_path: str,
    reading: Reading = wrapping.PLAIN,
    surrogate: str | None = None,
) -> Target:
    """The model of a name, a folder of this project, or any other path.

    Args:
        name_or_path: a key of `models.MODELS`, a folder with `card.json`, a
            Keras file, or the folder of a SavedModel; `name=path` gives a
            third-party model that name in records and tables.
        reading: of a third-party model.
        surrogate: gradient of the binarization of one of this project, see
            `models.load_outputs`.

    Raises:
        ValueError, FileNotFoundError: as `models.find`; or a third-party model
            has the name of one of this project, or no signatures; or a
            surrogate is given for a model that does not binarize.
    """
    given = pathlib.Path(name_or_path)
    name, _, after = name_or_path.partition("=")
    renamed = bool(after) and not given.exists()
    # Who loads it may be elsewhere.
    path = (pathlib.Path(after.strip()) if renamed else given).resolve()
    named = name_or_path in models.MODELS
    if not path.exists() and (renamed or (path.suffix and not named)):
        raise FileNotFoundError(f"there is no {path}, of {name_or_path!r}")
    if not named and path.exists() and not (path / "card.json").is_file():
        if surrogate is not None:
            raise ValueError(
                f"--surrogate={surrogate} is for models of this project that "
                f"binarize, and {path} is a third-party model"
            )
        name = name.strip() if renamed else foreign.name_of(path)
        return _third_party(name, path, reading)
    if renamed:
        raise ValueError(
            f"{path} is a model of this project, which has its name from its "
            f"card; leave out {name}="
        )
    folder = models.find(name_or_path).resolve()
    card = saving.read_card(folder)
    entry = models.entry(card["model"])
    sizes = card["settings"]["sizes"]
    settings = config.beside_weights(entry.sizes, sizes)
    if surrogate is not None:
        models.check_binarizes(card["model"], surrogate)
        if surrogate != sizes["surrogate"]:
            settings["surrogate"] = surrogate
    return Target(
        card["model"],
        card["weights_digest"],
        functools.partial(models.load_outputs, folder, surrogate),
        entry.search_view,
        card["settings"]["dataset"],
        settings,
        functools.partial(_digest_of_card, folder),
    )


def _third_party(name: str, path: pathlib.Path, reading: Reading) -> Target:
    """The model of a file, or of the folder of a SavedModel.

    Args:
        name: for records and tables.
        path: absolute.
        reading: of it.
    """
    _check_free(name, f"{path} has no card.json; give it another by name=path")
    if path.is_file() and reading.signature != wrapping.PLAIN.signature:
        raise ValueError(
            f"--signature={reading.signature} is for SavedModels, and {path} "
            "is a file; leave it out, or attack the file in a command of its "
            "own"
        )
    load = functools.partial(foreign.load, path, reading)
    digest = functools.partial(foreign.digest, path, reading)
    return Target(name, digest(), load, digest=digest)


def _digest_of_card(folder: pathlib.Path) -> str:
    return saving.read_card(folder)["weights_digest"]


def _check_free(name: str, advice: str) -> None:
    """Checks that a third-party model, and its folder, may be called so."""
    if name in (*models.MODELS, "", ".", "..") or "/" in name:
        raise ValueError(
            f"{name!r} is the name of a model of this project, or none of a "
            f"folder; {advice}, or the records would be taken for that model's"
        )


def of_model(
    model: Callable,
    shape: tuple[int, ...],
    reading: Reading = wrapping.PLAIN,
    name: str = "model",
) -> Target:
    """A third-party model that is in memory.

    Args:
        model: as `wrapping.wrap`.
        shape: of an image, where the model does not tell what it takes.
        reading: of it.
        name: for records and tables.

    Raises:
        ValueError: as `wrapping.wrap`, or a name of a model of this project,
            or none of a folder.
    """
    _check_free(name, "choose another")
    # A model that was never called does not know, and a function never does.
    taken = getattr(model, "input_shape", None)
    if isinstance(taken, tuple) and None not in taken[1:]:
        shape = taken[1:]
    wrapped = wrapping.wrap(model, shape, reading, name)
    parts = repr(reading), reading.scores, saving.digest(wrapped)
    return Target(
        name,
        _sha256("".join(parts)),
        lambda: wrapped,
        settings={"layers": _sha256(_told(wrapped))},
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _told(model: keras.Model) -> str:
    """What a model says of itself beside its weights, but names, as JSON."""
    names = {name: f"#{place}" for place, name in enumerate(_names(model))}
    told = _nameless(_layers(model), names)
    return json.dumps(told, default=lambda it: str(type(it)))


def _layers(layer) -> list:
    """What a layer and those within it say, of how they are connected, too."""
    settings = None
    with contextlib.suppress(Exception):  # those of others need not tell
        settings = layer.get_config()
    inner = layer.layers if isinstance(layer, keras.Model) else ()
    return [str(type(layer)), settings, [_layers(each) for each in inner]]


def _names(layer) -> dict[str, None]:
    """Those of a layer, and of the layers and operations within it."""
    inner = getattr(layer, "operations", getattr(layer, "layers", ()))
    found = {layer.name: None}
    for each in inner:
        found |= _names(each)
    return found


def _nameless(told, names):
    """The same with numbers for names, which differ from process to process."""
    if isinstance(told, dict):
        kept = told.keys() - {"compile_config", "build_config"}
        return {key: _nameless(told[key], names) for key in sorted(kept)}
    if isinstance(told, list | tuple):
        return [_nameless(each, names) for each in told]
    return names.get(told, told) if isinstance(told, str) else told


def find_all(
    names: str,
    reading: Reading = wrapping.PLAIN,
    surrogate: str | None = None,
) -> list[Target]:
    """The models of a comma-separated list.

    Args:
        names: or paths, each as of `find`.
        reading: of all third-party models.
        surrogate: of all models, see `find`.

    Raises:
        ValueError: there are none, or several of one name, or a reading
            without a third-party model.
        FileNotFoundError: as `find`.
    """
    found = [find(name, reading, surrogate) for name in config.listed(names)]
    if not found:
        raise ValueError(f"--models must name at least one, got {names!r}")
    if len({target.name for target in found}) < len(found):
        raise ValueError(
            f"--models={names} has several models of one name "
            f"({', '.join(target.name for target in found)}); their records "
            "would mix. Give each a command and a results folder of its own, "
            "or give third-party ones names: one=path,other=path"
        )
    if reading != wrapping.PLAIN and all(target.dataset for target in found):
        raise ValueError(
            "--bounds, --signature, --scores and --probabilities are for "
            f"third-party models, and --models={names} are all of this project"
        )
    return found


def check_dataset(found: list[Target], dataset: str) -> None:
    """Checks that models were trained on a data set, as far as is known.

    Raises:
        ValueError: one was trained on another.
    """
    for target in found:
        if target.dataset not in ("", dataset):
            raise ValueError(
                f"{target.name} was trained on {target.dataset}, not on "
                f"{dataset}; give --dataset={target.dataset}, or images of "
                "your own by --images"
            )


def jit_compile(xla: str, model: keras.Model) -> bool:
    """Whether XLA is to compile the attacks on a model.

    Args:
        xla: `"on"`, `"off"`, or `"auto"`: on models that are known to suit it.
        model: what is attacked.

    Raises:
        ValueError: none of these.
    """
    if xla not in ("on", "off", "auto"):
        raise ValueError(f"xla must be on, off or auto, got {xla!r}")
    return xla == "on" or (xla == "auto" and _suits_xla(model))


def _suits_xla(model: keras.Model) -> bool:
    """Whether XLA is known to compile a model, into what is fast on a CPU."""
    # Operations are layers and what is between them.
    parts = getattr(model, "operations", model.layers)
    return all(map(_part_suits_xla, parts))


def _part_suits_xla(part) -> bool:
    if isinstance(part, keras.Model):
        return _suits_xla(part)
    kind = type(part)
    if kind.__module__.startswith("dim_tf."):
        return not isinstance(
            part, latent_search.LatentSearch | wrapping.Function
        )
    if kind.__module__ == "keras.src.ops.nn":
        return "Softmax" in kind.__name__
    return kind in _SUIT_XLA or kind.__module__ == "keras.src.ops.numpy"
