"""Rules on what comes from home: keys and certificate authorities that are trusted, and DataSync's agents."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stacks import public_keys
from stacks.rule import FERRY, rule
from stacks.service_rules import partition

ROLES_ANYWHERE = "https://docs.aws.amazon.com/rolesanywhere/latest/userguide"


@rule("verification-keys", FERRY)
def verification_keys(*, pem: str) -> str | None:
    """Nodes trust public keys, Ed25519 or ECDSA P-256; one is Ed25519, since that is what signs their bundle."""
    # Not at the top: most verbs read no keys.
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        keys = [load_pem_public_key(key.encode()) for key in public_keys.split(pem)]
    except ValueError:
        return "holds something else than public keys in PEM, allowed are these only: paste the public halves"
    for key in keys:
        of_kms = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
        if not (isinstance(key, Ed25519PublicKey) or of_kms):
            return f"holds a {type(key).__name__}, allowed are Ed25519 and ECDSA P-256: sign with one of these"
    if not any(isinstance(key, Ed25519PublicKey) for key in keys):
        return "has no Ed25519 key, allowed is at least one: `ferry render` signs the node bundle with it, keep it"
    return None


@rule("site-signing-key", "https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id-key-ARN")
def site_signing_key(*, arn: str, region: str) -> str | None:
    """The KMS key that a site signs with is named by the ARN of one key, in the stack's region."""
    if re.fullmatch(rf"arn:{partition(region)}:kms:{region}:\d{{12}}:key/[0-9a-z-]+", arn):
        return None
    allowed = f"arn:{partition(region)}:kms:{region}:ACCOUNT:key/ID"
    return f"is {arn!r}, allowed is {allowed}: name one key of this region, and no alias"


@rule("site-authority", FERRY)
def site_authority(*, has_pem: bool, has_private_ca: bool) -> str | None:
    """A site has one certificate authority: its own, or one of AWS Private CA."""
    if has_pem != has_private_ca:
        return None
    given = "both are" if has_pem else "neither is"
    return f"{given} set of certificate_authority_pem and private_ca_arn, allowed is one: keep the CA you use"


@rule("site-authority-certificate", f"{ROLES_ANYWHERE}/trust-model.html#signature-verification")
def site_authority_certificate(*, pem: str) -> str | None:
    """What is trusted are CA certificates (X.509 v3, CA true, allowed to sign certificates), and no private key."""
    # Not at the top: most stacks have no site identity.
    from cryptography import x509

    if "PRIVATE KEY" in pem:
        return "holds a private key, allowed are certificates: take the key out, and out of every copy of this file"
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        return f"is not a certificate in PEM ({error}), allowed are CA certificates: paste the CA's own"
    for certificate in certificates:
        try:
            is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            signs = certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        except (x509.ExtensionNotFound, ValueError):
            is_ca = signs = False
        if not (is_ca and signs):
            name = certificate.subject.rfc4514_string()
            return f"{name} may not sign certificates, allowed are those of a CA: paste the certificate of its issuer"
    return None


@rule("site-private-ca", f"{ROLES_ANYWHERE}/getting-started.html")
def site_private_ca(*, arn: str, region: str) -> str | None:
    """A trust anchor's Private CA lies in the trust anchor's own region."""
    if re.fullmatch(rf"arn:{partition(region)}:acm-pca:{region}:\d{{12}}:certificate-authority/[0-9a-f-]+", arn):
        return None
    allowed = f"arn:{partition(region)}:acm-pca:{region}:ACCOUNT:certificate-authority/ID"
    return f"is {arn!r}, allowed is {allowed}: name a CA of this region"


@rule("data-sync-agents", "https://docs.aws.amazon.com/datasync/latest/userguide/activate-agent.html")
def data_sync_agents(*, arns: Sequence[str], region: str) -> str | None:
    """An agent works in the region that it was activated in."""
    pattern = rf"arn:{partition(region)}:datasync:{region}:\d{{12}}:agent/agent-[0-9a-f]{{17}}"
    for arn in arns:
        if not re.fullmatch(pattern, arn):
            allowed = f"arn:{partition(region)}:datasync:{region}:ACCOUNT:agent/agent-…"
            return f"is {arn!r}, allowed is {allowed}: activate an agent in this region"
    return None
