"""Lists of blocks as files of other platforms' shapes."""

from __future__ import annotations

import io
import json

import pytest

from wildgate_client import Block, Fingerprint, FrameFingerprint
from wildgate_client.block_files import BLOCK_FORMATS, BadLine, BlockWriter, read_blocks

PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
OTHER = "00" * 32
SHA256 = "sha256:" + "ab" * 32
FRAMES = Fingerprint(
    (FrameFingerprint(0.5, 90, (bytes.fromhex(PDQ),)), FrameFingerprint(1.5, 70, (bytes.fromhex(OTHER),))), 0.0
)


def read(text: str, form: str) -> list[Block]:
    return list(read_blocks(io.StringIO(text), form, "partner"))


def written(block: Block, form: str) -> str:
    file = io.StringIO()
    BlockWriter(file, form).write(block)
    return file.getvalue()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_own_formats_come_back_as_they_were(form: str) -> None:
    block = Block((SHA256,), FRAMES, id="b1", label="horn, \u72ac", reason='"sold"\u2028\x85', source="ours")
    assert read(written(block, form), form) == [block]


def test_regions_stay_at_home() -> None:
    frame = FrameFingerprint(0.0, 90, (bytes(32), bytes(range(32))))
    [again] = read(written(Block(fingerprint=Fingerprint((frame,))), "jsonl"), "jsonl")
    assert again.fingerprint.frames[0].hashes == (bytes(32),)


def test_a_bare_list_of_hashes_is_one_entry_each() -> None:
    blocks = read(f"pdq\n{PDQ}\n{OTHER}\n", "csv")
    assert [block.fingerprint.frames[0].hashes[0].hex() for block in blocks] == [PDQ, OTHER]
    assert [(block.source, block.fingerprint.frames[0].quality) for block in blocks] == [("partner", 100)] * 2
    assert read(json.dumps({"pdq": PDQ}), "jsonl")[0].fingerprint.frames[0].hashes == (bytes.fromhex(PDQ),)


def test_content_of_a_bank_is_read_and_what_is_switched_off_stays_off() -> None:
    content = {"id": 7, "bank": "WILDLIFE", "enabled": False, "original_media_uri": None, "signals": {"pdq": PDQ}}
    only_md5 = {"id": 8, "bank": "WILDLIFE", "enabled": True, "signals": {"video_md5": "0" * 32}}
    [block] = read(json.dumps([content, only_md5]), "hma")
    assert (block.id, block.source, block.disabled) == ("WILDLIFE/7", "hma:WILDLIFE", True)
    assert json.loads(written(Block(fingerprint=FRAMES, id="b"), "hma").splitlines()[0])["signals"] == {"pdq": PDQ}


def test_threat_updates_are_read_unless_they_are_withdrawn_or_harmless() -> None:
    def update(number: int, **changes: object) -> dict[str, object]:
        opinion = {"status": "MALICIOUS", "tags": {"data": [{"text": "ivory"}]}}
        line = {"id": str(number), "type": "HASH_PDQ", "indicator": PDQ, "descriptors": {"data": [opinion]}}
        return {**line, "should_delete": False, **changes}

    updates = [
        update(1),
        update(2, type="HASH_SHA256", indicator="AB" * 32),
        update(3, should_delete=True),
        update(4, descriptors={"data": [{"status": "NON_MALICIOUS", "tags": []}]}),
        update(5, type="URI", indicator="https://a"),
    ]
    blocks = read(json.dumps({"data": updates, "paging": {}}), "threatexchange")
    assert [(block.id, block.digests, block.label) for block in blocks] == [
        ("threatexchange/1", (), "ivory"),
        ("threatexchange/2", (SHA256,), "ivory"),
    ]
    lines = written(Block((SHA256,), FRAMES, id="b", label="ivory"), "threatexchange")
    assert len(read(lines, "threatexchange")) == 3


@pytest.mark.parametrize("form", BLOCK_FORMATS)
def test_an_empty_file_has_no_entries(form: str) -> None:
    assert read("", form) == []


@pytest.mark.parametrize(
    ("text", "form", "what"),
    [
        ("pdq\nabc\n", "csv", "after entry 0"),
        (f"pdq\n{PDQ}\n{PDQ[2:]}\n", "csv", "after entry 1: a PDQ hash has 64"),
        ("label\nhorn\n", "csv", "neither pdq nor digest"),
        ("{", "jsonl", "after entry 0"),
        ("[1]", "jsonl", "no object"),
        ('{"frames": 1}', "jsonl", "after entry 0"),
        (f'{{"pdq": "{PDQ}"}}\n{{"pdq"', "jsonl", "after entry 1: line 2"),
        ("[" * 100_000, "jsonl", "recursion"),
        (f'{{"pdq": "{PDQ}", "quality": 1e999}}', "jsonl", "after entry 0"),
        (f'{{"pdq": "{PDQ}", "quality": 101}}', "jsonl", "a quality is 0 to 100"),
        (f'{{"pdq": "{PDQ}", "id": 7}}', "jsonl", "id is '7'"),
        (f'{{"pdq": "{PDQ}", "expires_ms": {1 << 63}}}', "jsonl", "expires_ms is"),
        ('{"digests": "sha256:ab"}', "jsonl", "digests are no list"),
        (f"id,pdq\na,{PDQ}\nb,{PDQ}\na,{OTHER}\n", "csv", "entry 'a' are not together"),
        ('{"signals": {"pdq": "00"}}', "hma", "'bank' is missing"),
        ('{"type": 1}', "threatexchange", ""),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, form: str, what: str) -> None:
    if form == "threatexchange":
        assert read(text, form) == []
    else:
        with pytest.raises(BadLine, match=what):
            read(text, form)
