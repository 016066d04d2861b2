"""What is staged is there whole or not at all."""

import pytest

from dim_tf import staging


def test_a_file_takes_its_place_once_it_is_whole(tmp_path):
    path = tmp_path / "of" / "a" / "card.json"
    path.parent.mkdir(parents=True)
    path.write_text("old")
    with staging.staged(path) as whole:
        whole.write_text("new")
        assert path.read_text() == "old"
        assert whole.name == path.name  # by its suffix Keras knows the format
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_takes_its_place_with_the_mode_of_any_other(tmp_path):
    path = tmp_path / "model" / "1"
    with staging.staged(path) as whole:
        whole.mkdir()
        (whole / "saved_model.pb").write_bytes(b"graph")
    assert (path / "saved_model.pb").read_bytes() == b"graph"
    assert path.stat().st_mode == tmp_path.joinpath("model").stat().st_mode
    assert list(path.parent.iterdir()) == [path]


def test_what_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "card.json"
    path.write_text("old")
    with pytest.raises(OSError, match="disk"), staging.staged(path) as whole:
        whole.write_text("ne")
        raise OSError("No space left on disk")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_that_hold_one_another(tmp_path):
    """So a card and its weights are both on disk before either is in place."""
    card, weights = tmp_path / "card.json", tmp_path / "model.keras"
    with pytest.raises(OSError, match="disk"):
        with staging.staged(card) as new_card:
            new_card.write_text("new")
            with staging.staged(weights):
                raise OSError("No space left on disk")
    assert not list(tmp_path.iterdir())
