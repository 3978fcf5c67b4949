"""The names that people give to columns, in English and Hebrew, and how two spellings are found to be one.

`docs/spreadsheets.md` shows the table; a name belongs here when it has one meaning in every list it occurs in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from worker.domain.parse import CANONICAL_FIELDS

OWN_PREFIX = "_"  #: columns that our result files add; never input

#: Field → other names of its column.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "whatsapp": (
        *("whatsapp number", "whatsapp phone", "whatsapp no", "wa number", "wa phone", "number to connect"),
        *("whatsapp business number", "number to onboard"),
        *("וואטסאפ", "ווטסאפ", "ואטסאפ", "מספר וואטסאפ", "מספר ווטסאפ", "מספר ואטסאפ", "טלפון וואטסאפ"),
        *("מספר לחיבור", "טלפון לחיבור", "מספר הוואטסאפ", "וואטסאפ עסקי", "נייד וואטסאפ"),
    ),
    "business_name": (
        *("business", "company", "company name", "organization", "organisation", "account name"),
        *("organization name", "organisation name", "legal name", "name of business", "client business"),
        *("שם העסק", "שם עסק", "עסק", "שם החברה", "שם חברה", "חברה", "שם הארגון", "בית עסק", "שם בית העסק"),
    ),
    "display_name": (
        *("whatsapp name", "whatsapp display name", "brand name", "public name", "name in whatsapp"),
        *("שם תצוגה", "שם לתצוגה", "שם התצוגה", "שם בוואטסאפ", "שם לתצוגה בוואטסאפ", "שם המותג"),
    ),
    "business_email": (
        *("company email", "business mail", "office email"),
        *("מייל העסק", "דואל העסק", "אימייל העסק", "מייל החברה", "מייל עסקי", "דואל עסקי"),
    ),
    "business_id": (
        *("company id", "company number", "vat number", "vat id", "vat", "tax id", "registration number"),
        *("business number", "company registration number"),
        *("חפ", "עמ", "חפ עמ", "עמ חפ", "מספר חפ", "מס חפ", "עוסק", "עוסק מורשה", "עוסק פטור"),
        *("מספר עוסק", "מספר עוסק מורשה", "מספר חברה", "מספר תאגיד", "מספר עסק"),
    ),
    "business_address": (
        *("address", "company address", "street address", "full address"),
        *("כתובת", "כתובת העסק", "כתובת החברה", "כתובת מלאה"),
    ),
    "onboarding_logo": ("logo", "logo url", "logo link", "לוגו", "קישור ללוגו", "לוגו העסק"),
    "onboarding_message": (
        *("welcome message", "welcome text"),
        *("הודעה", "הודעת פתיחה", "הודעת ברוכים הבאים", "טקסט פתיחה"),
    ),
    "reference": (
        *("ref", "our reference", "reference number", "ref no"),
        *("אסמכתא", "סימוכין", "מספר אסמכתא"),
    ),
    "basic_templates": ("templates", "תבניות", "תבניות בסיס"),
    "product": ("products", "מוצר", "מוצרים"),
    "type": ("facebook type", "link type", "סוג", "סוג קישור"),
    "email": (
        *("e mail", "mail", "email address", "e mail address", "contact email", "customer email"),
        *("client email", "primary email"),
        *("דואל", "מייל", "אימייל", "דואר אלקטרוני", "כתובת מייל", "כתובת דואל", "כתובת אימייל"),
        *("מייל איש קשר", "מייל לקוח", "אימייל לקוח"),
    ),
    "phone": (
        *("phone number", "phone no", "mobile", "mobile phone", "mobile number", "mobile no", "cell"),
        *("cell phone", "cellphone", "telephone", "tel", "contact phone", "customer phone", "client phone"),
        *("contact mobile", "sms", "sms number"),
        *("טלפון", "טל", "נייד", "טלפון נייד", "מספר טלפון", "מס טלפון", "מספר נייד", "סלולרי", "סלולר"),
        *("פלאפון", "טלפון סלולרי", "טלפון איש קשר", "נייד איש קשר", "טלפון לקוח", "נייד לקוח"),
    ),
    "name": (
        *("contact", "contact name", "contact person", "full name", "customer name", "client name", "person"),
        *("שם", "שם מלא", "איש קשר", "איש הקשר", "שם איש קשר", "שם איש הקשר", "שם לקוח", "שם הלקוח"),
    ),
    "locale": ("language", "lang", "preferred language", "שפה", "שפת לקוח", "שפה מועדפת"),
    "external_id": (
        *("crm id", "customer id", "contact id", "record id", "client id", "object id", "lead id", "deal id"),
        *("מזהה לקוח", "מספר לקוח", "קוד לקוח", "מזהה רשומה", "מזהה crm"),
    ),
    "channels": ("channel", "send by", "send via", "ערוץ", "ערוצים", "ערוץ שליחה", "אופן שליחה"),
    "channel_policy": ("מדיניות ערוצים",),
    "server": ("server url", "שרת"),
    "brand": ("brand profile", "our brand", "message brand", "מותג", "מותג שולח", "פרופיל מותג"),
    "agreed": ("as agreed", "has agreed", "customer agreed", "הסכים", "סוכם", "כמוסכם", "לפי הסיכום"),
}
#: Names that people give to columns of different meaning.
AMBIGUOUS: Mapping[str, tuple[str, ...]] = {
    "id": ("business_id", "external_id", "reference"),
    "number": ("whatsapp", "phone", "business_id"),
    "no": ("whatsapp", "phone", "business_id"),
    "מספר": ("whatsapp", "phone", "business_id"),
    "מזהה": ("business_id", "external_id"),
    "קוד": ("business_id", "external_id", "reference"),
}

_dropped = re.compile(
    "[\u0000-\u0008\u000e-\u001f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad\u061c"
    "\"'`\u00b4\u05f3\u05f4\u2018-\u201f*.]"
)
_split_words = re.compile(r"[\s_:/\\()\[\]#-]+").split
_split_at_dots = re.compile(r"(?<=\w\w)\.(?=\w\w)").sub  # company.name; but ח.פ. is one word


def fold(written: str) -> str:
    """Return a column's name without what people vary: case, spaces, underscores, quotes, dots, hidden marks."""
    text = _split_at_dots(" ", unicodedata.normalize("NFKC", written))
    text = _dropped.sub("", text).casefold()
    return " ".join(_split_words(text)).strip()


def means_something(written: str) -> bool:
    """Tell whether a cell is the name of a column: a known one, one of two meanings, or one of our own."""
    return fold(written) in MEANING or written.strip() in _OWN


FIELD_OF_ALIAS: Mapping[str, str] = {
    fold(alias): field for field, names in ALIASES.items() for alias in names
}
#: Folded name of a column → its field, or itself where it is ambiguous.
MEANING: Mapping[str, str] = {
    **FIELD_OF_ALIAS,
    **{fold(field): field for field in CANONICAL_FIELDS},
    **{fold(name): name for name in AMBIGUOUS},
}
_OWN = frozenset({"_line", "_error_code", "_error"})
