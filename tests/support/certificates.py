"""Certificates made for one test: a private authority, and what it signs, good and bad."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass
class Issued:
    """A certificate with its key, and what stands between it and its root."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    between: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def write(self, folder: Path) -> tuple[Path, Path]:
        """(chain, key) as files."""
        chain, key = folder / "chain.pem", folder / "key.pem"
        chain.write_text(
            self.pem + "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in self.between)
        )
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return chain, key

    def context(self, folder: Path) -> ssl.SSLContext:
        """For a server."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(*self.write(folder))
        return made


def issue(
    common: str,
    names: tuple[str, ...] = (),
    *,
    by: Issued | None = None,
    authority: bool = False,
    begins: timedelta = -DAY,
    ends: timedelta = 90 * DAY,
) -> Issued:
    """Signed `by` an authority, or by itself; valid from `begins` to `ends` as seen from now."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    signer = by.key if by else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(by.certificate.subject if by else _name(common))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(each) for each in names]), False)
    certificate = builder.sign(signer, hashes.SHA256())
    above = (by.certificate, *by.between) if by and by.certificate.issuer != by.certificate.subject else ()
    return Issued(key, certificate, above)
