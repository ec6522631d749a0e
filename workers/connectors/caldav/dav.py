"""The protocol (WebDAV, CalDAV of RFC 4791, sync-collection of RFC 6578) over a session.

Requests are made and answers are read by the library `caldav`; they travel by the session, which keeps to budgets and
allowed addresses, so the library's own clients are not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit
from xml.parsers import expat

import httpx
from caldav.elements import cdav, dav
from caldav.elements.base import BaseElement
from caldav.response import CalendarQueryResult, DAVResponse, PropfindResult, SyncCollectionResult

from domain.connectors import RemoteRefused, RemoteUnavailable
from workers.connectors.base import Session

MULTISTATUS: Final = 207
REDIRECTS: Final = (301, 302, 303, 307, 308)
REDIRECTS_LIMIT: Final = 3

T = TypeVar("T")


class CalendarTag(BaseElement):
    """A calendar's ctag, of Apple's calendarserver: another one whenever anything in it has changed."""

    tag: ClassVar[str] = "{http://calendarserver.org/ns/}getctag"


class Dav:
    """The protocol for one connection."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._auth = httpx.BasicAuth(session.settings.get("username", ""), session.secrets.get("password", ""))

    async def propfind(
        self, url: str, properties: Sequence[BaseElement], depth: int, *, expected: tuple[int, ...] = ()
    ) -> tuple[str, list[PropfindResult]] | None:
        """Properties of a resource and, to a depth of 1, of what is in it; with the address that answered.

        Args:
            url: Where.
            properties: Which.
            depth: 0 or 1.
            expected: Statuses that mean that there is nothing: None comes back.

        Raises:
            SyncProblem: it cannot be had.
        """
        body = _xml(_with(dav.Propfind(), _with(dav.Prop(), *properties)))
        for _ in range(1 + REDIRECTS_LIMIT):
            response = await self._send("PROPFIND", url, body, str(depth), (*expected, *REDIRECTS))
            if response.status_code in REDIRECTS:
                url = target_of(url, response.headers.get("location", ""))
            elif response.status_code in expected:
                return None
            else:
                return url, _read(response, DAVResponse.parse_propfind)
        raise RemoteRefused(f"{_host(url)} leads on more than {REDIRECTS_LIMIT} times: give the address at the end.")

    async def sync_collection(self, url: str, token: str, *, expected: tuple[int, ...]) -> SyncCollectionResult | None:
        """What has changed in a calendar since a token, or all that it holds for an empty one, without the data.

        Args:
            url: The calendar.
            token: What the last answer gave.
            expected: Statuses that mean that the server does not do this: None comes back.

        Raises:
            SyncProblem: it cannot be had.
        """
        wanted = _with(dav.Prop(), dav.GetEtag())
        body = _xml(_with(dav.SyncCollection(), dav.SyncToken(value=token), dav.SyncLevel(value="1"), wanted))
        response = await self._send("REPORT", url, body, "0", expected)
        if response.status_code in expected:
            return None
        return _read(response, DAVResponse.parse_sync_collection)

    async def multiget(self, url: str, paths: Iterable[str]) -> list[CalendarQueryResult]:
        """Some of a calendar's resources, whole.

        Raises:
            SyncProblem: they cannot be had.
        """
        wanted = _with(dav.Prop(), dav.GetEtag(), cdav.CalendarData())
        body = _xml(_with(cdav.CalendarMultiGet(), wanted, *(dav.Href(value=quoted(path)) for path in paths)))
        return _read(await self._send("REPORT", url, body, None, ()), DAVResponse.parse_calendar_query)

    async def _send(
        self, method: str, url: str, body: bytes, depth: str | None, expected: tuple[int, ...]
    ) -> httpx.Response:
        headers = {"content-type": 'application/xml; charset="utf-8"', "accept": "*/*"}
        if depth is not None:
            headers["depth"] = depth
        self._session.allows(url)
        return await self._session.request(
            method, url, content=body, headers=headers, expected=expected, auth=self._auth
        )


def target_of(url: str, href: str) -> str:
    """The address that an answer from `url` names. Another host only if nobody can listen on the way to it: the
    password goes there too.

    Raises:
        RemoteRefused: it is none to go to.
    """
    target = urljoin(url, href)
    if urlsplit(target)[:2] != urlsplit(url)[:2] and urlsplit(target).scheme != "https":
        raise RemoteRefused(
            f"{_host(url)} leads on to {_host(target)} without https: the password would be for all to read."
        )
    return target


def path_of(href: str) -> str:
    """The path of a resource as the library gives those of answers: without a host and without quoting."""
    return unquote(urlsplit(href).path)


def quoted(path: str) -> str:
    """A path as requests name it."""
    return quote(path, safe="/@")


def _host(url: str) -> str:
    return urlsplit(url).hostname or "The address"


def _with(element: BaseElement, *parts: BaseElement) -> BaseElement:
    return element + parts


def _xml(element: BaseElement) -> bytes:
    return str(element).encode()


def _root_of(content: bytes) -> str:
    """The outermost element of a document of XML, with its namespace.

    Raises:
        expat.ExpatError: it is none.
        ValueError: it defines entities, for which WebDAV has no use.
    """
    names: list[str] = []
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = lambda name, _attributes: names.append(name) if not names else None
    parser.StartDoctypeDeclHandler = _refuse
    parser.Parse(content, True)
    return f"{{{names[0]}"


def _refuse(*_declared: object) -> None:
    raise ValueError("it has a document type")


def _read(response: httpx.Response, read: Callable[[DAVResponse], T]) -> T:
    """What an answer says.

    Raises:
        RemoteUnavailable: it is none of WebDAV.
    """
    host = _host(str(response.request.url))
    if response.status_code != MULTISTATUS:
        raise RemoteUnavailable(f"{host} answered {response.status_code} where CalDAV has a list; it is tried again.")
    try:
        # Looked at first, for the library writes what is no XML into the log, and takes it for an empty list.
        if (root := _root_of(response.content)) != dav.MultiStatus.tag:
            raise ValueError(f"the outermost element is {root}")
        return read(DAVResponse(response))
    except Exception as error:
        # Whatever the library trips over is an answer that it cannot read.
        raise RemoteUnavailable(f"{host} answered with something that CalDAV does not know: {error}") from error
