"""`ferry site credentials`: the AWS profile by which a machine at home gets credentials for its certificate.

The AWS SDKs run the official helper `aws_signing_helper` as their `credential_process`; the helper alone reads the
private key. Here only its path is written, and its permissions are looked at.
https://docs.aws.amazon.com/rolesanywhere/latest/userguide/credential-helper.html
"""

from __future__ import annotations

import json
import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from ferry.errors import InvalidField, UnreadableInput

HELPER = "aws_signing_helper"
OUTPUTS = {
    "site_trust_anchor_arn": r"arn:aws[a-z-]*:rolesanywhere:([a-z0-9-]+):\d{12}:trust-anchor/[0-9a-f-]{36}",
    "site_profile_arn": r"arn:aws[a-z-]*:rolesanywhere:([a-z0-9-]+):\d{12}:profile/[0-9a-f-]{36}",
    "site_role_arn": r"arn:aws[a-z-]*:iam:():\d{12}:role/[A-Za-z0-9+=,.@_/-]+",
}
"""Outputs of the stack that are needed, and what they look like."""
PLAIN_PATH = re.compile(r"/[A-Za-z0-9 ._/+=@,:~-]*")
"""Some SDKs give the line to a shell, others split it themselves: in double quotes, these mean the same to all."""
PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class SiteCredentials:
    """A profile for the AWS configuration file. Nothing in it is secret."""

    profile: str
    region: str
    subject: str
    """Common name of the certificate; the stack's `site_identity.subjects` has to name it."""
    valid_until: datetime
    config: str

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "valid_until": self.valid_until.isoformat()}


def site_credentials(
    outputs: Mapping[str, Any], *, certificate: Path, private_key: Path, helper: str, profile: str, at: datetime
) -> SiteCredentials:
    """Render the profile.

    `outputs` are the stack's, `helper` is a name on PATH or a path. Raises InvalidField or UnreadableInput for an
    output that is not there, a certificate that is none or has run out, or a key that others may read.
    """
    arns, regions = {}, set()
    for name, pattern in OUTPUTS.items():
        found = re.fullmatch(pattern, str(outputs.get(name, "")))
        if found is None:
            raise InvalidField(
                f"output {name} is {outputs.get(name)!r}, expected is an ARN; set ferry:site_identity in the stack and "
                "run `pulumi up`, then `pulumi stack output --json`"
            )
        arns[name] = found[0]
        regions |= {found[1]} - {""}
    if len(regions) != 1:
        raise InvalidField(f"trust anchor and profile are of {' and '.join(sorted(regions))}; take one stack's outputs")
    if not PROFILE_NAME.fullmatch(profile):
        raise InvalidField(f"profile {profile!r}: allowed are 1 to 64 of A-Z a-z 0-9 . _ -; rename it")
    read = _certificate(certificate, at)
    _require_private(private_key)
    words = [
        *(_quoted(_helper(helper)), "credential-process"),
        *("--certificate", _quoted(certificate), "--private-key", _quoted(private_key)),
        *("--trust-anchor-arn", arns["site_trust_anchor_arn"], "--profile-arn", arns["site_profile_arn"]),
        *("--role-arn", arns["site_role_arn"]),
    ]
    (region,) = regions
    return SiteCredentials(
        profile=profile,
        region=region,
        subject=_common_name(read, certificate),
        valid_until=read.not_valid_after_utc,
        config=f"[profile {profile}]\nregion = {region}\ncredential_process = {' '.join(words)}\n",
    )


def read_outputs(path: Path) -> dict[str, Any]:
    """Read what `pulumi stack output --json` printed. Raises UnreadableInput."""
    try:
        outputs = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"{path}: is not the output of `pulumi stack output --json`: {error}") from error
    if not isinstance(outputs, dict):
        raise UnreadableInput(f"{path}: is not the output of `pulumi stack output --json`: no object")
    return outputs


def _certificate(path: Path, at: datetime) -> x509.Certificate:
    try:
        # The machine's own comes first, those of the authorities between may follow.
        read = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"{path}: is not a certificate in PEM: {error}") from error
    if not read.not_valid_before_utc <= at.astimezone(UTC) <= read.not_valid_after_utc:
        since, until = (f"{one:%Y-%m-%d %H:%M}" for one in (read.not_valid_before_utc, read.not_valid_after_utc))
        raise InvalidField(f"{path}: is valid from {since} to {until} UTC, not now; have the site's CA issue a new one")
    return read


def _common_name(certificate: x509.Certificate, path: Path) -> str:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    if len(names) != 1:
        raise InvalidField(f"{path}: its subject has {len(names)} common names, needed is one; have it issued again")
    return str(names[0].value)


def _require_private(path: Path) -> None:
    """The key itself is not read."""
    try:
        state = path.stat()
    except OSError as error:
        raise UnreadableInput(f"{path}: cannot be found: {error.strerror}") from error
    if not stat.S_ISREG(state.st_mode):
        raise InvalidField(f"{path}: is not a file; name the private key of the certificate")
    if state.st_mode & 0o077:
        raise InvalidField(
            f"{path}: others may use it (mode {stat.S_IMODE(state.st_mode):04o}), allowed is 0600; run chmod 600 "
            "on it, and have a new one issued if anybody could have read it"
        )


def _helper(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise InvalidField(
            f"{name}: no such program; install AWS's {HELPER} (docs.aws.amazon.com/rolesanywhere, credential "
            "helper), or name it with --helper"
        )
    return Path(found)


def _quoted(path: Path) -> str:
    whole = str(path.absolute())
    if not PLAIN_PATH.fullmatch(whole):
        raise InvalidField(
            f"{whole!r}: allowed in the path are A-Z a-z 0-9 space . _ / + = @ , : ~ -; move it, or rename it"
        )
    return f'"{whole}"'
