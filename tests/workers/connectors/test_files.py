"""Files: every whole line comes once, in whatever steps a file grows and however often reading is broken off."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.connectors import (
    Cursor,
    CursorExpired,
    Document,
    MappingContext,
    Page,
    RemoteRefused,
    RemoteUnavailable,
)
from domain.database import acquire
from domain.models.teams import Feed
from domain.records import AnyRecord, RecordRefused, TombstoneRecord, decode_json, decode_mapping
from domain.uploads import LINE_LIMIT_BYTES
from tests.doubles.base import Fault
from tests.doubles.files import FilesDouble
from tests.workers.connectors.session import TestSession, pull_all
from tests.workers.desk import Desk, wire_to
from workers.connectors import all_connectors
from workers.connectors.files import connector, places, pulling
from workers.connectors.files.mapping import map_document

NOW = datetime(2026, 11, 2, 15, 0, tzinfo=UTC)
CONTEXT = MappingContext(
    now=NOW,
    timezone="UTC",
    currency="USD",
    domains=frozenset(),
    owner=None,
    members=frozenset(),
    mapping={},
    syncs=frozenset(),
    rate=lambda _currency, _day: None,
    settings={},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "exports"
    inside.mkdir()
    return inside


@pytest.fixture
async def session(folder: Path) -> AsyncIterator[TestSession]:
    """For the folder; a while from now, so that all files have settled unless a test says otherwise."""
    told = {"folder": str(folder), "roots": f"/nowhere\n{folder.parent}"}
    async with TestSession("", told, now=datetime.now(UTC) + timedelta(hours=1)) as opened:
        yield opened


@pytest.fixture
def double() -> Iterator[FilesDouble]:
    with FilesDouble() as running:
        yield running


@pytest.fixture
async def web(double: FilesDouble) -> AsyncIterator[TestSession]:
    async with TestSession(double.base_url, double.settings) as opened:
        yield opened


def line(number: int, **fields: Any) -> bytes:
    record = {
        "kind": "call",
        "externalId": f"c{number}",
        "user": "rep@double.test",
        "occurredAt": "2026-11-02T10:00:00Z",
    }
    return orjson.dumps({**record, **fields}) + b"\n"


def lines(first: int, count: int) -> bytes:
    return b"".join(line(number) for number in range(first, first + count))


def write(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def append(folder: Path, name: str, content: bytes) -> None:
    with (folder / name).open("ab") as opened:
        opened.write(content)


def documents(pages: list[Page]) -> list[Document]:
    return [document for page in pages for document in page.documents]


def decoded(document: Document) -> AnyRecord | TombstoneRecord:
    (record,) = connector.map(document, CONTEXT, None).records
    return decode_json(record) if isinstance(record, bytes) else decode_mapping(record)


def names(pages: list[Page]) -> list[str]:
    """The external ids that came, in order."""
    return [decoded(document).external_id for document in documents(pages)]


def expected(first: int, count: int) -> list[str]:
    return [f"c{number}" for number in range(first, first + count)]


# Where files may be.


def test_the_connector_is_found_and_brings_everything() -> None:
    assert all_connectors()["files"] is connector
    assert set(connector.manifest.feeds) == set(Feed)
    assert [setting.name for setting in connector.manifest.settings if setting.secret] == ["authorization"]


async def test_a_folder_below_a_root_is_checked(session: TestSession, folder: Path) -> None:
    account = await connector.check(session)
    assert account.name == account.id == str(folder)


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({}, "either a folder or an address"),
        ({"folder": "/x", "url": "https://x.test/"}, "either a folder or an address"),
        ({"folder": "/etc"}, "not below one"),
        ({"folder": "/"}, "not below one"),
        ({"folder": "exports"}, "not below one"),
        ({"folder": "{root}/exports/../../.."}, "not below one"),
        ({"folder": "{root}-beside"}, "not below one"),
        ({"folder": "{root}/exports", "roots": ""}, "allows no folder"),
        ({"folder": "{root}/missing"}, "cannot be looked at"),
        ({"folder": "{root}/file.ndjson"}, "cannot be looked at"),
        ({"url": "file:///etc/passwd"}, "no address"),
    ],
)
async def test_any_other_place_is_refused(folder: Path, told: dict[str, str], problem: str) -> None:
    root = str(folder.parent)
    write(folder.parent, "file.ndjson", b"")
    told = {"roots": root} | {name: value.replace("{root}", root) for name, value in told.items()}
    async with TestSession("", told) as opened:
        with pytest.raises(RemoteRefused, match=problem):
            await connector.check(opened)
        with pytest.raises(RemoteRefused, match=problem):
            await connector.pull(opened, None)


async def test_nothing_outside_is_read_through_links(session: TestSession, folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    write(outside, "secret.ndjson", line(1))
    (folder / "link.ndjson").symlink_to(outside / "secret.ndjson")
    (folder / "links").symlink_to(outside)
    write(folder, "real.ndjson", line(2))
    (folder / "inside.ndjson").symlink_to(folder / "real.ndjson")
    assert sorted(names((await pull_all(connector, session))[0])) == ["c2", "c2"]
    swapped = places.Folder(str(folder), str(folder.parent), 0.0)
    file = next(file for file in await swapped.files() if file.name == "real.ndjson")
    (folder / "real.ndjson").unlink()
    (folder / "real.ndjson").symlink_to(outside / "secret.ndjson")
    with pytest.raises(places.Gone):
        next(swapped.pieces(file, 0))


async def test_a_link_to_the_folder_itself_that_leads_outside_is_refused(folder: Path) -> None:
    (folder / "up").symlink_to("/etc")
    async with TestSession("", {"folder": str(folder / "up"), "roots": str(folder.parent)}) as opened:
        with pytest.raises(RemoteRefused, match="not below one"):
            await connector.check(opened)


async def test_only_files_of_records_are_read(session: TestSession, folder: Path) -> None:
    for name in ("a.txt", ".hidden.ndjson", "_part.ndjson", "b.ndjson.tmp", "_temporary/c.ndjson", ".git/d.ndjson"):
        write(folder, name, line(1))
    os.mkfifo(folder / "pipe.ndjson")
    for number, name in enumerate(("e.jsonl", "sub/f.ndjson", "sub/deep/g.ndjson.gz")):
        write(folder, name, gzip.compress(line(number)) if name.endswith(".gz") else line(number))
    assert sorted(names((await pull_all(connector, session))[0])) == expected(0, 3)


# Lines.


async def test_a_file_is_read_once_and_goes_on_where_it_grows(session: TestSession, folder: Path) -> None:
    write(folder, "a.ndjson", lines(0, 5))
    pages, cursor = await pull_all(connector, session)
    assert names(pages) == expected(0, 5)
    assert [document.id for document in documents(pages)] == [f"a.ndjson:{number}" for number in range(1, 6)]
    assert all(isinstance(document.data, bytes) for document in documents(pages))
    pages, cursor = await pull_all(connector, session, cursor)
    assert documents(pages) == []
    append(folder, "a.ndjson", lines(5, 2))
    write(folder, "b.ndjson", lines(100, 1))
    pages, cursor = await pull_all(connector, session, cursor)
    assert sorted(names(pages)) == ["c100", "c5", "c6"]
    assert {document.id for document in documents(pages)} == {"a.ndjson:6", "a.ndjson:7", "b.ndjson:1"}
    pages, _ = await pull_all(connector, session, cursor)
    assert documents(pages) == []


@pytest.mark.parametrize(
    "changed",
    [
        lines(0, 3),
        lines(50, 5),
        lines(50, 9),
        line(0, durationSeconds=5) + lines(1, 4),
        lines(0, 5).replace(b"rep@", b"res@", 1),
        b"",
    ],
    ids=["shorter", "as long", "longer", "a line longer", "a line as long", "empty"],
)
async def test_a_file_that_changed_otherwise_is_read_from_its_beginning(
    session: TestSession, folder: Path, changed: bytes
) -> None:
    write(folder, "a.ndjson", lines(0, 5))
    _, cursor = await pull_all(connector, session)
    os.utime(folder / "a.ndjson", (1, 1))
    _, cursor = await pull_all(connector, session, cursor)
    write(folder, "a.ndjson", changed)
    pages, cursor = await pull_all(connector, session, cursor)
    assert b"\n".join(document.data for document in documents(pages)) == changed.rstrip(b"\n")
    append(folder, "a.ndjson", lines(90, 1))
    pages, _ = await pull_all(connector, session, cursor)
    assert names(pages) == ["c90"]


async def test_a_file_that_is_moved_here_with_an_old_time_is_new(session: TestSession, folder: Path) -> None:
    write(folder, "new.ndjson", lines(0, 1))
    _, cursor = await pull_all(connector, session)
    write(folder.parent, "old.ndjson", lines(1, 1))
    os.utime(folder.parent / "old.ndjson", (1, 1))
    (folder.parent / "old.ndjson").rename(folder / "old.ndjson")
    pages, _ = await pull_all(connector, session, cursor)
    assert names(pages) == ["c1"]


async def test_the_last_line_waits_for_its_end(session: TestSession, folder: Path) -> None:
    session.now = datetime.now(UTC)
    whole = line(1)
    write(folder, "a.ndjson", line(0) + whole[:20])
    pages, cursor = await pull_all(connector, session)
    assert names(pages) == ["c0"]
    append(folder, "a.ndjson", whole[20:-1])
    # Without an end of line, but a JSON object to its last brace.
    pages, cursor = await pull_all(connector, session, cursor)
    assert names(pages) == ["c1"]
    append(folder, "a.ndjson", b"\n" + line(2)[:30])
    pages, cursor = await pull_all(connector, session, cursor)
    assert documents(pages) == []
    session.now += timedelta(minutes=2)
    pages, cursor = await pull_all(connector, session, cursor)
    (broken,) = documents(pages)
    assert broken.data == line(2)[:30]
    pages, _ = await pull_all(connector, session, cursor)
    assert documents(pages) == []


async def test_braces_in_text_do_not_make_a_line_whole(session: TestSession, folder: Path) -> None:
    session.now = datetime.now(UTC)
    write(folder, "a.ndjson", b'{"kind": "task", "title": "x}')
    pages, _ = await pull_all(connector, session)
    assert documents(pages) == []


async def test_marks_blank_lines_and_ends_of_other_systems_are_passed_over(session: TestSession, folder: Path) -> None:
    body = b"\xef\xbb\xbf" + line(0).replace(b"\n", b"\r\n") + b"\r\n  \n" + line(1)
    write(folder, "a.ndjson", body)
    pages, _ = await pull_all(connector, session)
    assert names(pages) == expected(0, 2)
    assert [document.id for document in documents(pages)] == ["a.ndjson:1", "a.ndjson:4"]


async def test_pages_end_in_the_middle_of_files_and_go_on_there(
    session: TestSession, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "PAGE_LINES", 7)
    write(folder, "a.ndjson", lines(0, 20))
    write(folder, "b.ndjson", lines(20, 3))
    write(folder, "c.csv", b"kind,externalId,user,occurredAt\n" + b"call,c23,x@y.z,2026-11-02T10:00:00Z\n" * 9)
    pages, _ = await pull_all(connector, session)
    assert names(pages) == [*expected(0, 23), *["c23"] * 9]
    assert max(len(page.documents) for page in pages) == 7
    cursor: Cursor | None = None
    for page in pages:
        again = await connector.pull(session, cursor)
        assert again.documents == page.documents
        cursor = page.cursor


async def test_many_small_files_share_a_page(session: TestSession, folder: Path) -> None:
    for number in range(300):
        write(folder, f"{number}.ndjson", line(number))
    pages, _ = await pull_all(connector, session)
    assert len(pages) == 1
    assert sorted(names(pages)) == sorted(expected(0, 300))


async def test_a_line_that_is_too_long_is_refused_alone(session: TestSession, folder: Path) -> None:
    long = b'"' + b"x" * (2 * LINE_LIMIT_BYTES) + b'"\n'
    write(folder, "a.ndjson", line(0) + long + line(1))
    pages, cursor = await pull_all(connector, session)
    first, bad, last = documents(pages)
    assert (decoded(first).external_id, decoded(last).external_id) == ("c0", "c1")
    assert [first.id, bad.id, last.id] == ["a.ndjson:1", "a.ndjson:2", "a.ndjson:3"]
    with pytest.raises(RecordRefused, match="more than") as refusal:
        connector.map(bad, CONTEXT, None)
    assert refusal.value.code == "TOO_LONG"
    append(folder, "a.ndjson", long[: LINE_LIMIT_BYTES + 10])
    _, cursor = await pull_all(connector, session, cursor)
    append(folder, "a.ndjson", b'the rest"\n' + line(2))
    pages, _ = await pull_all(connector, session, cursor)
    assert [document.data for document in documents(pages)] == [line(2).strip()]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.binary(max_size=40), st.sampled_from([b"\n", b"{}\n", b'{"a":1}\n{"b"', b":2}\n", b"\r\n"])),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.integers(1, 4),
    st.booleans(),
)
async def test_however_a_file_grows_its_lines_come_once(
    steps: list[tuple[bytes, bool]], page_lines: int, packed: bool
) -> None:
    with tempfile.TemporaryDirectory() as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulling, "PAGE_LINES", page_lines)
        name = "a.ndjson.gz" if packed else "a.ndjson"
        written, found = b"", []
        cursor: Cursor | None = None
        told = {"folder": path, "roots": path}
        write(Path(path), name, b"")
        async with TestSession("", told, now=datetime.now(UTC)) as opened:
            for data, restarts in [*steps, (b"\n", True)]:
                written += data
                if data:
                    append(Path(path), name, gzip.compress(data) if packed else data)
                if restarts:
                    pages, cursor = await pull_all(connector, opened, cursor)
                    found += [document.data for document in documents(pages)]
    whole = [part for part in written.removeprefix(b"\xef\xbb\xbf").split(b"\n") if part.strip()]
    assert found == whole


# Packed files.


async def test_a_packed_file_is_read_and_goes_on(
    session: TestSession, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "PAGE_LINES", 100)
    write(folder, "a.ndjson.gz", gzip.compress(lines(0, 450)))
    pages, cursor = await pull_all(connector, session)
    assert names(pages) == expected(0, 450)
    append(folder, "a.ndjson.gz", gzip.compress(lines(450, 3)))
    pages, _ = await pull_all(connector, session, cursor)
    assert names(pages) == expected(450, 3)


async def test_the_further_a_packed_file_has_been_read_the_longer_are_its_pages(
    session: TestSession, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "PAGE_BYTES", 5_000)
    monkeypatch.setattr(pulling, "PAGE_LINES", 50)
    monkeypatch.setattr("domain.uploads.PIECE_BYTES", 500)
    write(folder, "a.ndjson.gz", gzip.compress(lines(0, 2_500)))
    pages, _ = await pull_all(connector, session)
    sizes = [len(page.documents) for page in pages]
    assert names(pages) == expected(0, 2_500)
    assert sizes[0] <= 50 < sizes[-2] <= 200


async def test_a_packed_file_that_is_being_written_is_read_as_far_as_it_is_there(
    session: TestSession, folder: Path
) -> None:
    session.now = datetime.now(UTC)
    packed = gzip.compress(b"".join(line(number, title=os.urandom(30).hex()) for number in range(3_000)))
    write(folder, "a.ndjson.gz", packed[: len(packed) // 2])
    pages, cursor = await pull_all(connector, session)
    count = len(documents(pages))
    assert 500 < count < 2_500
    append(folder, "a.ndjson.gz", packed[len(packed) // 2 :])
    rest, _ = await pull_all(connector, session, cursor)
    found = [orjson.loads(document.data)["externalId"] for document in [*documents(pages), *documents(rest)]]
    assert found == expected(0, 3_000)


async def test_damage_in_a_packed_file_is_told_and_what_is_before_it_comes(session: TestSession, folder: Path) -> None:
    good, bad = gzip.compress(lines(0, 3)), gzip.compress(lines(3, 3))
    write(folder, "a.ndjson.gz", good + b"\x1f\x8b\x08" + b"\xff" * 40)
    write(folder, "b.ndjson.gz", b"this is not gzip")
    write(folder, "c.ndjson", lines(9, 1))
    pages, cursor = await pull_all(connector, session)
    well, refused = [], []
    for document in documents(pages):
        try:
            well.append(decoded(document).external_id)
        except RecordRefused as refusal:
            refused.append((document.id, refusal.code))
    assert well == [*expected(0, 3), "c9"]
    assert refused == [("a.ndjson.gz:4", "DAMAGED"), ("b.ndjson.gz:1", "DAMAGED")]
    pages, cursor = await pull_all(connector, session, cursor)
    assert documents(pages) == []
    write(folder, "a.ndjson.gz", good + bad)
    pages, _ = await pull_all(connector, session, cursor)
    assert set(names(pages)) >= set(expected(3, 3))


# CSV.


async def test_rows_have_types_and_may_hold_lines(session: TestSession, folder: Path) -> None:
    body = (
        b"\xef\xbb\xbfkind, externalId ,user,occurredAt,durationSeconds,connected,title,completedAt,deleted,"
        b"talkRatio\r\n"
        b"call,c0,rep@double.test,2026-11-02T10:00:00Z,61,true,,,,\r\n"
        b"\r\n"
        b'task,c1,rep@double.test,2026-11-02T10:00:00Z,,,"two\nlines, ""quoted""",2026-11-02T10:00:00Z,,\r\n'
        b"conversation,c2,rep@double.test,2026-11-02T10:00:00Z,61,,,,false,0.25\r\n"
        b"call,c3,,,,,,,true,\r\n"
    )
    write(folder, "a.csv", body)
    pages, _ = await pull_all(connector, session)
    call, task, conversation, gone = (decoded(document) for document in documents(pages))
    assert (call.external_id, call.duration_seconds, call.connected) == ("c0", 61, True)  # type: ignore[union-attr]
    assert task.title == 'two\nlines, "quoted"'  # type: ignore[union-attr]
    assert str(conversation.talk_ratio) == "0.25"  # type: ignore[union-attr]
    assert isinstance(gone, TombstoneRecord)
    assert [document.id for document in documents(pages)] == ["a.csv:2", "a.csv:5", "a.csv:6", "a.csv:7"]


