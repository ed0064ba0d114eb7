"""Which clips are filmed, and that filming side by side gives the same files."""

from collections import Counter
from pathlib import Path

import av

from wildgate_detector.disturbances import DISTURBANCES
from wildgate_detector.filming import PROP_SIDE, ClipPlan, Filmer, Kind, Recipe, filming_pool
from wildgate_detector.labels import PRODUCTS
from wildgate_detector.props import PropRoom
from wildgate_detector.seeds import Purpose
from wildgate_detector.stamps import Stamps


def test_labels_take_turns_alone_and_in_pairs() -> None:
    recipes = ClipPlan(0, showing=10, harmless=0, misleading=0).recipes()
    assert [len(recipe.labels) for recipe in recipes[:4]] == [1, 2, 1, 2]
    counts = Counter(label for recipe in recipes for label in recipe.labels)
    assert set(counts) == set(PRODUCTS)
    assert set(counts.values()) == {3}


def test_every_clip_has_a_stream_and_a_file_of_its_own() -> None:
    recipes = ClipPlan(7, showing=5, harmless=6, misleading=7).recipes()
    assert Counter(recipe.kind for recipe in recipes) == {Kind.SHOWING: 5, Kind.HARMLESS: 6, Kind.MISLEADING: 7}
    assert len({recipe.index for recipe in recipes}) == 18
    assert len({recipe.file for recipe in recipes}) == 18
    assert {(recipe.purpose, recipe.seed) for recipe in recipes} == {(Purpose.EVALUATE, 7)}


def test_the_short_form_holds_only_keyframes_to_look_at(stamps: Stamps, tmp_path: Path) -> None:
    recipe = Recipe(Purpose.CALIBRATE, 900, 1, Kind.HARMLESS)
    clip = Filmer(PropRoom(stamps, 64)).film(recipe, tmp_path, whole=False)
    with av.open(str(clip.path)) as container:
        frames = list(container.decode(video=0))
    assert 2 <= len(frames) <= 5
    assert all(frame.key_frame for frame in frames)


def test_a_pool_films_what_one_process_does_and_in_order(stamps: Stamps, tmp_path: Path) -> None:
    recipes = [
        Recipe(Purpose.CALIBRATE, 901, index, kind) for index, kind in enumerate((Kind.HARMLESS, Kind.MISLEADING))
    ]
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    filmer = Filmer(PropRoom(stamps, PROP_SIDE))
    expected = [filmer.film(recipe, alone, whole=False).path.read_bytes() for recipe in recipes]
    with filming_pool(1) as pool:
        clips = list(pool.film(recipes, together, whole=False))
        copies = list(pool.disturb(clips, DISTURBANCES[1]))
    assert [clip.path.name for clip in clips] == [recipe.file for recipe in recipes]
    assert [clip.path.read_bytes() for clip in clips] == expected
    assert [copy.kind for copy in copies] == [Kind.HARMLESS, Kind.MISLEADING]
    assert all(copy.path.is_file() and copy.path != clip.path for copy, clip in zip(copies, clips, strict=True))
