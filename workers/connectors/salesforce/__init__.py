"""Salesforce: the opportunities of an organization, with the history of their stages and owners."""

from __future__ import annotations

from workers.connectors.salesforce.pulling import Salesforce

connector = Salesforce()

__all__ = ["connector"]