async def test_rows_wait_for_their_end_and_the_header_for_its(session: TestSession, folder: Path) -> None:
    session.now = datetime.now(UTC)
    write(folder, "a.csv", b"kind,external")
    pages, cursor = await pull_all(connector, session)
    assert documents(pages) == []
    append(folder, "a.csv", b'Id,user,occurredAt,title,completedAt\ntask,c0,r@x.y,2026-11-02T10:00:00Z,"one\n')
    pages, cursor = await pull_all(connector, session, cursor)
    assert documents(pages) == []
    append(folder, "a.csv", b'two",2026-11-02T10:00:00Z\ntask,c1')
    pages, cursor = await pull_all(connector, session, cursor)
    assert names(pages) == ["c0"]
    append(folder, "a.csv", b",r@x.y,2026-11-02T10:00:00Z,three,2026-11-02T10:00:00Z")
    pages, cursor = await pull_all(connector, session, cursor)
    assert documents(pages) == []
    session.now += timedelta(minutes=2)
    pages, _ = await pull_all(connector, session, cursor)
    assert names(pages) == ["c1"]


@pytest.mark.parametrize(
    ("body", "code", "before"),
    [
        (b"kind,externalId\ncall,c0,more,cells\n", "INVALID", 0),
        (b'kind,externalId\ntask,c0\ntask,"c1"x\ntask,c2\n', "DAMAGED", 1),
        (b"kind,externalId\ntask,c0\ntask,\xff\n", "DAMAGED", 1),
        (b'kind,externalId\ntask,c0\ntask,"never ends\n', "DAMAGED", 1),
        (b"\ntask,c0\n", "DAMAGED", 0),
        (b"kind,\xff\ntask,c0\n", "DAMAGED", 0),
        (b'kind,"a"b\ntask,c0\n', "DAMAGED", 0),
        (b"kind,externalId\ntask," + b"x" * (LINE_LIMIT_BYTES + 2) + b"\n", "DAMAGED", 0),
        (b"kind,externalId\ntask," + b"x" * (LINE_LIMIT_BYTES * 2), "DAMAGED", 0),
    ],
)
async def test_rows_that_make_no_sense(session: TestSession, folder: Path, body: bytes, code: str, before: int) -> None:
    write(folder, "a.csv", body)
    pages, cursor = await pull_all(connector, session)
    *well, bad = documents(pages)
    assert len(well) == before
    with pytest.raises(RecordRefused) as refusal:
        connector.map(bad, CONTEXT, None)
    assert refusal.value.code == code
    pages, _ = await pull_all(connector, session, cursor)
    assert documents(pages) == []


