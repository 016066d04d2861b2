"""Models of other shapes and types are served right, or refused when loaded."""

import pytest
import tensorflow as tf
from served import ZEROS
from served import save
from served import serving


def function(give, shape=(None, 3), dtype=tf.float32):
    spec = tf.TensorSpec(shape, dtype, name="x")
    return tf.function(lambda x: {"y": give(x)}, [spec])


def double(x):
    return 2.0 * x


BATCH, TYPE = "expected an unknown first size", "expected a type of numbers"
REFUSED = {
    "scalar": (
        function(tf.reduce_sum),
        f"output 'y' has the shape (); {BATCH}",
    ),
    "constant": (
        function(lambda x: tf.constant([7, 8, 9])),
        f"output 'y' has the shape (3,); {BATCH}",
    ),
    "any_rank": (
        function(lambda x: tf.reshape(x, tf.unique(tf.shape(x))[0])),
        f"output 'y' has the shape <unknown>; {BATCH}",
    ),
    "string": (function(tf.as_string), f"output 'y' is of string; {TYPE}"),
    "bfloat16": (
        function(lambda x: tf.cast(x, tf.bfloat16)),
        f"output 'y' is of bfloat16; {TYPE}",
    ),
    "no_output": (
        tf.function(lambda x: {}, [tf.TensorSpec((None, 3), name="x")]),
        "it has no outputs; expected at least one",
    ),
    "no_input": (
        tf.function(lambda: {"y": tf.constant([1.0])}, []),
        "it has no inputs; expected at least one",
    ),
    "four_rows": (
        function(double, (4, 3)),
        f"input 'x' has the shape (4, 3); {BATCH}",
    ),
    "any_size": (
        function(double, (None, None)),
        "input 'x' has the shape (None, None); expected no unknown size but",
    ),
    "names": (
        function(tf.strings.length, (None,), tf.string),
        f"input 'x' is of string; {TYPE}",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_that_cannot_be_served_is_refused(tmp_path, caplog, kind):
    refused, message = REFUSED[kind]
    save(tmp_path, "bad", serving_default=refused)
    save(tmp_path, "good", serving_default=function(double), bad=refused)
    with serving(tmp_path) as client:
        (state,) = client.get("/v1/models/bad").json()["model_version_status"]
        assert state["state"] == "END"
        assert client.get("/v2/models/bad").status_code == 404
        body = {"instances": [[1.0, 2.0, 3.0]]}
        assert client.post("/v1/models/bad:predict", json=body).is_client_error
        # Beside another signature, it is but left out.
        url = "/v1/models/good:predict"
        found = client.post(url, json=body).json()
        assert found == {"predictions": [[2.0, 4.0, 6.0]]}
        body["signature_name"] = "bad"
        assert client.post(url, json=body).status_code == 400
    for start in ("bad version 1: ", "bad of good: "):
        assert any(
            record.message.startswith(start) and message in record.message
            for record in caplog.records
        )


def test_the_log_says_why_a_folder_is_not_served(tmp_path, caplog):
    save(tmp_path, "good", serving_default=function(double))
    save(tmp_path, "other", predict=function(double))
    (tmp_path / "other" / "1").rename(tmp_path / "bare")
    save(tmp_path, "other", predict=function(double))
    with serving(tmp_path) as client:
        assert client.get("/v2/models/other").status_code == 404
    log = [record.message for record in caplog.records]
    assert "other version 1: it has no signature 'serving_default', only" in (
        " ".join(log)
    )
    assert f"{tmp_path / 'bare'} is not served: it lies in no folder" in (
        " ".join(log)
    )


def test_outputs_of_other_rows_than_the_inputs(tmp_path):
    unique = function(lambda x: tf.unique(x)[0], (None,))
    save(tmp_path, "unique", serving_default=unique)

    def predict(values):
        url = "/v1/models/unique:predict"
        return client.post(url, json={"instances": values})

    def infer(values):
        tensor = {
            "name": "x",
            "shape": [len(values)],
            "datatype": "FP32",
            "data": values,
        }
        url = "/v2/models/unique/infer"
        return client.post(url, json={"inputs": [tensor]})

    with serving(tmp_path) as client:
        for ask in (predict, infer):
            response = ask([5.0, 5.0, 6.0])
            assert response.status_code == 500
            error = response.json()["error"]
            assert "output 'y': expected a row for each of the 3" in error
            assert "got shape [2]" in error
            assert ask([5.0, 7.0, 6.0]).status_code == 200


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """Client of a service of a model that takes one input from another."""
    folder = tmp_path_factory.mktemp("of_two")
    specs = [tf.TensorSpec((None,), name=name) for name in "ab"]
    difference = tf.function(lambda a, b: {"y": a - b}, specs)
    save(folder, "of_two", serving_default=difference)
    with serving(folder) as client:
        yield client


def predict_of_two(client, **body):
    return client.post("/v1/models/of_two:predict", json=body)


def infer_of_two(client, **columns):
    tensors = [
        {"name": name, "shape": [len(data)], "datatype": "FP32", "data": data}
        for name, data in columns.items()
    ]
    return client.post("/v2/models/of_two/infer", json={"inputs": tensors})


def test_an_input_that_is_given_twice_is_refused(of_two):
    tensor = {"name": "a", "shape": [1], "datatype": "FP32", "data": [1.0]}
    response = of_two.post(
        "/v2/models/of_two/infer",
        json={"inputs": [tensor, tensor, {**tensor, "name": "b"}]},
    )
    assert response.status_code == 400
    assert response.json() == {"error": "input 'a' is given twice"}


def test_two_inputs_keep_their_names(of_two):
    # Not in the model's order.
    rows = [{"b": 1.0, "a": 5.0}, {"a": 7.0, "b": 4.0}]
    columns = {"b": [1.0, 4.0], "a": [5.0, 7.0]}
    found = predict_of_two(of_two, instances=rows).json()
    assert found == {"predictions": [4.0, 3.0]}
    assert predict_of_two(of_two, inputs=columns).json() == {
        "outputs": [4.0, 3.0]
    }
    (output,) = infer_of_two(of_two, **columns).json()["outputs"]
    assert (output["name"], output["data"]) == ("y", [4.0, 3.0])


def test_two_inputs_are_named_and_of_as_many_rows(of_two):
    # TensorFlow would spread the one over the others.
    columns = {"a": [1.0, 2.0, 3.0], "b": [1.0]}
    rows = "inputs have different numbers of rows: [1, 3]"
    names = "name the inputs: a, b"
    missing = "expected the inputs a, b, got a"
    for response, message in (
        (predict_of_two(of_two, inputs=columns), rows),
        (infer_of_two(of_two, **columns), rows),
        (predict_of_two(of_two, inputs=[1.0, 2.0]), names),
        (predict_of_two(of_two, instances=[1.0, 2.0]), names),
        (predict_of_two(of_two, instances=[{"a": 1.0}]), missing),
        (predict_of_two(of_two, inputs={"a": [1.0]}), missing),
        (infer_of_two(of_two, a=[1.0]), missing),
    ):
        assert response.status_code == 400
        assert response.json() == {"error": message}


def classifier(classes=10, dtype=tf.float32):
    spec = tf.TensorSpec((None, 28, 28, 1), dtype, name="images")

    def classify(images):
        sums = tf.reduce_sum(tf.cast(images, tf.float32), (1, 2))
        scores = tf.tile(sums, (1, classes))
        return {"scores": scores, "label": tf.argmax(scores, 1)}

    return tf.function(classify, [spec])


def test_a_model_may_refuse_zeros(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, name="x")])
    def shares(x):
        total = tf.reduce_sum(x)
        with tf.control_dependencies([tf.debugging.assert_positive(total)]):
            return {"y": x / total}

    save(tmp_path, "shares", serving_default=shares)
    with serving(tmp_path) as client:
        url = "/v1/models/shares:predict"
        good = client.post(url, json={"instances": [1.0, 3.0]})
        assert good.json() == {"predictions": [0.25, 0.75]}
        bad = client.post(url, json={"instances": [0.0, 0.0]})
        assert bad.status_code == 400


OTHERS = {
    "two_classes": classifier(classes=2),
    "bytes": classifier(dtype=tf.uint8),
    "no_scores": tf.function(
        lambda images: {"y": 2.0 * images},
        [tf.TensorSpec((None, 28, 28, 1), name="images")],
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_only_classifiers_of_digits_are_attacked(tmp_path, kind):
    save(tmp_path, kind, serving_default=OTHERS[kind])
    asked = {
        "model": kind,
        "attack": "linf_fgsm",
        "image": ZEROS,
        "label": 3,
        "epsilon": 0.5,
    }
    with serving(tmp_path) as client:
        assert client.get(f"/v2/models/{kind}").status_code == 200
        response = client.post("/demo/attack", json=asked)
        assert response.status_code == 400
        assert "no classifier of MNIST images" in response.json()["error"]
