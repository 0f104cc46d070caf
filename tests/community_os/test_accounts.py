"""Accounts: one secret said once, only hashes kept, sessions that end, brute force that gets nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from community_os.accounts import FAILURE_WINDOW_S, FAILURES_MAX, SESSION_S, Accounts
from device_model.errors import LocalFault


class Time:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def accounts(folder: Path, time: Time) -> Accounts:
    return Accounts(folder / "state" / "accounts.json", now_s=time)


def test_the_first_start_makes_one_admin_and_says_the_secret_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    time = Time()
    secret = accounts_secret = accounts(tmp_path, time).ensure_admin()
    assert secret in capsys.readouterr().err and len(secret) >= 20
    file = tmp_path / "state" / "accounts.json"
    assert accounts_secret not in file.read_text() and file.stat().st_mode & 0o077 == 0
    again = accounts(tmp_path, time)
    assert again.ensure_admin() == ""
    cookie = again.enter("admin", secret)
    assert cookie is not None
    person = again.person(cookie)
    assert person is not None and (person.name, person.role, person.scope) == ("admin", "admin", "")


def test_sessions_survive_a_restart_and_end_by_time_or_leaving(tmp_path: Path) -> None:
    time = Time()
    book = accounts(tmp_path, time)
    book.put("李伟", "long secret", role="brigade", scope="hangzhou/yuhang")
    one, two = book.enter("李伟", "long secret"), book.enter("李伟", "long secret")
    assert one and two and one != two
    restarted = accounts(tmp_path, time)
    assert restarted.person(one) == book.person(one) and restarted.person(one) is not None
    restarted.leave(one)
    assert restarted.person(one) is None and accounts(tmp_path, time).person(one) is None
    assert restarted.person(two) is not None
    time.now += SESSION_S
    assert restarted.person(two) is None


@pytest.mark.parametrize("cookie", ["", ".", "a.b.c.d", "zz.1.2.3", "61646d696e.99999999999.00.00", "\x00", "é"])
def test_forged_cookies_are_nobody(tmp_path: Path, cookie: str) -> None:
    book = accounts(tmp_path, Time())
    assert book.person(cookie) is None
    book.leave(cookie)


def test_a_cookie_of_another_name_or_key_is_nobody(tmp_path: Path) -> None:
    book = accounts(tmp_path, Time())
    book.put("li", "s", role="brigade")
    cookie = book.enter("li", "s")
    assert cookie is not None
    forged = b"admin".hex() + cookie[cookie.index("."):]
    assert book.person(forged) is None
    assert accounts(tmp_path / "other", Time()).person(cookie) is None


def test_wrong_secrets_are_refused_and_soon_not_even_looked_at(tmp_path: Path) -> None:
    time = Time()
    book = accounts(tmp_path, time)
    book.put("li", "right", role="brigade")
    assert book.enter("nobody", "right") is None
    for _ in range(FAILURES_MAX):
        assert book.enter("li", "wrong") is None
    assert book.enter("li", "right") is None
    time.now += FAILURE_WINDOW_S
    assert book.enter("li", "right") is not None


def test_a_damaged_file_is_said_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "accounts.json").write_text("{")
    with pytest.raises(LocalFault, match="restore the file"):
        accounts(tmp_path, Time())
