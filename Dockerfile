# The image of every step on Vertex AI and Kubeflow. GPU: docker build --build-arg GPU=1 .
FROM python:3.10-slim-bookworm
ARG GPU=""

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 TF_CPP_MIN_LOG_LEVEL=2

WORKDIR /faketagger
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

# Away from the sources, so that the installed package is the one that is found.
WORKDIR /
RUN python -c "import faketagger.pipelines.pipeline"
ENTRYPOINT ["python", "-m", "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"]