# The cursor.


async def test_the_cursor_stays_small_however_many_files_there_are(
    session: TestSession, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "KEPT_ENTRIES", 10)
    monkeypatch.setattr(pulling, "PAGE_LINES", 8)
    for number in range(60):
        write(folder, f"{number:02}.ndjson", line(number))
    pages, cursor = await pull_all(connector, session)
    assert sorted(names(pages)) == sorted(expected(0, 60))
    assert len(cursor["entries"]) == 10
    assert documents((await pull_all(connector, session, cursor))[0]) == []
    append(folder, "05.ndjson", line(99))
    write(folder, "new.ndjson", line(100))
    pages, cursor = await pull_all(connector, session, cursor)
    assert sorted(names(pages)) == ["c100", "c5", "c99"]
    for number in range(60):
        (folder / f"{number:02}.ndjson").unlink()
    pages, cursor = await pull_all(connector, session, cursor)
    assert list(cursor["entries"]) == ["new.ndjson"]


async def test_what_is_newer_than_a_file_that_waits_is_not_forgotten_before_it(
    session: TestSession, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "KEPT_ENTRIES", 2)
    monkeypatch.setattr(pulling, "PAGE_LINES", 1)
    for number in range(4):
        write(folder, f"{number}.ndjson", line(number))
    _, cursor = await pull_all(connector, session)
    write(folder, "4.ndjson", lines(4, 3))
    write(folder, "5.ndjson", lines(7, 3))
    for name in ("2.ndjson", "3.ndjson"):  # The newest now, though there is nothing new in them.
        before = (folder / "5.ndjson").stat().st_ctime_ns
        while (folder / name).stat().st_ctime_ns <= before:
            (folder / name).chmod(0o600)
    pages, _ = await pull_all(connector, session, cursor)
    assert sorted(names(pages)) == expected(4, 6)


