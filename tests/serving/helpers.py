"""A tiny tagger that writes its bits as pixels, as it was exported before pictures had a status; requests to it."""

import io

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import model_management_pb2, predict_pb2

from faketagger.components.contract import manifest, payload

K, N = 4, 7
HAMMING = np.array(
    [[1, 0, 0, 0, 1, 1, 0], [0, 1, 0, 0, 1, 0, 1], [0, 0, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]], np.uint8
)
MANIFEST = manifest.TaggerManifest(K, N, payload.code_matrix_to_hex(HAMMING), 32, 1.0, 0.01)


class StubTagger(tf.Module):
    """Writes the codeword into the first n red values, as 0 or 255, and a marker after them that `read` looks for."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "image"),
            tf.TensorSpec([None, N], tf.float32, "codeword"),
            tf.TensorSpec([None], tf.float32, "strength"),
        ]
    )
    def tag(self, image, codeword, strength):
        def one(item):
            pixels = tf.io.decode_image(item[0], channels=3, expand_animations=False)
            shape = tf.shape(pixels)
            bits = tf.cast(255 * tf.clip_by_value(item[1] * item[2], 0, 1), tf.uint8)
            flat = tf.reshape(pixels, [-1, 3])
            red = tf.concat([bits, [7], flat[N + 1 :, 0]], 0)
            tagged = tf.concat([red[:, tf.newaxis], flat[:, 1:]], 1)
            return tf.io.encode_png(tf.reshape(tagged, shape))

        return {"image": tf.map_fn(one, (image, codeword, strength), fn_output_signature=tf.string)}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "image"), tf.TensorSpec([None, N], tf.float32, "key_mask")]
    )
    def read(self, image, key_mask):
        def one(data):
            red = tf.io.decode_image(data, channels=3, expand_animations=False)[..., 0]
            return tf.cast(tf.reshape(red, [-1])[: N + 1], tf.float32)

        red = tf.map_fn(one, image, fn_output_signature=tf.float32)
        logits = (red[:, :N] / 127.5 - 1) * (1 - 2 * key_mask)
        bits = tf.cast(logits > 0, tf.int32)
        again = tf.matmul(bits[:, :K], tf.constant(HAMMING, tf.int32)) % 2
        tagged = tf.reduce_all(again == bits, 1) & (red[:, N] == 7)
        return {
            "message": bits[:, :K],
            "score": tf.reduce_mean(tf.abs(logits), 1),
            "p_value": tf.where(tagged, 0.001, 0.5),
            "tagged": tagged,
            "logits": logits,
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "request")])
    def describe(self, request):
        return {"manifest": tf.fill(tf.shape(request), MANIFEST.to_json())}


def save_stub_tagger(directory):
    """Writes a StubTagger and its manifest."""
    stub = StubTagger()
    tf.saved_model.save(stub, directory, signatures={name: getattr(stub, name) for name in ("tag", "read", "describe")})
    manifest.write(MANIFEST, directory)


def picture(format="PNG", size=(24, 16), mode="RGB"):
    noise = np.random.default_rng(5).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, format)
    return buffer.getvalue()


def read_request(name="faketagger", signature="read", **spec):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    request.inputs["image"].CopyFrom(tf.make_tensor_proto([picture()]))
    request.inputs["key_mask"].CopyFrom(tf.make_tensor_proto(np.zeros([1, N], np.float32)))
    return request


def reload_request(*models):
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    for model in models:
        config = request.config.model_config_list.config.add(name=model["name"], base_path=str(model["base_path"]))
        config.model_platform = model.get("platform", "tensorflow")
        config.version_labels.update(model.get("labels", {}))
        if "specific" in model:
            config.model_version_policy.specific.versions.extend(model["specific"])
    return request


def refusal(call, request):
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return caught.value.code().name, caught.value.details()


def self_signed():
    """A private key and its certificate for localhost, both as PEM."""
    x509 = pytest.importorskip("cryptography.x509")
    import datetime

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(pem, pkcs8, plain), certificate.public_bytes(pem)
