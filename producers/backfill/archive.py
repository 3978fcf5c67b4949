"""What a workbook is, and whether it is safe to open, from its bytes alone and before anything parses it.

Sizes are counted by inflating, never taken from the file's word: ten kilobytes can unpack to ten gigabytes. What
passes is still read by a process of limited memory (`workbook`).
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from producers.backfill.problems import InputProblemError
from producers.backfill.sheet_scan import SheetFacts, SheetScan, worksheet_parts

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_UNZIPPED_BYTES = 512 * 1024 * 1024
MAX_OTHER_BYTES = 64 * 1024 * 1024  #: of any part but sheets and texts: styles, pictures, …
MAX_PARTS = 10_000
_BLOCK_BYTES = 1024 * 1024
_KEPT_BYTES = 4 * 1024 * 1024  #: of the small parts that name the sheets
_LOCAL_HEADER_BYTES = 30
_BIG_PARTS = re.compile(
    r"(?:^|/)(?:worksheets/.*|sharedStrings\.(?:xml|bin)|content\.xml)$", re.IGNORECASE
).search
_FILEPASS = 0x2F
_RECORDS_BEFORE_PASSWORD = 8
_xls_begin = re.compile(rb"\x09\x08[\x08\x10]\x00\x00[\x05\x06]\x05\x00")
_CSV_REMEDY = "Save the sheet as `CSV UTF-8`: a CSV file may have any size."
#: What zipfile and struct raise for bytes that are no zip file.
_DAMAGES = (
    *(zipfile.BadZipFile, NotImplementedError, ValueError, IndexError, KeyError, OverflowError),
    *(struct.error, EOFError, OSError, RuntimeError, zlib.error),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbook:
    """A workbook that may be opened."""

    kind: str  #: xlsx, xlsb, xls, ods
    facts: Mapping[str, SheetFacts] = field(default_factory=dict)  #: of an xlsx: sheet's name → what was seen


def examine_zip(data: bytes) -> Workbook:
    """Return what the zip file is.

    Raises:
        InputProblemError: no workbook, damaged, encrypted, with macros, or too big once unpacked.
    """
    try:
        return _examine(data)
    except _DAMAGES:
        raise damaged() from None


def examine_ole(data: bytes) -> Workbook:
    """Return what the compound file is: Excel's format of 1997 to 2003, and its wrapping of encrypted newer ones.

    Raises:
        InputProblemError: no workbook, encrypted, or with macros.
    """
    if _has_entry(data, "EncryptedPackage"):
        raise encrypted()
    if not (_has_entry(data, "Workbook") or _has_entry(data, "Book")):
        raise InputProblemError(
            "not_csv",
            "The file is an old Office document, but no workbook.",
            "Save it as .xlsx or CSV UTF-8.",
        )
    if _has_password(data):
        raise encrypted()
    if _has_entry(data, "_VBA_PROJECT_CUR"):
        raise _with_macros()
    return Workbook(kind="xls")


def encrypted() -> InputProblemError:
    """Return the problem of a workbook with a password."""
    return InputProblemError(
        "encrypted_workbook",
        "The workbook is encrypted.",
        "Open it in Excel, take the password off (File, Info, Protect Workbook) and save it.",
    )


def damaged() -> InputProblemError:
    """Return the problem of a workbook that cannot be read."""
    return InputProblemError(
        "bad_workbook",
        "The workbook cannot be read: it is damaged, or takes more memory than may be used.",
        "Look for a stray cell far below or beside the table; or save the sheet as `CSV UTF-8`.",
    )


def too_big(what: str) -> InputProblemError:
    """Return the problem of a workbook that is *what* (more than a limit)."""
    return InputProblemError("workbook_too_big", f"The workbook {what}.", _CSV_REMEDY)


def _examine(data: bytes) -> Workbook:
    if data.count(b"PK\x01\x02") > MAX_PARTS:
        raise too_big(f"has over {MAX_PARTS:,} parts")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    kind = _kind(parts)
    if any(name.endswith("vbaProject.bin") or name.startswith("Basic/") for name in parts):
        raise _with_macros()
    if any(info.flag_bits & 1 for info in parts.values()):
        raise encrypted()
    if sum(info.file_size for info in parts.values()) > MAX_UNZIPPED_BYTES:
        raise too_big(f"unpacks to more than {MAX_UNZIPPED_BYTES >> 20} MiB")
    kept, scans = _unpack(data, parts)
    if b"encryption-data" in kept.get("META-INF/manifest.xml", b""):
        raise encrypted()
    facts = {name: scans[part].facts for name, part in worksheet_parts(kept).items() if part in scans}
    return Workbook(kind=kind, facts=facts)


def _kind(parts: Mapping[str, zipfile.ZipInfo]) -> str:
    if "xl/workbook.bin" in parts:
        return "xlsb"
    if any(name.startswith("xl/") for name in parts):
        return "xlsx"
    if "content.xml" in parts and "META-INF/manifest.xml" in parts:
        return "ods"
    remedy = "Unpack it and give the CSV file or the workbook that is in it."
    raise InputProblemError("not_csv", "The file is a zip file, but no workbook.", remedy)


def _unpack(
    data: bytes, parts: Mapping[str, zipfile.ZipInfo]
) -> tuple[dict[str, bytes], dict[str, SheetScan]]:
    """Inflate every part as far as the limits go; keep the small ones that name sheets, look over the sheets."""
    kept: dict[str, bytes] = {}
    scans: dict[str, SheetScan] = {}
    total = 0
    for name, info in parts.items():
        size, limit = 0, MAX_UNZIPPED_BYTES if _BIG_PARTS(name) else MAX_OTHER_BYTES
        is_kept = name.endswith(("workbook.xml", ".rels", "manifest.xml"))
        scan = scans.setdefault(name, SheetScan()) if _is_worksheet(name) else None
        for block in _inflated(data, info):
            size += len(block)
            if total + size > MAX_UNZIPPED_BYTES or size > limit:
                raise too_big(f"unpacks to more than {limit >> 20} MiB")
            if is_kept and size <= _KEPT_BYTES:
                kept[name] = kept.get(name, b"") + block
            if scan is not None:
                scan.take(block)
        total += size
        if scan is not None:
            scan.finish()
    return kept, scans


def _is_worksheet(name: str) -> bool:
    return "worksheets/" in name and name.endswith(".xml")


def _inflated(data: bytes, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a part's real content; what its headers say of the size is not believed."""
    start = info.header_offset
    if data[start : start + 4] != b"PK\x03\x04":
        raise zipfile.BadZipFile
    name_bytes, extra_bytes = struct.unpack_from("<HH", data, start + 26)
    start += _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    packed = memoryview(data)[start : start + info.compress_size]
    if len(packed) != info.compress_size or info.compress_type not in {
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    }:
        raise zipfile.BadZipFile
    if info.compress_type == zipfile.ZIP_STORED:
        yield bytes(packed)
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest = bytes(packed)
    while rest and not inflater.eof:
        yield inflater.decompress(rest, _BLOCK_BYTES)
        rest = inflater.unconsumed_tail
    if not inflater.eof:
        raise zipfile.BadZipFile


def _has_entry(data: bytes, name: str) -> bool:
    """Tell whether the compound file's directory, whose entries lie at multiples of 128, names *name*."""
    wanted = (name + "\0").encode("utf-16-le")
    at = data.find(wanted)
    while at >= 0 and at % 128:
        at = data.find(wanted, at + 1)
    return at >= 0


def _has_password(data: bytes) -> bool:
    """Tell whether an .xls begins, after its first record, with one that says how it is encrypted (FILEPASS)."""
    if not (begin := _xls_begin.search(data)):
        return False
    at = begin.start()
    for _ in range(_RECORDS_BEFORE_PASSWORD):
        if at + 4 > len(data):
            return False
        kind, size = struct.unpack_from("<HH", data, at)
        if kind == _FILEPASS:
            return True
        at += 4 + size
    return False


def _with_macros() -> InputProblemError:
    return InputProblemError(
        "workbook_with_macros",
        "The workbook holds macros.",
        "Save it as .xlsx (a workbook without macros) or as `CSV UTF-8`.",
    )