async def test_a_cursor_of_another_version_begins_anew(session: TestSession) -> None:
    with pytest.raises(CursorExpired):
        await connector.pull(session, {"entries": {"a.ndjson": {"offset": 1}}})


async def test_a_file_that_vanishes_is_passed_over(
    session: TestSession, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "a.ndjson", line(0))
    write(folder, "b.ndjson", line(1))
    listed = places.Folder.files

    async def files_then_gone(self: places.Folder) -> list[places.File]:
        found = await listed(self)
        (folder / "a.ndjson").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(places.Folder, "files", files_then_gone)
    pages, cursor = await pull_all(connector, session)
    assert names(pages) == ["c1"]
    assert list(cursor["entries"]) == ["b.ndjson"]


# Addresses.


async def test_a_bucket_is_read_and_asked_once_when_there_is_nothing_new(double: FilesDouble, web: TestSession) -> None:
    made = double.add(1_000)
    assert (await connector.check(web)).name == double.settings["url"]
    pages, cursor = await pull_all(connector, web)
    assert sorted(names(pages)) == sorted(made)
    asked = len(double.requests)
    pages, cursor = await pull_all(connector, web, cursor)
    assert documents(pages) == []
    assert len(double.requests) - asked == 1
    made = double.add(3)
    pages, _ = await pull_all(connector, web, cursor)
    assert names(pages) == made
    asked_ranges = [seen for seen in double.seen if seen.path.endswith(".ndjson")]
    assert all(seen.status == 206 for seen in asked_ranges)


