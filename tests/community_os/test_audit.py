"""The audit: any record changed, removed, inserted or reordered is found; floods are bounded; nothing raises."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from community_os.audit import Anchor, Record, chained, line, parse_anchor, verify
from community_os.audit_book import LIKE_MAX, AuditBook
from community_os.audit_desk import BookDesk, fits
from dashboards.audit_pages import Wanted

TEXT = st.text(max_size=12)


def chain(texts: list[str]) -> list[bytes]:
    head, lines = Anchor(0, ""), []
    for at, text in enumerate(texts):
        record = chained(head, Record(0, at, text, "did", "", "", text, "", "", ""))
        head, lines = Anchor(record.number, record.hash), [*lines, line(record)]
    return lines


@given(st.lists(TEXT, max_size=8))
def test_a_chain_holds(texts: list[str]) -> None:
    verdict = verify(chain(texts))
    assert verdict.ok and verdict.records == len(texts) == verdict.head.number
    assert verify(chain(texts), [verdict.head] if texts else []).ok


@settings(max_examples=200)
@given(st.lists(TEXT, min_size=2, max_size=8), st.data())
def test_whatever_is_done_to_it_is_found(texts: list[str], data: st.DataObject) -> None:
    lines = chain(texts)
    anchor = verify(lines).head
    at = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["change", "remove", "insert", "swap", "cut", "forge"]))
    if how == "change":
        place = data.draw(st.integers(0, len(lines[at]) - 2))
        byte = data.draw(st.integers(32, 126).filter(lambda b: b != lines[at][place]))
        lines[at] = lines[at][:place] + bytes([byte]) + lines[at][place + 1:]
    elif how == "remove":
        del lines[at]
    elif how == "insert":
        other = data.draw(st.integers(0, len(lines) - 1))
        lines.insert(at, lines[other])
    elif how == "swap":
        other = data.draw(st.integers(0, len(lines) - 1).filter(lambda o: o != at))
        lines[at], lines[other] = lines[other], lines[at]
    elif how == "cut":
        lines = lines[:at]
    else:  # all later hashes made anew: only what was written down elsewhere shows it
        texts[at] += "!"
        lines = chain(texts)
    verdict = verify(lines, [anchor])
    assert not verdict.ok and verdict.faults


@pytest.mark.parametrize("text", ["", "5", "5:abc", "x:" + "a" * 64, "-1:" + "a" * 64, "²:" + "a" * 64])
def test_what_is_no_anchor(text: str) -> None:
    with pytest.raises(ValueError, match="no anchor"):
        parse_anchor(text)


def test_an_anchor_reads_back() -> None:
    anchor = verify(chain(["a", "b"])).head
    assert parse_anchor(str(anchor)) == anchor


def test_two_writers_make_one_chain_over_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("community_os.audit_book.SEGMENT_BYTES", 900)
    web, shell = AuditBook(tmp_path / "audit", now_us=lambda: 7), AuditBook(tmp_path / "audit", now_us=lambda: 8)
    for number in range(12):
        (web, shell)[number % 2].note(f"p{number}", "did", path="hangzhou")
    assert web.verify().ok and web.head() == shell.head() == AuditBook(tmp_path / "audit").head()
    assert len(list((tmp_path / "audit").glob("*.jsonl"))) > 2 and web.head().number == 12
    assert [r.who for r in web.newest(lambda r: True, 3)] == ["p11", "p10", "p9"]
    assert [r.number for r in web.newest(lambda r: r.who != "p4", 2, below=6)] == [4, 3]
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "audit").glob("*.jsonl"))


def test_a_flood_of_refusals_is_bounded_and_its_rest_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("community_os.audit_book.time.monotonic", lambda: now[0])
    book = AuditBook(tmp_path / "audit", now_us=lambda: 7)
    for _ in range(LIKE_MAX + 50):
        book.note("x", "refused", where="6.6.6.6")
    book.note("y", "signed in", where="6.6.6.6")
    assert book.head().number == LIKE_MAX + 1
    now[0] += 61
    book.note("y", "signed out")
    (more,) = book.newest(lambda r: r.why == "flood", 5)
    assert more.subject == "50 more like this" and more.where == "6.6.6.6" and book.verify().ok


def test_what_cannot_be_written_never_raises_and_is_said_later(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    folder.write_text("in the way")
    book = AuditBook(folder, now_us=lambda: 7)
    book.note("x", "did")
    folder.unlink()
    book.note("x", "did")
    said = book.newest(lambda r: True, 5)
    assert [(r.what, r.subject) for r in said] == [("did", ""), ("records lost", "1")]


def test_a_torn_tail_is_said_and_the_chain_goes_on(tmp_path: Path) -> None:
    book = AuditBook(tmp_path / "audit", now_us=lambda: 7)
    book.note("a", "did")
    book.note("b", "did")
    (file,) = (tmp_path / "audit").glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-20])
    later = AuditBook(tmp_path / "audit", now_us=lambda: 8)
    later.note("c", "did")
    verdict = later.verify()
    assert not verdict.ok and any("no record" in fault for fault in verdict.faults)
    assert [r.who for r in later.newest(lambda r: True, 5)] == ["c", "a"]


def test_scopes_and_filters(tmp_path: Path) -> None:
    book = AuditBook(tmp_path / "audit", now_us=lambda: 1_000_000)
    for path in ("", "hangzhou/yuhang", "hangzhou/yu", "beijing"):
        book.note("Li", "did", path=path)
    desk = BookDesk(book)
    assert [row.path for row in desk.rows(Wanted(scope="hangzhou/yuhang"), 9)] == ["hangzhou/yuhang"]
    assert len(desk.rows(Wanted(), 9)) == 4 and len(desk.rows(Wanted(who="li", path="hang"), 9)) == 2
    assert desk.rows(Wanted(until_us=1_000_000), 9) == () and desk.state().faults == ()
    assert fits(book.newest(lambda r: True, 1)[0], Wanted(since_us=1_000_000))
