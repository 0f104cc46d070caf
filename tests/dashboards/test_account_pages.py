"""Signing in, the own account, everybody's accounts and the audit over HTTP: real accounts, real audit, real gate."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pyotp
import pytest
from memory_board import FixedClock, MemoryBoard, fire

from community_os.accounts import Accounts
from community_os.audit_book import AuditBook
from community_os.audit_desk import BookDesk
from community_os.passwords import Passwords
from dashboards.gate import ROUTES
from dashboards.kit.people_texts import AUDIT_WORDS
from dashboards.server import PeopleParts, create_app

GOOD = "correct horse battery"


class House:
    """The application with its accounts and audit."""

    def __init__(self, folder: Path) -> None:
        self.book = AuditBook(folder / "audit")
        self.now = 1_790_000_000.0
        self.accounts = Accounts(folder / "accounts.json", trail=self.book, now_s=lambda: self.now,
                                 passwords=Passwords(time_cost=1, memory_kib=8))
        board = MemoryBoard(fire())
        self.app = create_app(board, clock=FixedClock(), sign_in=self.accounts, work=board, trail=self.book,
                              people=PeopleParts(self.accounts, audit=BookDesk(self.book)))

    def browser(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app, client=("10.0.0.9", 1)),
                                 base_url="http://test", headers={"Accept-Language": "en"})

    async def signed_in(self, name: str, role: str, scope: str = "") -> httpx.AsyncClient:
        self.accounts.put(name, GOOD, role=role, scope=scope)
        http = self.browser()
        answer = await http.post("/sign-in", data={"name": name, "secret": GOOD})
        assert answer.status_code == 303, answer.text
        return http

    def said(self) -> list[str]:
        return [record.what for record in self.book.newest(lambda r: True, 50)]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_the_first_hour_of_an_administrator(house: House) -> None:
    secret = house.accounts.ensure_admin()
    http = house.browser()
    answer = await http.post("/sign-in", data={"name": "admin", "secret": secret})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert (await http.get("/people")).headers["location"] == "/account"
    page = (await http.get("/account")).text
    assert "one-time password" in page and 'name="old"' in page
    answer = await http.post("/account/password", data={"old": secret, "new": GOOD, "again": GOOD})
    assert answer.headers["location"] == "/account?said=account.done.password"
    answer = await http.post("/people/add", data={"name": "王芳", "role": "property", "scope": "hangzhou/yuhang"})
    (shown,) = re.findall(r'<code class="big">([a-z2-7-]{23})</code>', answer.text)
    guest = house.browser()
    assert (await guest.post("/sign-in", data={"name": "王芳", "secret": shown})).status_code == 303
    assert shown not in (await http.get("/people")).text
    await http.post("/people/change", data={"name": "王芳", "role": "resident", "scope": "hangzhou/yuhang"})
    await http.post("/people/disable", data={"name": "王芳"})
    assert (await guest.get("/account")).headers["location"] == "/sign-in"
    assert (await http.post("/people/fly", data={"name": "王芳"})).status_code == 400
    assert house.said()[:3] == ["account disabled", "rights changed", "signed in"]
    assert "password changed" in house.said() and "account added" in house.said()


async def test_the_second_factor_by_its_pages(house: House) -> None:
    http = await house.signed_in("li", "brigade")
    page = (await http.post("/account/factor")).text
    (key,) = re.findall(r"<code>([A-Z2-7]{32})</code>", page)
    assert "data:image/svg+xml" in page
    wrong = await http.post("/account/factor/confirm", data={"code": "000000"})
    assert wrong.headers["location"].endswith("bad.code")
    page = (await http.post("/account/factor/confirm", data={"code": pyotp.TOTP(key).at(house.now)})).text
    codes = re.findall(r"<code>([a-z2-7]{4}-[a-z2-7-]{14})</code>", page)
    assert len(codes) == 10
    other = house.browser()
    answer = await other.post("/sign-in", data={"name": "li", "secret": GOOD})
    assert answer.headers["location"] == "/sign-in/code" and "tocsin_session" not in other.cookies
    assert (await other.get("/board")).headers["location"] == "/sign-in"
    assert (await other.get("/sign-in/code")).status_code == 200
    assert (await other.post("/sign-in/code", data={"code": "1"})).status_code == 403
    assert (await other.post("/sign-in/code", data={"code": codes[0]})).headers["location"] == "/board"
    assert (await other.get("/board")).status_code == 200
    await http.post("/account/sessions", data={})
    assert (await other.get("/board")).status_code == 303


async def test_brute_force_is_refused_with_the_wait_and_noted(house: House) -> None:
    house.accounts.put("li", GOOD, role="brigade")
    http = house.browser()
    codes = [(await http.post("/sign-in", data={"name": "li", "secret": f"guess {n}"})).status_code for n in range(7)]
    assert codes == [403] * 5 + [429] * 2
    answer = await http.post("/sign-in", data={"name": "li", "secret": GOOD})
    assert answer.status_code == 429 and "Wait 60 s" in answer.text and "tocsin_session" not in http.cookies
    assert house.said().count("sign-in refused") == 8


HOSTILE = ["<script>alert(1)</script>", "' OR '1'='1", "\"><img src=x onerror=alert(1)>", "../../etc/passwd",
           "{{7*7}}", "li'; DROP TABLE account; --", "a\x00b", "\u202eevil"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_texts_get_in_nowhere_and_are_shown_as_text(house: House, text: str) -> None:
    http = await house.signed_in("root", "admin")
    guest = house.browser()
    assert (await guest.post("/sign-in", data={"name": text, "secret": text})).status_code == 403
    await http.post("/people/add", data={"name": text, "role": "brigade", "scope": text})
    await http.post("/people/change", data={"name": "root", "role": text, "scope": text})
    pages = [await http.get("/audit", params={"who": text}), await http.get("/audit"), await http.get("/people"),
             await http.get("/account", params={"said": text}), await http.get("/sign-in")]
    for page in pages:
        assert page.status_code == 200 and "<script>alert" not in page.text and "<img src=x" not in page.text
        assert ">49<" not in page.text
    assert house.book.verify().ok and (await http.get("/people")).text.count('class="panel"><h2>') <= 2


@pytest.mark.parametrize("role", ["property", "brigade", "officer", "resident", "tester", "auditor", "desk"])
async def test_only_the_administrator_reaches_accounts(house: House, role: str) -> None:
    http = await house.signed_in("li", role)
    assert (await http.get("/people")).status_code == 403
    assert (await http.post("/people/add", data={"name": "x", "role": "admin", "scope": ""})).status_code == 403
    assert [row.name for row in house.accounts.people("")] == ["li"]
    assert ((await http.get("/audit")).status_code == 200) == (role == "auditor")
    assert "refused" in house.said()


async def test_the_audit_is_filtered_exported_and_of_ones_own_scope(house: House) -> None:
    http = await house.signed_in("ma", "auditor", "hangzhou/yuhang")
    house.book.note("=cmd|calc", "walked", path="hangzhou/yuhang/cangqian/riverside", why="a, b")
    house.book.note("secret-person", "walked", path="beijing/chaoyang")
    page = (await http.get("/audit", params={"what": "walked"})).text
    assert "=cmd|calc" in page and "secret-person" not in page and "The chain holds" in page
    answer = await http.get("/audit/export", params={"what": "walked"})
    assert answer.headers["content-type"].startswith("text/csv") and "'=cmd|calc" in answer.text
    assert "secret-person" not in answer.text and house.said()[0] == "GET /audit/export"


async def test_a_changed_audit_is_said_on_its_page(house: House, tmp_path: Path) -> None:
    http = await house.signed_in("ma", "auditor")
    (file,) = (tmp_path / "audit").glob("*.jsonl")
    file.write_text(file.read_text().replace('"ma"', '"mo"', 1))
    assert "The chain is broken" in (await http.get("/audit")).text


async def test_the_language_link_leads_back_and_nowhere_else(house: House) -> None:
    http = house.browser()
    for back, to in (("/account", "/account"), ("//evil.example", "/"), ("https://evil.example", "/"),
                     ("/\\evil", "/")):
        assert (await http.get("/language/en", params={"back": back})).headers["location"] == to


async def test_the_audit_speaks_the_readers_language(house: House) -> None:
    http = await house.signed_in("ma", "auditor")
    assert "<td>signed in</td>" in (await http.get("/audit")).text
    await http.get("/language/zh")
    page = (await http.get("/audit")).text
    assert "<td>登录</td>" in page and "signed in" not in page


@pytest.mark.parametrize("word", sorted(AUDIT_WORDS))
def test_every_word_of_the_audit_is_there_in_both(word: str) -> None:
    entry = AUDIT_WORDS[word]
    assert entry.en and re.search(r"[\u4e00-\u9fff]", entry.zh)
    assert not word.startswith(("GET ", "POST ")) or word in ROUTES


async def test_a_flood_of_sign_ins_is_turned_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from dashboards.account_pages import WAITING_MAX

    http = house.browser()
    answers = await asyncio.gather(*(http.post("/sign-in", data={"name": f"n{n}", "secret": "x"})
                                     for n in range(WAITING_MAX + 30)))
    assert {answer.status_code for answer in answers} <= {403, 429}
    assert sum("too many sign-ins" in answer.text for answer in answers) > 0


async def test_whatever_leaves_as_a_file_is_noted(house: House) -> None:
    from fastapi.responses import Response

    from dashboards import gate

    @house.app.get("/some.csv")
    async def some() -> Response:
        return Response("a", headers={"Content-Disposition": 'attachment; filename="some.csv"'})

    http = await house.signed_in("li", "brigade")
    gate.ROUTES["GET /some.csv"] = gate.Deed.SEE_BOARD
    try:
        assert (await http.get("/some.csv")).status_code == 200
    finally:
        del gate.ROUTES["GET /some.csv"]
    assert house.said()[0] == "GET /some.csv"