async def test_changes_come_as_they_are_told(double: FilesDouble, web: TestSession) -> None:
    made = double.add(20)
    _, cursor = await pull_all(connector, web)
    double.change(made[3])
    double.remove(made[4])
    pages, cursor = await pull_all(connector, web, cursor)
    changed, removed = (decoded(document) for document in documents(pages))
    assert (changed.external_id, changed.duration_seconds) == (made[3], 61)  # type: ignore[union-attr]
    assert isinstance(removed, TombstoneRecord)
    double.spoil(made[0])
    pages, cursor = await pull_all(connector, web, cursor)
    bad, *rest = documents(pages)
    with pytest.raises(RecordRefused, match="durationSeconds"):
        decoded(bad)
    assert len(rest) == 21
    double.mend(made[0])
    pages, _ = await pull_all(connector, web, cursor)
    mended = next(document for document in documents(pages) if document.id == bad.id)
    assert decoded(mended).external_id == made[0]


async def test_a_long_listing_comes_in_pages(double: FilesDouble, web: TestSession) -> None:
    double.keys_a_page = 3
    for number in range(10):
        double.put(f"out/{number} & <more>.ndjson", line(number))
    double.put("elsewhere/a.ndjson", line(99))
    double.put("out/readme.txt", b"no records")
    double.put("out/../up.ndjson", line(98))
    pages, _ = await pull_all(connector, web)
    assert names(pages) == expected(0, 10)


