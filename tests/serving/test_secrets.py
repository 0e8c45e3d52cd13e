"""Keys and certificates that cannot be right, or that others can read, are told in a sentence."""

import argparse
import os

import pytest

from faketagger.serving.commands import common, serve


@pytest.fixture
def secret(tmp_path):
    """Makes a file of a text and a mode, and returns its path."""

    def make(name, text, mode=0o600):
        path = tmp_path / name
        path.write_text(text)
        os.chmod(path, mode)
        return str(path)

    return make


def _key_and_certificate():
    x509 = pytest.importorskip("cryptography.x509")
    import datetime

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    pem = serialization.Encoding.PEM
    text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    return text, builder.sign(key, hashes.SHA256()).public_bytes(pem).decode()


def test_right_files_are_read(secret, capsys):
    key, certificate = _key_and_certificate()
    paths = secret("ca", certificate), secret("key", key), secret("crt", certificate)
    assert common.read_pem(*paths) == (certificate.encode(), key.encode(), certificate.encode())
    assert common.read_pem(None, None, None) == (None, None, None)
    assert capsys.readouterr().err == ""


def test_junk_and_what_does_not_belong_together_is_told_by_name(secret):
    key, certificate = _key_and_certificate()
    other_key = secret("other.key", _key_and_certificate()[0])
    junk, key, certificate = secret("junk", "no PEM"), secret("key", key), secret("crt", certificate)
    for paths, said in (
        ((junk, None, None), f"^{junk}: holds no certificate in PEM form$"),
        ((None, junk, certificate), f"^{certificate}, {junk}: expected a certificate and its unencrypted private key"),
        ((None, key, junk), f"^{junk}, {key}: expected a certificate"),
        ((None, other_key, certificate), f"^{certificate}: not the certificate of the key {other_key}$"),
        ((None, key, "nowhere"), "^nowhere: No such file or directory$"),
    ):
        with pytest.raises(common.CommandError, match=said):
            common.read_pem(*paths)


def test_serve_ends_with_the_sentence(secret, capsys):
    junk = secret("junk", "no PEM")
    flags = ["--model_base_path=nowhere", f"--ssl_key_file={junk}", f"--ssl_cert_file={junk}"]
    assert serve.run(serve.make_parser().parse(["serve", *flags])) == common.FAILED
    assert capsys.readouterr().err.startswith(f"faketagger: {junk}, {junk}: expected a certificate")


@pytest.mark.parametrize("mode, said", [(0o600, ""), (0o640, ""), (0o644, "every user of this machine can read")])
def test_a_key_that_every_user_can_read_is_told_of(secret, capsys, mode, said):
    path = secret("mine.key", "a key of this test", mode)
    assert common.read_key(argparse.Namespace(key_file=path), make_default=False) == b"a key of this test"
    err = capsys.readouterr().err
    assert (said in err) if said else err == ""
