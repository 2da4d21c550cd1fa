"""Prove to a broker what this machine is, and open what the broker has encrypted for it.

    attest.py request NONCE > request      a new key; a tar.gz in base64: report.bin, public.pem, certificates.pem
    attest.py open < wrapped > secret      the other way round: base64 of what `ferry attest release` wrote

The report is AMD's secure processor's: /dev/sev-guest hands it SHA-512 of the nonce and the public key. Private key and
secret lie in memory only, in /run/ferry/attest. The structures are those of Linux' include/uapi/linux/sev-guest.h.
Runs on the node with Python 3.9 and its standard library; `openssl` makes the key and decrypts.
"""

from __future__ import annotations

import base64
import ctypes
import fcntl
import hashlib
import io
import ssl
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

DEVICE = Path("/dev/sev-guest")
FOLDER = Path("/run/ferry/attest")
SNP_GET_EXT_REPORT = 0xC0205302
"""_IOWR('S', 2, struct snp_guest_request_ioctl), which has 32 bytes."""
CERTIFICATES_BYTES = 0x4000
"""The most that the kernel passes on, SEV_FW_BLOB_MAX_SIZE."""
RESPONSE_BYTES = 4000
REPORT = slice(32, 32 + 1184)
ENTRY = struct.Struct("<16sII")
"""Of the certificates' table: which one it is, where it begins, how long it is."""


def extended_report(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return the report over 64 bytes, and the certificates in DER that the host has for it. Raises OSError."""
    certificates = ctypes.create_string_buffer(CERTIFICATES_BYTES)
    response = ctypes.create_string_buffer(RESPONSE_BYTES)
    request = ctypes.create_string_buffer(
        struct.pack("<64sI28xQI4x", data, 0, ctypes.addressof(certificates), CERTIFICATES_BYTES)
    )
    call = bytearray(struct.pack("<B7xQQQ", 1, ctypes.addressof(request), ctypes.addressof(response), 0))
    with DEVICE.open("rb+", buffering=0) as device:
        fcntl.ioctl(device, SNP_GET_EXT_REPORT, call)
    (status,) = struct.unpack_from("<I", response.raw)
    if status:
        raise OSError(f"{DEVICE}: the secure processor answers with status {status:#x}")
    return response.raw[REPORT], table(certificates.raw)


def table(blob: bytes) -> list[bytes]:
    """Return the certificates of a table, which ends with an entry of zeros."""
    found = []
    for identifier, offset, length in ENTRY.iter_unpack(blob[: len(blob) // ENTRY.size * ENTRY.size]):
        if not any(identifier):
            break
        found.append(blob[offset : offset + length])
    return found


def request(nonce: bytes) -> bytes:
    """Make a key, have it and the nonce reported on, and return all that a broker wants to see, packed."""
    FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = FOLDER / "private.pem"
    private.touch(mode=0o600)
    private.write_bytes(openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"))
    public = openssl("pkey", "-in", str(private), "-pubout", "-outform", "DER")
    report, certificates = extended_report(hashlib.sha512(nonce + public).digest())
    files = {
        "report.bin": report,
        "public.pem": openssl("pkey", "-in", str(private), "-pubout"),
        "certificates.pem": "".join(ssl.DER_cert_to_PEM_cert(one) for one in certificates).encode(),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def opened(wrapped: bytes) -> bytes:
    """Return the secret: RSA-OAEP with SHA-256, by the key of the last request."""
    oaep = ("-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256")
    return openssl("pkeyutl", "-decrypt", "-inkey", str(FOLDER / "private.pem"), *oaep, given=wrapped)


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    """Return what it writes. Raises subprocess.CalledProcessError."""
    return subprocess.run(  # noqa: S603 - fixed arguments
        ["openssl", *arguments],  # noqa: S607 - the system's own
        input=given,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def main(arguments: list[str]) -> int:
    """Write to standard output; 0, 1 or 2 for what cannot be meant."""
    if len(arguments) == 2 and arguments[0] == "request":
        sys.stdout.write(base64.encodebytes(request(bytes.fromhex(arguments[1]))).decode())
    elif arguments == ["open"]:
        sys.stdout.buffer.write(opened(base64.b64decode(sys.stdin.buffer.read())))
    else:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
