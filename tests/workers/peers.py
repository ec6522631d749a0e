"""A double for each connector, by its kind; the suite in test_connectors.py fails for one that has none."""

from __future__ import annotations

from collections.abc import Callable

from tests.doubles.base import Double
from tests.doubles.caldav import CaldavDouble
from tests.doubles.files import FilesDouble
from tests.doubles.google_calendar import GoogleCalendarDouble
from tests.doubles.hubspot import HubSpotDouble
from tests.doubles.ical import IcalDouble
from tests.doubles.microsoft365 import Microsoft365Double
from tests.doubles.salesforce import SalesforceDouble
from tests.doubles.salesloft import SalesloftDouble

PEERS: dict[str, Callable[[], Double]] = {
    "caldav": CaldavDouble,
    "files": FilesDouble,
    "google_calendar": GoogleCalendarDouble,
    "hubspot": HubSpotDouble,
    "ical": IcalDouble,
    "microsoft365": Microsoft365Double,
    "salesforce": SalesforceDouble,
    "salesloft": SalesloftDouble,
}
