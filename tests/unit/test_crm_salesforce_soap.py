"""Reading outbound messages: all that Salesforce sends, and nothing that costs more than it weighs."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.crm.soap import (
    ACK,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_ELEMENTS,
    SoapError,
    looks_like_xml,
    read_message,
)
from tests.salesforce_bodies import ORG_ID, SESSION_ID, a_lead, a_message, a_notification

ORGANIZATION = f"<OrganizationId>{ORG_ID}</OrganizationId>"
SAMPLE = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="x" xmlns:xsi="y">'
    '<soapenv:Body><notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
    "<OrganizationId>00D90000000abcdEAA</OrganizationId><ActionId>04k900000000001AAA</ActionId>"
    '<SessionId xsi:nil="true"/><EnterpriseUrl>https://e</EnterpriseUrl><PartnerUrl>https://p</PartnerUrl>'
    "<Notification><Id>04l9000001F11SQAAZ</Id>"
    '<sObject xsi:type="sf:Account" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
    "<sf:Id>0019000000g0uFmAAI</sf:Id><sf:Name>Edge Communications</sf:Name><sf:Phone>(512) 757-6000</sf:Phone>"
    "</sObject></Notification></notifications></soapenv:Body></soapenv:Envelope>"
)


def a_body(inside: str, *, head: str = "") -> bytes:
    return f"{head}<e:Envelope><e:Body><notifications>{inside}</notifications></e:Body></e:Envelope>".encode()


def code_of(raw: bytes) -> str:
    with pytest.raises(SoapError) as refused:
        read_message(raw)
    return refused.value.code


def test_the_published_sample_is_read() -> None:
    """Type, ids and fields come out of the message that Salesforce's users show."""
    message = read_message(SAMPLE.encode())

    [notification] = message.notifications
    assert message.organization_id == "00D90000000abcdEAA"
    assert (notification.id, notification.type) == ("04l9000001F11SQAAZ", "Account")
    assert notification.fields == {
        "Id": "0019000000g0uFmAAI",
        "Name": "Edge Communications",
        "Phone": "(512) 757-6000",
    }


def test_prefixes_mean_nothing() -> None:
    """The same message is read whatever its prefixes are."""
    plain = SAMPLE.replace("soapenv:", "S:").replace("<sf:", "<ns7:").replace("</sf:", "</ns7:")

    assert read_message(plain.encode()) == read_message(SAMPLE.encode())


def test_letters_and_signs_of_every_kind_come_through() -> None:
    """Hebrew, escaped signs, character references and CDATA are text like any other."""
    fields = "<F>דנה &amp; פרחים</F><G>&#x5d0;&#1489;</G><H><![CDATA[<b>&amp;</b>]]></H>"
    raw = a_body(f"{ORGANIZATION}<Notification><Id>1</Id><sObject>{fields}</sObject></Notification>")

    assert read_message(raw).notifications[0].fields == {"F": "דנה & פרחים", "G": "אב", "H": "<b>&amp;</b>"}


def test_what_holds_elements_gives_their_fields_by_path() -> None:
    """A compound field is told by its parts, and an empty or nil one is not told at all."""
    fields = '<Address>  <City>Haifa</City> </Address><A/><B></B><C x:nil="true">x</C><D x:nil="false">y</D>'
    raw = a_body(f"{ORGANIZATION}<Notification><Id>1</Id><sObject>{fields}</sObject></Notification>")

    assert read_message(raw).notifications[0].fields == {"Address.City": "Haifa", "D": "y"}


def test_the_session_id_is_nowhere() -> None:
    """A key to Salesforce's API does not even pass through our hands."""
    message = read_message(a_message())

    assert SESSION_ID not in repr(message)
    assert message.notifications[0].fields == a_lead()


def test_a_record_that_was_deleted_has_no_fields() -> None:
    """Whether its sObject is empty, nil or missing."""
    shapes = ["", '<sObject xsi:type="sf:Lead"/>', '<sObject xsi:nil="true"/>', "<sObject><Id/></sObject>"]
    raw = a_message(f"<Notification><Id>{n}</Id>{shape}</Notification>" for n, shape in enumerate(shapes))

    assert [each.fields for each in read_message(raw).notifications] == [{}] * len(shapes)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (a_body(ORGANIZATION, head="<!DOCTYPE a>"), "xml_forbidden"),
        (a_body(ORGANIZATION, head='<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd">'), "xml_forbidden"),
        (
            a_body(ORGANIZATION, head='<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
            "xml_forbidden",
        ),
        (a_body(ORGANIZATION, head='<!DOCTYPE a [<!ENTITY % p SYSTEM "http://x"> %p;]>'), "xml_forbidden"),
        (a_body(ORGANIZATION, head="<?xml-stylesheet href='http://x'?>"), "xml_forbidden"),
        (a_body(ORGANIZATION, head='<?xml version="1.0" encoding="UTF-16"?>'), "xml_forbidden"),
        (a_body(ORGANIZATION, head='<?xml version="1.0" encoding="windows-1255"?>'), "xml_forbidden"),
        (a_body(f"{ORGANIZATION}&undeclared;"), "xml_broken"),
        (a_message().decode().encode("utf-16"), "xml_broken"),
        (a_body(ORGANIZATION).decode().encode("utf-16-le"), "xml_broken"),
        (a_body(ORGANIZATION).decode().encode("utf-16-be"), "xml_broken"),
        (a_body(ORGANIZATION + "é").decode().encode("latin-1"), "xml_broken"),
        (a_message().replace(b"Dana", b"Da\x00na"), "xml_broken"),
        (a_message().replace(b"Dana", b"\xed\xa0\x80"), "xml_broken"),
        (a_message() + b"<more/>", "xml_broken"),
        (a_message() + b" " * MAX_BYTES, "too_large"),
        (b"", "xml_broken"),
        (b"<a/>", "no_outbound_message"),
        (a_body(""), "no_outbound_message"),
        (a_body(f"<other>{ORGANIZATION}</other>"), "no_outbound_message"),
        (a_body("<OrganizationId><a/></OrganizationId>"), "no_outbound_message"),
        (a_body(ORGANIZATION * 2), "xml_ambiguous"),
        (f"<E>{'<Body><notifications/></Body>' * 2}</E>".encode(), "no_outbound_message"),
        (a_body(f"{ORGANIZATION}</notifications><notifications>"), "xml_ambiguous"),
        (a_body(f"{ORGANIZATION}<Notification><Id>1</Id><Id>2</Id></Notification>"), "xml_ambiguous"),
        (a_body(f"{ORGANIZATION}<Notification><sObject/><sObject/></Notification>"), "xml_ambiguous"),
        (
            a_body(f"{ORGANIZATION}<Notification><sObject><F>1</F><F>2</F></sObject></Notification>"),
            "xml_ambiguous",
        ),
        (a_body(ORGANIZATION + "<a " + " ".join(f'a{n}=""' for n in range(33)) + "/>"), "xml_excessive"),
        (b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1), "xml_excessive"),
        (a_body(ORGANIZATION + "<a/>" * MAX_ELEMENTS), "xml_excessive"),
    ],
)
def test_what_is_no_plain_message_is_refused(raw: bytes, code: str) -> None:
    """Nothing is declared, fetched, expanded, guessed at or taken in excess."""
    assert code_of(raw) == code


