# The daemon's image. Build: docker build --tag tracewatch .
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/tracewatch
# Dependencies change less often than the code: a layer of their own.
COPY requirements.lock ./
RUN /opt/tracewatch/bin/python -m pip install --require-hashes --requirement requirements.lock
COPY requirements-dev.lock ./
# What builds the wheel stands in the development lock, with hashes too.
RUN awk '/^[a-z]/ {keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/} keep' requirements-dev.lock > build.lock \
    && python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes --requirement build.lock
COPY pyproject.toml README.md LICENSE ./
COPY monitor ./monitor
COPY consumers ./consumers
COPY scorers ./scorers
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/tracewatch/bin/python -m pip install --no-deps /dist/*.whl \
    && /opt/tracewatch/bin/python -m compileall -q /opt/tracewatch

FROM python:3.11-slim
RUN groupadd --gid 10001 tracewatch \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/tracewatch --create-home --shell /usr/sbin/nologin tracewatch
COPY --from=build /opt/tracewatch /opt/tracewatch
ENV PATH=/opt/tracewatch/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MLFLOW_DISABLE_TELEMETRY=true
USER 10001:10001
WORKDIR /var/lib/tracewatch
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
ENTRYPOINT ["tracewatch"]
CMD ["run", "-c", "/etc/tracewatch/tracewatch.yaml"]
