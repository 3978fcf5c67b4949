"""How the ledger writes and reads what it is given."""

from __future__ import annotations

import pytest
from redis import exceptions as server_errors

from tests.factories import a_request, an_invitation
from worker.domain.request import Contact, Product
from worker.domain.states import Channel
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.ledger.codec import history_entry, invitation_args, join_record, request_of, split_record
from worker.ledger.errors import translate, translated
from worker.ledger.keys import UNIT_SEPARATOR as US


def test_a_record_gives_back_what_it_was_made_from() -> None:
    """Header and request survive, whatever the request's text holds."""
    request = a_request(
        products=(Product.WHATSAPP, Product.INSTAGRAM_PAGE),
        onboarding_message=f"line\nline{US}end",
        contact=Contact(name="דנה", email="d@example.com"),
        channels=(Channel.SMS,),
        basic_templates=True,
    )
    invitation = an_invitation(request=request, skips=((Channel.SMS, "no_contact"),), line=3)
    record = invitation_args(invitation)[-1]
    header, _ = split_record(record.encode())

    assert request_of(record) == request
    assert header["products"] == "w4"
    assert (header["skips"], header["line"], header["claim"]) == (
        "sms=no_contact",
        "3",
        invitation.claim_key,
    )
    assert join_record(header, request) == record


def test_an_invitation_needs_a_product() -> None:
    """Nothing to make is a mistake of the producer's."""
    with pytest.raises(ValueError, match="products"):
        invitation_args(an_invitation(request=a_request(products=())))


def test_a_history_entry_leaves_out_what_is_empty() -> None:
    """Numbers are numbers, words are words."""
    entry = history_entry(
        US.join(["5", "retry", "attempt", "2", "code", "", "reason", "x", "raw", "1"]).encode()
    )

    assert (entry.at_ms, entry.event) == (5, "retry")
    assert entry.detail == {"attempt": 2, "reason": "x", "raw": "1"}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("OOM command not allowed", LedgerFull),
        ("MISCONF Errors writing to the AOF file", LedgerFull),
        ("LOADING Redis is loading", LedgerUnavailable),
        ("READONLY You can't write", LedgerUnavailable),
        ("CLUSTERDOWN Hash slot not served", LedgerUnavailable),
        ("BUSY a script is running", LedgerUnavailable),
    ],
)
def test_the_server_s_refusals_are_told_apart(message: str, kind: type[Exception]) -> None:
    """Full: nothing was written. Unavailable: nobody knows."""
    assert isinstance(translate(server_errors.ResponseError(message)), kind)


def test_our_own_mistake_is_not_dressed_up() -> None:
    """A script's error is a bug and must look like one."""
    with pytest.raises(server_errors.ResponseError, match="user_script"), translated():
        raise server_errors.ResponseError("ERR user_script:1: attempt to index a nil value")


@pytest.mark.parametrize(
    "error", [server_errors.ConnectionError(), server_errors.TimeoutError(), ConnectionResetError()]
)
def test_a_lost_connection_is_one_error(error: Exception) -> None:
    """Whatever the library calls it."""
    with pytest.raises(LedgerUnavailable), translated():
        raise error
