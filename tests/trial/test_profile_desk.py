"""Where edited profiles come from and go to: the folder and nothing beside it, nothing replaced unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_model.errors import ConfigError, LocalFault
from device_model.library import PROFILES_FOLDER, shipped_profiles
from device_model.profile_file import parse_profile
from trial.page_commands import scenario_of_profiles
from trial.profile_shelf import NEW, ProfileShelf, Taken

SDM120 = Path(shipped_profiles()["sdm120"].file).read_text(encoding="utf-8")
MINE = SDM120.replace("profile: sdm120", "profile: mine")


@pytest.mark.parametrize("protocol", NEW)
def test_a_new_draft_is_right_as_it_stands(protocol: str) -> None:
    assert parse_profile(ProfileShelf(None).new_text(protocol), "new").protocol == protocol
    with pytest.raises(ConfigError, match="no draft"):
        ProfileShelf(None).new_text("hj212")


def test_what_is_kept_is_listed_opened_and_simulated(tmp_path: Path) -> None:
    shelf = ProfileShelf(tmp_path / "mine")
    assert shelf.save(MINE, replace=False) == "mine.yaml"
    (tmp_path / "mine" / "torn.yaml").write_text("profile: torn\npoints: [", encoding="utf-8")
    own = [(row.id, row.own, row.broken) for row in shelf.rows()[:2]]
    assert own == [("mine", True, False), ("torn", True, True)] and len(shelf.rows()) == len(shipped_profiles()) + 2
    assert shelf.text_of("mine", own=True) == MINE and shelf.text_of("torn", own=True).startswith("profile: torn")
    assert shelf.text_of("sdm120", own=False) == SDM120
    assert scenario_of_profiles(["mine"], shelf.known()).devices[0].profile == "mine"
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["mine.yaml", "torn.yaml"]


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    shelf = ProfileShelf(tmp_path)
    shelf.save(MINE, replace=False)
    changed = MINE.replace("version: 1", "version: 2")
    with pytest.raises(Taken, match="stands there already"):
        shelf.save(changed, replace=False)
    assert (tmp_path / "mine.yaml").read_text(encoding="utf-8") == MINE
    shelf.save(changed, replace=True)
    assert (tmp_path / "mine.yaml").read_text(encoding="utf-8") == changed
    with pytest.raises(Taken, match="a profile that ships"):
        shelf.save(SDM120, replace=False)
    shelf.save(SDM120, replace=True)
    assert shelf.known()["sdm120"].file == str(tmp_path / "sdm120.yaml")


def test_only_right_texts_and_only_in_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text("theirs", encoding="utf-8")
    shelf = ProfileShelf(tmp_path / "mine")
    with pytest.raises(ConfigError):
        shelf.save(MINE.replace("version: 1", "version: one"), replace=True)
    for name in ("../outside", "a/b", "..", ".hidden", "", "x" * 80):
        with pytest.raises((ConfigError, LocalFault)):
            shelf.save(MINE.replace("profile: mine", f'profile: "{name}"'), replace=True)
    with pytest.raises(ConfigError, match="no profile"):
        shelf.text_of("../outside", own=True)
    (tmp_path / "mine" / "mine.yaml").symlink_to(outside)
    shelf.save(MINE, replace=True)  # the link gives way, what it pointed to does not
    assert outside.read_text(encoding="utf-8") == "theirs"
    assert not (tmp_path / "mine" / "mine.yaml").is_symlink()
    with pytest.raises(LocalFault, match="without --profiles"):
        ProfileShelf(None).save(MINE, replace=True)
    with pytest.raises(LocalFault, match="that ship"):
        ProfileShelf(PROFILES_FOLDER).save(MINE, replace=True)


def test_a_folder_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(LocalFault, match="another --profiles"):
        ProfileShelf(tmp_path / "file" / "mine")


def test_a_convention_that_is_not_played_is_refused_and_not_played_wrongly() -> None:
    with pytest.raises(ConfigError, match="homie"):
        scenario_of_profiles(["homie-climate"], shipped_profiles())
