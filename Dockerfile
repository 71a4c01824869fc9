FROM python:3.11.14-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    MOESCOPE_DATA_DIR=/data \
    HF_HOME=/data/huggingface \
    # A disk can be slow; gunicorn's heartbeat belongs in memory.
    GUNICORN_CMD_ARGS="--worker-tmp-dir /dev/shm"

WORKDIR /srv/moescope

# Requirements first: this layer is made anew only when they change. torch is a CUDA build of
# several GB unless PIP_ARGS names the index of pytorch's CPU builds:
#   docker build --build-arg PIP_ARGS="--extra-index-url …" .
ARG PIP_ARGS=""
# H2O and a Java for training models on tables, 350 MB: --build-arg AUTOML=yes
ARG AUTOML=""
COPY requirements.txt requirements-automl.txt ./
RUN pip install ${PIP_ARGS} -r requirements.txt ${AUTOML:+-r requirements-automl.txt}

COPY LICENSE ./
COPY assets ./assets
COPY docs/metrics.md ./docs/metrics.md
COPY app ./app

# Nothing but the data folder can be written by the app.
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin moescope \
    && mkdir -p /data \
    && chown moescope /data
# By number, so that orchestrators can tell that it is not root.
USER 10001
VOLUME ["/data"]

EXPOSE 8050
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8050/healthz', timeout=4)"]

# One worker: it holds the model. No --preload: threads that are started before the fork die in it.
CMD ["gunicorn", "app.server:server", "-k", "uvicorn_worker.UvicornWorker", "-w", "1", "-b", "0.0.0.0:8050", "--timeout", "120", "--no-control-socket"]
