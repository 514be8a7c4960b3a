"""Email addresses, and their canonical spelling, under which they are stored, looked up and counted."""

import hashlib

import idna
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

MAX_ADDRESS, MAX_LOCAL, MAX_LABEL = 254, 64, 63


def canonical(address: str) -> str:
    """Return the canonical spelling of an address: in lower case, with the domain as in DNS (A-labels if not ASCII).

    Checks the lengths before anything else. Raises ValidationError for an invalid address, with the code `too_long`,
    `not_ascii` or `invalid`.
    """
    stripped = address.strip() if len(address) <= MAX_ADDRESS else address
    local, _, domain = stripped.rpartition("@")
    labels = domain.split(".") if len(stripped) <= MAX_ADDRESS else []
    if not labels or len(local) > MAX_LOCAL or any(len(label) > MAX_LABEL for label in labels):
        said = (
            f"At most {MAX_ADDRESS} characters are allowed, {MAX_LOCAL} of them before the @ and {MAX_LABEL} between "
            "two dots of the domain."
        )
        raise ValidationError(said, code="too_long")
    # Checked before the case is lowered: beyond ASCII, lower case and lookalikes depend on the implementation.
    if not local.isascii():
        raise ValidationError("Only ASCII characters are allowed before the @.", code="not_ascii")
    found = f"{local.lower()}@{_ascii_domain(domain)}"
    # Django accepts quoted local parts, which may contain control characters, and IP addresses as domains.
    if len(found) > MAX_ADDRESS or found.startswith('"') or "[" in found:
        raise ValidationError("Enter a valid email address, such as anna@example.com.", code="invalid")
    validate_email(found)
    return found


def validate(address: str) -> None:
    """Raise ValidationError for an invalid address; a validator for forms and commands."""
    canonical(address)


def lookup_spelling(text: str) -> str:
    """Return the canonical spelling; for an invalid address, a short text that no account has."""
    try:
        return canonical(text)
    except ValidationError:
        return f"no address {hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _ascii_domain(domain: str) -> str:
    lowered = domain.lower() if domain.isascii() else domain
    if domain.isascii() and not any(label.startswith("xn--") for label in lowered.split(".")):
        return lowered
    try:
        # Non-transitional: strasse.de and straße.de are two domains.
        return idna.encode(domain, uts46=True, std3_rules=True, transitional=False).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise ValidationError("The domain after the @ is not a valid one.", code="invalid") from error
