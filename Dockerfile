# Two images from one file:
#   docker build --target api -t morrow-api .          answers HTTP; holds no TensorFlow
#   docker build --target worker -t morrow-worker .    trains
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
RUN python3 -m venv /opt/morrow
ENV PATH=/opt/morrow/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# The locks first: they change less often than the code.
FROM build AS build-api
COPY requirements/api.txt requirements/
RUN pip install -qq --no-compile --require-hashes --only-binary :all: -r requirements/api.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
RUN pip install -qq --no-compile --no-deps --no-build-isolation --no-index . \
    && python -m compileall -qq -j 0 /opt/morrow/lib

FROM build AS build-worker
COPY requirements/worker.txt requirements/
RUN pip install -qq --no-compile --require-hashes --only-binary :all: -r requirements/worker.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
RUN pip install -qq --no-compile --no-deps --no-build-isolation --no-index . \
    && python -m compileall -qq -j 0 /opt/morrow/lib

FROM ${PYTHON_IMAGE} AS runtime
RUN useradd --system --uid 10001 --user-group --home-dir /tmp --no-create-home morrow \
    && install -d -o morrow -g morrow /data
ENV PATH=/opt/morrow/bin:$PATH PYTHONUNBUFFERED=1 \
    MORROW_HOME=/data MORROW_LOG_FORMAT=json \
    HOME=/tmp XDG_CACHE_HOME=/tmp/cache KERAS_HOME=/tmp/keras
# Not /src: nothing but the installed package is on the path.
WORKDIR /data
USER 10001:10001
VOLUME /data
STOPSIGNAL SIGTERM

FROM runtime AS api
COPY --from=build-api /opt/morrow /opt/morrow
ENV MORROW_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["morrow", "health", "api"]
ENTRYPOINT ["morrow", "api"]

FROM runtime AS worker
COPY --from=build-worker /opt/morrow /opt/morrow
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["morrow", "health", "worker"]
ENTRYPOINT ["morrow", "worker"]