def test_a_repeated_field_that_says_the_same_is_let_be() -> None:
    """Salesforce's own APIs are known to write Id twice."""
    raw = a_body(
        f"{ORGANIZATION}<Notification><Id>1</Id><sObject><Id>a</Id><Id>a</Id></sObject></Notification>"
    )

    assert read_message(raw).notifications[0].fields == {"Id": "a"}


@given(st.integers(min_value=0, max_value=len(a_message()) - 1))
def test_a_message_that_was_cut_off_is_refused(length: int) -> None:
    """No part of a message passes for the whole."""
    assert code_of(a_message()[:length]) == "xml_broken"


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """Nothing but a SoapError comes out, and nothing that is no XML at all is a message."""
    with suppress(SoapError):
        read_message(raw)
        assert looks_like_xml(raw)


_PIECES = st.sampled_from(
    [
        b"<Envelope>", b"</Envelope>", b"<Body>", b"</Body>", b"<notifications>", b"</notifications>",
        b"<OrganizationId>", b"</OrganizationId>", ORG_ID.encode(), b"<Notification>", b"</Notification>",
        b"<Id>", b"</Id>", b"<sObject>", b"</sObject>", b'<sObject a:type="">', b"<sObject nil='1'/>", b"x",
        b"<!DOCTYPE a>", b"&amp;", b"&x;", b"<?a?>", b"<!---->", b"\xff", b"<a b='1'", b">", b"<![CDATA[", b"]]>",
    ]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=40))
def test_any_heap_of_pieces_is_read_or_refused(pieces: list[bytes]) -> None:
    """Nor does anything but a SoapError come out of what resembles a message."""
    raw = b"".join(pieces)
    with suppress(SoapError):
        read_message(raw)
        assert looks_like_xml(raw)


def _laughs(entities: int = 9) -> bytes:
    declared = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' if n else '<!ENTITY l0 "lol">' for n in range(entities + 1)
    )
    return f"<!DOCTYPE a [{declared}]><a>&l{entities};</a>".encode()


def _long_address(of_attributes: bool) -> bytes:
    address = "u" * (MAX_BYTES // 2)
    if of_attributes:
        return (
            f'<a xmlns:p="{address}" {" ".join(f"p:a{n}=" + chr(34) * 2 for n in range(60_000))}/>'.encode()
        )
    return f'<a xmlns:p="{address}">{"<p:b/>" * 150_000}</a>'.encode()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(_laughs(), id="billion_laughs"),
        pytest.param(
            f'<!DOCTYPE a [<!ENTITY x "{"A" * 100_000}">]><a>{"&x;" * 100_000}</a>'.encode(), id="quadratic"
        ),
        pytest.param(_long_address(of_attributes=False), id="long_address_in_every_element"),
        pytest.param(_long_address(of_attributes=True), id="long_address_in_every_attribute"),
        pytest.param(b"<a>" * (MAX_BYTES // 3), id="deep"),
        pytest.param(b"<a>" + b"<b/>" * (MAX_BYTES // 4 - 2), id="wide"),
        pytest.param(b"<" + b"a" * (MAX_BYTES - 2), id="long_name"),
        pytest.param(b"<!--" + b"-" * (MAX_BYTES - 4), id="long_comment"),
    ],
)
def test_a_bomb_costs_what_it_weighs(raw: bytes) -> None:
    """A body of 2 MiB at most takes some of a second of our own time, and some tens of megabytes."""
    tracemalloc.start()
    begun_s = time.thread_time()
    with pytest.raises(SoapError):
        read_message(raw)
    spent_s, peak = time.thread_time() - begun_s, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert spent_s < 3.0
    assert peak < 64 * 1024 * 1024


def test_the_answer_is_exactly_what_salesforce_takes() -> None:
    """A 200 with another body counts as a failure there."""
    assert ACK == (
        b'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
        b'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse '
        b'xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></soapenv:Body>'
        b"</soapenv:Envelope>"
    )


def test_a_hundred_records_are_read_in_order() -> None:
    """The most that one message holds."""
    message = read_message(a_message(a_notification(nth) for nth in range(100)))

    assert [each.fields for each in message.notifications] == [a_lead(nth) for nth in range(100)]
