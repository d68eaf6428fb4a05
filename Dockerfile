# One image for all services and steps: `python -m services.<name>`. Built in two stages, so that neither the build tools
# nor anything that is not needed to run comes along; it runs as 10001 and with a read-only root (only /tmp and
# /var/lib/resedge are written). No secret is needed to build it.

# scripts/release names the base by its digest; everybody else gets what the tag means today.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# Compiled files hold no time, so that the same sources are the same bytes in every build.
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH
WORKDIR /app
RUN pip install --no-cache-dir --disable-pip-version-check 'uv>=0.9,<1'
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --frozen --no-dev --no-install-project --no-cache
COPY libs libs
COPY services services
COPY cli cli
COPY schemas schemas
COPY scripts/health.py scripts/topics.py scripts/
RUN .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash libs services cli scripts

FROM ${PYTHON_IMAGE}
# git writes and checks the repository that stores pull; Microsoft's ODBC driver reaches the log on SQL Server.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl git unixodbc \
 && curl -fsSL -o /tmp/microsoft.deb https://packages.microsoft.com/config/debian/12/packages-microsoft-prod.deb \
 && dpkg -i /tmp/microsoft.deb \
 && apt-get update \
 && ACCEPT_EULA=Y apt-get install -y --no-install-recommends msodbcsql18 \
 && apt-get purge -y --auto-remove curl \
 && rm -rf /tmp/microsoft.deb /var/lib/apt/lists/* \
 && groupadd --gid 10001 resedge \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin resedge \
 && install -d -o 10001 -g 10001 -m 0750 /var/lib/resedge
COPY --from=build /app /app
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="Resilient Edge" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["python", "-m", "cli", "--help"]
