# syntax=docker/dockerfile:1
# The bot's image. For a build that can be repeated to the byte, name the base by its digest:
#   docker build --build-arg PYTHON=3.13-slim@sha256:... --tag metaflow-hitl-bot .
ARG PYTHON=3.13-slim

FROM python:${PYTHON} AS build
WORKDIR /build
# What builds the package stays out of what runs it.
RUN python -m venv /opt/build && python -m venv /opt/hitl
COPY requirements requirements
RUN /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement requirements/build.txt \
 && /opt/hitl/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement requirements/bot.txt
COPY pyproject.toml setup.py LICENSE README.md ./
COPY hitl_bot hitl_bot
COPY metaflow_extensions metaflow_extensions
COPY metaflow_hitl metaflow_hitl
RUN /opt/build/bin/pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir wheels . \
 && /opt/hitl/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-index wheels/*.whl

FROM python:${PYTHON}
# By number, so that Kubernetes can tell that it is not root.
RUN groupadd --system --gid 10001 hitl \
 && useradd --system --uid 10001 --gid hitl --no-create-home --home-dir /tmp hitl
COPY --from=build /opt/hitl /opt/hitl
# The file system may be read-only, but for /tmp.
ENV PATH=/opt/hitl/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001
EXPOSE 3000
ENTRYPOINT ["hitl-bot"]
CMD ["serve"]
