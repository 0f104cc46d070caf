"""Accounts: one secret said once, only hashes kept, sessions that end, codes that count once, brute force that gets
nowhere, rights that are gone at once."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pyotp
import pytest

from community_os.accounts import Accounts
from community_os.lockout import ADDRESS_TRIES, FIRST_WAIT_S, NAME_TRIES, WAIT_MAX_S, Lockout
from community_os.lockout_book import KeptTries, kept_lockout
from community_os.passwords import Passwords, one_time, weak
from community_os.sessions import ABSOLUTE_S, IDLE_S, PER_PERSON_MAX
from dashboards.account_desk import NotDone
from device_model.errors import LocalFault

LIGHT = Passwords(time_cost=1, memory_kib=8)
GOOD = "correct horse battery"


class Time:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class Trail:
    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []

    def note(self, who: str, what: str, *, subject: str = "", path: str = "", why: str = "", where: str = "",
             outcome: str = "") -> None:
        self.said.append((who, what, subject or why))


def accounts(folder: Path, time: Time, trail: Trail | None = None) -> Accounts:
    return Accounts(folder / "state" / "accounts.json", now_s=time, passwords=LIGHT, trail=trail)


def signed_in(book: Accounts, name: str, secret: str = GOOD, address: str = "10.0.0.1") -> str:
    cookie = book.begin(name, secret, address, "test").cookie
    assert cookie
    return cookie


# --- first start, hashes ------------------------------------------------------------------------------------------


def test_the_first_start_makes_one_admin_whose_secret_must_be_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    time = Time()
    secret = accounts(tmp_path, time).ensure_admin()
    assert secret in capsys.readouterr().err and len(secret) >= 20
    file = tmp_path / "state" / "accounts.json"
    assert secret not in file.read_text() and file.stat().st_mode & 0o077 == 0
    again = accounts(tmp_path, time)
    assert again.ensure_admin() == ""
    cookie = signed_in(again, "admin", secret)
    person = again.person(cookie)
    assert person is not None and (person.name, person.role, person.scope, person.must_change) == (
        "admin", "admin", "", True)
    assert again.change_password(cookie, secret, "short", "") == "weak"
    assert again.change_password(cookie, "wrong", GOOD, "") == "old"
    assert again.change_password(cookie, secret, GOOD, "") == ""
    person = again.person(cookie)
    assert person is not None and not person.must_change
    assert again.enter("admin", secret) is None and again.enter("admin", GOOD) is not None


def test_hashes_are_argon2id_and_older_ones_are_made_anew_once(tmp_path: Path) -> None:
    file = tmp_path / "state" / "accounts.json"
    file.parent.mkdir()
    salt = "ab" * 16
    old = hashlib.scrypt(b"old secret", salt=bytes.fromhex(salt), n=2**15, r=8, p=1, maxmem=2**26, dklen=32).hex()
    file.write_text(json.dumps({"key": "00", "left": {}, "accounts": {
        "li": {"role": "brigade", "scope": "hangzhou", "salt": salt, "hash": old}}}))
    book = accounts(tmp_path, Time())
    assert book.enter("li", "other") is None
    assert book.enter("li", "old secret") is not None
    kept = json.loads(file.read_text())["accounts"]["li"]["hash"]
    assert kept.startswith("$argon2id$") and old not in file.read_text()
    assert accounts(tmp_path, Time()).enter("li", "old secret") is not None
    assert Passwords().made("x").startswith("$argon2id$v=19$m=65536,t=3,p=1$")


@pytest.mark.parametrize(("secret", "name", "is_weak"), [
    ("short", "li", True), ("password1234", "li", True), ("aaaaaaaaaaaaaaaa", "li", True), (GOOD, "li", False),
    ("my-Admin-secret-9", "admin", True), ("x" * 300, "li", True), ("qwerty123456", "li", True),
    ("消防队的密码很长很安全啊", "li", False), ("", "li", True),
])
def test_what_is_too_easy(secret: str, name: str, is_weak: bool) -> None:
    assert weak(secret, name) is is_weak
    assert not weak(one_time(), name)


# --- sessions -----------------------------------------------------------------------------------------------------


def test_sessions_survive_a_restart_and_end_by_time_or_leaving(tmp_path: Path) -> None:
    time = Time()
    book = accounts(tmp_path, time)
    book.put("李伟", GOOD, role="brigade", scope="hangzhou/yuhang")
    one, two = signed_in(book, "李伟"), signed_in(book, "李伟")
    assert one != two
    for kept in (tmp_path / "state").iterdir():
        assert one.encode() not in kept.read_bytes()
    restarted = accounts(tmp_path, time)
    assert restarted.person(one) == book.person(one) and restarted.person(one) is not None
    restarted.leave(one)
    assert restarted.person(one) is None and accounts(tmp_path, time).person(one) is None
    assert book.person(one) is None  # another process ended it
    time.now += IDLE_S - 1
    assert restarted.person(two) is not None
    time.now += IDLE_S - 1
    assert restarted.person(two) is not None  # seen meanwhile
    time.now += IDLE_S
    assert restarted.person(two) is None


def test_no_session_outlives_a_shift_however_busy(tmp_path: Path) -> None:
    time = Time()
    book = accounts(tmp_path, time)
    book.put("li", GOOD, role="brigade")
    cookie = signed_in(book, "li")
    for _ in range(round(ABSOLUTE_S / 1800) - 1):
        time.now += 1800
        assert book.person(cookie) is not None
    time.now += 1800
    assert book.person(cookie) is None


def test_a_person_has_a_bounded_number_of_sessions_and_ends_them(tmp_path: Path) -> None:
    time = Time()
    book = accounts(tmp_path, time)
    book.put("li", GOOD, role="brigade")
    cookies = []
    for _ in range(PER_PERSON_MAX + 2):
        time.now += 1
        cookies.append(signed_in(book, "li"))
    own = book.own(cookies[-1])
    assert own is not None and len(own.sessions) == PER_PERSON_MAX and own.sessions[0].here
    assert book.person(cookies[0]) is None
    book.end_sessions(cookies[-1], own.sessions[1].id, "")
    assert book.person(cookies[-2]) is None and book.person(cookies[-3]) is not None
    book.end_sessions(cookies[-1], "", "")
    assert book.person(cookies[-3]) is None and book.person(cookies[-1]) is not None


def test_a_password_change_ends_all_other_sessions(tmp_path: Path) -> None:
    book = accounts(tmp_path, Time())
    book.put("li", GOOD, role="brigade")
    here, other = signed_in(book, "li"), signed_in(book, "li")
    assert book.change_password(here, GOOD, "another good phrase", "") == ""
    assert book.person(other) is None and book.person(here) is not None


def test_a_session_is_made_at_sign_in_and_never_taken_over(tmp_path: Path) -> None:
    """Fixation: what the browser brought along is neither used nor left alive."""
    book = accounts(tmp_path, Time())
    book.put("li", GOOD, role="brigade")
    planted = signed_in(book, "li")
    mine = book.begin("li", GOOD, "10.0.0.1", "test", planted).cookie
    assert mine and mine != planted and book.person(planted) is None
    assert book.begin("li", GOOD, "10.0.0.1", "test", "chosen-by-somebody").cookie != "chosen-by-somebody"


@pytest.mark.parametrize("cookie", ["", ".", "a.b.c.d", "61646d696e.99999999999.00.00", "\x00", "é", "\ud800"])
def test_forged_cookies_are_nobody(tmp_path: Path, cookie: str) -> None:
    book = accounts(tmp_path, Time())
    assert book.person(cookie) is None
    book.leave(cookie)


# --- lock-out -----------------------------------------------------------------------------------------------------


def test_wrong_secrets_wait_longer_each_time_and_the_right_one_waits_as_well(tmp_path: Path) -> None:
    time, trail = Time(), Trail()
    book = accounts(tmp_path, time, trail)
    book.put("li", "right and long", role="brigade")
    assert book.enter("nobody", "right and long") is None
    for _ in range(NAME_TRIES):
        assert book.enter("li", "wrong") is None
    assert book.begin("li", "right and long", "", "").wait_s == FIRST_WAIT_S
    time.now += FIRST_WAIT_S
    assert book.enter("li", "wrong") is None
    assert book.begin("li", "right and long", "", "").wait_s == 2 * FIRST_WAIT_S
    time.now += 2 * FIRST_WAIT_S
    assert book.enter("li", "right and long") is not None
    assert sum(what == "sign-in refused" for _, what, _ in trail.said) == NAME_TRIES + 4


def test_many_tries_at_once_are_no_way_around(tmp_path: Path) -> None:
    book = accounts(tmp_path, Time())
    book.put("li", "right and long", role="brigade")
    looked: list[str] = []
    kept = book._passwords.right

    class Counting(Passwords):
        def right(self, kept_: str, secret: str) -> bool:
            looked.append(secret)
            return kept(kept_, secret)

    book._passwords = Counting(time_cost=1, memory_kib=8)
    tries = [threading.Thread(target=book.enter, args=("li", f"guess {n}")) for n in range(40)]
    for one in tries:
        one.start()
    for one in tries:
        one.join()
    assert len(looked) <= NAME_TRIES + 1


def test_a_stranger_cannot_lock_somebody_out_of_their_own_office() -> None:
    lockout = Lockout()
    lockout.right("li", "10.0.0.1", 0.0)
    for _ in range(NAME_TRIES):
        lockout.wrong("li", "6.6.6.6", 1.0)
    assert lockout.wait_s("li", "6.6.6.6", 2.0) > 0 and lockout.wait_s("li", "7.7.7.7", 2.0) > 0
    assert lockout.wait_s("li", "10.0.0.1", 2.0) == 0
    for _ in range(NAME_TRIES):
        lockout.wrong("li", "10.0.0.1", 2.0)
    assert lockout.wait_s("li", "10.0.0.1", 2.0) > 0


def test_an_address_that_guesses_at_many_names_waits() -> None:
    lockout = Lockout()
    for n in range(ADDRESS_TRIES):
        assert lockout.wait_s(f"name{n}", "6.6.6.6", 0.0) == 0
        lockout.wrong(f"name{n}", "6.6.6.6", 0.0)
    assert lockout.wait_s("new", "6.6.6.6", 0.0) == FIRST_WAIT_S and lockout.wait_s("new", "8.8.8.8", 0.0) == 0
    for _ in range(50):
        lockout.wrong("x", "6.6.6.6", 0.0)
    assert lockout.wait_s("new", "6.6.6.6", 0.0) == WAIT_MAX_S


def test_who_guesses_at_others_from_the_same_office_keeps_nobody_out() -> None:
    lockout = Lockout()
    lockout.right("li", "10.0.0.1", 0.0)
    for n in range(5 * ADDRESS_TRIES):
        lockout.wrong(f"name{n}", "10.0.0.1", 1.0)
    assert lockout.wait_s("stranger", "10.0.0.1", 2.0) > 0 and lockout.wait_s("li", "10.0.0.1", 2.0) == 0


@pytest.mark.parametrize(("one", "other", "same"), [
    ("2001:db8:0:1::1", "2001:db8:0:1:ffff::9", True), ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ("::ffff:10.0.0.1", "10.0.0.1", True), ("10.0.0.1", "10.0.0.2", False), ("fe80::1%eth0", "fe80::2", True),
])
def test_a_subscriber_has_a_whole_network_of_ipv6(one: str, other: str, same: bool) -> None:
    lockout = Lockout()
    for n in range(ADDRESS_TRIES):
        lockout.wrong(f"name{n}", one, 0.0)
    assert (lockout.wait_s("new", other, 0.0) > 0) == same


def test_a_clock_that_was_set_back_makes_nobody_wait_longer() -> None:
    lockout = Lockout()
    for _ in range(50):
        lockout.wrong("li", "6.6.6.6", 1e9)
    assert lockout.wait_s("li", "7.7.7.7", 1e6) == WAIT_MAX_S


def test_a_restart_gives_a_guesser_no_fresh_tries(tmp_path: Path) -> None:
    time = Time()
    book = accounts(tmp_path, time)
    book.put("li", "right and long", role="brigade")
    assert book.begin("li", "right and long", "10.0.0.1", "").cookie
    for _ in range(NAME_TRIES):
        assert accounts(tmp_path, time).begin("li", "wrong", "6.6.6.6", "").wait_s == 0
    again = accounts(tmp_path, time)
    assert again.begin("li", "right and long", "6.6.6.6", "").wait_s == FIRST_WAIT_S
    assert again.begin("li", "right and long", "10.0.0.1", "").cookie, "known from there, also after a restart"
    for n in range(ADDRESS_TRIES):
        accounts(tmp_path, time).begin(f"guess {n}", "wrong", "8.8.8.8", "")
    assert accounts(tmp_path, time).begin("somebody", "wrong", "8.8.8.8", "").wait_s > 0
    time.now += WAIT_MAX_S
    assert accounts(tmp_path, time).begin("li", "right and long", "6.6.6.6", "").cookie, "served"
    assert (tmp_path / "state" / "tries.sqlite").stat().st_mode & 0o077 == 0


def test_an_administrators_reset_ends_the_wait_in_every_process(tmp_path: Path) -> None:
    time = Time()
    web, shell = accounts(tmp_path, time), accounts(tmp_path, time)
    web.put("li", "right and long", role="brigade")
    for _ in range(NAME_TRIES):
        web.enter("li", "wrong")
    assert web.begin("li", "x", "", "").wait_s > 0
    secret = shell.reset("li", by="admin")
    assert web.begin("li", secret, "", "").cookie


def test_counts_are_bounded_and_outlive_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("community_os.lockout.KEYS_MAX", 20)
    file = tmp_path / "tries.sqlite"
    lockout = kept_lockout(file)
    for n in range(30):
        lockout.wrong(f"name{n}\udcff", f"10.0.0.{n}", float(n))
        lockout.right(f"name{n}", f"10.1.0.{n}", float(n))
    assert len(KeptTries(file, "wrong")) == len(KeptTries(file, "known")) == 20
    assert next(iter(KeptTries(file, "known"))) == ("10.1.0.10", "name10"), "the oldest are forgotten first"
    (tmp_path / "dir").mkdir()
    broken = kept_lockout(tmp_path / "dir")  # a folder is no database
    for _ in range(NAME_TRIES):
        broken.wrong("li", "6.6.6.6", 0.0)
    assert broken.wait_s("li", "7.7.7.7", 1.0) > 0
    broken.right("li", "6.6.6.6", 2.0)
    broken.free("li")
    assert broken.wait_s("li", "7.7.7.7", 3.0) == 0


# --- second factor ------------------------------------------------------------------------------------------------


def with_factor(book: Accounts, time: Time) -> tuple[str, tuple[str, ...]]:
    cookie = signed_in(book, "li")
    secret, address = book.begin_factor(cookie)
    assert address.startswith("otpauth://totp/Tocsin:li?secret=") and book.confirm_factor(cookie, "000000", "") == ()
    codes = book.confirm_factor(cookie, pyotp.TOTP(secret).at(time.now), "")
    assert len(codes) == 10
    return secret, codes


def test_a_code_is_asked_for_and_counts_once(tmp_path: Path) -> None:
    time, trail = Time(), Trail()
    book = accounts(tmp_path, time, trail)
    book.put("li", GOOD, role="brigade")
    secret, _ = with_factor(book, time)
    time.now += 30
    code = pyotp.TOTP(secret).at(time.now)
    assert book.enter("li", GOOD) is None  # the password alone opens nothing
    with pytest.raises(NotDone, match="already"):  # a stolen session cannot put its own factor in place of it
        book.begin_factor(book.sessions.begin("li"))
    entry = book.begin("li", GOOD, "a", "")
    assert entry.pending and not entry.cookie and book.person(entry.pending) is None
    assert not book.finish("forged", code, "a", "").cookie
    assert not book.finish(entry.pending, "123", "a", "").cookie
    cookie = book.finish(entry.pending, code, "a", "").cookie
    assert cookie and book.person(cookie) is not None
    assert not book.finish(entry.pending, code, "a", "").cookie  # the step is over
    again = book.begin("li", GOOD, "a", "").pending
    assert not book.finish(again, code, "a", "").cookie  # replayed
    assert book.end_factor(cookie, "wrong", "") is False and book.end_factor(cookie, GOOD, "") is True
    assert book.enter("li", GOOD) is not None
    assert {"second factor on", "second factor off"} <= {what for _, what, _ in trail.said}


def test_a_recovery_code_counts_once_and_is_kept_as_a_hash(tmp_path: Path) -> None:
    time = Time()
    book = accounts(tmp_path, time)
    book.put("li", GOOD, role="brigade")
    _, codes = with_factor(book, time)
    assert codes[0] not in (tmp_path / "state" / "accounts.json").read_text()
    cookie = book.finish(book.begin("li", GOOD, "", "").pending, codes[0].upper().replace("-", " "), "", "").cookie
    own = book.own(cookie)
    assert own is not None and own.recovery_left == 9
    assert not book.finish(book.begin("li", GOOD, "", "").pending, codes[0], "", "").cookie


def test_codes_cannot_be_guessed(tmp_path: Path) -> None:
    time = Time()
    book = accounts(tmp_path, time)
    book.put("li", GOOD, role="brigade")
    secret, _ = with_factor(book, time)
    time.now += 300
    pending = book.begin("li", GOOD, "6.6.6.6", "").pending
    for _ in range(5):
        assert not book.finish(pending, "000000", "6.6.6.6", "").cookie
    assert not book.finish(pending, pyotp.TOTP(secret).at(time.now), "6.6.6.6", "").cookie
    assert book.begin("li", GOOD, "6.6.6.6", "").wait_s > 0


# --- everybody's accounts -----------------------------------------------------------------------------------------


def test_an_administrator_adds_changes_disables_and_resets(tmp_path: Path) -> None:
    trail = Trail()
    book = accounts(tmp_path, Time(), trail)
    secret = book.add("wang", "property", "hangzhou/yuhang/", by="admin")
    cookie = signed_in(book, "wang", secret)
    person = book.person(cookie)
    assert person is not None and (person.scope, person.must_change) == ("hangzhou/yuhang", True)
    book.change("wang", "contractor", "hangzhou", by="admin")
    person = book.person(cookie)
    assert person is not None and (person.role, person.scope) == ("contractor", "hangzhou")  # at once
    book.disable("wang", True, by="admin")
    assert book.person(cookie) is None and book.enter("wang", secret) is None
    book.disable("wang", False, by="admin")
    newer = book.reset("wang", by="admin")
    assert book.enter("wang", secret) is None and book.enter("wang", newer) is not None
    assert [what for _, what, _ in trail.said if what.startswith(("account", "rights"))] == [
        "account added", "rights changed", "account disabled", "account enabled", "account reset"]
    assert [row.name for row in book.people("")] == ["wang"] and book.people("beijing") == ()


@pytest.mark.parametrize(("name", "role", "scope"), [
    ("", "brigade", ""), ("x" * 81, "brigade", ""), ("<script>", "brigade", ""), ("a/b", "brigade", ""),
    ("li", "king", ""), ("li", "demo", ""), ("li", "brigade", "../etc"), ("li", "brigade", "a/b/c/d/e"),
    ("li", "brigade", "a//b"), ("li", "brigade", "a b"), ("taken", "brigade", "hangzhou"),
    ("li", "brigade", ""), ("li", "brigade", "beijing"), ("li", "brigade", "hangzh"),
])
def test_what_does_not_fit_or_reaches_beyond_is_refused(tmp_path: Path, name: str, role: str, scope: str) -> None:
    book = accounts(tmp_path, Time())
    book.add("taken", "brigade", "hangzhou", by="x")
    with pytest.raises(NotDone):
        book.add(name, role, scope, by="admin", within="hangzhou")
    assert [row.name for row in book.people("")] == ["taken"]


def test_a_scoped_administrator_reaches_nobody_above(tmp_path: Path) -> None:
    book = accounts(tmp_path, Time())
    book.put("root", GOOD, role="admin")
    book.put("local", GOOD, role="admin", scope="hangzhou")
    assert [row.name for row in book.people("hangzhou")] == ["local"]
    for change in (lambda: book.disable("root", True, by="local", within="hangzhou"),
                   lambda: book.reset("root", by="local", within="hangzhou"),
                   lambda: book.change("root", "resident", "hangzhou", by="local", within="hangzhou"),
                   lambda: book.change("local", "admin", "", by="local", within="hangzhou")):
        with pytest.raises(NotDone):
            change()
    with pytest.raises(NotDone, match="last administrator"):
        book.disable("root", True, by="root")
    with pytest.raises(NotDone, match="last administrator"):
        book.change("root", "resident", "", by="root")


def test_two_processes_see_each_others_changes(tmp_path: Path) -> None:
    time = Time()
    web, shell = accounts(tmp_path, time), accounts(tmp_path, time)
    web.put("li", GOOD, role="brigade")
    cookie = signed_in(web, "li")
    shell.add("wang", "desk", "", by="root")
    shell.disable("li", True, by="root")
    assert web.person(cookie) is None and [row.name for row in web.people("")] == ["li", "wang"]
    web.disable("li", False, by="root")
    assert {row.name for row in shell.people("")} == {"li", "wang"}


def test_a_service_that_vouches_never_takes_over_a_local_name(tmp_path: Path) -> None:
    book = accounts(tmp_path, Time())
    book.put("root", GOOD, role="admin")
    with pytest.raises(NotDone, match="local account"):
        book.enter_outside("root", "admin", "", "", "")
    cookie = book.enter_outside("chen@city", "officer", "hangzhou", "", "").cookie
    person = book.person(cookie)
    assert person is not None and (person.role, person.scope) == ("officer", "hangzhou")
    assert book.enter("chen@city", "") is None and book.change_password(cookie, "", GOOD, "") == "old"
    book.disable("chen@city", True, by="root")
    with pytest.raises(NotDone, match="disabled"):
        book.enter_outside("chen@city", "officer", "hangzhou", "", "")


def test_a_damaged_file_is_said_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "accounts.json").write_text("{")
    with pytest.raises(LocalFault, match="restore the file"):
        accounts(tmp_path, Time())
