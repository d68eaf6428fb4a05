"""Ed25519 signatures of external events (RFC 8032): what is signed, and how it is verified.

The signature covers the exact bytes of the message's value and the attributes that name the event, so that neither can
be changed or reused for another event.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

BINARY, _STRUCTURED = "resedge-event-1", "resedge-event-1/structured"
"""The first line names the mode, so that an event signed in one mode cannot be sent in the other."""
SIGNED = ("id", "source", "type", "subject", "time", "datacontenttype")


def signed_bytes(attributes: Mapping[str, str], value: bytes, *, structured: bool = False) -> bytes:
    """Return the signed text, eight lines: version and mode, six attributes (an absent one is empty), the digest.

    `value` is the message's value as it is sent: the data in binary mode, the whole event in structured mode. No
    attribute holds a line end, since CloudEvents allows no control characters in them.
    """
    lines = [
        _STRUCTURED if structured else BINARY,
        *(attributes.get(name, "") for name in SIGNED),
        hashlib.sha256(value).hexdigest(),
    ]
    return "\n".join(lines).encode()


def sign(
    private_key: Ed25519PrivateKey, attributes: Mapping[str, str], value: bytes, *, structured: bool = False
) -> str:
    """Return the signature in base64, as the header `ce_signature` carries it."""
    return base64.b64encode(private_key.sign(signed_bytes(attributes, value, structured=structured))).decode()


def verified(
    public_key: str, signature: str, attributes: Mapping[str, str], value: bytes, *, structured: bool = False
) -> bool:
    """Tell whether the holder of a key (raw, in base64) signed this event."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        signed = signed_bytes(attributes, value, structured=structured)
        key.verify(base64.b64decode(signature, validate=True), signed)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True
