"""Who reads and does what on the officer's pages, over HTTP: by role and by tenancy."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from officer_house import LAKESIDE, WORKS, OfficerHouse

from dashboards.people import Person

FLAG = {"X-Tocsin": "board"}


class Seat:
    """A sign-in whose cookie is the role and scope."""

    def enter(self, name: str, secret: str) -> str | None:
        return None

    def person(self, cookie: str) -> Person | None:
        role, _, scope = cookie.partition(":")
        return Person("Chen", role, scope) if role else None

    def leave(self, cookie: str) -> None:
        pass


@pytest.fixture(scope="module")
def signed() -> Iterator[OfficerHouse]:
    house = OfficerHouse(Seat())
    house.beat()
    house.working()
    yield house


def asked(house: OfficerHouse, who: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(house.app), base_url="http://test",
                             cookies={"tocsin_session": who})


@pytest.mark.parametrize("what", ["permits", "hot-work", "overview"])
async def test_no_page_shows_another_tenants_rows(signed: OfficerHouse, what: str) -> None:
    async with asked(signed, f"officer:{LAKESIDE}") as client:
        own = await client.get(f"/api/officer/{what}")
        assert own.status_code == 200 and "trial-works" not in own.text and "HW-2026" not in own.text
        for scope in ("hangzhou", WORKS, "hangzhou/yuhang/cangqian/lake", "..", "a/b/c/d/e", "%2e%2e"):
            assert (await client.get(f"/api/officer/{what}", params={"scope": scope})).status_code == 404
    async with asked(signed, "officer:hangzhou") as client:
        assert "trial-works" in (await client.get(f"/api/officer/{what}")).text
    async with asked(signed, "resident:hangzhou") as client:
        assert (await client.get(f"/api/officer/{what}")).status_code == 403


@pytest.mark.parametrize(("who", "act", "status"), [
    ("officer:hangzhou", "approve", 409), ("property:hangzhou", "approve", 403),
    ("brigade:hangzhou", "suspend", 403),
    (f"officer:{LAKESIDE}", "approve", 403),
    ("property:hangzhou", "start", 409), ("property:hangzhou", "suspend", 409)])
async def test_who_may_do_what_with_a_permit(signed: OfficerHouse, who: str, act: str, status: int) -> None:
    body = {"step": {"permit": "HW-none", "act": act}, "request": f"click-{who[:8]}-{act}".replace(":", "-")}
    async with asked(signed, who) as client:
        answer = await client.post(f"/api/sites/{WORKS}/permits", json=body, headers=FLAG)
        assert answer.status_code == status, answer.text
        assert (await client.post(f"/api/sites/{WORKS}/permits", json=body)).status_code == 403  # forged


async def test_notices_and_reports_of_others_are_not_there(signed: OfficerHouse) -> None:
    draft = {"draft": {"facts": "f", "clause": "c", "demand": "d", "days": 3, "to": "x"}}
    async with asked(signed, "officer:hangzhou") as client:
        issued = await client.post(f"/api/sites/{WORKS}/rectifications", json=draft, headers=FLAG)
        assert issued.status_code == 200 and issued.json()["who"] == "Chen"
        notice = issued.json()["id"]
        assert (await client.get(f"/rectifications/{notice}.pdf")).status_code == 200
    async with asked(signed, f"officer:{LAKESIDE}") as client:
        assert (await client.get(f"/rectifications/{notice}.pdf")).status_code == 404
        assert (await client.get("/api/reports")).json()["notices"] == []
        assert (await client.get("/reports/week.csv", params={"scope": WORKS})).status_code == 404
        done = await client.post(f"/api/rectifications/{notice}/done", json={"why": "x"}, headers=FLAG)
        assert done.status_code == 409
        assert (await client.post(f"/api/sites/{WORKS}/rectifications", json=draft, headers=FLAG)).status_code == 403
    async with asked(signed, f"property:{WORKS}") as client:
        assert (await client.post(f"/api/sites/{WORKS}/rectifications", json=draft, headers=FLAG)).status_code == 403
        assert (await client.get("/api/reports")).json()["notices"][0]["id"] == notice


async def test_the_public_view_needs_no_sign_in_and_shows_only_what_is_published(signed: OfficerHouse) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(signed.app), base_url="http://test") as nobody:
        assert (await nobody.get("/public")).status_code == 200
        for path in (WORKS, LAKESIDE, "../x"):
            page = (await nobody.get("/api/public", params={"site": path})).json()
            assert page["sites"] == [] and page["lines"] == [] and page["rectifications"] == []
        assert (await nobody.get("/api/environment")).status_code == 401
        assert (await nobody.post(f"/api/sites/{WORKS}/publish", json={"on": True, "why": "x"}, headers=FLAG)
                ).status_code == 401
    body = {"on": True, "why": "order of the street"}
    async with asked(signed, f"officer:{LAKESIDE}") as client:
        assert (await client.post(f"/api/sites/{WORKS}/publish", json=body, headers=FLAG)).status_code == 403
    async with asked(signed, "officer:hangzhou") as client:
        assert (await client.post(f"/api/sites/{WORKS}/publish", json=body, headers=FLAG)).status_code == 200
    async with httpx.AsyncClient(transport=httpx.ASGITransport(signed.app), base_url="http://test") as nobody:
        page = (await nobody.get("/api/public")).json()
        assert [site["path"] for site in page["sites"]] == [WORKS]
        assert "Chen" not in str(page) and "facts" not in str(page)


async def test_numbers_of_others_are_not_changed(signed: OfficerHouse) -> None:
    body = {"rule": "hot_work.no_watcher", "name": "wait", "value": "30 s", "hours": 1}
    async with asked(signed, f"officer:{LAKESIDE}") as client:
        assert (await client.post(f"/api/sites/{WORKS}/backtests", json=body, headers=FLAG)).status_code == 403
        assert (await client.get("/api/packs", params={"site": WORKS})).json()["path"] == LAKESIDE
    async with asked(signed, "property:hangzhou") as client:
        assert (await client.post(f"/api/sites/{WORKS}/backtests", json=body, headers=FLAG)).status_code == 403