async def test_packed_objects_csv_and_servers_without_ranges(double: FilesDouble, web: TestSession) -> None:
    body = b"kind,externalId,user,occurredAt\n" + b"".join(
        b"call,c%d,r@x.y,2026-11-02T10:00:00Z\n" % number for number in range(3, 6)
    )
    for ranges in (True, False):
        double.gives_ranges = ranges
        double.objects.clear()
        double.put("out/a.ndjson", lines(0, 3).rstrip(b"\n"))
        double.put("out/b.csv", body)
        double.put("out/c.ndjson.gz", gzip.compress(lines(6, 3)))
        pages, cursor = await pull_all(connector, web)
        assert names(pages) == expected(0, 9)
        double.put("out/a.ndjson", lines(0, 3) + lines(20, 1))
        pages, _ = await pull_all(connector, web, cursor)
        assert names(pages) == ["c20"]


async def test_long_objects_are_asked_for_in_parts(
    double: FilesDouble, web: TestSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "RANGE_BYTES", 1_000)
    monkeypatch.setattr(pulling, "PAGE_LINES", 25)
    double.put("out/a.ndjson", lines(0, 100))
    pages, _ = await pull_all(connector, web)
    assert names(pages) == expected(0, 100)


async def test_an_authorization_is_sent_where_one_is_told(double: FilesDouble) -> None:
    double.authorization = "Bearer of-the-bucket"
    made = double.add(1)
    async with TestSession(double.base_url, double.settings, {"authorization": "Bearer of-the-bucket"}) as opened:
        assert names((await pull_all(connector, opened))[0]) == made
    async with TestSession(double.base_url, double.settings) as opened:
        with pytest.raises(RemoteRefused):
            await connector.check(opened)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult/>", RemoteRefused),
        ("<ListBucketResult>", RemoteUnavailable),
        ("{}", RemoteUnavailable),
        ("<html/>", RemoteRefused),
    ],
)
async def test_what_is_no_listing_is_refused(
    double: FilesDouble, web: TestSession, body: str, problem: type[Exception]
) -> None:
    double.faults.append(Fault(status=200, body=body))
    with pytest.raises(problem):
        await connector.check(web)


