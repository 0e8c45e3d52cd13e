# Two images: of every step on Vertex AI and Kubeflow (docker build -t IMAGE .), and of what serves
# (docker build --target=serving -t IMAGE .). GPU: --build-arg GPU=1. tests/pipelines/test_dockerfile.py runs each line of it.
FROM python:3.10-slim-bookworm AS package
ARG GPU=""

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 TF_CPP_MIN_LOG_LEVEL=2

WORKDIR /sources
COPY requirements.lock .
RUN pip install -r requirements.lock \
    && if [ -n "$GPU" ]; then pip install "$(grep '^tensorflow==' requirements.lock | sed 's/==/[and-cuda]==/')"; fi

# Installed as a package, so that executors have the dotted path under which the pipeline was compiled.
COPY setup.py pyproject.toml __init__.py __main__.py ./
COPY components components
COPY pipelines pipelines
COPY pretrained pretrained
COPY serving serving
RUN pip install --no-deps --no-build-isolation . && pip check

# Away from the sources: of a folder `faketagger` in the working directory Python would take the package.
WORKDIR /

# docker run --read-only --cap-drop=ALL -v MODELS:/models:ro -p 8500:8500 IMAGE
# The platform: docker run -v DATA:/data -p 8600:8600 IMAGE platform --host=0.0.0.0 --database=sqlite:////data/platform.db --key_file=/data/key
FROM package AS serving
RUN python -c "import faketagger.serving.server, faketagger.serving.platform.app"
USER 65534:65534
EXPOSE 8500 8600
ENTRYPOINT ["python", "-m", "faketagger"]
CMD ["serve", "--model_base_path=/models/faketagger", "--host=0.0.0.0"]

FROM package AS pipeline
RUN python -c "import faketagger.pipelines.pipeline"
ENTRYPOINT ["python", "-m", "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"]
