# The daemon's image: the locked packages, the wheel, a user of its own, and nothing that builds or installs.
# Build: docker build --tag tracewatch .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/tracewatch
# Dependencies change less often than the code: a layer of their own.
COPY requirements.lock ./
RUN /opt/build/bin/pip --python /opt/tracewatch/bin/python3 install --require-hashes --requirement requirements.lock
COPY requirements-dev.lock ./
# What builds the wheel stands in the development lock, with hashes too.
RUN awk '/^[a-z]/ {keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/} keep' requirements-dev.lock > build.lock \
    && /opt/build/bin/pip install --require-hashes --requirement build.lock
COPY pyproject.toml README.md LICENSE ./
COPY monitor ./monitor
COPY consumers ./consumers
COPY scorers ./scorers
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/build/bin/pip --python /opt/tracewatch/bin/python3 install --no-deps /dist/*.whl \
    && /opt/tracewatch/bin/python3 -m compileall -q /opt/tracewatch

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Tracewatch" \
      org.opencontainers.image.description="A production quality monitor for GenAI applications" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# The base's own installer is of no use to a daemon, and is what scanners complain of.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/ensurepip \
        /usr/local/lib/python3.*/site-packages/pip* \
        /usr/local/lib/python3.*/site-packages/setuptools* \
        /usr/local/lib/python3.*/site-packages/wheel* \
    && groupadd --gid 10001 tracewatch \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/tracewatch --create-home --shell /usr/sbin/nologin tracewatch
COPY --from=build /opt/tracewatch /opt/tracewatch
# The root file system may be read-only: what libraries cache goes to /tmp, what must last to the volume.
ENV PATH=/opt/tracewatch/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    XDG_CACHE_HOME=/tmp/cache \
    MPLCONFIGDIR=/tmp/matplotlib \
    TRACEWATCH_HEALTH_URL=http://127.0.0.1:9464/healthz
USER 10001:10001
WORKDIR /var/lib/tracewatch
VOLUME /var/lib/tracewatch
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['TRACEWATCH_HEALTH_URL'], timeout=4)"]
ENTRYPOINT ["tracewatch"]
CMD ["run", "-c", "/etc/tracewatch/tracewatch.yaml"]