async def test_a_fault_in_the_middle_costs_nothing_but_the_page(double: FilesDouble, web: TestSession) -> None:
    made = double.add(500)
    for fault in (Fault(status=500), Fault(cut=True)):
        double.faults.extend([Fault(), fault])
        with pytest.raises(RemoteUnavailable):
            await connector.pull(web, None)
    assert sorted(names((await pull_all(connector, web))[0])) == sorted(made)


async def test_an_object_that_vanishes_is_passed_over(double: FilesDouble, web: TestSession) -> None:
    double.put("out/a.ndjson", line(0))
    double.put("out/b.ndjson", line(1))
    double.faults.extend([Fault(), Fault(status=404)])
    pages, cursor = await pull_all(connector, web)
    assert names(pages) == ["c1"]
    pages, _ = await pull_all(connector, web, cursor)
    assert names(pages) == ["c0"]


# Manifests.


async def test_a_manifest_of_names(double: FilesDouble) -> None:
    double.shelf = {"a.ndjson": lines(0, 2), "more/b.ndjson": lines(2, 2)}
    double.manifest = b"\xef\xbb\xbf# of today\n\na.ndjson\r\nreadme.txt\nmore/b.ndjson\n"
    async with TestSession(double.base_url, {"url": f"{double.base_url}/shelf/files.txt"}) as opened:
        pages, cursor = await pull_all(connector, opened)
        assert names(pages) == expected(0, 4)
        asked = len(double.requests)
        pages, cursor = await pull_all(connector, opened, cursor)
        assert documents(pages) == []
        assert len(double.requests) - asked == 2
        double.shelf["more/b.ndjson"] += lines(4, 2)
        double.shelf["a.ndjson"] += lines(90, 1)
        pages, cursor = await pull_all(connector, opened, cursor)
        assert names(pages) == expected(4, 2)
        double.shelf["c.ndjson"] = lines(6, 1)
        double.manifest += b"c.ndjson\n"
        pages, _ = await pull_all(connector, opened, cursor)
        assert names(pages) == ["c6"]


async def test_a_manifest_that_lets_go_of_its_oldest_names(
    double: FilesDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "KEPT_ENTRIES", 3)
    listed = [f"{number}.ndjson" for number in range(10)]
    double.shelf = {name: line(number) for number, name in enumerate(listed)}
    double.manifest = "\n".join(listed).encode()
    async with TestSession(double.base_url, {"url": f"{double.base_url}/shelf/files.txt"}) as opened:
        pages, cursor = await pull_all(connector, opened)
        assert names(pages) == expected(0, 10)
        assert len(cursor["entries"]) == 3
        double.shelf["new.ndjson"] = line(10)
        double.manifest = "\n".join([*listed[4:], "new.ndjson"]).encode()
        pages, cursor = await pull_all(connector, opened, cursor)
        assert names(pages) == ["c10"]
        double.manifest = "\n".join([*listed[9:], "new.ndjson"]).encode()
        pages, _ = await pull_all(connector, opened, cursor)
        assert documents(pages) == []


