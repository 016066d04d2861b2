"""Bad input to the commands ends in one line, and leaves nothing behind."""

import socket

import forked
import numpy as np
import pytest
from test_commands import error_of


@pytest.fixture(scope="module")
def run():
    """Function that runs a command; returns the finished process."""
    with forked.commands() as run:
        yield run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--no_such_flag=1"], "no_such_flag"),
        (["train", "--flagfile=no/such.cfg"], "no/such.cfg"),
        (["train", "--model=dimm"], "--model must be one of dim, im"),
        (["train", "--denoiser_noise=pink"], "noise must be one of gaussian"),
        (["train", "--batch_size=0"], "--batch_size must be at least 1, got 0"),
        (["train", "--model=cnn", "--denoiser_units=3"], "has no effect"),
        (["train", "--model=im", "--denoiser_units=3"], "im has no denoiser"),
        (["train", "--dataset=minst"], "--dataset=minst is not a"),
        (["train", "file"], "takes flags only"),
        (["predict"], "needs image files"),
        (["predict", "--model=nothing", "x.png"], "neither a folder nor"),
        (["export", "--run_dir=/no/such"], "is no training"),
        (["export", "--first_look=3"], "--first_look has no effect"),
        (["export", "--saved_models=/no/such"], "no trained model 'all'"),
        (["export", "--run_dir=runs/x", "--format=onnx"], "makes SavedModels"),
        (["evaluate", "--only=l9_bim"], "l9_bim not among l2_contrast"),
        (["evaluate", "--models=nothing"], "neither a folder nor"),
        (["evaluate", "--models="], "must name at least one"),
        (["evaluate", "--models=dim", "--bounds=0..255"], "of this project"),
        (
            ["evaluate", "--bounds=0...255"],
            "must be written low..high, such as 0..255, got '0...255'",
        ),
        (
            ["evaluate", "--bounds=a..b"],
            "low..high, such as 0..255, got 'a..b'",
        ),
        (["evaluate", "--dataset=fashion_mnist"], "not on fashion_mnist"),
        (["evaluate", "--images=no.npz", "--dry_run"], "there is no no.npz"),
        (["evaluate", "--shard_index=2"], "less than shard_count=1, got 2"),
        (["evaluate", "--ray_cpus=1"], "it is for --executor=ray"),
        (["evaluate", "--validation_size=9"], "has no effect: the test images"),
        (["evaluate", "--images=x.npz", "--dataset=kmnist"], "no data set"),
        (["report", "--results=/no/such"], "no records"),
        (["benchmark", "--output=."], "is a folder; name a JSON file"),
        (["benchmark", "--internal_units=2"], "it is for --subject=stack"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(run, arguments, message, tmp_path):
    command, *rest = arguments
    if command == "train":
        rest.append(f"--run_dir={tmp_path}/run")
    assert message in error_of(run(command, *rest))
    assert not (tmp_path / "run").exists()


def test_a_port_that_is_taken_is_said_before_an_address(run, exported):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = run(
            "serve", f"--model_base_path={exported[0]}", f"--port={port}"
        )
    assert f"cannot listen at --host=127.0.0.1 --port={port}" in error_of(
        process
    )


def test_a_picture_of_too_many_images_is_refused_before_predictions(
    run, tmp_path
):
    path = tmp_path / "digits.npy"
    np.save(path, np.load(forked.ROOT / "examples" / "digits.npy")[[0] * 301])
    process = run("predict", f"--picture={tmp_path}/out.png", path)
    assert "at most 300 images, got 301" in error_of(process)
    assert not process.stdout
