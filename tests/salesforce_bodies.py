"""Outbound messages as Salesforce sends them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape

ORG_ID = "00D09000007abcdEAA"
SESSION_ID = "00D09000007abcd!AQ4AQFSecretOfTheSession"

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>{org}</OrganizationId>
   <ActionId>04k90000000Cb0SAAS</ActionId>
   {session}
   <EnterpriseUrl>https://na30.salesforce.com/services/Soap/c/34.0/{org}</EnterpriseUrl>
   <PartnerUrl>https://na30.salesforce.com/services/Soap/u/34.0/{org}</PartnerUrl>
"""
_TAIL = """  </notifications>
 </soapenv:Body>
</soapenv:Envelope>"""


def a_lead(nth: int = 0, **changes: str) -> dict[str, str]:
    """Return the fields of an ordinary lead."""
    return {
        "Id": f"00Q09000{nth:07d}EAQ",
        "Company": "Dana Flowers",
        "Email": "dana@example.com",
        "FirstName": "Dana",
        "LastName": "Levi",
        "MobilePhone": f"050{1000000 + nth}",
        **changes,
    }


def a_notification(nth: int = 0, fields: Mapping[str, str] | None = None, *, kind: str = "Lead") -> str:
    """Return one Notification with its record."""
    values = a_lead(nth) if fields is None else fields
    inside = "".join(f"<sf:{name}>{escape(text)}</sf:{name}>" for name, text in values.items())
    return (
        f"<Notification><Id>04l09000{nth:07d}AAQ</Id>"
        f'<sObject xsi:type="sf:{kind}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{inside}</sObject>'
        "</Notification>"
    )


def a_message(
    notifications: Iterable[str] = (), *, org_id: str = ORG_ID, session_id: str | None = SESSION_ID
) -> bytes:
    """Return a whole message; without notifications it has one, of a lead."""
    session = '<SessionId xsi:nil="true"/>' if session_id is None else f"<SessionId>{session_id}</SessionId>"
    inside = "".join(notifications or [a_notification()])
    return (_HEAD.format(org=org_id, session=session) + inside + _TAIL).encode()
