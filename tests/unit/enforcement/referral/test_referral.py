"""A package as its recipient has it, and everything that may be done to one on its way."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bagit
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image
from time_authority import time_authority

from wildgate_enforcement.referral.commands import referral_command
from wildgate_enforcement.referral.document import document_of
from wildgate_enforcement.referral.intelligence import Facts, intelligence_value
from wildgate_enforcement.referral.layout import SIGNATURE, SIGNED, STAMP, STAMP_SIGNATURE, TAGS
from wildgate_enforcement.referral.packaging import write_package
from wildgate_enforcement.referral.referral import (
    Box,
    Frame,
    ProductionRecipient,
    Referral,
    ReferralError,
    TestRecipient,
    Video,
)
from wildgate_enforcement.referral.sealing import Authority, make_keys, private_key, public_key
from wildgate_enforcement.referral.verification import verify_package

CLIP = b"not really a video" * 100


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 60, 30)).save(file, "JPEG")
    return file.getvalue()


def a_referral(folder: Path, **changes: Any) -> Referral:
    clip = folder / "clip.MP4"
    clip.write_bytes(CLIP)
    usual = Referral(
        case_id="case-7",
        recipient=ProductionRecipient("Wildlife Crime Unit"),
        made_at="2026-11-28T17:00:00Z",
        subject={"video_id": "v1", "note": "<b>писанка</b> & co"},
        verdict={"action": "BLOCK", "coverage": {"duration_s": 12.0, "max_gap_s": 1.0}},
        history=({"event": "opened"}, {"event": "confirmed", "by": "staff-4"}),
        digests=("sha256:" + hashlib.sha256(CLIP).hexdigest(),),
        value=intelligence_value(Facts(appendix_i=1, quantity=12, earlier_confirmed_cases=1)),
        approvals=("staff-4", "staff-9"),
        reason="tusks offered for sale, <i>twelve</i> of them",
        preservation={"until": "2027-05-28"},
        frames=(Frame(jpeg(), 1.5, (Box("tusk", 0.93, 40, 30, 8, 6),)),),
        video=Video(clip, hashlib.sha256(CLIP).hexdigest()),
    )
    return replace(usual, **changes)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with time_authority(tmp_path_factory.mktemp("authority")) as authority:
        yield authority


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "sender"
    make_keys(file)
    return file


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, keys: Path, authority: Authority) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    (folder / "out").mkdir()
    return write_package(a_referral(folder), folder / "out", private_key(keys), authority)


@pytest.fixture
def package(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "received"))


def faults(package: Path, keys: Path, **options: Any) -> tuple[str, ...]:
    return verify_package(package, public_key(keys.with_name("sender.pub")), **options).faults


def test_a_package_as_sent_holds_and_says_what_it_is(package: Path, keys: Path, authority: Authority) -> None:
    found = verify_package(package, public_key(keys.with_name("sender.pub")), root=authority.root)
    assert (found.faults, found.case_id, found.recipient, found.is_test) == ((), "case-7", "Wildlife Crime Unit", False)
    assert found.stamped_at
    assert {path.name for path in (package / "data").iterdir()} == {
        *("frames", "referral.json", "referral.pdf", "timestamp-authority.pem", "video.mp4"),
    }


def test_it_is_a_bag_to_the_reference_and_openssl_accepts_the_seal(package: Path, keys: Path) -> None:
    import subprocess

    assert bagit.Bag(str(package)).validate()
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys.with_name("sender.pub")), "-rawin"]
    subprocess.run([*command, "-in", SIGNED, "-sigfile", SIGNATURE], cwd=package, check=True, capture_output=True)


def test_every_byte_of_the_seals_and_lists_counts(package: Path, keys: Path) -> None:
    for name in (*TAGS, SIGNED, SIGNATURE, STAMP, STAMP_SIGNATURE):
        content = (package / name).read_bytes()
        for at in range(0, len(content), 1 if len(content) < 200 else 23):
            (package / name).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            assert [fault for fault in faults(package, keys) if name in fault], (name, at)
        (package / name).write_bytes(content)
    assert not faults(package, keys)


def test_a_changed_file_is_named_whichever_it_is(package: Path, keys: Path) -> None:
    for file in [path for path in (package / "data").rglob("*") if path.is_file()]:
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 128]))
        assert f"{file.relative_to(package)}: was changed" in faults(package, keys)
        file.write_bytes(content)
        file.write_bytes(content + b"\0")
        assert f"{file.relative_to(package)}: was changed" in faults(package, keys)
        file.write_bytes(content)


def link(package: Path) -> None:
    video = package / "data/video.mp4"
    video.rename(package.parent / "elsewhere")
    video.symlink_to(package.parent / "elsewhere")


def linked_folder(package: Path) -> None:
    (package / "data").rename(package.parent / "elsewhere")
    (package / "data").symlink_to(package.parent / "elsewhere")


def named_outside(package: Path) -> None:
    secret = package.parent / "secret"
    secret.write_bytes(b"x")
    with (package / "manifest-sha256.txt").open("a") as manifest:
        manifest.write(f"{hashlib.sha256(b'x').hexdigest()}  ../secret\n")


def huge(package: Path) -> None:
    os.truncate(package / "data/video.mp4", 9 << 30)  # a hole, of no size on the disk


TRICKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "removed": (lambda p: (p / "data/video.mp4").unlink(), "data/video.mp4: was removed"),
    "added": (lambda p: (p / "data/more.jpg").write_bytes(b"x"), "data/more.jpg: was added"),
    "added at the root": (lambda p: (p / "fetch.txt").write_bytes(b"x"), "fetch.txt: was added"),
    "a folder at the root": (lambda p: (p / "more").mkdir(), "more: was added"),
    "hidden": (lambda p: (p / "data/.x").write_bytes(b"x"), "data/.x: the name is not allowed"),
    "a line break": (lambda p: (p / "data/a\nb").write_bytes(b"x"), r"data/a\nb: the name is not allowed"),
    "not ASCII": (lambda p: (p / "data/é").write_bytes(b"x"), r"data/\xe9: the name is not allowed"),
    "another case": (lambda p: (p / "data/VIDEO.mp4").write_bytes(CLIP), "in case alone"),
    "too deep": (lambda p: (p / "data/a/b/c").mkdir(parents=True), "data/a/b/c: lies too deep"),
    "a link": (link, "data/video.mp4: is no regular file"),
    "a linked folder": (linked_folder, "data: is no regular file"),
    "a pipe": (lambda p: os.mkfifo(p / "data/pipe"), "data/pipe: is no regular file"),
    "a name outside": (named_outside, "../secret: was removed"),
    "huge": (huge, "bytes"),
    "a huge list": (lambda p: os.truncate(p / "manifest-sha256.txt", 2 << 20), "manifest-sha256.txt: is too large"),
    "no stamp": (lambda p: (p / STAMP).unlink(), f"{STAMP}: is missing"),
    "no signature": (lambda p: (p / SIGNATURE).unlink(), f"{SIGNATURE}: is missing"),
}


@pytest.mark.parametrize(("trick", "told"), TRICKS.values(), ids=TRICKS)
def test_a_trick_is_told_by_name(package: Path, keys: Path, trick: Callable[[Path], object], told: str) -> None:
    trick(package)
    if trick is huge:  # the size alone is looked at: hashing it would take a minute
        from wildgate_enforcement.referral.layout import faults_of_tree

        assert any(told in fault for fault in faults_of_tree(package)[0])
        return
    assert [fault for fault in faults(package, keys) if told in fault]


def test_seals_of_another_package_of_the_same_sender_do_not_hold(
    package: Path, keys: Path, authority: Authority, tmp_path: Path
) -> None:
    other = write_package(a_referral(tmp_path, case_id="case-8"), tmp_path, private_key(keys), authority)
    for swapped in ([SIGNED, SIGNATURE], [STAMP, STAMP_SIGNATURE], ["manifest-sha256.txt"]):
        changed = Path(shutil.copytree(package, tmp_path / f"swapped-{swapped[0]}"))
        for name in swapped:
            shutil.copy(other / name, changed / name)
        assert faults(changed, keys)


def test_a_package_that_somebody_else_sealed_does_not_hold(keys: Path, authority: Authority, tmp_path: Path) -> None:
    forged = write_package(a_referral(tmp_path), tmp_path, Ed25519PrivateKey.generate(), authority)
    assert [fault for fault in faults(forged, keys) if fault.startswith(SIGNED)]


def test_a_stamp_of_an_authority_that_the_recipient_does_not_know_does_not_hold(
    package: Path, keys: Path, tmp_path: Path
) -> None:
    with time_authority(tmp_path / "other") as other:
        [fault] = faults(package, keys, root=other.root)
    assert fault.startswith(f"{STAMP}: the time stamp does not hold")


def test_the_command_tells_it_by_its_status(package: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["verify", str(package), "--key", str(keys.with_name("sender.pub"))]
    assert referral_command(args) == 0
    assert "case-7" in capsys.readouterr().out
    assert referral_command([*args, "--test"]) == 1
    (package / "data/video.mp4").write_bytes(CLIP[:-1] + b"!")
    assert referral_command(args) == 1
    assert "data/video.mp4: was changed" in capsys.readouterr().out
    assert referral_command(["verify", str(package.parent / "none"), *args[2:]]) == 1
    assert referral_command(["verify", str(package), "--key", str(keys)]) == 1  # the private key is no public one


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    assert referral_command(["keygen", str(tmp_path / "k")]) == 0
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert referral_command(["keygen", str(tmp_path / "k")]) == 1


def test_a_test_referral_passes_as_nothing_else(keys: Path, authority: Authority, tmp_path: Path) -> None:
    referral = a_referral(tmp_path, recipient=TestRecipient("Wildlife Crime Unit"))
    package = write_package(referral, tmp_path, private_key(keys), authority)
    args = ["verify", str(package), "--key", str(keys.with_name("sender.pub"))]
    assert (referral_command(args), referral_command([*args, "--test"])) == (1, 0)
    assert package.name == "test-referral-case-7"
    assert TestRecipient("x") != ProductionRecipient("x")


def test_the_document_is_the_same_each_time_and_shows_text_as_text(tmp_path: Path) -> None:
    referral = a_referral(tmp_path)
    assert document_of(referral) == document_of(referral)
    assert document_of(replace(referral, reason="<para><img src='/etc/passwd'/></para>"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"case_id": "../../etc"},
        {"case_id": "/etc"},
        {"case_id": "a\nb"},
        {"case_id": ""},
        {"approvals": ("staff-4",)},
        {"approvals": ("staff-4", "STAFF-4")},
        {"approvals": ("staff-4", "jane@example.org")},
        {"verdict": {"action": "BLOCK"}},
        {"frames": (Frame(b"GIF89a", 0.0),)},
        {"subject": {"reach": float("nan")}},
    ],
)
def test_what_is_no_referral_is_not_written(
    keys: Path, authority: Authority, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ReferralError):
        write_package(a_referral(tmp_path, **wrong), tmp_path / "out", private_key(keys), authority)
    assert not list((tmp_path / "out").iterdir())


def fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    "put", [lambda p: p.write_bytes(b"other"), lambda p: p.symlink_to("/etc/passwd"), fifo, lambda p: p.mkdir()]
)
def test_a_file_that_is_not_the_one_that_was_judged_is_not_packed(
    keys: Path, authority: Authority, tmp_path: Path, put: Callable[[Path], object]
) -> None:
    referral = a_referral(tmp_path)
    put(path := tmp_path / "put")
    assert referral.video
    (tmp_path / "out").mkdir()
    changed = replace(referral, video=replace(referral.video, path=path))
    with pytest.raises(ReferralError):
        write_package(changed, tmp_path / "out", private_key(keys), authority)
    assert not list((tmp_path / "out").iterdir())


def test_without_the_authority_there_is_no_package(keys: Path, authority: Authority, tmp_path: Path) -> None:
    def away(_: bytes) -> bytes:
        raise OSError("away")

    (tmp_path / "out").mkdir()
    for ask in (away, lambda _: b"", lambda _: b"\x30" * 100):
        with pytest.raises(ReferralError, match="time stamp"):
            write_package(a_referral(tmp_path), tmp_path / "out", private_key(keys), Authority(ask, authority.root))
    assert not list((tmp_path / "out").iterdir())


def test_a_package_is_never_overwritten(keys: Path, authority: Authority, tmp_path: Path) -> None:
    write_package(a_referral(tmp_path), tmp_path, private_key(keys), authority)
    with pytest.raises(ReferralError, match="already"):
        write_package(a_referral(tmp_path), tmp_path, private_key(keys), authority)
