# Two stages: the first installs, the second runs and has no build tool.
FROM python:3.11-slim-bookworm AS builder

# Both optional. Of a package mirror: its index, and its certificate authority as PEM text, which is
# believed beside the usual ones.
ARG PIP_INDEX_URL
ARG CA_BUNDLE
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN if [ -n "$CA_BUNDLE" ]; then \
        { cat /etc/ssl/certs/ca-certificates.crt && printf '%s\n' "$CA_BUNDLE"; } > /etc/ssl/pip-ca.pem \
        && pip config --global set global.cert /etc/ssl/pip-ca.pem; \
    fi

RUN apt-get update && apt-get install --yes --no-install-recommends binutils

WORKDIR /src
COPY requirements.txt ./
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-compile --require-hashes -r requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY economy economy
COPY migrations migrations
# Then the build backend and what it alone needs go again; the check proves that nothing is missing.
RUN pip --python /opt/venv/bin/python install --no-compile --no-deps --no-build-isolation . \
    && pip --python /opt/venv/bin/python uninstall --yes \
        hatchling pathspec pluggy tomlkit trove-classifiers \
    && pip --python /opt/venv/bin/python check \
    # Symbols for debuggers would make the image a sixth larger.
    && find /opt/venv -name '*.so' -type f -exec strip --strip-unneeded {} +


FROM python:3.11-slim-bookworm

# What runs installs nothing.
RUN PYTHONDONTWRITEBYTECODE=1 pip uninstall --yes --root-user-action=ignore pip setuptools wheel \
    && useradd --uid 10001 --create-home --home-dir /var/lib/economy --shell /usr/sbin/nologin economy
COPY --from=builder /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ECONOMY_HOST=0.0.0.0
# Bytecode of what is imported, of the standard library, too: later nothing can be written.
RUN python -c "import economy.cli, economy.worker, sqlalchemy.dialects.postgresql.asyncpg, \
    celery.apps.beat, celery.apps.worker, celery.bin.celery, celery.worker.consumer, \
    celery.concurrency.prefork, kombu.transport.redis, uvicorn.protocols.http.httptools_impl"

# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/economy
EXPOSE 8000

# Asks the process itself, never by way of a proxy.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["python", "-c", \
    "import os; from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('ECONOMY_PORT', '8000') + '/health/live', timeout=2)"]

# The exec form: signals reach the server, which then answers what it has accepted.
ENTRYPOINT ["economy"]
CMD ["serve"]
