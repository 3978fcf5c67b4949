"""`linkferry brand …`: who messages say they are from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.frame import FAILED, USAGE, CommandError, command, complain, flags
from linkferry.output import confirm, emit, instant, print_fields, say
from linkferry.tables import Column, of_name, print_table

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.domain.brand import Brand
    from worker.domain.fields import Problem
    from worker.ops.brands import Branding, BrandKept, BrandRefused

Name = Annotated[str, typer.Argument(help="What requests call the brand: small letters, digits, hyphens.")]


def _field(option: str, help_text: str) -> Any:
    return typer.Option(option, help=help_text)


NameHe = Annotated[str | None, _field("--name-he", "The name that customers know, in Hebrew messages.")]
NameEn = Annotated[str | None, _field("--name-en", "The name in English messages.")]
Logo = Annotated[str | None, _field("--logo", "https address of a png or jpg.")]
Colour = Annotated[str | None, _field("--colour", "Of the buttons: rrggbb, with or without a #.")]
Contact = Annotated[str | None, _field("--contact", "Whom to ask for in doubt: a person's name.")]
Phone = Annotated[str | None, _field("--phone", "Whom to call in doubt.")]
ReplyTo = Annotated[str | None, _field("--reply-to", "Where answers to mails go.")]
SmsSender = Annotated[
    str | None,
    _field("--sms-sender", "At most 11 Latin letters and digits, or a number; without it SMS_FROM."),
]
Privacy = Annotated[str | None, _field("--privacy", "https address of the privacy page.")]
Verify = Annotated[
    str | None, _field("--verify", 'https address of the "is this message real?" page on your own site.')
]
#: Field → the option that it is given by, for errors.
_OPTIONS = {
    "name": "NAME",
    "name_he": "--name-he",
    "name_en": "--name-en",
    "logo": "--logo",
    "colour": "--colour",
    "contact_person": "--contact",
    "phone": "--phone",
    "reply_to": "--reply-to",
    "sms_sender": "--sms-sender",
    "privacy_url": "--privacy",
    "verify_url": "--verify",
}


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="brand", help="Who messages say they are from: names, logo, whom to call.")
    command(group, "add")(add)
    command(group, "edit")(edit)
    command(group, "default")(default)
    command(group, "remove")(remove)
    command(group, "list")(list_brands)
    command(group, "show")(show)


async def list_brands(session: Session) -> None:
    """List the brands and which one is the default."""
    document = await _branding(session).list()
    emit(document, lambda: _print_brands(document, session.brands.chosen(None)))


async def show(session: Session, name: Name) -> int:
    """Show one brand whole.

    Example: `linkferry brand show acme`
    """
    from worker.ops.brands import BrandRefused

    try:
        brand = await _branding(session).show(name)
    except BrandRefused as refused:
        return _refused(refused)
    emit(brand, lambda: _print_brand(brand))
    return 0


async def add(
    session: Session,
    name: Name,
    *,
    name_he: NameHe = None,
    name_en: NameEn = None,
    logo: Logo = None,
    colour: Colour = None,
    contact: Contact = None,
    phone: Phone = None,
    reply_to: ReplyTo = None,
    sms_sender: SmsSender = None,
    privacy: Privacy = None,
    verify: Verify = None,
    is_default: Annotated[bool, typer.Option("--default", help="Make it the default, too.")] = False,
    why: filters.Why = "",
) -> int:
    """Add a brand. Requests name it (`brand`), a batch (`--brand`) or a CRM's map; else the default is taken.

    Example: `linkferry brand add acme --name-he אקמי --name-en Acme --phone 03-6201234 --sms-sender ACME
    --verify https://acme.example/is-it-us --default`
    """
    from worker.ops.brands import BrandRefused

    fields = _fields(name_he, name_en, logo, colour, contact, phone, reply_to, sms_sender, privacy, verify)
    try:
        kept = await _branding(session).add(
            name, fields, by=filters.operator(), why=why, is_default=is_default
        )
    except BrandRefused as refused:
        return _refused(refused)
    return _told(kept, "Added")


async def edit(
    session: Session,
    name: Name,
    *,
    name_he: NameHe = None,
    name_en: NameEn = None,
    logo: Logo = None,
    colour: Colour = None,
    contact: Contact = None,
    phone: Phone = None,
    reply_to: ReplyTo = None,
    sms_sender: SmsSender = None,
    privacy: Privacy = None,
    verify: Verify = None,
    why: filters.Why = "",
) -> int:
    """Change a brand. What is not named stays; an empty text clears a field. Messages sent from now on follow.

    Example: `linkferry brand edit acme --phone 03-6205555 --contact ""`
    """
    from worker.ops.brands import BrandRefused

    fields = _fields(name_he, name_en, logo, colour, contact, phone, reply_to, sms_sender, privacy, verify)
    if not fields:
        message = f'Nothing was changed: name a field, such as --phone 03-6205555, or "" to clear it. See: linkferry brand show {name}'
        raise CommandError(message, exit_code=USAGE)
    try:
        kept = await _branding(session).edit(name, fields, by=filters.operator(), why=why)
    except BrandRefused as refused:
        return _refused(refused)
    return _told(kept, "Changed")


async def default(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="The brand; see `linkferry brand list`.")] = None,
    *,
    is_none: Annotated[
        bool, typer.Option("--none", help="No brand: what BRAND_NAME and the other settings say.")
    ] = False,
    why: filters.Why = "",
) -> int:
    """Choose the brand of requests that name none.

    Example: `linkferry brand default acme`
    """
    from worker.ops.brands import BrandRefused

    if (name is None) is not is_none:
        raise CommandError("Give the name of a brand, or --none.", exit_code=USAGE)
    try:
        await _branding(session).make_default(name, by=filters.operator(), why=why)
    except BrandRefused as refused:
        return _refused(refused)
    chosen = name.strip().casefold() if name else None
    line = f"{chosen} is the default from now on." if chosen else "The settings' own is used by default."
    emit({"default": chosen}, lambda: say(line))
    return 0


async def remove(session: Session, name: Name, is_sure: filters.Yes = False, why: filters.Why = "") -> int:
    """Remove a brand. Messages of requests that name it come from the default from then on; none is lost.

    Example: `linkferry brand remove acme --why "merged into acme-north"`
    """
    from worker.ops.brands import BrandRefused

    try:
        brand = await _branding(session).show(name)
    except BrandRefused as refused:
        return _refused(refused)
    # A default is refused by the ledger: nobody is asked for that.
    if (
        not is_sure
        and not brand["is_default"]
        and (flags().is_json or not confirm(f"Remove the brand {name}?"))
    ):
        raise CommandError("Nothing was removed. To remove it without being asked: --yes.", exit_code=USAGE)
    try:
        await _branding(session).remove(name, by=filters.operator(), why=why)
    except BrandRefused as refused:
        return _refused(refused)
    removed = name.strip().casefold()
    emit({"name": removed, "removed": True}, lambda: say(f"{removed} is removed."))
    return 0


def _branding(session: Session) -> Branding:
    from worker.ops.brands import Branding

    return Branding(session.ledger, region=session.settings.default_region)


def _fields(*values: str | None) -> dict[str, str]:
    """Return the fields that were given, an empty one too: it clears."""
    from worker.domain.brand import BRAND_FIELDS

    return {field: value for field, value in zip(BRAND_FIELDS, values, strict=True) if value is not None}


def _refused(refused: BrandRefused) -> int:
    from worker.ops.edit import problem_view

    emit({"problems": [problem_view(each) for each in refused.problems]}, lambda: None)
    for each in refused.problems:
        complain(_line(each))
    if all(each.code != "brand_unchanged" for each in refused.problems):
        complain("Nothing was changed.")
    return FAILED


def _line(problem: Problem) -> str:
    option = _OPTIONS.get(problem.field)
    message = f"{problem.message}. {problem.remedy}"
    return f"{option}: {message}" if option else f"{message[:1].upper()}{message[1:]}"


def _told(kept: BrandKept, done: str) -> int:
    emit(kept.document(), lambda: _say_kept(kept, done))
    for each in kept.warnings:
        complain(_line(each))
    return 0


def _say_kept(kept: BrandKept, done: str) -> None:
    name = kept.brand["name"]
    if kept.brand["is_default"]:
        say(f"{done}: {name}, the default.")
    else:
        say(f"{done}: {name}. Requests that name it have it; for all others: linkferry brand default {name}")
    say(f"See it in a message: linkferry preview --brand {name}")


def _print_brand(brand: dict[str, Any]) -> None:
    say(f"{brand['name']}{', the default' if brand['is_default'] else ''}")
    shown = {field: value for field, value in brand.items() if field in _OPTIONS and field != "name"}
    for field in ("phone", "sms_sender"):
        if shown[field] and shown[field].isdigit():
            shown[field] = f"+{shown[field]}" if len(shown[field]) > 6 else shown[field]
    print_fields(shown)
    say(f"  changed {instant(brand['changed_at'])} by {brand['changed_by']}")


def _print_brands(document: dict[str, Any], own: Brand) -> None:
    if not document["items"]:
        say(
            f"None: messages are from {own.called('en')}, as the settings say. Add one: linkferry brand add NAME"
        )
        return
    columns = (
        Column("name"),
        Column("default"),
        of_name("in Hebrew", 1),
        of_name("in English", 1),
        Column("phone", rank=2),
        Column("sms sender", rank=3),
        Column("changed by", rank=4),
    )
    rows = [
        (
            each["name"],
            "yes" if each["is_default"] else "",
            each["name_he"] or "",
            each["name_en"] or "",
            f"+{each['phone']}" if each["phone"] else "",
            each["sms_sender"] or "",
            each["changed_by"],
        )
        for each in document["items"]
    ]
    print_table(columns, rows)
    if document["default"] is None:
        say(f"No default: requests that name none are from {own.called('en')}, as the settings say.")