async def test_a_manifest_in_json_tells_of_growth(double: FilesDouble) -> None:
    def tell() -> None:
        named = [{"name": name, "size": len(body)} for name, body in double.shelf.items()]
        double.manifest = orjson.dumps({"files": [*named, "z.ndjson"]})

    double.shelf = {"a.ndjson": lines(0, 2), "b.ndjson": lines(2, 1), "z.ndjson": b""}
    tell()
    async with TestSession(double.base_url, {"url": f"{double.base_url}/shelf/files.json"}) as opened:
        pages, cursor = await pull_all(connector, opened)
        assert names(pages) == expected(0, 3)
        double.shelf["a.ndjson"] += lines(3, 1)
        tell()
        pages, _ = await pull_all(connector, opened, cursor)
        assert names(pages) == ["c3"]


async def test_a_named_file_that_is_not_there_is_told_and_stops_nothing(double: FilesDouble) -> None:
    double.shelf = {"b.ndjson": line(1)}
    double.manifest = b"a.ndjson\nb.ndjson\n"
    async with TestSession(double.base_url, {"url": f"{double.base_url}/shelf/files.txt"}) as opened:
        pages, cursor = await pull_all(connector, opened)
        missing, found = documents(pages)
        assert decoded(found).external_id == "c1"
        with pytest.raises(RecordRefused) as refusal:
            connector.map(missing, CONTEXT, None)
        assert refusal.value.code == "GONE"
        double.shelf["a.ndjson"] = line(0)
        pages, _ = await pull_all(connector, opened, cursor)
        assert names(pages) == ["c0"]


@pytest.mark.parametrize(
    "manifest",
    [b"../a.ndjson", b"/etc/a.ndjson", b"https://elsewhere.test/a.ndjson", b"x/../../a.ndjson", b'{"no": 1}', b"[{}]"],
)
async def test_names_outside_and_lists_without_names_are_refused(double: FilesDouble, manifest: bytes) -> None:
    double.manifest = manifest
    async with TestSession(double.base_url, {"url": f"{double.base_url}/shelf/files.txt"}) as opened:
        with pytest.raises(RemoteRefused):
            await connector.check(opened)


# In the tables.


async def test_a_folder_through_the_runner_connects_what_it_brings_alone(database: str, folder: Path) -> None:
    write(folder, "a.ndjson", lines(0, 3))
    write(folder, "b.csv", b"kind,externalId,user,occurredAt,cadence\n")
    append(folder, "b.csv", b"cadence_step,s1,rep@double.test,2026-11-02T10:00:00Z,New business\n")
    desk = await Desk(wire_to(roots=(str(folder.parent),))).open("rep@double.test")
    connection = await desk.connect("files", settings={"folder": str(folder), "source": "dialer"})
    await desk.work()
    found = await desk.activities()
    assert set(found) == {*expected(0, 3), "s1"}
    assert {row["source"] for row in found.values()} == {"dialer"}
    append(folder, "a.ndjson", line(3, durationSeconds="long"))
    await desk.sync(connection)
    assert await desk.quarantine() == {"a.ndjson:4": "INVALID"}
    async with acquire(desk.team) as opened:
        feeds = await opened.fetch("SELECT feed FROM team_feeds WHERE team_id = $1", desk.team)
    assert {row["feed"] for row in feeds} == {"calls", "cadence"}


# Mapping.


@pytest.mark.parametrize("data", [None, 1, "x", [1], {"kind": "call"}, {"": "x"}, {"code": "A", "message": "b"}])
@pytest.mark.parametrize("object_name", ["line", "row", "other"])
def test_only_refusals_are_raised(object_name: str, data: Any) -> None:
    try:
        (record,) = map_document(Document(object_name, "1", data)).records
    except RecordRefused:
        return
    assert isinstance(record, (bytes, Mapping))


@given(
    st.dictionaries(st.sampled_from(["kind", "externalId", "user", "deleted", "openCount", ""]), st.text(max_size=5))
)
def test_rows_are_records_or_refused(row: dict[str, str]) -> None:
    try:
        (record,) = map_document(Document("row", "1", row)).records
    except RecordRefused:
        return
    assert isinstance(record, bytes)
    decode_json(record)


def test_a_line_that_was_refused_can_be_tried_again_as_it_was_kept() -> None:
    kept = orjson.loads(line(1))
    (record,) = map_document(Document("line", "a.ndjson:1", kept)).records
    assert isinstance(record, dict)
    assert decode_mapping(record).external_id == "c1"
